import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit

from shiftfix._blocks import BLOCK_ENTRIES
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import effective_sample_size
from shiftfix.weights._balance import BalanceTable, balance_table
from shiftfix.weights._pareto import pareto_k, pareto_k_threshold
from tests.strategies import two_samples

NUMBERS = ["source_mean", "weighted_mean", "target_mean", "scale", "before", "after", "se_before", "se_after"]


def by_hand(source, target, w):
    """One entry from the formulas, on plain vectors: scale, before, after and their standard errors."""
    s = target.std()
    v = w / w.sum()
    own = target.var() / target.size
    mean = v @ source
    return (
        s,
        (target.mean() - source.mean()) / s,
        (target.mean() - mean) / s,
        np.sqrt(own + source.var() / source.size) / s,
        np.sqrt(own + v**2 @ (source - mean) ** 2) / s,
    )


def test_brute_force(rng):
    """Means, squares and scores against the formulas written out; more rows than a block."""
    n = BLOCK_ENTRIES // 3 + 100
    X, Y = rng.normal(3, 2, (n, 3)), rng.normal([3, 4, 5], [2, 1, 3], (500, 3))
    w = rng.exponential(size=n)
    score = lambda X: X[:, 0] - X[:, 2] / 2 - 1  # noqa: E731
    table = balance_table(X, Y, w, score=score)
    Z, T = (X - Y.mean(0)) / Y.std(0), (Y - Y.mean(0)) / Y.std(0)
    sides = [(X[:, j], Y[:, j]) for j in range(3)] + [(Z[:, j] ** 2, T[:, j] ** 2) for j in range(3)]
    sides += [(score(X), score(Y)), (abs(score(X)), abs(score(Y)))]
    assert table.names == ("x0", "x1", "x2", "x0^2", "x1^2", "x2^2", "score", "|score|")
    assert table.kinds == ("feature",) * 3 + ("square",) * 3 + ("score",) * 2
    found = np.column_stack([table.scale, table.before, table.after, table.se_before, table.se_after])
    assert_allclose(found, [by_hand(*side, w) for side in sides], rtol=1e-9, atol=1e-12)
    assert_allclose(table.weighted_mean, [np.average(side[0], weights=w) for side in sides], rtol=1e-9)
    assert_allclose(table.source_mean, [side[0].mean() for side in sides], rtol=1e-9)
    assert_allclose(table.target_mean, [side[1].mean() for side in sides], rtol=1e-9)


def test_true_weights_balance_to_within_the_standard_errors():
    """G3 in numbers: p = (.5, .3, .2) to q = (.1, .3, .6), w = q / p on exact frequencies: after is 0."""
    source, target = np.repeat([0.0, 1, 2], [500, 300, 200]), np.repeat([0.0, 1, 2], [100, 300, 600])
    w = np.repeat([0.2, 1, 3], [500, 300, 200])
    table = balance_table(source[:, None], target[:, None], w)
    assert_allclose(table.after, 0, atol=1e-12)
    assert table.before[0] == pytest.approx(0.8 / np.sqrt(0.45))
    assert not table.out_of_balance.any()


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["target", "pooled"])
def test_standard_errors_are_the_spread_over_samples(scale):
    """N(0, 1) to N(.5, .5^2) with known weights: 600 samples; the standard deviation of (after - mean) / s.e. is 1 to
    within 4 / sqrt(2 * 600) = .12, and the mean is 0 to within 4 / sqrt(600) = .17. The scale is taken as fixed, which
    adds nothing where the difference is 0."""
    ratios = []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(400, 1)), rng.normal(0.5, 0.5, (200, 1))
        w = np.exp(-0.5 * ((X[:, 0] - 0.5) / 0.5) ** 2 + 0.5 * X[:, 0] ** 2)
        table = balance_table(X, Y, w, scale=scale, squares=False)
        ratios.append(table.after[0] / table.se_after[0])
    assert np.mean(ratios) == pytest.approx(0, abs=0.17)
    assert np.std(ratios) == pytest.approx(1, abs=0.12)


