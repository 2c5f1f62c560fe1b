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
ax.plot([0, 1], [0, 1], color="#8aa0b5", linewidth=1)
for name, given, color in (("raw", scores[2000:], "#b45f06"), ("calibrated", calibrated, "#0b5394")):
    share, mean = calibration_curve(y[2000:], given[:, 1], n_bins=10, strategy="quantile")
    ax.plot(mean, share, "o-", color=color, label=name)
ax.set(xlabel="mean score", ylabel="share of the class", title="calibration by temperature and bias")
ax.legend(frameon=False)
