"""Losses per row; the weighting and averaging is done once, in the training loop.

Each takes outputs of shape (n_rows, n_outputs) and targets, and returns one loss per row, (n_rows,).
"""

from torch.nn import functional


def cross_entropy(logits, class_index):
    """-log softmax(logits)[class], in nats; through log-sum-exp, so that large logits stay finite."""
    return functional.cross_entropy(logits, class_index, reduction="none")


def squared_error(prediction, y):
    """Mean over the outputs of (prediction - y)^2, for y of shape (n_rows, n_outputs)."""
    return (prediction - y).square().mean(dim=1)
