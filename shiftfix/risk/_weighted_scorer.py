"""A scorer for GridSearchCV and its like that judges held-out source rows by their weights.

scikit-learn cuts X, y and ``sample_weight`` into folds, and hands anything else to the scorer only if metadata routing
is on and the scorer asks for it. A weighter that is fitted already needs neither: it weighs whatever rows it is shown.
"""

from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import _num_samples

from shiftfix._door import PublicCalls, public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_methods
from shiftfix._target_sample import target_rows
from shiftfix._validation import check_rows, check_weights
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._label_plan import refuse_huge
from shiftfix.risk._row_scores import row_scorer, weighted_mean_score
from shiftfix.risk._weighter import check_weighter, fit_weighter


def is_fitted_weighter(weighter: Any) -> bool:
    """Whether it has weights to give."""
    return hasattr(weighter, "source_weights_")


class WeightedScorer(PublicCalls, BaseEstimator):
    """Weighted mean score of held-out rows; made by :func:`make_weighted_scorer`.

    Parameters
    ----------
    weighter : weighter or None
    scoring : None, str or callable
        Both as :func:`make_weighted_scorer` takes them.

    See Also
    --------
    make_weighted_scorer : The same for a grid search.
    """

    _own_output = False
    __metadata_request__score: ClassVar[dict[str, str]] = {"estimator": UNUSED}

    def __init__(self, weighter: Any = None, scoring: Any = None) -> None:
        self.weighter = weighter
        self.scoring = scoring

    def score(
        self, estimator: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, X_target: Any = None
    ) -> float:
        """Weighted mean score of a fitted estimator at labelled source rows, large being good.

        Parameters
        ----------
        estimator : fitted classifier or regressor
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows. They multiply those of a fitted weighter, and stand alone without one.
        X_target : array-like of shape (n_target, n_features) or TargetSample, default=None
            Target rows, to which a clone of a weighter that is not fitted is fitted, with the rows of X.

        Returns
        -------
        float
        """
        X = check_rows(X, "X")
        weights = self._weights(X, sample_weight, X_target)
        return weighted_mean_score(row_scorer(self.scoring)(estimator, X, y), weights)

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike, **routed: Any) -> float:
        return self.score(estimator, X, y, **routed)

    def __sklearn_clone__(self) -> Self:
        return self  # a clone would forget what its weighter has learned

    def _weights(self, X: Any, sample_weight: ArrayLike | None, X_target: Any) -> Floats:
        """Weights of held-out rows, by what is at hand."""
        given = None if sample_weight is None else check_weights(sample_weight, "sample_weight", _num_samples(X))
        if given is not None:
            refuse_huge(given, "sample_weight")
        if is_fitted_weighter(self.weighter):
            own: Floats = self.weighter.transform(X)
            return own if given is None else own * given
        if X_target is not None:
            weighter = LogisticWeighter() if self.weighter is None else self.weighter
            return fit_weighter(weighter, X, target_rows(X_target), given).source_weights_ * (
                1 if given is None else given
            )
        if given is None:
            raise ShiftDataError(
                "This scorer has no weights: make it with a fitted weighter, or turn on metadata routing and ask for "
                "them, set_score_request(sample_weight=True) or set_score_request(X_target=True)."
            )
        return given


@public
def make_weighted_scorer(weighter: Any = None, scoring: Any = None) -> WeightedScorer:
    """A scorer for ``GridSearchCV(..., scoring=scorer)`` and ``cross_val_score`` that estimates scores on the target.

    Parameters
    ----------
    weighter : weighter, default=None
        Fitted to both samples beforehand, it weighs the held-out rows of every fold: nothing is to be handed on. Not
        fitted, or None, weights are routed: with ``sklearn.set_config(enable_metadata_routing=True)`` and
        ``scorer.set_score_request(sample_weight=True)`` those given to ``fit(X, y, sample_weight=weights)``, cut into
        folds by scikit-learn; with ``set_score_request(X_target=True)`` the target rows of
        ``fit(X, y, X_target=TargetSample(X_target))``, uncut, to which it is fitted in each fold.
    scoring : {None, "accuracy", "neg_log_loss", "neg_mean_squared_error", "neg_mean_absolute_error"} or callable
        As for :func:`iw_cross_val_score`.

    Returns
    -------
    WeightedScorer
        Cloned as it is, with what its weighter has learned.

    Raises
    ------
    ShiftDataError
        For what is no weighter, and another scoring; when called, without weights.

    See Also
    --------
    WeightedScorer : What it returns.
    iw_cross_val_score : A learner's score on the target by weighted source rows.
    OneStandardErrorRule : The same for a grid search.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> import numpy as np
    >>> X = np.linspace(-2, 2, 200)[:, np.newaxis]
    >>> weighter = LogisticWeighter().fit(X, X[80:180])
    >>> search = GridSearchCV(Ridge(), {"alpha": [0.1, 10]}, scoring=make_weighted_scorer(weighter))
    >>> search.fit(X, X[:, 0] ** 2).best_params_
    {'alpha': 10}
    """
    check_weighter(weighter)
    if weighter is not None:
        check_methods(weighter, "weighter", ["fit", "transform"], "a weighter from shiftfix.covariate, or None,")
    row_scorer(scoring)
    return WeightedScorer(weighter, scoring)
