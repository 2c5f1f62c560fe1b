"""Label-shift trials from the scores and labels of a real classifier, as published tables are made.

Protocol of Alexandari, Kundaje & Shrikumar (2020), ICML, section 4: labelled rows are drawn from those that the
classifier was not trained on, a target prior from a symmetric Dirichlet distribution, and target rows class by class
from the rest. Where a class has fewer rows left than the prior asks for, its rows are drawn with replacement.
The score of a method is the mean over the classes of the squared error of w = q / p, its median over the trials.
"""

from dataclasses import dataclass

import numpy as np

from shiftfix.simulate import dirichlet_prior
from shiftfix.simulate._label import class_counts


@dataclass(frozen=True)
class LabelShiftTrial:
    """Rows of one trial, with the class frequencies p of the source rows and the class shares q of the target rows.

    Priors are those of the rows drawn: what an estimate misses by is then its own error, not the lottery of the labels.
    """

    scores_source: np.ndarray
    class_index: np.ndarray
    scores_target: np.ndarray
    class_index_target: np.ndarray
    source_prior: np.ndarray
    target_prior: np.ndarray

    @property
    def class_weight(self):
        """True w = q / p."""
        return self.target_prior / self.source_prior

    def weight_error(self, target_prior):
        """Mean squared error of w over the classes, for an estimate of the target prior."""
        return float(np.mean((target_prior / self.source_prior - self.class_weight) ** 2))


def resample_by_label(class_index, rows, prior, n_rows, rng):
    """Positions among ``rows``, prior * n_rows of each class, with replacement in classes that have too few."""
    drawn = []
    for k, count in enumerate(class_counts(prior, n_rows)):
        members = rows[class_index[rows] == k]
        drawn.append(rng.choice(members, count, replace=count > len(members)))
    return np.concatenate(drawn)


def dirichlet_trials(scores, class_index, *, n_source, n_target, alpha, n_trials, stratified=False, seed=0):
    """Yield trials with target priors from Dirichlet(alpha), the same ones for the same seed.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities of rows that the classifier was not trained on.
    class_index : ndarray of shape (n_rows,)
    n_source : int
        Labelled rows per trial, at random without replacement; the target comes from the rest.
    n_target : int
    alpha : float
    n_trials : int
    stratified : bool, default=False
        Whether the labelled rows have the class shares of all rows, by largest remainders.
    seed : int, default=0
    """
    n_rows, n_classes = scores.shape
    everything = np.arange(n_rows)
    shares = np.bincount(class_index, minlength=n_classes) / n_rows
    for trial in range(n_trials):
        rng = np.random.default_rng([seed, trial])
        if stratified:
            source = resample_by_label(class_index, everything, shares, n_source, rng)
        else:
            source = rng.choice(n_rows, n_source, replace=False)
        rest = np.setdiff1d(everything, source)
        prior = dirichlet_prior(n_classes, alpha, rng)
        target = resample_by_label(class_index, rest, prior, n_target, rng)
        yield LabelShiftTrial(
            scores[source],
            class_index[source],
            scores[target],
            class_index[target],
            np.bincount(class_index[source], minlength=n_classes) / n_source,
            np.bincount(class_index[target], minlength=n_classes) / n_target,
        )
