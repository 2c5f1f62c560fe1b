"""Penalties and bounds on weights and gradients, around one step of an optimiser.

With u the optimiser's update of weights w at learning rate lr, and S(w, t) = sign(w) max(|w| - t, 0),

============  ==================================================  =============================================
coupled       g <- g + l1 sign(w) + l2 w                          objective + l1 sum |w| + l2 / 2 sum w^2
decoupled     w <- S((1 - lr l2) w - lr u, lr l1)                 l2: Loshchilov & Hutter (2019), ICLR,
                                                                  algorithm 2, line 12; l1: the proximal step of
                                                                  Beck & Teboulle (2009), SIAM J. Imaging Sci.
                                                                  2:183
clip_value    g <- min(max(g, -c), c)                             each element
clip_norm     g <- g min(1, c / |g|)                              all parameters of a model together: Pascanu,
                                                                  Mikolov & Bengio (2013), ICML, algorithm 1
max_norm      w <- w min(1, c / |w|)                              incoming weights of each unit: Srivastava et al.
                                                                  (2014), JMLR 15:1929
============  ==================================================  =============================================

The short last batch of an epoch brings the loss of a share of a batch, and l1 and l2 are taken times that share: whole,
they would count for more against the loss than the objective says, for 257 rows in batches of 256 twice as much.

Under plain gradient descent both ways of l2 are one; under an optimiser that rescales gradients, only the decoupled
weights all shrink at one rate. The coupled l1 makes weights small, the proximal step makes them exactly 0.

Parameters of K models trained at once are stacked: weights (K, n_out, n_in), biases (K, n_out).
"""

from collections.abc import Sequence

import torch
from torch.nn import functional

from shiftfix.mlp._settings import Penalties


def weights_of(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Weight matrices of a module: its parameters called weight with two dimensions or more, so without batch norm."""
    return [
        parameter for name, parameter in module.named_parameters() if name.endswith("weight") and parameter.ndim >= 2
    ]


def clip_norms(gradients: list[torch.Tensor], n_models: int, most: float) -> None:
    """Scale gradients in place so that no model's, taken together, are longer than ``most``.

    Parameters
    ----------
    gradients : list of torch.Tensor
        Of leading dimension ``n_models`` when that is above 1.
    n_models : int
    most : float
    """
    if not gradients:
        return
    parts = [torch.linalg.vector_norm(gradient.reshape(n_models, -1), dim=1) for gradient in gradients]
    # A norm of 0 gives infinity, and so a scale of 1.
    scale = (most / torch.linalg.vector_norm(torch.stack(parts), dim=0)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)) if n_models > 1 else scale[0])


class Regularizers(Penalties):
    """What the penalties do to gradients and weights around a step; weights without a gradient are left alone.

    Parameters
    ----------
    l1, l2 : float, default=0.0
        Strengths of the penalties on weights; both together are the elastic net.
    decoupled : bool, default=False
        Shrink the weights themselves instead of adding to their gradients.
    max_norm : float, default=None
        Greatest length of a unit's incoming weights: a row of a weight matrix, a filter of a convolution.
    clip_norm : float, default=None
        Greatest length of a model's whole gradient, that of a coupled penalty included.
    clip_value : float, default=None
        Greatest absolute value in the gradient; comes before ``clip_norm``.
    """

    @property
    def active(self) -> bool:
        """Whether anything is set."""
        bounds = (self.max_norm, self.clip_norm, self.clip_value)
        return self.l1 > 0 or self.l2 > 0 or any(bound is not None for bound in bounds)

    @torch.no_grad()
    def before_step(
        self,
        weights: Sequence[torch.Tensor],
        parameters: Sequence[torch.Tensor],
        n_models: int,
        learning_rate: float,
        share: float = 1.0,
    ) -> None:
        """Penalise, then clip; call it between ``backward`` and the optimiser's step.

        The decoupled l2 shrinks here, before the step, as it does in AdamW: the decay is that of the weights at which
        the gradient was taken.

        Parameters
        ----------
        weights : list of torch.Tensor
            Of shape (n_out, n_in), or (n_models, n_out, n_in).
        parameters : list of torch.Tensor
            All that the optimiser moves; only their gradients change.
        n_models : int
            1 for parameters that are not stacked.
        learning_rate : float
            That of this step.
        share : float in (0, 1], default=1.0
            Rows of the batch over those of a full one.
        """
        for w in weights:
            if w.grad is not None:
                self._penalize(w, w.grad, learning_rate, share)
        if self.clip_value is not None or self.clip_norm is not None:
            self._clip([parameter.grad for parameter in parameters if parameter.grad is not None], n_models)

    def _penalize(self, w: torch.Tensor, gradient: torch.Tensor, learning_rate: float, share: float) -> None:
        """Shrink weights by a decoupled l2, or add the slope of the penalties to their gradient."""
        if self.l2 > 0 and self.decoupled:
            w.mul_(1 - learning_rate * self.l2 * share)
        elif self.l2 > 0:
            gradient.add_(w, alpha=self.l2 * share)
        if self.l1 > 0 and not self.decoupled:
            gradient.add_(w.sign(), alpha=self.l1 * share)

    def _clip(self, gradients: list[torch.Tensor], n_models: int) -> None:
        """Bound each element, then the norm of all."""
        if self.clip_value is not None:
            for gradient in gradients:
                gradient.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            clip_norms(gradients, n_models, self.clip_norm)

    @torch.no_grad()
    def after_step(self, weights: Sequence[torch.Tensor], learning_rate: float, share: float = 1.0) -> None:
        """Soft-threshold for a decoupled l1, then bound the units' norms; call it after the optimiser's step.

        Parameters
        ----------
        weights : list of torch.Tensor
            Of shape (n_out, n_in, ...), or (n_models, n_out, n_in) where marked as ``stacked``.
        learning_rate : float
            That of the step just made.
        share : float in (0, 1], default=1.0
            As of ``before_step``.
        """
        for w in weights:
            if w.grad is None:
                continue
            if self.decoupled and self.l1 > 0:
                w.copy_(functional.softshrink(w, learning_rate * self.l1 * share))
            if self.max_norm is not None:
                incoming = tuple(range(2 if getattr(w, "stacked", False) else 1, w.ndim))
                norms = torch.linalg.vector_norm(w, dim=incoming, keepdim=True)
                w.mul_((self.max_norm / norms).clamp(max=1))
