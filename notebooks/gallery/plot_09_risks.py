"""
What is the model worth over there?
===================================

Several methods, each right under another assumption, and the truth that they do not know. Where they disagree,
labels can tell.
"""

from sklearn.linear_model import LogisticRegression

from shiftfix.display import RiskDisplay
from shiftfix.risk import compare_risks
from shiftfix.simulate import gaussian_covariate_shift

moved = gaussian_covariate_shift(4000, 1000, n_features=2, conditional="logistic", random_state=0)
model = LogisticRegression().fit(moved.X_source[:2000], moved.y_source[:2000])
held = moved.X_source[2000:], moved.y_source[2000:]
risks = compare_risks(
    model,
    *held,
    moved.X_target,
    metric="accuracy",
    methods=["source", "importance", "doc"],
    n_bootstrap=50,
    random_state=0,
)
display = RiskDisplay.from_comparison(risks, true_value=model.score(moved.X_target, moved.y_target))
