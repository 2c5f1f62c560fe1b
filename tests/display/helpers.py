"""What the tests of the plots share."""

import importlib


def pyplot():
    return importlib.import_module("matplotlib.pyplot")


def labels(ax):
    return "\n".join(text.get_text() for text in ax.get_legend().get_texts())
