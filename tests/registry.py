"""Methods and problems with known answers.

A new method adds one line to its table and gets every shared test of ``test_known_answers`` and ``test_contract``;
a new problem adds one line to its table and meets every method.
"""

from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from shiftfix import simulate
from shiftfix.conformal import ConformalClassifier, ConformalRegressor
from shiftfix.corrected import (
    CovariateShiftClassifier,
    CovariateShiftRegressor,
    FewLabelClassifier,
    FewLabelRegressor,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
    ShiftCorrectedRegressor,
    TargetSample,
)
from shiftfix.covariate import KLIEP, KMM, RULSIF, ULSIF, ClassifierWeighter, LogisticWeighter
from shiftfix.label import BBSE, GMM, MLLS, RLLS
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.mlp import MLPClassifier, MLPRegressor

# name: factory that takes settings. Made of odds: exchanging the samples inverts these ratios exactly.
ODDS_WEIGHTERS = {
    "logistic": LogisticWeighter,
    "logistic, everything chosen": partial(LogisticWeighter, "cv", features="auto"),
    "classifier": ClassifierWeighter,
    "classifier, cross-fitted and calibrated": partial(
        ClassifierWeighter, LogisticRegression(), cv=5, calibration="sigmoid", random_state=0
    ),
}

# All methods for log ratios that are linear in the features; one that is not made of odds stands here by itself.
WEIGHTERS = {**ODDS_WEIGHTERS}

# Kernel methods: right in few dimensions, and only roughly; their own tests say how far off they may be.
KERNEL_WEIGHTERS = {
    "ULSIF": ULSIF,
    "RULSIF": RULSIF,
    "KLIEP": KLIEP,
    "KMM": KMM,
}

# Data beyond memory, and arrays too: these keep no weights of the source.
STREAMING_WEIGHTERS = {
    "streaming": StreamingLogisticWeighter,
    "streaming from a sample": partial(StreamingLogisticWeighter, warm_start_rows=200, rows_per_unit=90),
}

# name: factory
PRIORS = {
    "BBSE soft": lambda: BBSE(kind="soft"),
    "BBSE hard": lambda: BBSE(kind="hard"),
    "BBSE calibrated": lambda: BBSE(calibration="auto"),
    "MLLS": lambda: MLLS(n_bootstrap=20, random_state=0),
    "MLLS bcts": lambda: MLLS("bcts", n_bootstrap=0),
    "MLLS uncalibrated": lambda: MLLS("none", n_bootstrap=0),
    "RLLS soft": lambda: RLLS(n_bootstrap=20, random_state=0),
    "RLLS hard": lambda: RLLS("hard", n_bootstrap=0),
    "GMM": GMM,
}

# name: factory; fit(X, y[, X_target][, sample_weight])
LEARNERS = {
    "MLPClassifier": lambda: MLPClassifier((8,), max_epochs=3, random_state=0),
    "MLPRegressor": lambda: MLPRegressor((8,), max_epochs=3, random_state=0),
    "CovariateShiftClassifier": lambda: CovariateShiftClassifier(LogisticRegression(), random_state=0),
    "CovariateShiftRegressor": lambda: CovariateShiftRegressor(Ridge(), random_state=0),
    # Without the default's gates, which would make two draws of the folds differ by all or nothing.
    "LabelShiftClassifier": lambda: LabelShiftClassifier(
        LogisticRegression(), MLLS(), on_reject="correct", random_state=0
    ),
    "FewLabelClassifier": lambda: FewLabelClassifier(LogisticRegression(), random_state=0),
    "FewLabelRegressor": lambda: FewLabelRegressor(Ridge(), random_state=0),
    "ShiftCorrectedClassifier": lambda: ShiftCorrectedClassifier(LogisticRegression()),
    "ShiftCorrectedRegressor": lambda: ShiftCorrectedRegressor(Ridge()),
    "ConformalClassifier": lambda: ConformalClassifier(LogisticRegression(), "aps", cv=3),
    "ConformalRegressor": lambda: ConformalRegressor(Ridge(), "normalized"),
}


