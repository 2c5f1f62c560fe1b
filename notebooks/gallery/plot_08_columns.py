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
colors = ["#b45f06" if name in moved else "#8aa0b5" for name in names]
ax.barh(names, [column.effect_size for column in tests.columns], color=colors)
ax.invert_yaxis()
ax.set(xlabel="distance between source and target", title=f"{len(moved)} of {len(names)} columns moved")
print(sorted(moved))
