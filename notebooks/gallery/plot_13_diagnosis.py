"""
What speaks for which shift?
============================

Before anything is corrected: a row for each question, with a diamond where something moved beyond chance. Here the
class shares moved, one change of them explains what tells the samples apart, and the next action follows.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from shiftfix.detect import diagnose_shift
from shiftfix.display import DiagnosisDisplay
from shiftfix.simulate import label_shift

rng = np.random.default_rng(0)
y = rng.integers(0, 2, 4000)
X = rng.normal(1.5 * y[:, None] * [1, 0.5, 0], 1, (4000, 3))
moved = label_shift(X, y, [0.2, 0.8], n_target=800, random_state=0)
diagnosis = diagnose_shift(moved.X_source, moved.y_source, moved.X_target, LogisticRegression())
display = DiagnosisDisplay.from_diagnosis(diagnosis)
print(diagnosis)
