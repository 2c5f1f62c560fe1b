import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import LabelShiftClassifier
from shiftfix.display import PriorDisplay
from shiftfix.exceptions import LabelShiftRejectedWarning, PoorIdentificationWarning, ShiftDataError
from shiftfix.label import BBSE, GMM, MLLS, RLLS, OnlinePrior
from tests.display.helpers import labels, pyplot


def draw(rng, prior, n_rows, reach=2.0):
    """Exact posteriors under equal shares of unit Gaussians ``reach`` from the origin, an axis per class."""
    y = rng.choice(len(prior), n_rows, p=prior)
    z = reach * (reach * np.eye(len(prior))[y] + rng.normal(size=(n_rows, len(prior))))
    scores = np.exp(z - z.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True), y


@pytest.fixture
def samples(rng):
    """Source scores and labels of three equal classes, and target scores of shares .7, .2, .1."""
    scores, y = draw(rng, np.full(3, 1 / 3), 600)
    return scores, np.array(["ant", "bee", "cat"])[y], draw(rng, [0.7, 0.2, 0.1], 300)[0]


def ends(collection):
    """x of both ends of each line of a collection."""
    return np.array([segment[:, 0] for segment in collection.get_segments()])


def note(display):
    """What is written above the plot, on one line."""
    return display.ax_.get_legend().get_title().get_text().replace("\n", " ")


def row_names(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def test_shares_are_drawn_as_given_the_largest_change_on_top():
    """Changes .1, .3 and .2: rows b, c, a."""
    display = PriorDisplay.from_priors(
        [0.5, 0.3, 0.2],
        [0.4, 0.6, 0.0],
        interval=[[0.3, 0.5], [0.5, 0.7], [0.0, 0.1]],
        true_prior=[0.45, 0.5, 0.05],
        classes=["a", "b", "c"],
        level=0.9,
    )
    assert_array_equal(display.shown_, [1, 2, 0])
    assert row_names(display) == ["b", "c", "a"]
    assert np.diff(display.ax_.get_ylim()) < 0
    assert_allclose(display.source_.get_xdata(), [0.3, 0.2, 0.5])
    assert_allclose(display.target_.get_xdata(), [0.6, 0.0, 0.4])
    assert_allclose(ends(display.interval_), [[0.5, 0.7], [0.0, 0.1], [0.3, 0.5]])
    assert_allclose(display.truth_.get_xdata(), [0.5, 0.05, 0.45])
    for line in (display.source_, display.target_, display.truth_):
        assert_array_equal(np.round(line.get_ydata()), np.arange(3))
    assert labels(display.ax_).splitlines() == ["target, truth", "source", "target, estimated (90% interval)"]
    assert note(display) == ""
    # Everything drawn lies on the axes.
    assert 0.7 <= display.ax_.get_xlim()[1] <= 1


def test_what_is_not_known_is_not_drawn():
    display = PriorDisplay.from_priors([0.5, 0.5], [0.3, 0.7])
    assert display.interval_ is None
    assert display.truth_ is None
    assert labels(display.ax_).splitlines() == ["source", "target, estimated"]
    assert row_names(display) == ["0", "1"]  # equal changes stay in order


@pytest.mark.parametrize(
    "prior", [BBSE(), BBSE("hard"), MLLS(n_bootstrap=20, random_state=0), RLLS(n_bootstrap=20, random_state=0), GMM()]
)
def test_numbers_are_those_of_the_estimator(samples, prior):
    prior.fit(*samples)
    display = PriorDisplay.from_estimator(prior, level=0.8, true_prior=[0.7, 0.2, 0.1])
    assert_allclose(display.source_prior, prior.source_prior_)
    assert_allclose(display.target_.get_xdata(), prior.target_prior_[display.shown_])
    assert_allclose(ends(display.interval_), prior.interval(0.8)[display.shown_])
    assert row_names(display) == prior.classes_[display.shown_].tolist()
    assert "80% interval" in labels(display.ax_)
    assert note(display) == ""


def test_a_stream(samples):
    stream = OnlinePrior(BBSE().fit(*samples))
    with pytest.raises(NotFittedError, match="no rows yet"):
        PriorDisplay.from_estimator(stream)
    stream.update(samples[2][:100])
    display = PriorDisplay.from_estimator(stream, classes=["A", "B", "C"])
    assert_allclose(display.target_prior, stream.target_prior_)
    assert_allclose(display.interval, stream.interval())
    assert_allclose(display.source_prior, stream.prior.source_prior_)
    assert sorted(row_names(display)) == ["A", "B", "C"]


@pytest.mark.slow
def test_a_classifier_shows_its_prior(rng):
    X, y = np.vstack([rng.normal(0, 1, (200, 1)), rng.normal(2, 1, (200, 1))]), np.repeat([0, 1], 200)
    model = LabelShiftClassifier(LogisticRegression(), BBSE(), random_state=0).fit(X, y, X_target=X[150:])
    display = PriorDisplay.from_estimator(model)
    assert_allclose(display.target_prior, model.target_prior_)
    assert_allclose(display.interval, model.interval())
    assert note(display) == ""
    with pytest.warns(PoorIdentificationWarning):
        blind = LabelShiftClassifier(DummyClassifier(), BBSE(), random_state=0).fit(X, y, X_target=X[150:])
    display = PriorDisplay.from_estimator(blind)
    assert display.interval_ is None
    assert_allclose(display.target_prior, blind.source_prior_)
    assert note(display) == "not identified: the scores do not tell classes apart; predictions are left uncorrected"


@pytest.mark.slow
def test_a_rejected_label_shift_is_said_to_be(rng):
    """The points are the estimate that is not used, the interval reaches over the three worlds."""
    y, y_target = np.repeat([0, 1], 300), np.repeat([0, 1], [100, 300])
    X, X_target = (
        np.column_stack([rng.normal(2 * c, 1), rng.normal(k, 1, len(c))]) for k, c in ((0, y), (1, y_target))
    )
    with pytest.warns(LabelShiftRejectedWarning):
        model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, X_target=X_target)
    display = PriorDisplay.from_estimator(model)
    assert_allclose(display.target_prior, model.prior_.target_prior_)
    assert_allclose(display.interval, model.interval())
    assert model.label_shift_fit_.reason in " ".join(note(display).split())
    assert note(display).endswith("predictions are left uncorrected")


