"""
New class shares move the boundary
==================================

Two classes, one of them rare in the source and common in the target. The posteriors are adjusted by the ratio of
the class shares; nothing is trained again.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import LabelShiftClassifier

rng = np.random.default_rng(0)
y_source, y_target = rng.random(1000) < 0.1, rng.random(500) < 0.7
X_source, X_target = (rng.normal(size=(len(y), 2)) + 1.6 * y[:, None] for y in (y_source, y_target))
model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X_source, y_source, X_target=X_target)

figure, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
for label, color, marker in ((False, "#E69F00", "o"), (True, "#CC79A7", "^")):
    name = f"target, {'sick' if label else 'well'}"
    ax.scatter(*X_target[y_target == label].T, s=12, alpha=0.7, color=color, marker=marker, linewidth=0, label=name)
first, second = np.meshgrid(np.linspace(-3, 5, 120), np.linspace(-3, 5, 120))
grid = np.column_stack([first.ravel(), second.ravel()])
for name, judged, style, color in (
    ("boundary before", model.estimator_, "--", "#666666"),
    ("boundary after", model, "-", "#009E73"),
):
    chances = judged.predict_proba(grid)[:, 1].reshape(first.shape)
    ax.contour(first, second, chances, [0.5], colors=color, linestyles=style, linewidths=2)
    ax.plot([], [], style, color=color, linewidth=2, label=name)  # a contour has no line in a legend
before, after = (judged.score(X_target, y_target) for judged in (model.estimator_, model))
ax.set(xlabel="first feature (no unit)", ylabel="second feature (no unit)")
ax.set_title(
    f"new class shares: {before:.0%} of the target right before, {after:.0%} after", loc="left", fontsize="medium"
)
ax.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
print(f"accuracy on the target: {before:.3f} -> {after:.3f}")
