"""The penalised logistic objective of two samples, from sums over units.

With columns standardised over both samples, z = (x - mean) / scale, repeat counts c of total N, y = -1 (source) or +1,

    F(b, beta) = (1 / N) sum_i c_i log(1 + exp(-y_i h_i)) + |beta|^2 / (2 C N),   h = b + z' beta:

what ``LogisticWeighter`` minimises in memory. Sums are made in the units of the columns about some centre m, and are
turned into those of z by (1, z) = T (1, x - m) once they are small: gradient T g, Hessian T H T'.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve

from shiftfix._numerics import Floats, column_scale
from shiftfix.covariate import factorize
from shiftfix.large._logistic_sums import BothLogistic, LogisticPoint
from shiftfix.large._moments import BothMoments, SampleMoments


class Standardization(NamedTuple):
    """How the columns are standardised, and what the rows count.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_columns,)
        Over both samples.
    factors : (float, float)
        What the repeat counts of each sample are multiplied by: weights below 1 compare rows, and average 1.
    totals : (float, float)
        Repeat counts of each sample, so multiplied.
    penalty : float
        1 / (C N).
    """

    mean: Floats
    scale: Floats
    factors: tuple[float, float]
    totals: tuple[float, float]
    penalty: float

    @property
    def n_rows(self) -> float:
        """N."""
        return sum(self.totals)

    def at(self, point: Floats) -> LogisticPoint:
        """The log odds of a point (intercept, beta) in the units of the columns."""
        return LogisticPoint(float(point[0]), point[1:] / self.scale, self.mean)

    def standardised(self, point: LogisticPoint) -> Floats:
        """(intercept, beta) of log odds in the units of the columns."""
        intercept = point.intercept + point.slope @ (self.mean - point.centre)
        return np.append(intercept, point.slope * self.scale)


class Evaluation(NamedTuple):
    """F at a point.

    Attributes
    ----------
    point, gradient : ndarray of shape (1 + n_columns,)
    value : float
    hessian : ndarray of shape (1 + n_columns, 1 + n_columns) or None
    """

    point: Floats
    value: float
    gradient: Floats
    hessian: Any


def factor_of(moments: SampleMoments) -> float:
    """What repeat counts are multiplied by: 1, or the number that makes those average 1 of which some are below."""
    return moments.present / moments.total if moments.least < 1 else 1.0


def make_scales(both: BothMoments, C: float) -> Standardization:
    """Standardisation and counts from the moments of both samples.

    Parameters
    ----------
    both : pair of SampleMoments
    C : float
    """
    known = [moments for moments in both if moments is not None]
    factors = [factor_of(moments) for moments in known]
    totals = [moments.total * factor for moments, factor in zip(known, factors, strict=True)]
    share = np.array(totals) / sum(totals)
    low, high = np.minimum(known[0].low, known[1].low), np.maximum(known[0].high, known[1].high)
    mean = share[0] * known[0].mean + share[1] * known[1].mean
    squares = [moments.deviation**2 + (moments.mean - mean) ** 2 for moments in known]
    variance = np.where(low == high, 0.0, share[0] * squares[0] + share[1] * squares[1])
    mean = np.where(low == high, low, mean)
    scale = column_scale(mean, variance, sum(moments.n_rows for moments in known))
    # A large offset is known to be none: units are summed about their own means.
    scale = np.where((scale == 1.0) & (variance > 0), np.sqrt(np.where(variance > 0, variance, 1.0)), scale)
    return Standardization(mean, scale, (factors[0], factors[1]), (totals[0], totals[1]), 1 / (C * sum(totals)))


def evaluate_sums(both: BothLogistic, point: LogisticPoint, scales: Standardization) -> Evaluation:
    """F, its gradient and, where it was summed, its Hessian from the sums of both samples.

    Parameters
    ----------
    both : pair of LogisticSums
    point : LogisticPoint
        At which they were made.
    scales : Standardization
    """
    known = [(sums, f) for sums, f in zip(both, scales.factors, strict=True) if sums is not None]
    to_z = np.diag(np.append(1.0, 1 / scales.scale))
    to_z[1:, 0] = (point.centre - scales.mean) / scales.scale
    beta = scales.standardised(point)
    ridge = scales.penalty * np.append(0.0, np.ones(len(scales.scale)))
    value = sum(sums.loss * f for sums, f in known) / scales.n_rows + beta @ (ridge * beta) / 2
    pull: Any = sum(sums.pull * f for sums, f in known)
    gradient = to_z @ pull / scales.n_rows + ridge * beta
    curves = [sums.curve * f for sums, f in known if sums.curve is not None]
    hessian = None
    if len(curves) == len(known):
        hessian = to_z @ sum(curves) @ to_z.T / scales.n_rows + np.diag(ridge)
    return Evaluation(beta, float(value), gradient, hessian)


def start_from_moments(both: BothMoments, scales: Standardization) -> Evaluation:
    """F, gradient and Hessian where h is constant, log(n_target / n_source): moments tell them without a pass.

    There p = n_target / N at every row, so that the gradient is the difference of the means and the Hessian the
    correlation matrix times p (1 - p): the first Newton step is that of linear discriminant analysis.
    """
    n_source, n_target = scales.totals
    n = scales.n_rows
    p = n_target / n
    known = [moments for moments in both if moments is not None]
    pull = np.zeros(len(scales.scale))
    table = np.zeros((len(scales.scale),) * 2)
    for moments, factor, residual in zip(known, scales.factors, (p, p - 1), strict=True):
        away = (moments.mean - scales.mean) / scales.scale
        pull += moments.total * factor * residual * away
        scatter = moments.scatter / np.outer(scales.scale, scales.scale) + moments.total * np.outer(away, away)
        table += factor * scatter
    hessian = np.zeros((1 + len(pull),) * 2)
    hessian[0, 0] = p * (1 - p)
    hessian[1:, 1:] = p * (1 - p) * table / n + scales.penalty * np.eye(len(pull))
    point = np.append(np.log(n_target / n_source), np.zeros(len(pull)))
    value = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    return Evaluation(point, float(value), np.append(0.0, pull / n), hessian)


def discriminant_point(both: BothMoments, scales: Standardization) -> Floats | None:
    """(intercept, beta) of linear discriminant analysis, from the same moments; None where it has none.

    beta = W^-1 (mean of the target - mean of the source), W the scatter within the samples: the optimum itself for
    Gaussians with one covariance, where Newton's first step, by the scatter of both together, falls short (Hastie,
    Tibshirani & Friedman 2009, equation 4.9).
    """
    known = [moments for moments in both if moments is not None]
    n, (n_source, n_target) = scales.n_rows, scales.totals
    within: Any = sum(m.scatter * f for m, f in zip(known, scales.factors, strict=True))
    within = within / np.outer(scales.scale, scales.scale) / n
    # The penalty, where the curvature is that of a constant h.
    ridge = scales.penalty * n**2 / (n_source * n_target)
    means = [(m.mean - scales.mean) / scales.scale for m in known]
    beta = cho_solve(factorize(within + ridge * np.eye(len(within))), means[1] - means[0])
    if not np.isfinite(beta).all():
        return None
    return np.append(np.log(n_target / n_source) - beta @ (means[0] + means[1]) / 2, beta)
