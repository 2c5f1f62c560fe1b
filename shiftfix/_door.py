"""The public door: what is set outside the package stays outside, and settings of numpy's types become Python's.

Every public function is decorated with :func:`public`, and every estimator inherits :class:`PublicCalls`; below the
door nobody thinks of either. What comes from the user, such as an estimator that is corrected, keeps the output that
the user has set for transformers.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from inspect import isfunction
from typing import Any, ClassVar, ParamSpec, TypeVar

import numpy as np
import sklearn
from scipy import special

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# What numpy does of itself, for the modes that stop a calculation or hand it on; "ignore" and "warn" stay the user's.
NUMPY_ERRORS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
MEMORY = "memory"  # the one error of scipy's functions that raises as they come
# The checks of scikit-learn let NaN pass with the first, and hand tensors on with the second.
CHECKS = {"assume_finite": False, "array_api_dispatch": False}
OUTPUT = {"transform_output": "default"}
PYTHON_TYPES: dict[str, Callable[[Any], Any]] = {"b": bool, "i": int, "u": int, "f": float, "c": complex, "U": str}


def _numpy_modes() -> dict[str, Any]:
    """For the errors that numpy would stop at or hand on: what it does of itself."""
    return {kind: NUMPY_ERRORS[kind] for kind, mode in np.geterr().items() if mode not in ("ignore", "warn")}


def _scipy_modes() -> dict[str, Any]:
    """For the errors that scipy's functions would raise: to ignore them, as they do of themselves."""
    return {kind: "ignore" for kind, mode in special.geterr().items() if mode == "raise" and kind != MEMORY}


@contextmanager
def own_options(own_output: bool = False) -> Iterator[None]:
    """Inside, options of scikit-learn, numpy and scipy that would change or stop our numbers are as they come.

    Parameters
    ----------
    own_output : bool, default=False
        Whether no transformer of the user's is called inside, so that all of them may return arrays.
    """
    wanted, config = CHECKS | OUTPUT if own_output else CHECKS, sklearn.get_config()
    stopping, raising = _numpy_modes(), _scipy_modes()
    with ExitStack() as stack:
        if any(config[name] != value for name, value in wanted.items()):
            stack.enter_context(sklearn.config_context(**wanted))
        if stopping:
            stack.enter_context(np.errstate(**stopping))
        if raising:
            stack.enter_context(special.errstate(**raising))
        yield


def _is_array_of_one(value: Any) -> bool:
    """Whether a value is an array without dimensions, and not masked."""
    return isinstance(value, np.ndarray) and value.ndim == 0 and not isinstance(value, np.ma.MaskedArray)


def plain(value: Any) -> Any:
    """A number, bool or text of numpy's, also one in an array without dimensions, as Python's; a fraction as a float;
    anything else as it is.

    They compare alike, and are not alike: a float32 scalar widens no array, ``np.True_ is True`` is false, and torch
    takes none of them.
    """
    if isinstance(value, Fraction):
        return float(value)
    is_array = _is_array_of_one(value)
    if not (is_array or isinstance(value, np.generic)):
        return value
    if is_array and value.dtype.kind == "O":
        return value.item()
    make = PYTHON_TYPES.get(value.dtype.kind)
    return value if make is None else make(value[()] if is_array else value)


def public(call: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorator of a public function."""

    @functools.wraps(call)
    def door(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with own_options():
            return _with_plain_arguments(call, args, kwargs)

    return door


def _with_plain_arguments(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return call(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()})


def _method_door(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def door(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._surroundings():
            return _with_plain_settings(self, call, args, kwargs)

    return door


def _is_setting(name: str) -> bool:
    """Whether an attribute is neither private nor learned."""
    return not (name[0] == "_" or name[-1] == "_")


def _with_plain_settings(estimator: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
    """What a method returns, called on a twin that has plain settings where the estimator's own are not."""
    given = dict(vars(estimator))
    settings = {name: plain(value) for name, value in given.items() if _is_setting(name)}
    changed = {name: value for name, value in settings.items() if value is not given[name]}
    if not changed:
        return _with_plain_arguments(functools.partial(call, estimator), args, kwargs)
    before, twin = given | changed, object.__new__(type(estimator))
    vars(twin).update(before)
    found = _with_plain_arguments(functools.partial(call, twin), args, kwargs)
    _take_over(vars(estimator), before, vars(twin))
    return estimator if found is twin else found


def _take_over(given: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Give an estimator what a call has changed on its twin, and touch nothing else: other threads may use it."""
    for name in before.keys() - after.keys():
        given.pop(name, None)
    given.update({name: value for name, value in after.items() if before.get(name, before) is not value})


def _opened(member: Any) -> Any:
    """A public member of a class behind the door; None for what needs none."""
    if isfunction(member):
        return _method_door(member)
    if isinstance(member, classmethod):
        return classmethod(public(member.__func__))
    if isinstance(member, property) and member.fget is not None:
        return property(_method_door(member.fget), member.fset, member.fdel, member.__doc__)
    if isfunction(getattr(member, "fn", None)):  # scikit-learn's available_if
        member.fn = _method_door(member.fn)
    return None


class PublicCalls:
    """Puts the public methods and properties of subclasses behind the door."""

    # False where estimators of the user's are called inside.
    _own_output: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name, member in list(vars(cls).items()):
            opened = None if name.startswith("_") else _opened(member)
            if opened is not None:
                setattr(cls, name, opened)
        super().__init_subclass__(**kwargs)

    def _surroundings(self) -> AbstractContextManager[None]:
        """What public calls run in."""
        return own_options(self._own_output)
