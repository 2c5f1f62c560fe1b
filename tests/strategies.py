"""Hypothesis strategies for weights, samples, scores and labels."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

finite_weights = st.one_of(st.just(0.0), st.floats(1e-100, 1e6))


@st.composite
def weight_vectors(draw, min_size=1, max_size=30):
    """Non-negative weights, not all zero."""
    w = draw(arrays(float, st.integers(min_size, max_size), elements=finite_weights))
    w[draw(st.integers(0, len(w) - 1))] = draw(st.floats(1e-3, 1e6))
    return w


@st.composite
def counts(draw, size):
    """Repeat counts 0..3 of ``size`` rows, not all zero."""
    c = draw(arrays(int, size, elements=st.integers(0, 3)))
    c[draw(st.integers(0, size - 1))] = 1
    return c


@st.composite
def two_samples(draw, max_features=4):
    """Two overlapping Gaussian samples of any sizes and any shift up to one standard deviation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_source, n_target = draw(st.integers(5, 60)), draw(st.integers(5, 60))
    n_features = draw(st.integers(1, max_features))
    shift = draw(st.floats(-1, 1))
    return rng.normal(0, 1, (n_source, n_features)), rng.normal(shift, 1, (n_target, n_features))


@st.composite
def simplex_points(draw, size, least=0.0):
    """Probability vectors with entries of at least ``least``."""
    raw = draw(arrays(float, size, elements=st.floats(0.01, 1)))
    return least + (1 - least * size) * raw / raw.sum()


@st.composite
def invertible_confusions(draw, max_classes=6):
    """Diagonally dominant conditional confusion matrix A[i, j] = P(i given j), columns sum to 1."""
    size = draw(st.integers(2, max_classes))
    columns = [draw(simplex_points(size)) for _ in range(size)]
    accuracy = draw(st.floats(0.6, 0.95))
    return accuracy * np.eye(size) + (1 - accuracy) * np.column_stack(columns)
