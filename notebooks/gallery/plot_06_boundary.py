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
for label, color in ((False, "#0b5394"), (True, "#b45f06")):
    ax.scatter(
        *X_target[y_target == label].T, s=8, alpha=0.5, color=color, label=f"target, {'sick' if label else 'well'}"
    )
first, second = np.meshgrid(np.linspace(-3, 5, 120), np.linspace(-3, 5, 120))
grid = np.column_stack([first.ravel(), second.ravel()])
for judged, style in ((model.estimator_, "--"), (model, "-")):
    chances = judged.predict_proba(grid)[:, 1].reshape(first.shape)
    ax.contour(first, second, chances, [0.5], colors="#1b2a3a", linestyles=style)
ax.set(xlabel="first feature", ylabel="second feature", title="dashed before, solid after")
ax.legend(frameon=False, fontsize=8)
print(
    f"accuracy on the target: {model.estimator_.score(X_target, y_target):.3f} -> {model.score(X_target, y_target):.3f}"
)
