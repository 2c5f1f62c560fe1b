"""Shifts with a known answer: every simulator returns a ``ShiftProblem``.

Covariate shift: p(x) moves and the true ratio is known

============================  ===========================================================================
``gaussian_covariate_shift``  N(0, I) to N(mu, diag(s^2))
``exponential_covariate_shift``  Exp(1) to Exp(rate): weights with a Pareto tail of known index
``discrete_covariate_shift``  a few levels, weights q / p exactly
``exponential_tilt``          real rows drawn in proportion to exp(x'beta); ``tilt_log_weights``
============================  ===========================================================================

Label shift: p(y) moves

============================  ===========================================================================
``label_shift``               real rows drawn class by class
``tweak_one_prior`` ...       the priors: also ``knock_out_prior`` and ``dirichlet_prior``
============================  ===========================================================================

Negative control and helpers

============================  ===========================================================================
``concept_shift``             p(y given x) moves: no weight repairs it; ``rotated_accuracy``
``from_recipe``               run the recipe on a data set's card
============================  ===========================================================================

Feedback: a model in use changes who comes, and what they show

============================  ===========================================================================
``feedback_loop``             rounds of a rule, a population that answers, and retraining: ``FeedbackRound``
``LoanApplicants``            shoes and loans, with exact shares and chances: ``LoanCells``
``BiasedCoin``                stable point mu / (1 - eps), optimum mu / (1 - 2 eps)
``Crowd``                     what ``draw`` of a population of your own returns
============================  ===========================================================================

Closed forms: ``gaussian_log_ratio``, ``gaussian_clipped_mean``, ``gaussian_clipped_square``,
``gaussian_share_above_clip``, ``gaussian_chi2``, ``gaussian_ess_share``, ``gaussian_domain_auc`` and
``exponential_chi2``.
"""

from shiftfix.simulate._biased_coin import BiasedCoin
from shiftfix.simulate._concept import concept_shift, rotated_accuracy
from shiftfix.simulate._discrete import discrete_covariate_shift
from shiftfix.simulate._exponential import exponential_chi2, exponential_covariate_shift
from shiftfix.simulate._feedback import Crowd, FeedbackRound, feedback_loop
from shiftfix.simulate._gaussian import (
    gaussian_chi2,
    gaussian_clipped_mean,
    gaussian_clipped_square,
    gaussian_covariate_shift,
    gaussian_domain_auc,
    gaussian_ess_share,
    gaussian_log_ratio,
    gaussian_share_above_clip,
)
from shiftfix.simulate._label import dirichlet_prior, knock_out_prior, label_shift, tweak_one_prior
from shiftfix.simulate._loan_applicants import LoanApplicants, LoanCells
from shiftfix.simulate._problem import ShiftProblem
from shiftfix.simulate._recipe import from_recipe
from shiftfix.simulate._tilt import exponential_tilt, tilt_log_weights

__all__ = [
    "BiasedCoin",
    "Crowd",
    "FeedbackRound",
    "LoanApplicants",
    "LoanCells",
    "ShiftProblem",
    "concept_shift",
    "dirichlet_prior",
    "discrete_covariate_shift",
    "exponential_chi2",
    "exponential_covariate_shift",
    "exponential_tilt",
    "feedback_loop",
    "from_recipe",
    "gaussian_chi2",
    "gaussian_clipped_mean",
    "gaussian_clipped_square",
    "gaussian_covariate_shift",
    "gaussian_domain_auc",
    "gaussian_ess_share",
    "gaussian_log_ratio",
    "gaussian_share_above_clip",
    "knock_out_prior",
    "label_shift",
    "rotated_accuracy",
    "tilt_log_weights",
    "tweak_one_prior",
]
