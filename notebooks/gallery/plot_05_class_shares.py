"""
Class shares of the target
==========================

From scores alone: the shares of the source, those estimated for the target with their intervals, and the truth.
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from shiftfix.display import PriorDisplay
from shiftfix.label import MLLS
from shiftfix.simulate import label_shift, tweak_one_prior

X, y = load_digits(return_X_y=True)
moved = label_shift(X / 16, y, tweak_one_prior(10, 8, 0.4), n_target=250, n_source=600, random_state=0)
learner = LogisticRegression(C=0.1)
scores_source = cross_val_predict(learner, moved.X_source, moved.y_source, method="predict_proba")
scores_target = learner.fit(moved.X_source, moved.y_source).predict_proba(moved.X_target)
prior = MLLS(random_state=0).fit(scores_source, moved.y_source, scores_target)
display = PriorDisplay.from_estimator(prior, true_prior=moved.target_prior)