def target_for(name, X_target):
    """What a learner of this name takes for ``X_target``: labels for a fifth of the rows where it learns from some."""
    if not name.startswith("FewLabel"):
        return X_target
    rows = np.asarray(X_target)
    labelled = rows[:, -1] > np.quantile(rows[:, -1], 0.8)
    return TargetSample(X_target, y=(rows[labelled, 0] > 0.5).astype(int), rows=labelled)


def taken(values, rows):
    """Some rows of an argument; of a target sample some target rows, a fifth of them labelled."""
    return target_for("FewLabel", values.X[rows]) if isinstance(values, TargetSample) else values[rows]


# name: seed -> ShiftProblem whose log ratio is linear in the features
COVARIATE_PROBLEMS = {
    "gaussian 1d": lambda seed: simulate.gaussian_covariate_shift(4000, 2000, random_state=seed),
    "gaussian 5d, small target": lambda seed: simulate.gaussian_covariate_shift(
        6000, 1000, n_features=5, mean_shift=0.7, random_state=seed
    ),
    "gaussian 10d, small source": lambda seed: simulate.gaussian_covariate_shift(
        2000, 8000, n_features=10, mean_shift=-0.8, random_state=seed
    ),
    "exponential": lambda seed: simulate.exponential_covariate_shift(5000, 5000, rate=0.75, random_state=seed),
    "three levels": lambda seed: simulate.discrete_covariate_shift(
        [0.5, 0.3, 0.2], [0.1, 0.3, 0.6], 3000, 1500, random_state=seed
    ),
}

# name: seed -> ShiftProblem whose log ratio is linear in the features and their squares; linear features see little or
# nothing of it. In all the target is wider than the source; the swapped samples make it narrower.
SQUARES_PROBLEMS = {
    "variance 1d": lambda seed: simulate.gaussian_covariate_shift(
        1500, 1500, mean_shift=0.0, scale=1.5**0.5, random_state=seed
    ),
    "variance 5d": lambda seed: simulate.gaussian_covariate_shift(
        1500, 1500, n_features=5, mean_shift=0.0, scale=1.5**0.5, random_state=seed
    ),
    "mean and variance 5d": lambda seed: simulate.gaussian_covariate_shift(
        1500, 1500, n_features=5, mean_shift=0.7, scale=1.5**0.5, random_state=seed
    ),
}
# name: factory of the same methods with the features these problems need; kernels need none
SQUARES_WEIGHTERS = {
    "logistic, squares": partial(LogisticWeighter, features="squares"),
    "logistic, everything chosen": partial(LogisticWeighter, "cv", features="auto"),
    "classifier of squares": partial(
        ClassifierWeighter, make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression()), cv=None
    ),
}


def overlapping_scores(seed, prior, n):
    """Exact posteriors, under equal priors, of three unit Gaussians in the plane two apart; and the labels."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi / 3 * np.arange(3)
    centres = 2 / np.sqrt(3) * np.column_stack([np.cos(angle), np.sin(angle)])
    y = rng.choice(3, size=n, p=prior)
    x = centres[y] + rng.normal(size=(n, 2))
    density = np.exp(-0.5 * ((x[:, np.newaxis] - centres) ** 2).sum(axis=2))
    return density / density.sum(axis=1, keepdims=True), y


# name: (source prior, target prior, rows of each)
LABEL_PROBLEMS = {
    "mild": ([1 / 3] * 3, [0.2, 0.3, 0.5], 3000),
    "strong": ([1 / 3] * 3, [0.05, 0.05, 0.9], 3000),
    "knocked out": ([1 / 3] * 3, [0.0, 0.5, 0.5], 3000),
    "skewed source": ([0.6, 0.3, 0.1], [0.1, 0.3, 0.6], 3000),
    "no shift": ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], 3000),
}
