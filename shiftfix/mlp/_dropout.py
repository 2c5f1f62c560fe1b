"""Inverted dropout that draws its masks from a private generator.

torch's own dropout reads the global generator, so that a fit would depend on, and change, everything
else that draws random numbers. Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov
(2014), JMLR 15:1929-1958, section 10 (scaling at training time).
"""

import torch
from torch import nn


def keep_mask(shape, keep_count, bits, generator, device):
    """Independent Bernoulli(keep_count / 2**bits) mask, bool tensor of the given shape.

    One 64-bit draw gives eight 8-bit or four 16-bit masks, which costs a fraction of one draw each.
    """
    size = shape.numel()
    per_word = 64 // bits
    words = torch.empty(-(-size // per_word), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    kind = torch.uint8 if bits == 8 else torch.int16
    draws = words.view(kind)[:size].view(shape)
    lowest = 0 if bits == 8 else -(2**15)
    return draws < keep_count + lowest


class Dropout(nn.Module):
    """Zero each unit with probability ``rate`` while training and scale the rest by 1 / (1 - rate).

    Parameters
    ----------
    rate : float in [0, 1)
        Rounded to a multiple of 1/256, or of 1/65536 below 0.02 and above 0.98; the scale uses the rounded rate,
        so that the expectation of every unit is exactly unchanged.
    generator : torch.Generator or None
        On the device of the input; None is for prediction only.
    """

    def __init__(self, rate, generator):
        super().__init__()
        self.rate = rate
        self.generator = generator
        self.bits = 8 if 0.02 <= rate <= 0.98 else 16
        # At least one draw in 2**bits keeps, so that the scale is finite for every rate below 1.
        self.keep_count = max(1, round((1 - rate) * 2**self.bits))

    def forward(self, x):
        """Drop and scale while training, pass through otherwise."""
        if not self.training or self.keep_count == 2**self.bits:
            return x
        mask = keep_mask(x.shape, self.keep_count, self.bits, self.generator, x.device)
        return x * mask.to(x.dtype).mul_(2**self.bits / self.keep_count)

    def extra_repr(self):
        """Text inside the module's repr."""
        return f"rate={self.rate}"
