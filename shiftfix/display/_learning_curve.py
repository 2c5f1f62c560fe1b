"""Losses per epoch of a network, weighted and not, and how much of the weights is left."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._setting_checks import import_optional
from shiftfix.display._axes import HELD_OUT, LIMIT, SOURCE, get_axes, legend_above
from shiftfix.exceptions import ShiftDataError

# Weight effect, 1 in the untrained network, below which the weights are taken to act hardly any more.
INACTIVE_WEIGHT_EFFECT = 0.05
# Losses of one network in float32 agree to about 1e-6 where all weights are equal; a plot shows about 1e-3.
SAME_LOSS = 1e-5
# Markers along a line, so that they tell the lines apart and hide nothing.
MARKERS = 12

# Pairs of weighted and unweighted loss: name in the legend, key of the weighted loss, color and marker.
PAIRS = (("training", "train_loss", SOURCE, None), ("validation", "validation_loss", HELD_OUT, "o"))


class LearningCurveDisplay(PublicCalls):
    """How the losses fell, where the fit stopped, and whether the weights still act.

    Validation losses have markers, training losses none; unweighted losses are dashed, their markers open. Where
    weighted and unweighted loss agree, because all weights are equal, one line is drawn. Of an ensemble the thin lines
    are its members and the bold one their mean, drawn as far as every member was trained.
    Make one with :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    history : dict of ndarray of shape (n_epochs,) or (n_epochs, n_members)
        Per epoch "train_loss" (weighted mean loss of a row) and, where known, "train_loss_unweighted",
        "validation_loss", "validation_loss_unweighted" and "weight_effect" (no unit, 1 in the untrained network); NaN
        where nothing was measured.
    best_epoch : ndarray of int of shape (n_members,) or None
        Epoch kept by each member, counted from 1; one of them for a single network.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the losses.
    weight_effect_ax_ : matplotlib Axes or None
    figure_ : matplotlib Figure
    lines_ : dict of Line2D
        Drawn entries of the history (of an ensemble the means), by key: epochs from 1 on (x) and values (y).
    member_lines_ : dict of list of Line2D
        Of an ensemble, by the same keys; empty for a single network.
    best_lines_ : list of Line2D
        One per distinct best epoch; empty without a validation loss, where no epoch was chosen.
    limit_line_ : Line2D or None
        At a weight effect of 0.05, below which the weights hardly act any more.

    See Also
    --------
    shiftfix.mlp.MLPClassifier : A network for classes, with row weights and dropout.
    shiftfix.mlp.MLPRegressor : A network for values, with row weights and dropout.
    """

    def __init__(self, history: dict[str, NDArray[np.float64]], *, best_epoch: NDArray[np.intp] | None) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_history(
        cls, history: Mapping[str, Any], *, best_epoch: Any = None, ax: Any = None, weight_effect: bool = False
    ) -> Self:
        """Draw a history.

        Parameters
        ----------
        history : dict of array-like of shape (n_epochs,) or (n_epochs, n_members)
            As of the class; "train_loss" is needed, other keys than those named there are left out.
        best_epoch : int or array-like of int of shape (n_members,), default=None
            Counted from 1; None draws no line.
        ax : matplotlib Axes, or two of them with ``weight_effect=True``, default=None
            None makes a new figure. Of two, the first takes the losses.
        weight_effect : bool, default=False
            Draw the weight effect below the losses.

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        ShiftDataError
            For a history without "train_loss", or without "weight_effect" when that is to be drawn; for entries that
            are not numbers or differ in their epochs; for a best epoch that is none of them.
        MissingDependencyError
            When matplotlib is not installed.
        """
        curves = _check_history(history)
        losses = curves["train_loss"]
        best = None if best_epoch is None else _check_best_epoch(best_epoch, *_as_table(losses).shape)
        return cls(curves, best_epoch=best).plot(ax=ax, weight_effect=weight_effect)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, weight_effect: bool = False) -> Self:
        """Draw the history of a fitted network.

        Parameters
        ----------
        estimator : fitted MLPClassifier or MLPRegressor
            Any estimator with ``history_``, a dict as :meth:`from_history` takes it, and maybe ``best_epoch_``.
        ax : matplotlib Axes, or two of them with ``weight_effect=True``, default=None
        weight_effect : bool, default=False

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        NotFittedError
            For an estimator that is not fitted.
        ShiftDataError
            For an estimator without ``history_``, and as :meth:`from_history`.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "history_"):
            raise ShiftDataError(
                f"{type(estimator).__name__} has no history_: pass a fitted MLPClassifier or MLPRegressor. One that "
                "sits inside another estimator is its attribute, such as estimator_."
            )
        best_epoch = getattr(estimator, "best_epoch_", None)
        return cls.from_history(estimator.history_, best_epoch=best_epoch, ax=ax, weight_effect=weight_effect)

    def plot(self, ax: Any = None, *, weight_effect: bool = False) -> Self:
        """Draw, on ``ax`` (two of them with ``weight_effect=True``) or a new figure; returns self."""
        if weight_effect and "weight_effect" not in self.history:
            raise ShiftDataError(
                f"The history holds {sorted(self.history)} and no 'weight_effect': drop weight_effect=True."
            )
        ax, effect_ax = _pair_of_axes(ax) if weight_effect else (_one_of_axes(ax), None)
        self.lines_: dict[str, Any] = {}
        self.member_lines_: dict[str, list[Any]] = {}
        self._draw_losses(ax)
        self.best_lines_ = self._draw_best_epochs(ax)
        n_members = _as_table(self.history["train_loss"]).shape[1]
        title = f"bold: mean of {n_members} members" if n_members > 1 else None
        legend_above(ax, self._finding(weight_effect), ncols=3, title=title, title_fontsize="small")
        self.limit_line_ = None if effect_ax is None else self._draw_weight_effect(effect_ax)
        if effect_ax is not None:
            ax.set_xlabel("")
        for each in (ax, effect_ax):
            if each is not None:
                _count_epochs(each, len(self.history["train_loss"]))
        self.ax_, self.weight_effect_ax_, self.figure_ = ax, effect_ax, ax.figure
        return self

    def _finding(self, weight_effect: bool) -> str:
        """Where the fit stopped or how far the loss fell, and whether the weights still act where that is drawn."""
        if weight_effect and _last(self.history["weight_effect"]) < INACTIVE_WEIGHT_EFFECT:
            return "the weights hardly act any more"
        epochs = len(self.history["train_loss"])
        if self.best_epoch is not None and "validation_loss" in self.history:
            return f"least loss of held-out rows in epoch {_span(self.best_epoch)} of {epochs}"
        first, last = _last(self.history["train_loss"][::-1]), _last(self.history["train_loss"])
        return f"the training loss went from {first:.3g} to {last:.3g} in {epochs} epochs"

    def _draw_losses(self, ax: Any) -> None:
        for name, key, color, marker in PAIRS:
            for drawn, words, dashed in _curves(self.history, name, key):
                self._draw(ax, drawn, color, marker, dashed=dashed, label=words)
        ax.set(xlabel="epoch", ylabel="loss per row")

    def _draw_weight_effect(self, ax: Any) -> Any:
        """Draw the weight effect; returns the line below which the weights hardly act."""
        self._draw(ax, "weight_effect", SOURCE, None, dashed=False, label="_weight effect")
        limit = ax.axhline(
            INACTIVE_WEIGHT_EFFECT,
            color=LIMIT,
            linestyle="--",
            linewidth=1,
            label=f"below {INACTIVE_WEIGHT_EFFECT} the weights hardly act any more",
        )
        ax.set(xlabel="epoch", ylabel="weight effect")
        ax.set_yscale("log")
        legend_above(ax)
        return limit

    def _draw(self, ax: Any, key: str, color: str, marker: str | None, *, dashed: bool, label: str) -> None:
        """Draw one entry of the history: a line, or thin ones and their mean."""
        values = self.history[key]
        epochs = np.arange(1, len(values) + 1)
        # One epoch makes no line.
        style = {
            "color": color,
            "linestyle": "--" if dashed else "-",
            "marker": marker or ("." if len(values) == 1 else ""),
        }
        self.member_lines_[key] = (
            []
            if values.ndim == 1
            else ax.plot(
                epochs, values, **style | {"marker": "." if len(values) == 1 else ""}, linewidth=0.6, alpha=0.5
            )
        )
        (self.lines_[key],) = ax.plot(
            epochs,
            values if values.ndim == 1 else values.mean(axis=1),
            **style,
            markevery=-(-len(values) // MARKERS),
            markersize=5,
            markerfacecolor="white" if dashed else color,
            linewidth=1.6 if values.ndim == 1 else 2.4,
            label=label,
        )

    def _draw_best_epochs(self, ax: Any) -> list[Any]:
        """Vertical lines, one per distinct epoch, of which the first is named."""
        lines = []
        if self.best_epoch is not None and "validation_loss" in self.history:
            epochs = np.unique(self.best_epoch)
            label = f"best epoch{'s' if len(epochs) > 1 else ''}: {_span(epochs)}"
            for epoch in epochs:
                lines.append(ax.axvline(epoch, color=LIMIT, linestyle=":", linewidth=1.4, zorder=1, label=label))
                label = "_other best epochs"
        return lines


def _span(epochs: NDArray[np.intp]) -> str:
    """One epoch, or the first and the last."""
    first, last = int(np.min(epochs)), int(np.max(epochs))
    return f"{first}" if first == last else f"{first} to {last}"


def _last(values: NDArray[np.float64]) -> float:
    """The last number that was measured, of an ensemble the mean of its members'; NaN where none was."""
    known = _as_table(values)[np.isfinite(_as_table(values)).any(axis=1)]
    return float(np.nanmean(known[-1])) if len(known) else float("nan")


def _curves(history: Mapping[str, Any], name: str, key: str) -> list[tuple[str, str, bool]]:
    """What to draw of a pair of losses: (key, words of the legend, whether it is dashed) of each line."""
    other = f"{key}_unweighted"
    if key not in history:
        return []
    if other not in history:
        return [(key, f"{name}, weighted", False)]
    if np.allclose(history[key], history[other], rtol=SAME_LOSS, atol=0, equal_nan=True):
        return [(key, name, False)]
    return [(key, f"{name}, weighted", False), (other, f"{name}, unweighted", True)]


def _as_table(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with a column per network, shape (n_epochs, n_members)."""
    return values.reshape(len(values), -1)


def _count_epochs(ax: Any, n_epochs: int) -> None:
    """Have the horizontal axis count epochs."""
    ticker = import_optional("matplotlib.ticker", "plots")
    ax.set_xlim(0.5, n_epochs + 0.5)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))


def _check_history(history: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """The entries that can be drawn as arrays of one number of epochs, losses of one shape."""
    if "train_loss" not in history:
        raise ShiftDataError(f"The history holds {list(history)} and no 'train_loss': pass the loss of each epoch.")
    keys = [key + tail for _, key, _, _ in PAIRS for tail in ("", "_unweighted")]
    curves = {key: _check_curve(history[key], key) for key in [*keys, "weight_effect"] if key in history}
    shape = curves["train_loss"].shape
    for key, values in curves.items():
        same = len(values) == shape[0] if key == "weight_effect" else values.shape == shape
        if not same:
            raise ShiftDataError(
                f"history[{key!r}] has shape {values.shape}, history['train_loss'] has {shape}: pass entries of the "
                "same epochs and members."
            )
    return curves


def _check_curve(values: Any, key: str) -> NDArray[np.float64]:
    """One entry of a history: a number per epoch, or per epoch and member."""
    try:
        curve = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ShiftDataError(f"history[{key!r}] cannot be read as numbers ({error}).") from error
    if curve.ndim not in (1, 2) or curve.size == 0:
        raise ShiftDataError(
            f"history[{key!r}] has shape {curve.shape}: pass a number per epoch, or one per epoch and member."
        )
    return curve


def _check_best_epoch(best_epoch: Any, n_epochs: int, n_members: int) -> NDArray[np.intp]:
    """Best epochs as an array of whole numbers between 1 and n_epochs, one or one per member."""
    epochs = np.atleast_1d(best_epoch)
    whole = epochs.dtype.kind in "iu" and epochs.ndim == 1 and len(epochs) in (1, n_members)
    if not whole or (epochs < 1).any() or (epochs > n_epochs).any():
        raise ShiftDataError(
            f"best_epoch={best_epoch!r}: a whole number from 1 to {n_epochs} is needed, one for each of {n_members} "
            "network(s)."
        )
    return epochs


def _one_of_axes(ax: Any) -> Any:
    if np.size(ax) != 1:
        raise ShiftDataError(f"ax holds {np.size(ax)} axes: pass one, or two with weight_effect=True.")
    return get_axes(ax)


def _pair_of_axes(ax: Any) -> Any:
    """The two axes given, or those of a new figure, one above the other on one x axis."""
    if ax is None:
        pyplot = import_optional("matplotlib.pyplot", "plots")
        _, ax = pyplot.subplots(2, 1, sharex=True, figsize=(6.4, 5.6), height_ratios=(3, 1), layout="constrained")
    if np.size(ax) != 2:
        raise ShiftDataError(f"ax holds {np.size(ax)} axes, and weight_effect=True needs two: pass a pair.")
    return np.ravel(ax)
