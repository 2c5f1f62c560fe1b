"""Small Gaussian-process corrections of a model's scores: which ones are tried.

A correction delta is a Gaussian process over the score z of a row and its features x,

    cov(delta, delta') = a^2 + b^2 z z' + c^2 x.x' + e^2 exp(-|x - x'|^2 / (2 l^2))

with features standardised on the target and scaled to mean |x|^2 = 1, so that a, b, c and e are sizes in logits (in
standard deviations of the residual, for numbers). Four levels, each with a few sizes: a constant; a constant and a
slope in the score; these and a linear function of the features; these and a smooth one.

Source: Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", equations 4.9 (the smooth part) and
2.40 (explicit basis functions with Gaussian coefficients: constant, slope and linear part).
"""

from typing import NamedTuple

from shiftfix._kernels import gaussian_kernel, squared_distances
from shiftfix._numerics import Floats


class PartScales(NamedTuple):
    """Standard deviations a, b, c, e of the parts of a correction."""

    intercept: float
    slope: float = 0.0
    linear: float = 0.0
    smooth: float = 0.0


LEVELS: dict[str, tuple[PartScales, ...]] = {
    "intercept": (PartScales(0.25), PartScales(0.5), PartScales(1.0), PartScales(2.0)),
    "slope": (PartScales(0.5, 0.2), PartScales(1.0, 0.5)),
    "linear": (PartScales(0.5, 0.2, 0.5), PartScales(1.0, 0.5, 1.0), PartScales(1.0, 0.5, 2.0)),
    "smooth": (
        PartScales(0.25, 0.1, 0.25, 0.25),
        PartScales(0.5, 0.2, 0.5, 0.5),
        PartScales(1.0, 0.5, 1.0, 1.0),
        PartScales(1.0, 0.5, 2.0, 2.0),
        PartScales(1.0, 0.5, 1.0, 3.0),
    ),
}
# Levels that read the features, and not the score alone.
READ_FEATURES = ("linear", "smooth")
# Of a process that learns from the target labels alone: sizes of whole functions, and not of corrections.
ALONE = (
    PartScales(1.0, 0.0, 2.0, 0.0),
    PartScales(1.0, 0.0, 1.0, 1.0),
    PartScales(1.0, 0.0, 2.0, 2.0),
    PartScales(1.0, 0.0, 1.0, 3.0),
    PartScales(1.0, 0.0, 3.0, 3.0),
)


class RowProducts(NamedTuple):
    """What the parts that read the features need of pairs of rows, each of shape (n_rows, n_labels)."""

    linear: Floats
    smooth: Floats


def row_products(rows: Floats, labelled: Floats, width: float) -> RowProducts:
    """Products x.x' and Gaussian kernel values of rows and labelled rows.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
    labelled : ndarray of shape (n_labels, n_columns)
    width : float
        l, in the units of the rows.

    Returns
    -------
    RowProducts
    """
    return RowProducts(rows @ labelled.T, gaussian_kernel(squared_distances(rows, labelled), width))


def covariances(scales: PartScales, slopes: Floats, products: RowProducts) -> Floats:
    """Covariances of a correction between rows, of the shape of ``slopes``, the products z z' of their scores."""
    a, b, c, e = (scale**2 for scale in scales)
    return a + b * slopes + c * products.linear + e * products.smooth


def variances(scales: PartScales, squared_scores: Floats, squared_rows: Floats) -> Floats:
    """Variances of a correction at rows, of the shape of ``squared_scores``, z^2; ``squared_rows`` are |x|^2."""
    a, b, c, e = (scale**2 for scale in scales)
    return a + b * squared_scores + c * squared_rows + e