def test_only_the_score_sees_a_changed_correlation():
    """Correlation .6 in the source, -.6 in the target; all means and variances stay. Linear log odds see nothing: k and
    the effective size are perfect, features and squares balanced, and the weighted accuracy is over 8 points too high
    (E max(p, 1 - p) of expit(1.5 s): .86 at sd 1.79, .74 at sd .89). The |score| row alone shows it."""
    rng = np.random.default_rng(0)
    n, mix = 4000, np.array([[1, 0.6], [0.6, 1]])
    X = rng.multivariate_normal([0, 0], mix, n)
    Y = rng.multivariate_normal([0, 0], mix * [[1, -1], [-1, 1]], n)
    score = lambda X: 1.5 * X.sum(axis=1)  # noqa: E731
    right = [(rng.random(n) < expit(score(Z))) == (score(Z) > 0) for Z in (X, Y)]
    weighter = LogisticWeighter().fit(X, Y)
    w = weighter.transform(X)
    assert np.average(right[0], weights=w) - right[1].mean() > 0.08
    assert pareto_k(w) < pareto_k_threshold(n)
    assert effective_sample_size(w) > 0.99 * n
    assert weighter.summary_.verdict == "ok"
    table = balance_table(X, Y, w, score=score)
    assert [name for name, bad in zip(table.names, table.out_of_balance, strict=True) if bad] == ["|score|"]
    assert table.worst(1).names == ("|score|",)
    assert table.worst(1).after[0] < -0.5


def test_pooled_scale_and_a_target_that_is_constant():
    X, Y = np.array([[0.0], [2.0]]), np.array([[5.0], [5.0]])
    for scale in ("pooled", "target"):
        assert balance_table(X, Y, [1, 1], scale=scale).scale[0] == pytest.approx(np.sqrt(0.5))
    X, Y = np.array([[0.0], [2.0], [7.0]]), np.array([[5.0], [9.0]])
    table = balance_table(X, Y, np.ones(3), scale="pooled")
    assert table.scale[0] == pytest.approx(np.sqrt((X.var() + Y.var()) / 2))


def test_constants_are_balanced_or_infinitely_apart():
    X, Y = np.full((50, 2), 0.1), np.full((40, 2), 0.1)
    Y[:, 1] = 0.3
    table = balance_table(X, Y, np.arange(1.0, 51))
    assert table.names == ("x0", "x1")  # two values at most: the square would say nothing new
    assert table.after.tolist() == [0.0, np.inf]
    assert table.before.tolist() == [0.0, np.inf]
    assert table.se_after.tolist() == [0.0, 0.0]
    assert table.out_of_balance.tolist() == [False, True]
    assert "inf" in str(table)


@pytest.mark.parametrize("factor", [1e-150, 1e150, 1e306])
def test_extreme_units(rng, factor):
    X, Y = rng.normal(size=(60, 2)), rng.normal(1, 2, (50, 2))
    w = rng.exponential(size=60)
    plain, scaled = balance_table(X, Y, w), balance_table(X * factor, Y * factor, w)
    for name in ("before", "after", "se_before", "se_after"):
        assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-8, atol=1e-12)


@pytest.mark.slow
@given(samples=two_samples(), data=st.data())
def test_invariants(samples, data):
    """Scale of weights, order of rows, and shift and unit of the features change nothing; a flipped sign flips a mean's
    difference and keeps a square's."""
    X, Y = samples
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    w = rng.exponential(size=len(X)) + 1e-3
    table = balance_table(X, Y, w)
    order = rng.permutation(len(X))
    same = balance_table(X[order] * 100 - 3, Y * 100 - 3, 7 * w[order])
    for name in ("before", "after", "se_before", "se_after"):
        assert_allclose(getattr(same, name), getattr(table, name), rtol=1e-6, atol=1e-8)
    sign = np.where(np.array(table.kinds) == "feature", -1, 1)
    assert_allclose(balance_table(-X, -Y, w).after, sign * table.after, atol=1e-9)
    assert_allclose(balance_table(X, Y, np.full(len(X), 3.0)).after, table.before, atol=1e-12)


@pytest.mark.slow
@given(samples=two_samples(), seed=st.integers(0, 99))
def test_repeat_counts_equal_repeated_rows(samples, seed):
    X, Y = samples
    rng = np.random.default_rng(seed)
    c, d = rng.integers(0, 4, len(X)), rng.integers(0, 4, len(Y))
    c[:3], d[:3] = 1, 1
    w = rng.exponential(size=len(X))
    score = (X[:, 0] - 0.3, Y[:, 0] - 0.3)
    by_counts = balance_table(X, Y, w, score=score, sample_weight_source=c, sample_weight_target=d)
    repeated = balance_table(
        np.repeat(X, c, axis=0),
        np.repeat(Y, d, axis=0),
        np.repeat(w, c),
        score=(np.repeat(score[0], c), np.repeat(score[1], d)),
    )
    for name in NUMBERS:
        assert_allclose(getattr(by_counts, name), getattr(repeated, name), rtol=1e-8, atol=1e-10)


