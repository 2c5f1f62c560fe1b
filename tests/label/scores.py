"""Scores of known properties, and definitions taken literally, that several tests of label share."""

import numpy as np
from scipy.special import softmax

BINARY = np.array([[0.9, 0.2], [0.1, 0.8]])
THREE = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])


def binned(conditional, source_prior):
    """Calibrated posteriors given each hard prediction, one row per prediction."""
    joint = conditional * source_prior
    return joint / joint.sum(axis=1, keepdims=True)


def gradient_of(scores, score_prior, prior, weight):
    ratio = scores / score_prior
    return (weight / (ratio @ prior)) @ ratio / weight.sum()


def labelled_scores(seed, n_rows=80, n_classes=4, sharpness=2.0, bias=1.0):
    """Scores that are too sharp and biased, and labels drawn from what they should have been; a row per class."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n_rows, n_classes))
    truth = softmax(logits, axis=1)
    y = (rng.random((n_rows, 1)) > np.cumsum(truth, axis=1)[:, :-1]).sum(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return softmax(sharpness * logits + bias * rng.normal(size=n_classes), axis=1), y


def loss(scores, y, weight, scale, bias):
    """Mean negative log likelihood, from the definition."""
    calibrated = softmax(scale * np.log(scores) + bias, axis=1)
    return -np.average(np.log(calibrated[np.arange(len(y)), y]), weights=weight)
