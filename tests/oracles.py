"""Independent ways to the answers: brute force, general solvers, definitions taken literally.

Nothing here calls shiftfix.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import xlog1py


def kish_by_duplication(weights, counts):
    """(sum w)^2 / sum w^2 after writing every row out as often as it counts."""
    w = np.repeat(weights, counts)
    return w.sum() ** 2 / (w**2).sum()


def simplex_least_squares(A, b):
    """min ||A q - b|| on the simplex by a general constrained solver, from several starts."""
    size = A.shape[1]
    starts = [np.full(size, 1 / size), *np.eye(size)]
    found = [
        minimize(
            lambda q: 0.5 * np.sum((A @ q - b) ** 2),
            start,
            jac=lambda q: A.T @ (A @ q - b),
            bounds=[(0, 1)] * size,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1, "jac": lambda q: np.ones(size)},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 1000},
        )
        for start in starts
    ]
    return min(found, key=lambda result: result.fun).x


def rows_of_confusion(conditional, class_counts):
    """Predictions and labels whose hard confusion matrix is ``conditional`` exactly."""
    predicted, true = [], []
    for j, count in enumerate(class_counts):
        per_prediction = np.rint(conditional[:, j] * count).astype(int)
        assert np.allclose(per_prediction, conditional[:, j] * count)
        predicted += list(np.repeat(np.arange(len(conditional)), per_prediction))
        true += [j] * per_prediction.sum()
    return np.array(predicted), np.array(true)


def em_path(posteriors, shares, source_prior, n_steps, *, start=None):
    """Saerens' EM on a finite set of score vectors, from the definition.

    posteriors (n_vectors, n_classes) under the source prior; shares (n_vectors,) of the target. The first prior is
    ``start``, or that of the source.
    """
    q, path = np.array(source_prior if start is None else start, float), []
    for _ in range(n_steps):
        joint = posteriors * q / source_prior
        q = shares @ (joint / joint.sum(axis=1, keepdims=True))
        path.append(q.copy())
    return np.array(path)


def logistic_objective(coefficients, X, domain, counts, C):
    """Penalised negative log likelihood of labels +-1 and its gradient, intercept first and free."""
    margin = domain * (coefficients[0] + X @ coefficients[1:])
    loss = counts @ np.logaddexp(0, -margin) + 0.5 / C * np.sum(coefficients[1:] ** 2)
    pull = -counts * domain * np.exp(-np.logaddexp(0, margin))
    return loss, np.append(pull.sum(), X.T @ pull + coefficients[1:] / C)


def logistic_ratio(X_source, X_target, C, X):
    """log w at X by minimising the penalised likelihood on standardised features with BFGS."""
    both = np.vstack([X_source, X_target])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    domain = np.repeat([-1.0, 1.0], [len(X_source), len(X_target)])
    result = minimize(
        logistic_objective,
        np.zeros(both.shape[1] + 1),
        args=((both - mean) / scale, domain, np.ones(len(both)), C),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-8},
    )
    log_odds = result.x[0] + (X - mean) / scale @ result.x[1:]
    return log_odds + np.log(len(X_source) / len(X_target))


def binary_entropy_loss(p, y):
    """Mean cross entropy in nats of probabilities p of class 1 against 0/1 labels."""
    return -np.mean(xlog1py(1 - y, -p) + y * np.log(p))


def leave_pairs_out_score(phi_source, phi_target, penalty):
    """Leave-one-out error of uLSIF as its authors define it; a float.

    Source row i and target row i are left out together, for i below min(n_source, n_target), and the error is the mean
    over these pairs of v_S^2 / 2 - v_T.

    Parameters
    ----------
    phi_source : ndarray of shape (n_source, n_centers)
    phi_target : ndarray of shape (n_target, n_centers)
    penalty : float
    """
    n_source, n_target = len(phi_source), len(phi_target)
    pairs = min(n_source, n_target)
    M = phi_source.T @ phi_source / (n_source - 1) + penalty * np.eye(phi_source.shape[1])
    left_source, left_target = phi_source[:pairs], phi_target[:pairs]
    h_left = (phi_target.sum(axis=0) - left_target) / (n_target - 1)
    projected = np.linalg.solve(M, left_source.T).T
    leverage = np.einsum("ij,ij->i", projected, left_source)
    gain = np.einsum("ij,ij->i", projected, h_left) / (n_source - 1 - leverage)
    theta = np.maximum(np.linalg.solve(M, h_left.T).T + projected * gain[:, np.newaxis], 0)
    v_source, v_target = np.einsum("ij,ij->i", theta, left_source), np.einsum("ij,ij->i", theta, left_target)
    return float(np.mean(0.5 * v_source**2 - v_target))


def optimality_gap(eta, A, shares):
    """Upper bound max(g) - 1 on how much any other mixture's log likelihood exceeds that of eta; a float."""
    return float((A.T @ (shares / (A @ eta))).max() - 1)
