"""How a network leaves its process: to files, to other packages' files, and to pickle."""

import copyreg
import os
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._atomic import check_writable
from shiftfix._door import PublicCalls
from shiftfix.mlp._saving import (
    STATE,
    numpy_state,
    pack_estimator,
    read,
    restore_state,
    unpack_estimator,
    write_atomically,
)


class SavedNetwork(PublicCalls, BaseEstimator):
    """Files without pickle, and two states: one of numpy arrays for skops, and a whole one for pickle and copies."""

    def __getstate__(self) -> dict[str, Any]:
        """Numbers, text and numpy arrays alone, without settings that belong to a machine: what skops stores."""
        return numpy_state(self)

    def __setstate__(self, state: Any) -> None:
        """Take either state; that of numpy arrays, which may come from a file, with all checks of :meth:`load`."""
        if isinstance(state, dict) and STATE not in state:
            super().__setstate__(state)
            return
        self.__dict__.update(vars(restore_state(state, type(self))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle and copies keep what they always kept: callbacks, a module that was changed by hand, and all.
        return copyreg.__newobj__, (type(self),), super().__getstate__()  # type: ignore[attr-defined]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file that runs no code when it is read; replaced whole or not at all.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ShiftDataError
            When a setting is a function, class or object, which cannot be stored without pickle: use joblib then. When
            a setting that makes the layers was changed after ``fit``.
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "module_")
        check_writable(path)
        write_atomically(pack_estimator(self), path, "model")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator in a file written by :meth:`save`.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        FileNotFoundError
        ShiftDataError
            For a damaged file, one of another program, or of another estimator.
        """
        return unpack_estimator(read(path, "model"), cls)
