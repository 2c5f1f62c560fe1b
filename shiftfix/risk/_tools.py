"""What several methods need of one problem, each made once: weights, prior, and what the losses are expected to be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict, caller_warns, judge
from shiftfix.covariate import LogisticWeighter, TableColumns, are_numbers, weight_refits
from shiftfix.exceptions import NotIdentifiedError
from shiftfix.label import MLLS, label_shift_fit, prior_refits
from shiftfix.risk._effect import BALANCED, ERRORS, score_columns, score_imbalance
from shiftfix.risk._loss_model import ExpectedLosses, expected_losses
from shiftfix.risk._problem import Problem
from shiftfix.risk._weighter import fit_weighter

Refit = Callable[[Floats, Floats], Floats]
UNBALANCED_ACTION = (
    "Take a ratio that can balance them, such as weighter=ClassifierWeighter(HistGradientBoostingClassifier()), or "
    "label some target rows."
)


def of_last_counts(refit: Refit) -> Refit:
    """The same function, which does not repeat itself where several methods ask with the same arrays of counts."""
    last: list[Any] = []

    def once(counts_source: Floats, counts_target: Floats) -> Floats:
        if not (last and last[0] is counts_source and last[1] is counts_target):
            last[:] = counts_source, counts_target, refit(counts_source, counts_target)
        found: Floats = last[2]
        return found

    return once


@dataclass
class Tools:
    """What is learned from a problem, when it is first asked for.

    Attributes
    ----------
    problem : Problem
    chosen_weighter : weighter or None
    loss_model : regressor or None
    rng : numpy.random.Generator
    """

    problem: Problem
    chosen_weighter: Any
    loss_model: Any
    rng: np.random.Generator

    @cached_property
    def weighter(self) -> Any:
        """The weighter, fitted on both samples."""
        known = self.problem
        kind = self.chosen_weighter
        if kind is None:
            numbers = are_numbers(known.X_source) and are_numbers(known.X_target)
            # A linear ratio is refused as soon as a spread moved, too.
            kind = LogisticWeighter(features="auto" if numbers else TableColumns())
        return fit_weighter(kind, known.X_source, known.X_target, None)

    @cached_property
    def reweigh(self) -> Any:
        """Weights from counts of both samples."""
        return of_last_counts(weight_refits(self.weighter, self.problem.X_source, self.problem.X_target))

    @cached_property
    def weights_verdict(self) -> Verdict:
        """Whether the weighted source looks like the target: in size, in overlap, in its moments, to the model."""
        summary = self.weighter.summary_
        refused = list(summary.reasons) if summary.verdict == "abstain" else []
        unbalanced = [
            f"weighting leaves {found.name} {abs(found.after):.2f} standard deviations off the target"
            for found in summary.worst_balanced or ()
            if abs(found.after) - ERRORS * found.se_after > BALANCED
        ]
        imbalance, error = self._score_imbalance()
        if imbalance > BALANCED + ERRORS * error:
            unbalanced.append(f"weighting leaves the model's score {imbalance:.2f} standard deviations off the target")
        cautions = [reason for reason in summary.reasons if reason not in refused + unbalanced]
        action = UNBALANCED_ACTION if unbalanced else summary.verdict.action
        return judge(dict.fromkeys([*refused, *unbalanced]), cautions, action)

    def _score_imbalance(self) -> tuple[float, float]:
        known, is_class = self.problem, self.problem.classes is not None
        said = [
            np.log(np.maximum(outputs.proba, 1e-6)) if outputs.proba is not None else outputs.predicted[:, np.newaxis]
            for outputs in (known.source, known.target)
        ]
        source, target = (score_columns(values.astype(np.float64), is_class) for values in said)
        return score_imbalance(source, target, self.weighter.source_weights_, np.ones(known.n_source))

    def class_scores(self, source: bool) -> Floats:
        """Class probabilities of the rows of one sample; hard predictions of a model that has none."""
        outputs = self.problem.source if source else self.problem.target
        return np.eye(self.problem.n_classes)[outputs.predicted] if outputs.proba is None else outputs.proba

    @cached_property
    def prior(self) -> Any:
        """The target prior by maximum likelihood, fitted; it has its verdict alone where it is not identified."""
        prior, known = MLLS(n_bootstrap=0), self.problem
        try:
            with caller_warns():
                return prior.fit(
                    self.class_scores(True), known.y, self.class_scores(False), classes=np.arange(known.n_classes)
                )
        except NotIdentifiedError as error:
            prior.verdict_ = Verdict("abstain", [str(error).rstrip(".")])
            return prior

    @cached_property
    def prior_verdict(self) -> Verdict:
        """Whether the class shares can be found, and whether a change of them is what moved."""
        verdict: Verdict = self.prior.verdict_
        if verdict == "abstain":
            return verdict
        known = self.problem
        numbers = are_numbers(known.X_source) and are_numbers(known.X_target)
        rows = (known.X_source, known.X_target) if numbers else (None, None)
        with caller_warns():
            fit = label_shift_fit(
                self.class_scores(True), known.y, self.class_scores(False), *rows, classes=np.arange(known.n_classes)
            )
        other = [fit.reason] if fit.moved and not fit.passes else []
        return judge([], [*verdict.reasons, *other], "See compare_risks, or label some target rows.")

    @cached_property
    def estimate_prior(self) -> Any:
        """The target prior from counts of both samples."""
        if not hasattr(self.prior, "target_prior_"):
            raise NotFittedError(self.prior.verdict_.reasons[0])
        refits = prior_refits(self.prior, self.class_scores(True), self.problem.y, self.class_scores(False))
        return of_last_counts(refits)

    @cached_property
    def expected(self) -> ExpectedLosses:
        """What the losses of all rows are expected to be, by models of the source's losses."""
        return expected_losses(self.problem, self.loss_model, self.rng)
