"""Sampling covariance of the black-box solution q = A^-1 mu, in memory of order K^2 for many classes.

Assumes p(x | y) is shared. A has the mean prediction of each true class in its columns, mu is the mean prediction on
the target, and q moves by A^-1 (d mu - dA q), so (delta method; the errors of mu and of each column are independent)

    Cov(q) = A^-1 [Cov(mu) + sum_j q_j^2 Cov(column j of A)] A^-T

The covariances of all columns are K matrices of K x K, 8 GB at 1000 classes, and q is only known once the source rows
are gone. Three forms of the sum avoid that, see :func:`source_error`.

Pseudo rows, spread evenly over the corners of the simplex, make a sample allow for what it is too small to show. They
widen the spread and do not count as sample size: e of them turn the scatter S of N rows with mean m (the sum of
(row - m)(row - m)') into S + e / K (I - 1 1' / K) + N e / (N + e) (m - 1 / K)(m - 1 / K)', its own, the corners' and
that between the two means, and the covariance of the mean is 1 / (N (N + e)) of it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks, weighted_gram, weighted_sum
from shiftfix.label._confusion import class_sums
from shiftfix.label._identification import PSEUDO_ROWS
from shiftfix.label._labels import class_totals

# Classes up to which soft columns keep their whole scatter matrices: 8 MB at 100 classes.
FULL_CLASSES = 100


class MeanScatter(NamedTuple):
    """Mean of rows and their scatter about it.

    Attributes
    ----------
    n_rows : float
        Sum of the repeat counts.
    mean : ndarray of shape (n_classes,)
    scatter : ndarray of shape (n_classes, n_classes)
    """

    n_rows: float
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]


class SourceError(NamedTuple):
    """What the source adds to the error of q; which of the last three fields are set depends on the form.

    Attributes
    ----------
    conditional, inverse : ndarray of shape (n_classes, n_classes)
        A and A^-1.
    class_rows : ndarray of shape (n_classes,)
        N_j, the rows of each class.
    scatters : ndarray of shape (n_classes, n_classes, n_classes) or None
        Soft, few classes: S_j, class first.
    solved : ndarray of shape (n_classes, n_classes) or None
        Soft, many classes: [k, j] is the diagonal entry k of A^-1 S_j A^-T.
    pooled : ndarray of shape (n_classes, n_classes) or None
        Soft, many classes: sum_j S_j, the scatter within classes.
    """

    conditional: NDArray[np.float64]
    inverse: NDArray[np.float64]
    class_rows: NDArray[np.float64]
    scatters: NDArray[np.float64] | None = None
    solved: NDArray[np.float64] | None = None
    pooled: NDArray[np.float64] | None = None


def mean_scatter(values: NDArray[Any], sample_weight: NDArray[np.float64]) -> MeanScatter:
    """Mean and scatter of rows (n_rows, n_classes) with repeat counts; rows in float32 are not copied as a whole."""
    n_rows = float(sample_weight.sum())
    mean = weighted_sum(values, sample_weight) / n_rows
    return MeanScatter(n_rows, mean, weighted_gram(values, np.sqrt(sample_weight), lambda rows: mean))


def prediction_scatter(values: NDArray[Any], sample_weight: NDArray[np.float64], kind: str) -> MeanScatter:
    """:func:`mean_scatter` of predictions; one-hot ones ("hard") of mean m have scatter N (diag(m) - m m')."""
    if kind != "hard":
        return mean_scatter(values, sample_weight)
    n_rows = float(sample_weight.sum())
    mean = weighted_sum(values, sample_weight) / n_rows
    return MeanScatter(n_rows, mean, n_rows * (np.diag(mean) - np.outer(mean, mean)))


def mean_covariance(rows: MeanScatter, pseudo_rows: float = 0.0) -> NDArray[np.float64]:
    """Sampling covariance of a mean, shape (n_classes, n_classes).

    Parameters
    ----------
    rows : MeanScatter
    pseudo_rows : float, default=0.0
        See the head of the file.
    """
    n_rows, mean, scatter = rows
    away = mean - 1 / len(mean)
    between = n_rows * pseudo_rows / (n_rows + pseudo_rows)
    corners = pseudo_rows / len(mean) * (np.eye(len(mean)) - 1 / len(mean))
    return (scatter + corners + between * np.outer(away, away)) / (n_rows * (n_rows + pseudo_rows))


def source_error(
    scores: NDArray[Any],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    conditional: NDArray[np.float64],
    kind: str,
    *,
    full_classes: int = FULL_CLASSES,
) -> SourceError:
    """What the source adds to the error of q, learned before q is known.

    - ``kind="hard"``: one-hot rows of mean a have scatter N (diag(a) - a a'), so A itself is enough. Exact.
    - soft, up to ``full_classes`` classes: the scatter of each class. Exact.
    - soft, more classes: the scatter of A^-1 s over the rows s of each class, in each component: K x K numbers, which
      give Var(q_k) exactly for every q. The correlations between components are those at q = p: exact there (and so in
      a test of "no shift"), an approximation elsewhere. The matrix stays positive semi-definite.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Scores, or one-hot predictions if hard (then they are not looked at).
    class_index : ndarray of shape (n_rows,)
        True class of each row; every class needs a row of positive weight.
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts of the rows.
    conditional : ndarray of shape (n_classes, n_classes)
        A of these rows, invertible.
    kind : {"soft", "hard"}
    full_classes : int, default=100

    Returns
    -------
    SourceError
    """
    n_classes = len(conditional)
    inverse: NDArray[Any] = np.linalg.inv(conditional)
    class_rows = class_totals(class_index, sample_weight, n_classes)
    if kind == "hard":
        return SourceError(conditional, inverse, class_rows)
    if n_classes <= full_classes:
        members = [class_index == k for k in range(n_classes)]
        scatters = np.stack([mean_scatter(scores[rows], sample_weight[rows]).scatter for rows in members])
        return SourceError(conditional, inverse, class_rows, scatters=scatters)
    solved, pooled = np.zeros((n_classes, n_classes)), np.zeros((n_classes, n_classes))
    solve, columns = inverse.T.astype(scores.dtype), conditional.T.astype(scores.dtype)
    root = np.sqrt(sample_weight).astype(scores.dtype)
    for rows in row_blocks(*scores.shape, entries=PRODUCT_ENTRIES):
        centred = (scores[rows] - columns[class_index[rows]]) * root[rows, np.newaxis]
        pooled += centred.T @ centred
        solved += class_sums((centred @ solve) ** 2, class_index[rows], np.ones(len(centred)), n_classes)
    return SourceError(conditional, inverse, class_rows, solved=solved, pooled=pooled)


class Solved(NamedTuple):
    """Scatters as q sees them, the products of K x K matrices that plain and cautious covariances share.

    Attributes
    ----------
    target, pooled, corners : ndarray of shape (n_classes, n_classes)
        A^-1 S A^-T for the scatter S of the target, for the pooled one of the source (0 where there is none), and for
        I - 1 1' / K, one pseudo row at each corner.
    ones, mean : ndarray of shape (n_classes,)
        A^-1 1, and A^-1 times the target's mean.
    """

    target: NDArray[np.float64]
    pooled: NDArray[np.float64] | float
    corners: NDArray[np.float64]
    ones: NDArray[np.float64]
    mean: NDArray[np.float64]


def _solve(source: SourceError, target: MeanScatter) -> Solved:
    inverse = source.inverse
    ones = inverse.sum(axis=1)
    return Solved(
        inverse @ target.scatter @ inverse.T,
        0.0 if source.pooled is None else inverse @ source.pooled @ inverse.T,
        inverse @ inverse.T - np.outer(ones, ones) / len(ones),
        ones,
        inverse @ target.mean,
    )


def _noise(solved: Solved, share: NDArray[np.float64], between: NDArray[np.float64], pseudo: float) -> Any:
    """What pseudo rows add to sum_j share_j A^-1 S_j A^-T.

    The mean of column j lies a_j - 1 / K away from the corners' own, and A^-1 a_j is the j-th unit vector.
    """
    if pseudo == 0:
        return np.zeros((len(share), len(share)))
    n_classes, weight = len(share), share * between
    crossed = np.outer(solved.ones, weight) / n_classes
    level = weight.sum() / n_classes**2
    return (
        share.sum() * pseudo / n_classes * solved.corners
        + np.diag(weight)
        - crossed
        - crossed.T
        + level * np.outer(solved.ones, solved.ones)
    )


def _target_noise(solved: Solved, n_rows: float, pseudo: float) -> NDArray[np.float64]:
    """A^-1 Cov(mu) A^-T."""
    n_classes = len(solved.mean)
    away = solved.mean - solved.ones / n_classes
    between = n_rows * pseudo / (n_rows + pseudo)
    padded = solved.target + pseudo / n_classes * solved.corners + between * np.outer(away, away)
    return padded / (n_rows * (n_rows + pseudo))


def _source_scatter(source: SourceError, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """A^-1 (sum_j share_j S_j) A^-T, where S_j is known of each class."""
    inverse = source.inverse
    if source.scatters is not None:
        return inverse @ np.einsum("j,jab->ab", share, source.scatters) @ inverse.T
    counted = share * source.class_rows
    rooted = inverse * np.sqrt(source.conditional @ counted)
    return rooted @ rooted.T - np.diag(counted)


def _solution_covariance(
    source: SourceError, solved: Solved, n_target: float, prior: NDArray[np.float64], pseudo: float
) -> NDArray[np.float64]:
    n_rows = source.class_rows
    between = n_rows * pseudo / (n_rows + pseudo)
    # The covariance of column j is share_j times its scatter with the pseudo rows, and counts q_j^2 times.
    share = prior**2 / (n_rows * (n_rows + pseudo))
    of_target, noise = _target_noise(solved, n_target, pseudo), _noise(solved, share, between, pseudo)
    if source.solved is None:
        return of_target + noise + _source_scatter(source, share)
    variances = source.solved @ share + np.diag(noise)
    # At q = p, q_j^2 / N_j^2 is the same for every class.
    alike = solved.pooled + _noise(solved, np.ones(len(prior)), between, pseudo)
    deviation = np.sqrt(np.maximum(variances, 0) / np.maximum(np.diag(alike), np.finfo(float).tiny))
    return of_target + alike * np.outer(deviation, deviation)


def solution_covariance(
    source: SourceError, target: MeanScatter, prior: NDArray[np.float64], pseudo_rows: float = 0.0
) -> NDArray[np.float64]:
    """Delta-method covariance of q = A^-1 mu, shape (n_classes, n_classes).

    Parameters
    ----------
    source : SourceError
    target : MeanScatter
        Of the target's predictions, of the same kind.
    prior : ndarray of shape (n_classes,)
        q.
    pseudo_rows : float, default=0.0
        For the target and for each source class; see the head of the file.
    """
    return _solution_covariance(source, _solve(source, target), target.n_rows, prior, pseudo_rows)


def solution_covariances(
    source: SourceError, target: MeanScatter, prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The plain delta-method covariance, and the cautious one with two pseudo rows; see :func:`solution_covariance`."""
    solved = _solve(source, target)
    plain, cautious = (_solution_covariance(source, solved, target.n_rows, prior, rows) for rows in (0.0, PSEUDO_ROWS))
    return plain, cautious
