"""Save and load a model; tell what a file is that holds none."""

import io
import os
import reprlib
import warnings
from functools import partial
from typing import IO, Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from shiftfix._archive import DamagedError, ForeignError, open_archive
from shiftfix._atomic import check_writable, replace_file
from shiftfix._model_files._schema import TRUSTED, checked_file
from shiftfix._model_files._skops import skops_io
from shiftfix._model_files._trees import check_columns
from shiftfix._naming import short_error
from shiftfix.exceptions import ShiftDataError

NETWORKS = ("shiftfix.mlp._classifier", "shiftfix.mlp._regressor")
UNSAFE = "joblib stores it, in a file that can run code when it is read: load only files you trust."
# First bytes of files that are taken for models.
KINDS = (
    (
        b"\x80",
        "a pickle, such as joblib writes, and reading it could run code: save the model with shiftfix.save_model",
    ),
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (b"PAR1", "a Parquet table, and a model is needed"),
    (b"\x89HDF", "an HDF5 file, and a model of shiftfix or skops is needed"),
    (b"%PDF", "a PDF document, and a model is needed"),
    (b"\x93NUMPY", "an array of numpy, and a model is needed"),
    (b"{", "a JSON file, and a model is needed"),
)
PARTS = (
    ("/data.pkl", "network"),
    ("[Content_Types].xml", "a document of an office program, and a model is needed"),
    (".npy", "an archive of arrays of numpy, and a model is needed"),
    ("config.json", "a model of another package"),
)

UNKNOWN = "an archive that holds no model"


def save_model(model: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to a file that :func:`load_model` reads without executing anything.

    Parameters
    ----------
    model : estimator
        Networks, weighters, priors, meta-estimators and monitors of this package, scikit-learn's estimators, and
        Pipelines of them. A network is written as by its own ``save``; all else takes skops.
    path : str or path-like
        In an existing directory; ".skops" is a usual ending. Replaced whole or not at all.

    Raises
    ------
    ShiftDataError
        For a model that cannot be stored without pickle: one that is not of these packages, holds functions, or whose
        compiled parts trust their file (support vectors, neighbors). For a path that is no place for a file.
    NotFittedError
    MissingDependencyError
        Without skops (extra ``cli``).

    See Also
    --------
    load_model : Reads the file again.
    """
    if not isinstance(model, BaseEstimator):
        raise ShiftDataError(f"model={reprlib.repr(model)} is no estimator: pass a fitted one.")
    refuse_unfitted(model)
    check_writable(path)
    if type(model).__module__ in NETWORKS:
        model.save(path)
        return
    content = packed_model(model)
    replace_file(path, partial(_write_bytes, content))


def refuse_unfitted(model: BaseEstimator) -> None:
    """Raise NotFittedError for what was not fitted; a monitor has no ``fit``: what it was told so far is its state."""
    if hasattr(model, "fit"):
        check_is_fitted(model)


def _write_bytes(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def packed_model(model: BaseEstimator) -> bytes:
    """The file of a model, which has been read back.

    Raises
    ------
    ShiftDataError
        For a model that cannot be stored without pickle.
    """
    skops = skops_io()
    name = type(model).__name__
    try:
        content: bytes = skops.dumps(model)
        made_of(io.BytesIO(content))
    except ShiftDataError:
        raise
    except ForeignError as error:
        raise ShiftDataError(f"{name} cannot be stored without pickle ({error}). {UNSAFE}") from error
    except Exception as error:  # what skops raises for objects that it does not know is endless
        raise ShiftDataError(f"{name} cannot be stored without pickle ({short_error(error)}). {UNSAFE}") from error
    return content


def load_model(path: str | os.PathLike[str]) -> Any:
    """The fitted model in a file of :func:`save_model`, of a network's ``save``, or of ``shiftfix correct``.

    Nothing in the file is executed: it is read without pickle, holds the classes of this package and of scikit-learn
    alone, and its sizes are compared with that of the file before anything is built.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator

    Raises
    ------
    FileNotFoundError
    ShiftDataError
        For a damaged file, one of another program, which is named where it is known, and one that holds anything else.
    MissingDependencyError
        Without skops (extra ``cli``), for all but networks.

    See Also
    --------
    save_model : Writes the file.
    """
    name = os.fsdecode(path)
    if os.path.exists(name) and not os.path.isfile(name):
        what = "directory" if os.path.isdir(name) else "device or a pipe"
        raise ShiftDataError(f"{name!r} is a {what}: pass the path of a model file.")
    with open(name, "rb") as file:
        kind = kind_of(file)
        if kind is None:
            return _load_skops(file, name)
    if kind == "network":
        from shiftfix.mlp import load_network

        return load_network(path)
    raise ShiftDataError(f"{name!r} is {kind}. Nothing in it was executed.")


def kind_of(file: IO[bytes]) -> str | None:
    """None for a file of skops, "network" for one of a network, else what it is, in words."""
    start = file.read(8)
    if start.startswith(b"PK\x03\x04"):
        return kind_of_archive(file)
    found = [words for mark, words in KINDS if start.startswith(mark)]
    return [*found, "no model of shiftfix" if start else "empty: take another copy"][0]


def kind_of_archive(file: IO[bytes]) -> str | None:
    """The same of a zip archive, by the names of its parts."""
    try:
        names = open_archive(file).namelist()
    except (DamagedError, ForeignError):
        return None  # whoever reads it says why
    if "schema.json" in names:
        return None
    return next((words for ending, words in PARTS if any(name.endswith(ending) for name in names)), UNKNOWN)


def _load_skops(file: IO[bytes], name: str) -> Any:
    try:
        model = made_of(file)
        refuse_unfitted(model)
    except DamagedError as error:
        raise ShiftDataError(
            f"{name!r} is damaged or cut short ({error}): take another copy. Nothing in it was executed."
        ) from error
    except NotFittedError as error:
        raise ShiftDataError(f"{name!r} holds a model that is not fitted: save it after fit.") from error
    except (ForeignError, ShiftDataError) as error:
        text = str(error).rstrip(".")
        raise ShiftDataError(
            f"{name!r} holds no model that shiftfix can read ({text}): pass a file that shiftfix wrote. Nothing in it "
            "was executed."
        ) from error
    return model


def made_of(file: IO[bytes]) -> Any:
    """The model in a file of skops.

    Raises
    ------
    ForeignError, DamagedError
    ShiftDataError
        For a network that does not fit together.
    """
    skops = skops_io()
    try:
        with open_archive(file) as archive:
            content = checked_file(archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = skops.loads(content, trusted=TRUSTED)
        check_columns(model)
    except (ForeignError, DamagedError, ShiftDataError):
        raise
    except Exception as error:  # what content that was made up raises is endless
        raise ForeignError(short_error(error)) from error
    if not isinstance(model, BaseEstimator):
        raise ForeignError(f"it holds a {type(model).__name__}, which is no estimator")
    return model
