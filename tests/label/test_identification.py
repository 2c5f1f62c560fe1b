"""Which classes to merge, against all ways to merge them."""

import numpy as np
import pytest

from shiftfix.exceptions import PoorIdentificationWarning
from shiftfix.label import BBSE, MLLS
from shiftfix.label._identification import (
    _Merging,
    _wald,
    guess_variance,
    identify,
    prior_verdict,
    suggest_merge,
    tells_the_prior,
)
from tests.registry import PRIORS, overlapping_scores

THIRDS = np.full(3, 1 / 3)


def merged(vector_or_matrix, groups, n_classes):
    join = np.array([[float(k in group) for k in range(n_classes)] for group in groups])
    return join @ vector_or_matrix if np.ndim(vector_or_matrix) == 1 else join @ vector_or_matrix @ join.T


def _merged_one_by_one(q, p, v):
    """With a question to the merged classes themselves between any two merges."""
    merging = _Merging(q, p, v)
    while not tells_the_prior(*merging.merged()):
        if not merging.merge_some():
            return []
    return merging.merged_groups()


def random_covariance(rng, n_classes):
    """Of a prior: its rows sum to 0."""
    plane = np.eye(n_classes) - 1 / n_classes
    root = plane @ rng.normal(size=(n_classes, n_classes)) * rng.uniform(0.02, 0.3, n_classes)
    return root @ root.T


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_two_confounded_classes_of_three(pair):
    """q_j - q_k is hardly known, q_j + q_k and the third are: they alone are to be merged."""
    along = np.zeros(3)
    along[list(pair)] = 1, -1
    across = np.full(3, -1.0)
    across[3 - sum(pair)] = 2
    covariance = 0.3 * np.outer(along, along) + 0.001 * np.outer(across, across)
    assert not tells_the_prior(THIRDS, THIRDS, covariance)
    assert suggest_merge(THIRDS, THIRDS, covariance) == [list(pair)]


@pytest.mark.slow
def test_the_first_merging_is_the_best_of_all_pairs():
    """By brute force over all partitions with one class less: the least sum of variances."""
    rng, tried = np.random.default_rng(0), 0
    for _ in range(200):
        n_classes = int(rng.integers(3, 6))
        p = np.full(n_classes, 1 / n_classes)
        covariance = random_covariance(rng, n_classes)
        if tells_the_prior(p, p, covariance):
            continue
        partitions = [
            [[j, k], *([i] for i in range(n_classes) if i not in (j, k))]
            for j in range(n_classes)
            for k in range(j + 1, n_classes)
        ]
        best = min(partitions, key=lambda groups: np.trace(merged(covariance, groups, n_classes)))
        if tells_the_prior(merged(p, best, n_classes), merged(p, best, n_classes), merged(covariance, best, n_classes)):
            tried += 1
            assert suggest_merge(p, p, covariance) == [best[0]]
    assert tried >= 5


@pytest.mark.slow
def test_what_it_suggests_helps_and_nothing_is_suggested_where_nothing_helps():
    rng, found = np.random.default_rng(1), {True: 0, False: 0}
    for _ in range(100):
        n_classes = int(rng.integers(2, 7))
        p, covariance = np.full(n_classes, 1 / n_classes), random_covariance(rng, n_classes)
        groups = suggest_merge(p, p, covariance)
        assert all(len(group) > 1 for group in groups)
        if groups:
            rest = [[k] for k in range(n_classes) if not any(k in group for group in groups)]
            whole = [*groups, *rest]
            assert len(whole) >= 2
            assert tells_the_prior(*(merged(v, whole, n_classes) for v in (p, p, covariance)))
        found[bool(groups)] += 1
    assert min(found.values()) > 10
    assert suggest_merge(THIRDS, THIRDS, 1e-4 * (np.eye(3) - 1 / 3)) == []
    assert suggest_merge(np.array([0.5, 0.5]), np.array([0.5, 0.5]), np.array([[1.0, -1], [-1, 1]])) == []


def test_both_classes_are_named_in_the_warning():
    """Fox and dog score alike up to noise: the estimators say which to merge, by their labels."""
    rng = np.random.default_rng(0)
    y = np.repeat(["cat", "dog", "fox"], 200)
    cat = np.where(y == "cat", 0.9, 0.05) + 0.02 * rng.random(600)
    share = 0.5 + 0.02 * (y == "dog") + 0.1 * rng.normal(size=600).clip(-3, 3)
    scores = np.column_stack([cat, (1 - cat) * share, (1 - cat) * (1 - share)])
    for prior in (BBSE(), MLLS("none", n_bootstrap=0)):
        with pytest.warns(PoorIdentificationWarning, match=r"merge \['dog', 'fox'\] into one class"):
            prior.fit(scores, y, scores[::9])
        assert not prior.identified_
        assert "['dog', 'fox']" in prior.reason_


def test_a_uniform_guess():
    assert guess_variance(2) == pytest.approx(1 / 6)
    assert guess_variance(3) == pytest.approx(1 / 6)


