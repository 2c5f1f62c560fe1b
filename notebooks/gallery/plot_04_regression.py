"""
A line that is wrong somewhere
==============================

The truth is a curve and the model a line. Which line is best depends on where the rows are: fitted to the source it
misses the target, fitted to weighted source rows it does not. Weights repair a model that is wrong somewhere; one
that can bend needs none.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

from shiftfix.covariate import LogisticWeighter
from shiftfix.simulate import gaussian_covariate_shift

moved = gaussian_covariate_shift(400, 400, n_features=1, random_state=0)  # y = x^2 + noise, in both
w = LogisticWeighter().fit_transform(moved.X_source, moved.X_target)
before = LinearRegression().fit(moved.X_source, moved.y_source)
after = LinearRegression().fit(moved.X_source, moved.y_source, sample_weight=w)

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.scatter(moved.X_source, moved.y_source, s=4 + 12 * w, alpha=0.35, color="#0072B2", label="source, size by weight")
ax.scatter(moved.X_target, moved.y_target, s=8, alpha=0.35, color="#D55E00", label="target")
grid = np.linspace(-3, 4, 50)[:, None]
ax.plot(grid, before.predict(grid), color="#666666", linestyle="--", label="fitted to the source")
ax.plot(grid, after.predict(grid), color="#009E73", linewidth=2, label="fitted to weighted rows")
ax.set(xlabel="x (source standard deviations)", ylabel="y (no unit)", ylim=(-3, 12))
ax.set_title("weights move the line to where the target is", loc="left", fontsize="medium")
ax.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
for name, line in (("source", before), ("weighted", after)):
    print(
        f"{name}: mean squared error on the target {np.mean((line.predict(moved.X_target) - moved.y_target) ** 2):.2f}"
    )
