"""
Are the weights usable?
=======================

Source rows are worth as many as their weights leave. The dashed line is the clip, the mean weight times the root of
the number of rows.
"""

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import WeightDisplay
from shiftfix.simulate import gaussian_covariate_shift

moved = gaussian_covariate_shift(2000, 1000, n_features=2, random_state=0)
weighter = LogisticWeighter().fit(moved.X_source, moved.X_target)
display = WeightDisplay.from_estimator(weighter, moved.X_source)

# %%
# The verdict says whether to use them, and why not.
print(weighter.summary_)
