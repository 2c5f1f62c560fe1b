"""Covariate weights from a logistic source-versus-target classifier.

Assumes p(y | x) is shared and only p(x) moves. With labels -1 (source) and +1 (target) and
log odds h(x) = intercept + coef' x, Bayes' rule gives

    w(x) = (n_source / n_target) * exp(h(x)),

because the odds are (n_target p_target) / (n_source p_source). The size factor enters before any clip:
clipping exp(h) itself would clip w at c * n_source / n_target.
Source: Bickel, Brueckner & Scheffer (2009), JMLR 10:2137-2155; Qin (1998), Biometrika 85(3):619-630.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from shiftfix._validation import check_count, check_number
from shiftfix.covariate._base import BaseWeighter
from shiftfix.exceptions import ShiftDataError

SOURCE, TARGET = -1, 1


def odds_to_log_ratio(log_odds, n_source, n_target):
    """Log w = h + log(n_source / n_target), same shape as ``log_odds``.

    Parameters
    ----------
    log_odds : ndarray of shape (n_rows,)
        log P(target | x) / P(source | x) by a classifier fitted to both samples.
    n_source, n_target : float
        Rows (or total sample weights) the classifier saw of each.
    """
    return log_odds + np.log(n_source / n_target)


class LogisticWeighter(BaseWeighter):
    """Weight source rows by the odds that they came from the target.

    Linear log odds are exact for two Gaussians with one covariance, for exponential tilts and for
    one-hot features; where spreads differ, hand in squared columns too. In-sample weights are
    right for a regularised logistic model: its score equations balance the moments.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty on the coefficients of the standardised features; the intercept is
        free. ``numpy.inf`` removes the penalty, and then separable samples have no finite answer.
    clip : float, "sqrt" or None, default="sqrt"
        Upper bound c of a weight, applied to (n_source / n_target) exp(h) before normalisation;
        ``"sqrt"`` is mean(w) * sqrt(n_source).
    normalize : {"mean", None}, default="mean"
        ``"mean"`` divides by the mean clipped weight of the source.
    max_iter : int, default=1000
        Iterations of the solver.
    tol : float, default=1e-8
        Largest gradient entry of the mean loss at which the solver stops.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Slope of h, per unit of the features as given.
    intercept_ : float
        Intercept of h; it contains log(n_target / n_source).
    classifier_ : LogisticRegression
        The domain classifier on standardised features, classes -1 (source) and +1 (target).
    n_source_, n_target_ : float
        Rows of each sample, or the totals of their sample weights.
    log_clip_, log_mean_ : float
        Logarithms of the clip and of the mean clipped weight.
    summary_ : WeightSummary
        Effective size, overlap and the verdict.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when ``X_source`` had column names.

    Raises
    ------
    ShiftDataError
        By ``fit`` and ``transform``, for input that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(0, 1, (2000, 1)), rng.normal(0.5, 1, (500, 1))
    >>> w = LogisticWeighter().fit_transform(X_source, X_target)
    >>> round(float(np.average(X_source[:, 0], weights=w)), 1)
    0.5
    """

    def __init__(self, C=1.0, *, clip="sqrt", normalize="mean", max_iter=1000, tol=1e-8):
        self.C = C
        self.clip = clip
        self.normalize = normalize
        self.max_iter = max_iter
        self.tol = tol

    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        check_number(self.C, "C", above=0)
        check_count(self.max_iter, "max_iter")
        check_number(self.tol, "tol", above=0)
        X = np.concatenate([X_source, X_target])
        counts = np.concatenate([sample_weight_source, sample_weight_target])
        domain = np.repeat([SOURCE, TARGET], [len(X_source), len(X_target)])
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(X, sample_weight=counts)
        if not np.isfinite(scaler.var_).all():
            column = int(np.flatnonzero(~np.isfinite(scaler.var_))[0])
            raise ShiftDataError(
                f"The values of column {column} overflow when squared (largest {np.abs(X[:, column]).max():.3g}): "
                "rescale the column, for example to thousands or logarithms."
            )
        self.classifier_ = LogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        self.classifier_.fit(scaler.transform(X), domain, sample_weight=counts)
        self.coef_ = self.classifier_.coef_[0] / scaler.scale_
        self.intercept_ = float(self.classifier_.intercept_[0] - self.coef_ @ scaler.mean_)
        self.n_source_ = float(sample_weight_source.sum())
        self.n_target_ = float(sample_weight_target.sum())

    def _log_ratio(self, X):
        return odds_to_log_ratio(X @ self.coef_ + self.intercept_, self.n_source_, self.n_target_)
