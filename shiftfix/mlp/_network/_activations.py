"""Activations by name.

==============  =====================================================  ================================================
``relu``        max(z, 0)                                              Nair & Hinton (2010), ICML
``leaky_relu``  z, or 0.01 z below 0                                   Maas, Hannun & Ng (2013), ICML workshop
``prelu``       z, or a z below 0, a learned per unit from .25         He, Zhang, Ren & Sun (2015), ICCV, equation 1
``elu``         z, or exp(z) - 1 below 0                               Clevert, Unterthiner & Hochreiter (2016), ICLR
``selu``        1.0507 z, or 1.7581 (exp(z) - 1) below 0               Klambauer et al. (2017), NIPS, equation 2
``gelu``        z Phi(z)                                               Hendrycks & Gimpel (2016), arXiv:1606.08415
``silu``        z sigmoid(z), also called swish                        Elfwing, Uchibe & Doya (2018), Neural Netw. 107
``mish``        z tanh(log(1 + exp(z)))                                Misra (2020), BMVC
``softplus``    log(1 + exp(z))                                        Dugas et al. (2000), NIPS
``tanh``
``sigmoid``     1 / (1 + exp(-z))
``softsign``    z / (1 + |z|)                                          Bergstra et al. (2009)
``identity``    z
==============  =====================================================  ================================================
"""

from collections.abc import Callable

import torch
from torch import nn

from shiftfix.mlp._network._layers import mark_stacked
from shiftfix.mlp._settings import Activation


class PReLU(nn.Module):
    """z where it is positive, a z elsewhere, with a slope a of its own for each unit, which is learned.

    torch's own has one slope, which the models of a stack would share.

    Parameters
    ----------
    width : int, default=1
    n_models : int, default=1

    References
    ----------
    He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers", ICCV, equation 1; the slopes start at 0.25 and are
    not penalised, as in the source.
    """

    def __init__(self, width: int = 1, n_models: int = 1) -> None:
        super().__init__()
        shape = (width,) if n_models == 1 else (n_models, width)
        self.slope = nn.Parameter(torch.full(shape, 0.25, dtype=torch.float32))
        mark_stacked((self.slope,), n_models > 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        slope = self.slope.to(x.dtype)
        return torch.where(x > 0, x, x * (slope if slope.ndim == 1 else slope.unsqueeze(1)))

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"width={self.slope.shape[-1]}"


ACTIVATIONS: dict[Activation, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softsign": nn.Softsign,
    "identity": nn.Identity,
}
