"""Target priors that follow a stream of score batches in constant memory.

Assumes p(x | y) is shared at all times; p(y) may move. The mean of A^-1 s over past rows s, A the conditional confusion
matrix, estimates their prior without bias ("follow the history": Wu, Guo, Su & Weinberger (2021), NeurIPS, section 4);
a window or exponential forgetting lets go of old rows. Only sums of scores and of their outer products are kept.
Jumps are found by comparing the rows before and after each of about 5 log(t) remembered positions.
"""

import math
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._numerics import simplex_least_squares
from shiftfix._setting_checks import check_number, check_option
from shiftfix._verdict import Verdict
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._base import normal_interval
from shiftfix.label._bbse import BBSE
from shiftfix.label._identification import identify, prior_verdict
from shiftfix.label._posterior import proba_at_prior
from shiftfix.label._solution_error import MeanScatter, solution_covariances
from shiftfix.label._source import read_target
from shiftfix.label._sums import Block, Mark, Sums, clearest_jump, extended_window, pieces, since, sums_of_rows, thinned

# Rows between two looks for a jump: at least these, and so many per class, so that means are near normal.
LOOK_ROWS = 200
LOOK_ROWS_PER_CLASS = 20
# Level of the jump test for restart=True.
RESTART_LEVEL = 0.05
# Rows; shorter ones let go of every row at once, as this does, and overflow.
LEAST_HALF_LIFE = 1e-100


class Stream(NamedTuple):
    """All that is kept of the rows gone by.

    Attributes
    ----------
    position : float
        Rows so far.
    total, faded : Sums
        Of all rows since the last restart; ``faded`` with weights that halve every half-life.
    blocks : list of Block
        Of the window.
    marks : list of Mark
        Positions at which a jump may show.
    restarts : list of float
    """

    position: float
    total: Sums
    faded: Sums
    blocks: list[Block]
    marks: list[Mark]
    restarts: list[float]

    @property
    def origin(self) -> float:
        """Position of the last restart."""
        return self.restarts[-1] if self.restarts else 0.0


def after_look(stream: Stream, level: float, size: float, half_life: float) -> Stream:
    """The stream after comparing the rows before and after each mark, restarted at the clearest jump.

    Parameters
    ----------
    stream : Stream
    level : float
        Chance of a false alarm over all looks.
    size : float
        Rows between two looks.
    half_life : float
    """
    position, total, faded, blocks, marks, restarts = stream
    look = (position - stream.origin) / size
    jump = clearest_jump(marks, total, level, look)
    if jump is not None:
        mark, later = marks[jump], marks[jump + 1 :]
        _, total, faded = since(mark, position, total, faded, half_life)
        marks = [since(mark, *other, half_life) for other in later]
        restarts = [*restarts, mark.position]
    marks = thinned([*marks, Mark(position, total, faded)], position)
    return Stream(position, total, faded, blocks, marks, restarts)