class TestVerdict:
    CLASSES = np.array(["ant", "bee"])

    def judged(self, variance, p_value=None):
        covariance = variance * np.array([[1.0, -1.0], [-1.0, 1.0]])
        found = identify(np.array([0.5, 0.5]), np.array([0.4, 0.6]), covariance, self.CLASSES)
        return found, prior_verdict(found, p_value)

    def test_an_estimate_that_tells_the_prior_is_ok(self):
        """Variances of .0002 in sum, and a quarter of a uniform guess's is .0417."""
        found, verdict = self.judged(0.0001, 0.019)
        assert found.identified
        assert found.reason == "the scores tell the target prior: standard errors are up to 0.01 (class 'ant')"
        assert verdict == "ok"
        assert (verdict.reasons, verdict.action) == ((), "")

    def test_a_vague_one_abstains_and_says_what_to_do(self):
        found, verdict = self.judged(0.04)
        assert not found.identified
        assert verdict == "abstain"
        assert verdict.reasons == (found.reason,)
        assert "standard errors are up to 0.2 (class 'ant')" in found.finding
        assert verdict.action == "Use a better classifier or more rows, or merge classes."
        assert found.reason == f"{found.finding}; use a better classifier or more rows, or merge classes"

    def test_where_no_shift_shows_there_is_nothing_to_do(self):
        _, verdict = self.judged(0.0001, 0.3)
        assert verdict == "ok"
        assert verdict.reasons == (
            "no shift was detected: the mean scores of source and target do not differ, p = 0.3",
        )
        assert verdict.action == ""

    def test_of_a_vague_one_nothing_else_is_told(self):
        found, verdict = self.judged(0.04, 0.3)
        assert verdict.reasons == (found.reason,)
        assert verdict.action


@pytest.mark.slow
@pytest.mark.parametrize("shrink", [None, "significance"])
@pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS.keys())
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
def test_every_prior_has_the_verdict_of_its_facts(make, shrink):
    """Over samples with a shift, without one, and of two rows."""
    scores, y = overlapping_scores(0, [1 / 3] * 3, 300)
    fitted = make().set_params(shrink=shrink)
    for target in (overlapping_scores(1, [0.1, 0.2, 0.7], 200)[0], scores[::2], scores[:2]):
        fitted.fit(scores, y, target)
        assert fitted.verdict_ == ("ok" if fitted.identified_ else "abstain")
        assert len(fitted.verdict_.reasons) == (fitted.shrunk_ or not fitted.identified_)
        assert fitted.reason_
        if fitted.verdict_.reasons:
            assert fitted.verdict_.reasons == (fitted.reason_,)
            assert ("no shift was detected" in fitted.reason_) == fitted.identified_
        assert bool(fitted.verdict_.action) == (not fitted.identified_)


class TestManyClasses:
    """Cholesky's factor in place of the pseudo-inverse, and merging in place, against the formulas written out."""

    @staticmethod
    def covariance(rng, n_classes, kind):
        root = rng.normal(size=(n_classes, 2 * n_classes)) * rng.uniform(0.2, 2, (n_classes, 1))
        if kind == "sums to zero":
            root -= root.mean(axis=0)
        if kind == "null besides":
            root -= root.mean(axis=0)
            root[1] = root[0]
        return root @ root.T / (2 * n_classes) * 10.0 / n_classes

    @pytest.mark.parametrize("kind", ["sums to zero", "full rank", "null besides"])
    @pytest.mark.parametrize("n_classes", [12, 60])
    def test_wald(self, n_classes, kind):
        rng = np.random.default_rng(n_classes)
        covariance = self.covariance(rng, n_classes, kind)
        shift = rng.dirichlet(np.ones(n_classes)) - rng.dirichlet(np.ones(n_classes))
        expected = shift @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ shift
        assert _wald(shift, covariance) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("kind", ["sums to zero", "full rank"])
    @pytest.mark.parametrize("seed", range(3))
    def test_merging(self, seed, kind):
        """Deleting rows and columns and searching the whole matrix gives the same groups."""
        rng = np.random.default_rng(seed)
        n_classes = 60
        v = self.covariance(rng, n_classes, kind)
        q, p = rng.dirichlet(np.ones(n_classes)), rng.dirichlet(np.ones(n_classes))
        found = suggest_merge(p, p, v)
        groups = [[k] for k in range(n_classes)]
        q = p.copy()
        while not tells_the_prior(q, p, v) and len(groups) > 2:
            off = v + np.diag(np.full(len(v), np.inf))
            j, k = sorted(np.unravel_index(np.argmin(off), v.shape))
            for values in (q, p, v, v.T):
                values[j] += values[k]
            q, p, v = np.delete(q, k), np.delete(p, k), np.delete(np.delete(v, k, 0), k, 1)
            groups[j] += groups.pop(k)
        told = tells_the_prior(q, p, v)
        assert found == (sorted(sorted(group) for group in groups if len(group) > 1) if told else [])
        assert found or kind == "full rank"

    @pytest.mark.parametrize("kind", ["sums to zero", "full rank"])
    def test_one_factor_holds_the_statistics_of_all_stages(self, kind):
        """A clear shift in one direction ends the merging as soon as Wald's test of the merged classes shows it."""
        rng, asked = np.random.default_rng(3), []
        for strength in np.linspace(0, 3, 13):
            v = self.covariance(rng, 60, kind)
            p = np.full(60, 1 / 60)
            along = np.linalg.eigh(v)[1][:, -1]
            q = p + strength * np.sqrt(np.trace(v)) * (along - along.mean())
            groups = suggest_merge(q, p, v)
            assert groups == _merged_one_by_one(q, p, v)
            asked.append((len(groups), tells_the_prior(q, p, v)))
        assert len(set(asked)) > 1
