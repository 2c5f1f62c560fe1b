"""What calibration is worth to maximum likelihood of the target prior, on the scores of real classifiers.

Median over Dirichlet(.1) priors of the mean squared error of w = q / p, by the estimator classes. Published for another
CIFAR-10 network and 2,000 labels (Alexandari, Kundaje & Shrikumar 2020, as released by the authors), by expectation
maximisation: .01049 without calibration, .00944 with temperature scaling, .00037 with BCTS, .00061 with vector scaling;
by BBSE .0029 with BCTS. Measured here over 100 trials: .00062, .00044, .00045, .00049, and .00045 with the automatic
choice; BBSE .0024 and .0022 (automatic choice), RLLS .0024 and .0022, GMM .0018 and .0018.
"""

import functools
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from shiftfix.label import BBSE, GMM, MLLS, RLLS
from shiftfix.label._calibration import choose_calibration
from shiftfix.label._likelihood import CALIBRATIONS
from tests.statistical.protocol import dirichlet_trials


def weight_errors(trials, methods):
    """Error of w of each method, a dict of name to estimator; arrays of shape (n_trials,).

    The automatic choice depends on the labelled rows alone, so that it is made once per trial for all methods; with it
    a method is another of the kinds, and is fitted once.
    """
    errors = {name: [] for name in methods}
    for trial in trials:
        chosen, _ = choose_calibration(trial.scores_source, trial.class_index, np.ones(len(trial.class_index)))
        found = {}
        for name, method in methods.items():
            kind = chosen if method.calibration == "auto" else method.calibration
            estimator = clone(method).set_params(calibration=kind)
            if repr(estimator) not in found:
                estimator.fit(trial.scores_source, trial.class_index, trial.scores_target)
                found[repr(estimator)] = trial.weight_error(estimator.target_prior_)
            errors[name].append(found[repr(estimator)])
    return {name: np.array(values) for name, values in errors.items()}


def medians(errors):
    return {name: np.median(values) for name, values in errors.items()}


LIKELIHOOD = {kind: MLLS(kind, n_bootstrap=0) for kind in [*CALIBRATIONS, "auto"]}
MOMENTS = {
    f"{type(method).__name__}, {method.calibration}": method
    for kind in ("none", "auto")
    for method in (BBSE(calibration=kind), RLLS(calibration=kind, n_bootstrap=0), GMM(kind))
}


def test_cifar10_network(load_real):
    """2,000 labels: below .0006 by maximum likelihood, and below .003 by moments, a fifth of the published .0105 and
    about the published .0029. Measured over these 20 trials and the next: .0003, and .0011 (GMM) to .0025 (BBSE, no
    calibration)."""
    data = load_real("cifar10_label_shift_predictions")
    trials = dirichlet_trials(data.scores_source, data.y_source, n_source=2000, n_target=2000, alpha=0.1, n_trials=20)
    error = medians(weight_errors(trials, LIKELIHOOD | MOMENTS))
    assert error["auto"] <= min(1.3 * min(error[kind] for kind in CALIBRATIONS), 0.0006)
    assert max(error[name] for name in MOMENTS) <= 0.003


@functools.cache
def over_fitted_network(seed=0):
    """Scores of digits that it was not fitted on, and their labels."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(1 + seed).permutation(len(y))
    fitted, held_out = order[:400], order[400:]
    network = MLPClassifier((100,), max_iter=500, alpha=1e-6, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X[fitted] / 16, y[fitted])
    return network.predict_proba(X[held_out] / 16), y[held_out]


@pytest.mark.parametrize(("n_source", "n_trials"), [(200, 16), (600, 60)])
def test_automatic_choice_with_twenty_and_sixty_labels_per_class(n_source, n_trials):
    """Never more than 1.3 times the error of the best kind, and well below that of a scale too many per class."""
    scores, y = over_fitted_network()
    trials = dirichlet_trials(scores, y, n_source=n_source, n_target=600, alpha=0.1, n_trials=n_trials, stratified=True)
    error = medians(weight_errors(trials, LIKELIHOOD))
    assert error["auto"] <= 1.3 * min(error[kind] for kind in CALIBRATIONS)
    assert error["auto"] < 0.8 * error["vector"]


@pytest.mark.parametrize(
    "method", [MLLS("auto", n_bootstrap=0), *(MOMENTS[n] for n in MOMENTS if "auto" in n)], ids=str
)
def test_every_method_takes_the_automatic_choice(method):
    """Of biased and overconfident scores, for which it is not to leave them alone."""
    scores, y = over_fitted_network()
    (trial,) = dirichlet_trials(scores, y, n_source=600, n_target=600, alpha=0.1, n_trials=1, stratified=True)
    kind, _ = choose_calibration(trial.scores_source, trial.class_index, np.ones(600))
    assert kind != "none"
    sample = trial.scores_source, trial.class_index, trial.scores_target
    found = clone(method).fit(*sample)
    expected = clone(method).set_params(calibration=kind).fit(*sample)
    assert np.array_equal(found.target_prior_, expected.target_prior_)


def test_trials_have_the_priors_they_state():
    rng = np.random.default_rng(0)
    scores, y = rng.dirichlet(np.ones(3), 300), rng.integers(0, 3, 300)
    first, second = (
        list(dirichlet_trials(scores, y, n_source=90, n_target=500, alpha=1.0, n_trials=3)) for _ in range(2)
    )
    for trial, again in zip(first, second, strict=True):
        assert np.array_equal(trial.scores_target, again.scores_target)
        assert trial.target_prior == pytest.approx(np.bincount(trial.class_index_target, minlength=3) / 500)
        assert trial.source_prior == pytest.approx(np.bincount(trial.class_index, minlength=3) / 90)
        assert trial.weight_error(trial.target_prior) == 0
        assert not set(map(tuple, trial.scores_source)) & set(map(tuple, trial.scores_target))