class OnlinePrior(PublicCalls, BaseEstimator):
    """Target prior that follows a stream of batches.

    Parameters
    ----------
    prior : BBSE
        Fitted; says how each class is scored. Its own target batch is not part of the stream.
    method : {"history", "window", "forgetting"}, default="history"
        Which rows count: all since the last restart, the newest ``window``, or all with weights that halve every
        ``half_life`` rows.
    window : float, default=10000
        Rows, at least 1; kept in blocks, so that up to 2% more (at least one row) may count.
    half_life : float, default=10000
        Rows, above 0.
    restart : float in (0, 1) or bool, default=True
        Chance of a false alarm over a whole stream, however long, without a jump; True means 0.05, False never looks.
        At a jump, rows before it are dropped. Slow drift is not jumps: a long drift sets it off from time to time.

    Attributes
    ----------
    target_prior_, class_weight_ : ndarray of shape (n_classes,)
        q, on the simplex, and q / p.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Delta-method sampling covariance, from source and target error. Errors of the source stay however long the
        stream; drift within the rows that count is not in it.
    n_rows_ : float
        Effective rows behind the estimate: (sum w)^2 / sum w^2.
    restarts_ : list of float
        Positions in the stream, in rows, from which the estimate started anew.
    verdict_ : Verdict
        "abstain" when the estimate is too vague to use and cannot be told from the source prior, as for :class:`BBSE`;
        else "ok".

    Raises
    ------
    ShiftDataError
        By ``update``, for a prior that is not a fitted BBSE, settings out of range, or scores that are no
        probabilities; the state stays as it was.

    See Also
    --------
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    shiftfix.risk.RiskMonitor : Watches a classifier in use.

    Notes
    -----
    The estimate depends on the stream only, not on how it is cut into batches. Memory is about 5 log(rows) (n_classes,
    n_classes) arrays for ``restart``, and 51 for a window. Looks for a jump come every 200 rows (every 20 n_classes, if
    more), at level ``restart`` / (t (t + 1)) for the t-th, shared by its positions: these add up to ``restart``,
    which is not used up: at ``restart=0.5``, 7 of 100 stationary streams of 20,000 rows of three classes set it off.
    A jump therefore needs the longer to show, the more rows there were before it, but only as their logarithm.

    Examples
    --------
    >>> y = np.repeat(["sick", "well"], 50)
    >>> scores = np.where((y == "sick")[:, None], [0.8, 0.2], [0.3, 0.7])
    >>> stream = OnlinePrior(BBSE().fit(scores, y, scores))
    >>> stream.update(scores[:60]).update(scores[:40]).target_prior_.round(3)
    array([0.9, 0.1])
    """

    target_prior_: NDArray[np.float64]
    class_weight_: NDArray[np.float64]
    prior_covariance_: NDArray[np.float64]
    n_rows_: float
    restarts_: list[float]

    # What is kept of the stream; see :class:`Stream`.
    _position: float
    _total: Sums
    _faded: Sums
    _blocks: list[Block]
    _marks: list[Mark]
    _cautious_covariance: NDArray[np.float64]

    def __init__(
        self,
        prior: BBSE,
        method: Literal["history", "window", "forgetting"] = "history",
        *,
        window: float = 10_000,
        half_life: float = 10_000,
        restart: float | bool = True,
    ) -> None:
        self.prior = prior
        self.method = method
        self.window = window
        self.half_life = half_life
        self.restart = restart

    def update(self, scores_target: ArrayLike, *, sample_weight_target: ArrayLike | None = None) -> Self:
        """Take in the next rows of the stream.

        Parameters
        ----------
        scores_target : array-like of shape (n_rows, n_classes)
            Predicted labels are welcome too if the prior has kind="hard".
        sample_weight_target : array-like of shape (n_rows,), default=None
            Repeat counts: a row of count 3 is three rows in succession.

        Returns
        -------
        self
        """
        level = self._check_settings()
        source = self.prior._source
        given = read_target(scores_target, source.classes, sample_weight_target, source.kind)
        scores, counts = source.calibrated(given.scores), given.counts
        present = counts > 0
        if not present.all():
            scores, counts = scores[present], counts[present]
        stream = self._advanced(self._stream(), scores, counts, level)
        sums = stream.total if self.method == "history" else stream.faded
        if self.method == "window":
            stream, sums = self._window_since_restart(stream)
        mean, n_rows = sums.mean, sums.n_effective
        prior = simplex_least_squares(source.conditional, mean)
        covariances = solution_covariances(
            self.prior._source_error, MeanScatter(n_rows, mean, sums.covariance() * n_rows), prior
        )
        with unchanged_on_error(self):
            self._position, self._total, self._faded, self._blocks, self._marks, self.restarts_ = stream
            self.n_rows_, self.target_prior_, self.class_weight_ = n_rows, prior, prior / source.prior
            self.prior_covariance_, self._cautious_covariance = covariances
            return self

    @property
    def verdict_(self) -> Verdict:
        """Whether the current estimate is worth using."""
        self._check_updated()
        source = self.prior._source
        return prior_verdict(identify(self.target_prior_, source.prior, self._cautious_covariance, source.classes))

    def interval(self, level: float = 0.95) -> NDArray[np.float64]:
        """Confidence intervals of the target prior, as those of :meth:`BBSE.interval`; shape (n_classes, 2)."""
        self._check_updated()
        check_number(level, "level", above=0, below=1)
        return normal_interval(self.target_prior_, self._cautious_covariance, level)

    def adjust_proba(self, scores: ArrayLike) -> NDArray[Any]:
        """Class probabilities under the current target prior, shape (n_rows, n_classes); see :func:`adjust_proba`."""
        self._check_updated()
        return proba_at_prior(self.prior.calibrate(scores), self.prior.score_prior_, self.target_prior_)

    def _check_updated(self) -> None:
        if not hasattr(self, "target_prior_"):
            raise NotFittedError("This OnlinePrior has seen no rows yet: call update with the scores of some first.")

    def _check_settings(self) -> float | None:
        """Level of the jump test, None without one; raise for settings that are out of range."""
        if not isinstance(self.prior, BBSE) or not hasattr(self.prior, "conditional_confusion_"):
            raise ShiftDataError(f"prior={self.prior!r} is not a fitted BBSE: pass BBSE().fit(...) of the source rows.")
        check_option(self.method, "method", ["history", "window", "forgetting"])
        check_number(self.window, "window", least=1)
        check_number(self.half_life, "half_life", least=LEAST_HALF_LIFE)
        if isinstance(self.restart, bool):
            return RESTART_LEVEL if self.restart else None
        return check_number(self.restart, "restart", above=0, below=1)

    def _stream(self) -> Stream:
        """The stream so far."""
        if hasattr(self, "restarts_"):
            return Stream(self._position, self._total, self._faded, self._blocks, self._marks, self.restarts_)
        none = Sums.none(len(self.prior._source.classes))
        return Stream(0.0, none, none, [], [], [])

    def _advanced(
        self, stream: Stream, scores: NDArray[Any], counts: NDArray[np.float64], level: float | None
    ) -> Stream:
        """The stream after these rows, with a look for a jump wherever one is due."""
        if self.method == "window":
            blocks = extended_window(stream.blocks, scores, counts, stream.position, self.window)
            stream = stream._replace(blocks=blocks)
        size = max(LOOK_ROWS, LOOK_ROWS_PER_CLASS * scores.shape[1]) if level else math.inf
        for rows, weight, position in pieces(scores, counts, stream.position, size):
            faded = stream.faded
            if self.method == "forgetting":
                fade = 2.0 ** (-(position - stream.position) / self.half_life)
                faded = sums_of_rows(rows, weight, self.half_life).plus(faded, fade)
            total = stream.total.plus(sums_of_rows(rows, weight))
            stream = stream._replace(position=position, total=total, faded=faded)
            if level and position % size == 0:
                stream = after_look(stream, level, size, self.half_life)
        return stream

    def _window_since_restart(self, stream: Stream) -> tuple[Stream, Sums]:
        """The stream without the window's blocks from before the last restart, and the sums of the blocks left."""
        blocks = stream.blocks
        kept = [block for block in blocks[:-1] if block.start >= stream.origin] + blocks[-1:]
        sums = Sums.none(len(self.prior._source.classes))
        for block in kept:
            sums = sums.plus(block.sums)
        return stream._replace(blocks=kept), sums
