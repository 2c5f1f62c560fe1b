"""Settings made and checked one concern at a time, as the tests of a concern need them."""

from dataclasses import fields

from shiftfix.mlp._settings import Penalties, Weighting, check_fields
from shiftfix.mlp._training._regularizers import Regularizers as Penalizing


class Regularizers(Penalizing):
    """With the penalties in the order of the settings, and their check."""

    def __init__(self, *penalties, **named):
        names = (item.name for item in fields(Penalties))
        super().__init__(**dict(zip(names, penalties, strict=False)), **named)

    def check(self):
        check_fields(self)


def check_weight_settings(weighting, exponent, clip):
    check_fields(Weighting(weighting=weighting, exponent=exponent, clip=clip))
