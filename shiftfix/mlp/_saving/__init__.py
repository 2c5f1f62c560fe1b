"""Files that survive a crash and run no code: checkpoints of a run, and fitted estimators.

=====================  ==================================================================================
``write_atomically``   a file, whole or not at all; ``read``: its content
``pack_estimator``     a fitted estimator as content; ``unpack_estimator``: back
``saved_run``          the checkpoint to go on from; ``go_on``: its state into a run
``checkpoint_writer``  replaces the checkpoint after each epoch; ``fingerprint``: what resumed runs share
``setting_text``       a setting as text that is the same in another process
=====================  ==================================================================================
"""

from shiftfix.mlp._saving._files import read, write_atomically
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator
from shiftfix.mlp._saving._resume import checkpoint_writer, fingerprint, go_on, saved_run, setting_text

__all__ = [
    "checkpoint_writer",
    "fingerprint",
    "go_on",
    "pack_estimator",
    "read",
    "saved_run",
    "setting_text",
    "unpack_estimator",
    "write_atomically",
]
