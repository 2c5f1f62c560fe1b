"""
Is there a source where the target is?
======================================

On the left the samples overlap. On the right the target lies where next to no source row is: no weight repairs
that, and the verdict is to abstain.
"""

import warnings

import matplotlib.pyplot as plt

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import OverlapDisplay
from shiftfix.simulate import gaussian_covariate_shift

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for ax, shift in zip(axes, (1.0, 4.0), strict=True):
    moved = gaussian_covariate_shift(2000, 1000, mean_shift=shift, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # poor overlap, on purpose
        weighter = LogisticWeighter().fit(moved.X_source, moved.X_target)
    OverlapDisplay.from_estimator(weighter, moved.X_source, moved.X_target, ax=ax)
    print(f"means {shift} apart: {weighter.summary_.verdict.level}")
