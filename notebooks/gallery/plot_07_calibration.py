"""
Scores that promise too much
============================

Temperature, bias and their kin are fitted to labelled rows that the model was not trained on. What is on the
diagonal keeps its promise.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import calibration_curve

from shiftfix.label import ScoreCalibrator

rng = np.random.default_rng(0)
y = rng.integers(0, 2, 4000)
log_odds = 3 * (rng.normal(size=4000) + 1.2 * (2 * y - 1)) + 1  # three times too sure, and biased
scores = np.column_stack([1 / (1 + np.exp(log_odds)), 1 / (1 + np.exp(-log_odds))])
calibrated = ScoreCalibrator().fit(scores[:2000], y[:2000]).transform(scores[2000:])

figure, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
ax.plot([0, 1], [0, 1], color="#222222", linewidth=1, label="kept promise")
misses = []
for name, given, color, line in (("raw", scores[2000:], "#666666", "s--"), ("calibrated", calibrated, "#009E73", "o-")):
    share, mean = calibration_curve(y[2000:], given[:, 1], n_bins=10, strategy="quantile")
    ax.plot(mean, share, line, color=color, label=name)
    misses.append(np.abs(mean - share).max())
ax.set(xlabel="mean score of a tenth of the rows", ylabel="share of the class among them")
ax.set_title(f"largest broken promise: {misses[0]:.2f} raw, {misses[1]:.2f} calibrated", loc="left", fontsize="medium")
ax.spines[["top", "right"]].set_visible(False)
_ = figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
