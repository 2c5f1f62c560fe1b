import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from shiftfix.display import LearningCurveDisplay
from shiftfix.display._learning_curve import INACTIVE_WEIGHT_EFFECT
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPRegressor
from tests.display.helpers import labels, pyplot

LOSSES = ("train_loss", "train_loss_unweighted", "validation_loss", "validation_loss_unweighted")


class Network(BaseEstimator):
    """Fitted to nothing: keeps the history it is told."""

    def __init__(self, history=None, best_epoch=None):
        self.history = history
        self.best_epoch = best_epoch

    def fit(self):
        self.history_ = self.history
        if self.best_epoch is not None:
            self.best_epoch_ = self.best_epoch
        return self


def made(rng, *shape):
    """A history of numbers that are all different, as lists."""
    keys = (*LOSSES, "weight_effect", "learning_rate")
    return {key: rng.uniform(0.1, 1, shape).tolist() for key in keys}


def drawn(line):
    """Epochs and values of a line, as lists."""
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


@pytest.mark.slow
def test_lines_are_the_history(rng):
    history = made(rng, 7)
    display = LearningCurveDisplay.from_estimator(Network(history, 3).fit(), weight_effect=True)
    assert set(display.lines_) == {*LOSSES, "weight_effect"}
    for key, line in display.lines_.items():
        assert drawn(line) == ([1, 2, 3, 4, 5, 6, 7], history[key]), key
        assert line.axes is (display.weight_effect_ax_ if key == "weight_effect" else display.ax_)
        assert display.member_lines_[key] == []
    (best,) = display.best_lines_
    assert_array_equal(best.get_xdata(), 3)
    assert_array_equal(display.limit_line_.get_ydata(), INACTIVE_WEIGHT_EFFECT)
    assert INACTIVE_WEIGHT_EFFECT == 0.05
    assert labels(display.ax_).splitlines() == [
        "training, weighted",
        "training, unweighted",
        "validation, weighted",
        "validation, unweighted",
        "best epoch: 3",
    ]
    assert labels(display.weight_effect_ax_) == "below 0.05 the weights hardly act any more"
    display.figure_.canvas.draw()


def test_every_word_of_the_legend_stands_for_its_entry(rng):
    display = LearningCurveDisplay.from_history(made(rng, 4))
    for key, words in zip(
        LOSSES,
        ("training, weighted", "training, unweighted", "validation, weighted", "validation, unweighted"),
        strict=True,
    ):
        assert display.lines_[key].get_label() == words


def test_lines_differ_without_colour(rng):
    """Dashes tell weighted from unweighted, markers validation from training; the best epoch is dotted."""
    display = LearningCurveDisplay.from_history(made(rng, 30), best_epoch=9)
    looks = [(display.lines_[key].get_linestyle(), display.lines_[key].get_marker()) for key in LOSSES]
    assert len(set(looks)) == 4
    assert [look[0] for look in looks] == ["-", "--", "-", "--"]
    assert display.best_lines_[0].get_linestyle() == ":"


def test_an_ensemble_has_thin_members_and_a_bold_mean(rng):
    history = made(rng, 6, 3)
    display = LearningCurveDisplay.from_estimator(Network(history, np.array([5, 2, 5])).fit(), weight_effect=True)
    for key, mean in display.lines_.items():
        members = display.member_lines_[key]
        by_hand = [sum(row) / 3 for row in history[key]]
        assert drawn(mean)[1] == pytest.approx(by_hand, rel=1e-12)
        assert [drawn(line)[1] for line in members] == [list(column) for column in zip(*history[key], strict=True)]
        assert max(line.get_linewidth() for line in members) < mean.get_linewidth()
        assert {line.get_linestyle() for line in members} == {mean.get_linestyle()}
    assert [np.unique(line.get_xdata()).tolist() for line in display.best_lines_] == [[2], [5]]
    assert labels(display.ax_).splitlines()[-1] == "best epochs: 2 to 5"
    assert len(labels(display.ax_).splitlines()) == 5
    assert display.ax_.get_legend().get_title().get_text() == "bold: mean of 3 members"


def test_one_effect_of_the_weights_for_a_whole_ensemble(rng):
    history = made(rng, 4, 3) | {"weight_effect": [0.9, 0.5, 0.1, 0.0]}
    display = LearningCurveDisplay.from_history(history, weight_effect=True)
    assert drawn(display.lines_["weight_effect"])[1] == [0.9, 0.5, 0.1, 0.0]


def test_the_mean_ends_where_the_first_member_stops():
    display = LearningCurveDisplay.from_history({"train_loss": [[4, 2], [2, 1], [1, np.nan]]})
    assert_array_equal(display.lines_["train_loss"].get_ydata(), [3, 1.5, np.nan])


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_equal_weights_give_one_line_of_each_kind(rng, shape):
    """Up to rounding in float32, about 1e-7 of the loss; a difference of 1e-3 is one."""
    history = made(rng, *shape)
    for key in LOSSES[::2]:
        history[f"{key}_unweighted"] = (np.array(history[key]) * (1 + 1e-7)).tolist()
    display = LearningCurveDisplay.from_history(history, best_epoch=1)
    assert list(display.lines_) == ["train_loss", "validation_loss"]
    assert labels(display.ax_).splitlines() == ["training", "validation", "best epoch: 1"]
    history["validation_loss_unweighted"] = (np.array(history["validation_loss"]) * 1.001).tolist()
    assert list(LearningCurveDisplay.from_history(history).lines_) == [LOSSES[0], *LOSSES[2:]]


