import numpy as np
import pytest
import torch

from shiftfix.mlp._losses import cross_entropy, squared_error


def test_cross_entropy_is_minus_log_softmax(rng):
    logits, y = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(20), y]
    np.testing.assert_allclose(cross_entropy(torch.as_tensor(logits), torch.as_tensor(y)), expected, atol=1e-12)


def test_cross_entropy_survives_huge_logits():
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    assert cross_entropy(logits, torch.tensor([0, 0])).tolist() == [0.0, 1e4]


def test_squared_error_averages_over_outputs():
    prediction, y = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    assert squared_error(prediction, y).tolist() == [2.5, 2.0]


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_gradients_agree_with_finite_differences(loss, rng):
    outputs = torch.tensor(rng.normal(size=(6, 3)), requires_grad=True)
    y = torch.as_tensor(rng.integers(0, 3, 6)) if loss is cross_entropy else torch.as_tensor(rng.normal(size=(6, 3)))
    assert torch.autograd.gradcheck(lambda out: loss(out, y), (outputs,))
