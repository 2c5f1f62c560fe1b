"""Inverted dropout that draws its masks from a private generator.

torch's own dropout reads the global generator, so that a fit would depend on, and change, everything
else that draws random numbers. Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov
(2014), JMLR 15:1929-1958, section 10 (scaling at training time).
"""

from typing import Any

import torch
from torch import nn

# Entries drawn at once. Small layers spend more on the calls than on the numbers, so many steps share one draw.
DRAWN_AT_ONCE = 2**16
# Masks cut from a draw at once, for the same reason.
CUT_AT_ONCE = 32
# -lambda alpha of the SELU.
SELU_FLOOR = -1.7580993408473766

Form = tuple[torch.Size, torch.dtype, torch.device, float | None]


def keep_mask(
    size: int,
    keep_count: int,
    bits: int,
    generator: torch.Generator | None,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """``size`` independent Bernoulli(keep_count / 2**bits) draws, 0 or 1, of shape (size,); into ``out``, if given.

    One 64-bit draw gives eight 8-bit or four 16-bit masks, which costs a fraction of one draw each.
    """
    words = torch.empty(-(-size * bits // 64), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    draws = words.view(torch.uint8 if bits == 8 else torch.int16)[:size]
    lowest = 0 if bits == 8 else -(2**15)
    # Written as numbers at once: by way of a bool tensor it takes four times as long.
    out = torch.empty(size, dtype=dtype, device=device) if out is None else out
    return torch.lt(draws, keep_count + lowest, out=out)


class Masks:
    """Masks of inverted dropout for tensors of any shape: 0 with probability ``rate``, else 1 / (1 - rate).

    Parameters
    ----------
    rate : float in [0, 1)
        Rounded to a multiple of 1/256, or of 1/65536 below 0.02 and above 0.98; the scale uses the rounded rate,
        so that the expectation of every entry is exactly 1 (in bfloat16 the scale is rounded too, by up to 0.4 %).
    """

    def __init__(self, rate: float) -> None:
        self.bits = 8 if 0.02 <= rate <= 0.98 else 16
        # At least one draw in 2**bits keeps, so that the scale is finite for every rate below 1.
        self.keep_count = max(1, round((1 - rate) * 2**self.bits))
        self.reset()

    @property
    def active(self) -> bool:
        """Whether any entry can be dropped."""
        return self.keep_count < 2**self.bits

    @property
    def scale(self) -> float:
        """What an entry that is kept is multiplied by."""
        return 2**self.bits / self.keep_count

    def reset(self) -> None:
        """Forget what is drawn ahead: from here on the generator's state alone decides."""
        self._drawn: torch.Tensor | None = None
        self._used = 0
        self._form: Form | None = None
        self._ahead: list[torch.Tensor] = []

    def take(self, like: torch.Tensor, generator: torch.Generator | None, kept: float | None = None) -> torch.Tensor:
        """The next mask, with the shape, type and device of the tensor ``like``.

        With ``kept`` it holds that number in the place of 1 / (1 - rate), and is written over when others are drawn: be
        done with it before the next is taken.
        """
        form = (like.shape, like.dtype, like.device, kept)
        if not self._ahead or form != self._form:
            self._cut(form, generator)
        return self._ahead.pop()

    def _cut(self, form: Form, generator: torch.Generator | None) -> None:
        """Cut what is left of a draw, or a new one, into masks of one form."""
        shape, dtype, device, kept = form
        size, drawn = shape.numel(), self._drawn
        if self._form is not None:
            self._used -= len(self._ahead) * self._form[0].numel()
        alike = drawn is not None and self._form is not None and form[1:] == self._form[1:]
        if drawn is None or not alike or self._used + size > len(drawn):
            most = max(DRAWN_AT_ONCE, size)
            out = drawn if alike and kept is not None and drawn is not None and len(drawn) == most else None
            drawn = keep_mask(most, self.keep_count, self.bits, generator, device, dtype, out)
            self._drawn = drawn.mul_(self.scale if kept is None else kept)
            self._used = 0
        count = min(CUT_AT_ONCE, (len(drawn) - self._used) // max(1, size))
        end = self._used + count * size
        self._ahead = [*drawn[self._used : end].view(count, *shape).unbind()][::-1]
        self._used, self._form = end, form


class Dropout(nn.Module):
    """Zero each unit with probability ``rate`` while training and scale the rest by 1 / (1 - rate).

    Parameters
    ----------
    rate : float in [0, 1)
        Rounded as :class:`Masks` says.
    generator : torch.Generator or None
        On the device of the input; None is for prediction only.

    Attributes
    ----------
    share : Share or None
        What the rows are of a batch that several processes share; set before each training step.
    """

    def __init__(self, rate: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.rate = rate
        self.generator = generator
        self.masks = Masks(rate)
        self.share: Any = None

    def mask(self, like: torch.Tensor, kept: float | None = None) -> torch.Tensor:
        """The next mask for a tensor (..., n_rows, width); of a ``share`` of a batch, its part of the batch's."""
        if self.share is None:
            return self.masks.take(like, self.generator, kept)
        whole = like.new_empty(()).expand(self.share.n_rows, *like.shape[1:])
        return self.masks.take(whole, self.generator, kept).index_select(0, self.share.places)

    def reset(self) -> None:
        """Forget the masks drawn ahead."""
        self.masks.reset()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop and scale while training, pass through otherwise."""
        if not self.training or not self.masks.active:
            return x
        return x * self.mask(x)

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"rate={self.rate}"


class AlphaDropout(Dropout):
    """Dropout for units behind SELU: dropped ones go to its floor, and all are scaled so that unit normals stay so.

    With q the rate of keeping and f = -1.7581, which SELU tends to far below 0,

        a (d x + (1 - d) f) + b,  d ~ Bernoulli(q),  a = (q + f^2 q (1 - q))^(-1/2),  b = -a (1 - q) f

    leaves a mean of 0 and a variance of 1 as they are. Zeroing units and dividing by q would leave the mean and raise
    the variance to 1 / q, from which such a network does not come back.

    References
    ----------
    Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks", NIPS, section 2.
    """

    def __init__(self, rate: float, generator: torch.Generator | None) -> None:
        super().__init__(rate, generator)
        kept = self.masks.keep_count / 2**self.masks.bits
        self.scale = (kept + SELU_FLOOR**2 * kept * (1 - kept)) ** -0.5
        self.shift = self.scale * SELU_FLOOR * kept
        self.kept = kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop, scale and shift while training, pass through otherwise."""
        if not self.training or not self.masks.active:
            return x
        # Masks are 0 or 1 / q, and a (d x + (1 - d) f) + b = a d (x - f) + a q f.
        mask = self.mask(x)
        return (x - SELU_FLOOR) * mask * (self.scale * self.kept) + self.shift
