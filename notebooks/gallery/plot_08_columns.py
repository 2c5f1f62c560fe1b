"""
Which columns moved?
====================

Every column is tested by itself, and the p-values hold for all of them together.
"""

import matplotlib.pyplot as plt
import numpy as np

from shiftfix.detect import feature_tests

rng = np.random.default_rng(0)
X_source = rng.normal(size=(400, 6))
X_target = rng.normal(size=(300, 6)) + np.array([0, 0.6, 0, -0.3, 0, 0])
tests = feature_tests(X_source, X_target)
moved = {column.name for column in tests.shifted}

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
names = [column.name for column in tests.columns]
distances = np.array([column.effect_size for column in tests.columns])
for told, chosen, color in (
    ("moved beyond chance", [name in moved for name in names], "#222222"),
    ("may be chance", [name not in moved for name in names], "#BBBBBB"),
):
    ax.barh(np.flatnonzero(chosen), distances[chosen], color=color, label=told)
ax.set_yticks(range(len(names)), names)
ax.invert_yaxis()
ax.set(xlabel="Kolmogorov-Smirnov distance (0 alike, 1 apart)")
ax.set_title(f"{len(moved)} of {len(names)} columns moved", loc="left", fontsize="medium")
ax.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
print(sorted(moved))
