"""Risk under label shift: the source's losses weighted by the ratio of class shares.

With q the target's class shares, found by maximum likelihood on the model's scores, and R_k the risk of the source rows
of class k, R = sum_k q_k R_k; any metric of labelled rows is that of the source with weights q_k / p_k.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41 (q); Lipton, Wang & Smola (2018), ICML,
section 4 (the weights).
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.risk._method import Counts, RiskMethod

SAME_CLASSES = (
    "only the class shares moved (label shift): rows of one class look as they do in the source. What the scores of "
    "both samples say of that is in label_shift_fit; target labels alone can tell"
)


def risk_of_classes(prior: Floats, risks: Floats) -> float:
    """sum_k q_k R_k of two arrays of shape (n_classes,)."""
    return float(prior @ risks)


def class_ratio(prior: Floats, class_index: np.ndarray, counts: Floats) -> Floats:
    """q_k / p_k of each row's class, p the class shares of the rows by their counts; shape (n_rows,)."""
    totals = np.bincount(class_index, weights=counts, minlength=len(prior))
    ratio = np.divide(prior * counts.sum(), totals, out=np.zeros_like(totals), where=totals > 0)
    return ratio[class_index]


class LabelShiftRisk(RiskMethod):
    """The metric of the source with the class shares of the target."""

    title = "class shares by maximum likelihood"
    assumes = SAME_CLASSES
    weighs = True

    @property
    def verdict(self) -> Verdict:
        """Whether the class shares can be found, and explain what moved."""
        return self.tools.prior_verdict

    @property
    def is_possible(self) -> bool:
        """Whether the scores tell the classes apart."""
        return hasattr(self.tools.prior, "target_prior_")

    def learn(self, counts: Counts) -> Floats:
        """Weights of the source rows."""
        return class_ratio(self.tools.estimate_prior(*counts), self.problem.y, counts.source)