@pytest.mark.slow
def test_an_estimate_shrunk_to_the_source_is_said_to_be(samples):
    """The points are on the source prior, the interval is that of the estimate."""
    scores, y, _ = samples
    prior = MLLS("none", shrink="significance", n_bootstrap=20, random_state=0)
    prior.fit(scores, y, scores[::2])
    assert prior.shrunk_
    display = PriorDisplay.from_estimator(prior)
    assert_allclose(display.target_.get_xdata(), display.source_.get_xdata())
    assert_allclose(ends(display.interval_), prior.interval()[display.shown_])
    assert f"no shift can be told (p = {prior.shift_p_value_:.2g})" in note(display)


def test_an_estimate_that_is_not_identified_is_said_to_be(rng):
    scores, y = draw(rng, np.full(4, 0.25), 200, reach=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorIdentificationWarning)
        prior = BBSE().fit(scores, y, draw(rng, np.full(4, 0.25), 60, reach=0.25)[0])
    assert not prior.identified_
    assert note(PriorDisplay.from_estimator(prior)) == f"not identified: {prior.reason_}"


@pytest.mark.slow
def test_of_many_classes_the_largest_changes_are_drawn_and_the_rest_said():
    """100 equal classes, of which class 7 rises to .505 and the others fall to .005."""
    q = np.full(100, 0.005)
    q[7] = 0.505
    display = PriorDisplay.from_priors(np.full(100, 0.01), q)
    assert len(display.shown_) == 30
    assert display.shown_[0] == 7
    said = "the 30 largest changes of 100 classes; the others hold 70.0% of the source, 35.0% of the target"
    assert note(display) == said
    assert PriorDisplay.from_priors(np.full(100, 0.01), q, top=1).shown_ == [7]


@pytest.mark.slow
def test_axes_are_used_or_made():
    _, ax = pyplot().subplots()
    display = PriorDisplay.from_priors([0.5, 0.5], [0.3, 0.7], ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.plot(top=1).ax_ is not ax
    assert display.ax_.get_xlabel() == "share of the class"
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_prior": [0.5, 0.6]}, "source_prior is not a probability vector"),
        ({"target_prior": [0.2, 0.3, 0.5]}, "target_prior"),
        ({"true_prior": [1.0]}, "true_prior"),
        ({"interval": [[0.1, 0.2]]}, r"interval has shape \(1, 2\)"),
        ({"interval": [[0.2, 0.1], [0, 1]]}, "in this order"),
        ({"interval": [[-0.1, 0.1], [0, 1]]}, "within"),
        ({"classes": ["a"]}, "classes"),
        ({"level": 95}, "level"),
        ({"top": 0}, "top"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ShiftDataError, match=message):
        PriorDisplay.from_priors(**{"source_prior": [0.5, 0.5], "target_prior": [0.3, 0.7]} | options)


def test_an_estimator_must_be_fitted():
    with pytest.raises(NotFittedError):
        PriorDisplay.from_estimator(BBSE())