def test_a_score_of_one_sign_has_no_absolute_row(rng):
    X, Y = rng.normal(size=(30, 1)), rng.normal(size=(30, 1))
    assert balance_table(X, Y, np.ones(30), score=(X[:, 0] ** 2, Y[:, 0] ** 2)).names[-1] == "score"
    assert balance_table(X, Y, np.ones(30), score=[X[:, 0], Y[:, 0]]).names[-2:] == ("score", "|score|")


def test_two_valued_features_have_no_square(rng):
    X, Y = rng.integers(0, 2, (50, 2)), rng.integers(0, 2, (50, 2))
    Y[7, 1] = 2
    assert balance_table(X, Y, np.ones(50)).names == ("x0", "x1", "x1^2")
    assert balance_table(X, Y, np.ones(50), squares=False).names == ("x0", "x1")


def test_frames_bring_their_names_and_reach_the_score_as_they_are():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"age": [1.0, 2, 3], "dose": [0.0, 1, 5]})
    table = balance_table(X, X + 1, [1, 1, 1], score=lambda frame: frame["dose"] - 2)
    assert table.names == ("age", "dose", "age^2", "dose^2", "score", "|score|")
    frame = table.to_frame()
    assert frame["name" if "name" in frame else "names"].tolist() == list(table.names)
    assert_allclose(frame["after"], table.after)
    assert frame["out_of_balance"].dtype == bool


def test_prints_worst_first_and_escapes_names(rng):
    X, Y = rng.normal(size=(500, 30)), rng.normal(size=(400, 30))
    Y[:, 3] += 1
    names = [f"<b{j}>" for j in range(30)]
    table = balance_table(X, Y, np.ones(500), feature_names=names)
    lines = str(table).splitlines()
    assert lines[1].startswith("<b3>")
    assert lines[1].endswith("*")
    assert len(lines) == 22
    assert "40 smaller ones not shown" in lines[-1]
    gaps = np.abs(table.worst(60).after)
    assert (np.diff(gaps) <= 0).all()
    page = table._repr_html_()
    assert "&lt;b3&gt;" in page
    assert "<b3>" not in page
    assert isinstance(table.worst(2), BalanceTable)
    assert len(table.worst(2)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1, 1]}, "2 values for 3 source rows"),
        ({"weights": [1, -1, 1]}, "negative"),
        ({"weights": [0, 0, 1], "sample_weight_source": [1, 1, 0]}, "zero wherever sample_weight_source"),
        ({"X_target": np.ones((2, 2))}, "2 columns"),
        ({"X_target": [[np.nan]]}, "NaN"),
        ({"score": np.ones(3)}, "pass a function of X, or a pair"),
        ({"score": (np.ones(3), np.ones(3))}, "3 values for 2 rows"),
        ({"score": lambda X: np.ones((len(X), 3))}, "one number per row"),
        ({"feature_names": ["a", "b"]}, "2 names for 1 columns"),
        ({"scale": "source"}, "one of 'target', 'pooled'"),
        ({"squares": "yes"}, "squares"),
    ],
)
def test_errors(change, message):
    arguments = {"X_source": [[0.0], [1.0], [2.0]], "X_target": [[1.0], [3.0]], "weights": [1, 1, 1]} | change
    with pytest.raises(ShiftDataError, match=message):
        balance_table(**arguments)


@pytest.mark.parametrize("form", ["float32", "sparse", "sparse float32"])
def test_other_forms_of_the_rows(rng, form):
    """Every column of the table as from float64 arrays; float32 holds these values exactly, so only sums differ."""
    X, Y = (rng.integers(-3, 4, (n, 3)) * (rng.random((n, 3)) < 0.4) * 0.25 for n in (900, 400))
    w, counts = rng.exponential(size=900), rng.integers(0, 3, 900)
    given = [rows.astype(np.float32) if "float32" in form else rows for rows in (X, Y)]
    given = [sparse.csr_array(rows) if "sparse" in form else rows for rows in given]
    expected = balance_table(X, Y, w, sample_weight_source=counts, squares=False)
    found = balance_table(*given, w, sample_weight_source=counts, squares=False)
    for name in ("source_mean", "weighted_mean", "target_mean", "scale", "before", "after", "se_before", "se_after"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-12)


def test_squares_of_sparse_rows_are_refused():
    rows = sparse.csr_array(np.eye(3))
    with pytest.raises(ShiftDataError, match="squares=False"):
        balance_table(rows, rows, np.ones(3))