def test_what_is_not_known_is_not_drawn(rng):
    history = made(rng, 5)
    display = LearningCurveDisplay.from_estimator(Network({"train_loss": history["train_loss"]}, 5).fit())
    assert list(display.lines_) == ["train_loss"]
    # Without validation rows the last epoch is kept, and none is best.
    assert display.best_lines_ == []
    assert display.weight_effect_ax_ is None
    assert display.limit_line_ is None
    assert labels(display.ax_) == "training, weighted"
    assert LearningCurveDisplay.from_estimator(Network(history).fit()).best_lines_ == []


@pytest.mark.slow
def test_one_epoch_is_seen():
    display = LearningCurveDisplay.from_history({"train_loss": [0.5]})
    assert display.lines_["train_loss"].get_marker() not in ("", "None", None)
    display.figure_.canvas.draw()
    assert [tick for tick in display.ax_.get_xticks() if 0.5 <= tick <= 1.5] == [1]


@pytest.mark.slow
def test_a_network_of_this_package(rng):
    X = rng.normal(size=(60, 2))
    model = MLPRegressor((4,), max_epochs=4, batch_size=20, n_models=1, random_state=0, early_stopping=True).fit(
        X, X[:, 0]
    )
    display = LearningCurveDisplay.from_estimator(model)
    for key in ("train_loss", "validation_loss"):
        assert drawn(display.lines_[key])[1] == model.history_[key]
    assert_array_equal(display.best_lines_[0].get_xdata(), model.best_epoch_)


@pytest.mark.slow
def test_axes_are_used_or_made(rng):
    history = made(rng, 5)
    _, ax = pyplot().subplots()
    display = LearningCurveDisplay.from_history(history, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss per row")
    assert display.plot().ax_ is not ax
    display.plot(weight_effect=True)
    assert display.figure_ is not ax.figure
    assert display.ax_.get_xlim() == display.weight_effect_ax_.get_xlim()
    assert display.ax_.get_position().y0 > display.weight_effect_ax_.get_position().y0
    assert display.weight_effect_ax_.get_xlabel() == "epoch"
    assert display.weight_effect_ax_.get_ylabel() == "weight effect"


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_a_pair_of_axes_takes_both_plots(rng, shape):
    _, axes = pyplot().subplots(*shape)
    display = LearningCurveDisplay.from_history(made(rng, 5), ax=axes, weight_effect=True)
    assert [display.ax_, display.weight_effect_ax_] == list(axes)
    assert axes[0].get_xlim() == axes[1].get_xlim() == (0.5, 5.5)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"train_loss": None}, {}, "no 'train_loss'"),
        ({"weight_effect": None}, {"weight_effect": True}, "no 'weight_effect': drop weight_effect=True"),
        ({"train_loss": ["a", "b", "c"]}, {}, r"history\['train_loss'\] cannot be read as numbers"),
        ({"train_loss": [[1, 2], [3]]}, {}, r"history\['train_loss'\] cannot be read as numbers"),
        ({"train_loss": []}, {}, r"history\['train_loss'\] has shape \(0,\)"),
        ({"validation_loss": [1, 2]}, {}, r"history\['validation_loss'\] has shape \(2,\), .* has \(3,\)"),
        ({"validation_loss": [[1, 2]] * 3}, {}, r"history\['validation_loss'\] has shape \(3, 2\)"),
        ({"weight_effect": [1, 2]}, {}, r"history\['weight_effect'\] has shape \(2,\)"),
        ({}, {"best_epoch": 0}, "a whole number from 1 to 3"),
        ({}, {"best_epoch": 4}, "a whole number from 1 to 3"),
        ({}, {"best_epoch": 2.5}, "a whole number from 1 to 3"),
        ({}, {"best_epoch": [1, 2]}, "one for each of 1 network"),
    ],
)
def test_errors(rng, change, options, message):
    history = {key: values for key, values in (made(rng, 3) | change).items() if values is not None}
    with pytest.raises(ShiftDataError, match=message):
        LearningCurveDisplay.from_history(history, **options)


def test_the_axes_must_be_as_many_as_the_plots(rng):
    _, axes = pyplot().subplots(2)
    with pytest.raises(ShiftDataError, match="holds 2 axes: pass one"):
        LearningCurveDisplay.from_history(made(rng, 3), ax=axes)
    with pytest.raises(ShiftDataError, match="holds 1 axes, and weight_effect=True needs two"):
        LearningCurveDisplay.from_history(made(rng, 3), ax=axes[0], weight_effect=True)


def test_an_estimator_must_be_fitted_and_keep_a_history():
    with pytest.raises(NotFittedError):
        LearningCurveDisplay.from_estimator(MLPRegressor())
    with pytest.raises(ShiftDataError, match="Ridge has no history_"):
        LearningCurveDisplay.from_estimator(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
