"""Files that survive a crash and run no code: checkpoints of a run, and fitted estimators.

=====================  ==================================================================================
``write_atomically``   a file, whole or not at all; ``read``: its content
``pack_estimator``     a fitted estimator as content; ``unpack_estimator``: back
``numpy_state``        an estimator as numpy arrays, for files of other packages; ``restore_state``: back
``saved_run``          the checkpoint to go on from; ``go_on``: its state into a run
``checkpoint_writer``  replaces the checkpoint after each epoch; ``fingerprint``: what resumed runs share
``networks_of``        how many networks a fitted estimator has
``setting_text``       a setting as text that is the same in another process
=====================  ==================================================================================
"""

from shiftfix.mlp._saving._files import read, write_atomically
from shiftfix.mlp._saving._learned import networks_of
from shiftfix.mlp._saving._model import STATE, numpy_state, pack_estimator, restore_state, unpack_estimator
from shiftfix.mlp._saving._resume import FREE_ON_RESUME, checkpoint_writer, fingerprint, go_on, saved_run, setting_text

__all__ = [
    "FREE_ON_RESUME",
    "STATE",
    "checkpoint_writer",
    "fingerprint",
    "go_on",
    "networks_of",
    "numpy_state",
    "pack_estimator",
    "read",
    "restore_state",
    "saved_run",
    "setting_text",
    "unpack_estimator",
    "write_atomically",
]
