"""The training of a module on weighted rows, in short steps.

============================  ===============================================================================
``make_run``, ``draw_seeds``  a training under way, ``Run``, and the seeds it starts from
``fit_loop``                  train it to the end; ``forward``: outputs of all rows, in chunks of ``rows_at_once``
``Rows``                      rows on their device; ``Inputs``: several inputs of one module; ``SparseRows``
``Ranks``, ``ALONE``          the processes of one training; ``RankedRows``: rows of all of them
``StoredRows``                rows that are read by blocks; ``BlockCache``: the blocks read last
``try_steps``                 whether a module of the user's can be trained, and on how few rows
``hold_out``                  which rows judge when to stop; ``deal``: another part of them for each of several
                              networks
``check_row_weights`` ...     row weights on their way into the loss
``check_loss`` ...            losses by name, and the probabilities that belong to them
``check_schedule``            whether a schedule can be made; ``check_callbacks``: the callbacks as a tuple
``resolve_device`` ...        what is borrowed from torch and given back
``warn_of_gradients`` ...     what a finished run is warned of
============================  ===============================================================================
"""

from shiftfix.mlp._training._batches import Rows
from shiftfix.mlp._training._callbacks import check_callbacks
from shiftfix.mlp._training._devices import borrowed_generators, limited_threads, own_torch_options, resolve_device
from shiftfix.mlp._training._diagnostics import warn_of_gradients, warn_of_inactive_weights
from shiftfix.mlp._training._explained import explained, shapes_text
from shiftfix.mlp._training._folds import Folds, automatic_models, cross_fits, deal, n_dealt
from shiftfix.mlp._training._holdout import hold_out
from shiftfix.mlp._training._loop import CHUNK, fit_loop, forward, own_outputs, rows_at_once, warn_of_units
from shiftfix.mlp._training._losses import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    check_loss,
    class_probabilities,
    huber,
    loss_floor,
    polynomial_tail,
    smooth_l1,
)
from shiftfix.mlp._training._ranks import ALONE, OneProcess, RankedRows, Ranks
from shiftfix.mlp._training._row_weights import (
    check_row_weights,
    class_weights,
    effective_size,
    training_weights,
    warn_of_few_rows,
    weighted_loss,
    weights_in_unit,
)
from shiftfix.mlp._training._run import Run, draw_seeds, make_run
from shiftfix.mlp._training._schedules import check_schedule
from shiftfix.mlp._training._several import Inputs, RowsOfX, call_module, tensors_of
from shiftfix.mlp._training._sparse_rows import SparseRows
from shiftfix.mlp._training._stored_rows import BLOCK_NUMBERS, BlockCache, StoredRows, regular_starts, window_rows
from shiftfix.mlp._training._trial import check_one_tensor, try_steps

__all__ = [
    "ALONE",
    "BLOCK_NUMBERS",
    "CHUNK",
    "CLASSIFICATION_LOSSES",
    "REGRESSION_LOSSES",
    "BlockCache",
    "Folds",
    "Inputs",
    "OneProcess",
    "RankedRows",
    "Ranks",
    "Rows",
    "RowsOfX",
    "Run",
    "SparseRows",
    "StoredRows",
    "automatic_models",
    "borrowed_generators",
    "call_module",
    "check_callbacks",
    "check_loss",
    "check_one_tensor",
    "check_row_weights",
    "check_schedule",
    "class_probabilities",
    "class_weights",
    "cross_fits",
    "deal",
    "draw_seeds",
    "effective_size",
    "explained",
    "fit_loop",
    "forward",
    "hold_out",
    "huber",
    "limited_threads",
    "loss_floor",
    "make_run",
    "n_dealt",
    "own_outputs",
    "own_torch_options",
    "polynomial_tail",
    "regular_starts",
    "resolve_device",
    "rows_at_once",
    "shapes_text",
    "smooth_l1",
    "tensors_of",
    "training_weights",
    "try_steps",
    "warn_of_few_rows",
    "warn_of_gradients",
    "warn_of_inactive_weights",
    "warn_of_units",
    "weighted_loss",
    "weights_in_unit",
    "window_rows",
]
