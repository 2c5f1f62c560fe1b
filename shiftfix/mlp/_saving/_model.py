"""A fitted estimator as content for a file, and back."""

import reprlib
from typing import Any, TypeVar

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix import __version__
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving._encoding import NotStorableError, decode, encode, is_learned

Estimator = TypeVar("Estimator", bound=BaseEstimator)
WRONG = "The file holds no estimator that this version of shiftfix can read"


def _is_kept(estimator: BaseEstimator, name: str) -> bool:
    """Whether an attribute is learned, or one of the private ones that the class names in ``_saved_private``."""
    return (is_learned(name) or name in getattr(estimator, "_saved_private", ())) and name != "module_"


def pack_estimator(estimator: Any) -> dict[str, Any]:
    """All of a fitted estimator that predicting, continuing and inspecting take, as content for a file.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted. Attributes whose names end in "_", and those in the class's tuple ``_saved_private``, are kept:
        numbers, text, bools, None, numpy arrays of numbers or text, tensors, ``StandardScaler``, and dicts, lists and
        tuples of those.

    Returns
    -------
    dict
        "class" (str), "settings", "fitted", and "module" (a state dict on the CPU); shares no memory with the
        estimator.

    Raises
    ------
    NotFittedError
    ShiftDataError
        When a setting or an attribute is a function, a class or another object, which takes pickle to store, and when
        the settings are no longer those of the network's layers.
    """
    check_is_fitted(estimator, "module_")
    try:
        settings = {name: encode(value, name) for name, value in estimator.get_params(deep=False).items()}
    except NotStorableError as error:
        where, value = error.args
        raise ShiftDataError(
            f"{where}={reprlib.repr(value)} is a {type(value).__name__}, and cannot be stored without pickle: set it "
            "to a name, or use joblib."
        ) from None
    if repr(estimator._build_module()) != repr(estimator.module_):
        raise ShiftDataError(
            "The fitted network has other layers than the settings ask for, and would come back as another: put back "
            "those that were set after fit, or fit again."
        )
    try:
        fitted = {name: encode(value, name) for name, value in vars(estimator).items() if _is_kept(estimator, name)}
    except NotStorableError as error:
        where, value = error.args
        raise ShiftDataError(
            f"The fitted attribute {where} holds {reprlib.repr(value)}, a {type(value).__name__}, and cannot be stored "
            "without pickle: use joblib."
        ) from None
    module = {name: value.detach().cpu().clone() for name, value in estimator.module_.state_dict().items()}
    return {"class": type(estimator).__name__, "settings": settings, "fitted": fitted, "module": module}


def _check_content(content: Any, expected_class: type[BaseEstimator]) -> None:
    """Raise ShiftDataError unless it is of this class, and of settings that the class has."""
    if type(content) is not dict or set(content) != {"class", "settings", "fitted", "module"}:
        raise ShiftDataError(f"{WRONG}: pass a file that an estimator's save wrote.")
    found, expected = content["class"], expected_class.__name__
    if found != expected:
        raise ShiftDataError(f"The file holds a {found}, and a {expected} is needed: use {found}.load.")
    unknown = sorted(set(content["settings"]) - set(expected_class().get_params(deep=False)))
    if unknown:
        raise ShiftDataError(
            f"The file sets {', '.join(unknown)}, which {expected} does not have in shiftfix {__version__}: it was "
            "written by another version; upgrade."
        )


def unpack_estimator(content: Any, expected_class: type[Estimator]) -> Estimator:
    """Fitted estimator from what :func:`pack_estimator` made.

    Parameters
    ----------
    content : dict
    expected_class : type
        Class of the estimator. Its method ``_build_module()`` is called when all other attributes are set, and returns
        a ``torch.nn.Module`` of the right shape, whose parameters are then overwritten.

    Returns
    -------
    estimator : expected_class

    Raises
    ------
    ShiftDataError
        For an estimator of another class, settings that the class does not have, and content that is no estimator.
    """
    _check_content(content, expected_class)
    try:
        estimator = expected_class(**{name: decode(value) for name, value in content["settings"].items()})
        fitted = {name: decode(value) for name, value in content["fitted"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShiftDataError(f"{WRONG} ({error}): upgrade.") from error
    for name, value in fitted.items():
        if _is_kept(estimator, name):
            setattr(estimator, name, value)
    module = estimator._build_module()
    try:
        module.load_state_dict(content["module"])
    except (RuntimeError, TypeError) as error:
        raise ShiftDataError(f"{WRONG} (its parameters do not fit its settings: {error}).") from error
    estimator.module_ = module.eval()
    return estimator
