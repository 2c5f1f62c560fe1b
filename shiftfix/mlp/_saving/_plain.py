"""Plain values and tensors out of an archive that ``torch.save`` wrote, without pickle and without torch's reader.

The values stand there as a pickle, a list of instructions; the memory of each tensor is a part of its own. The few
instructions that plain values take are carried out here one by one, and any other is refused: none of them can call
anything. What a tensor says of its shape must agree with the size of its memory, and values cannot be shared, so that
nothing comes out larger than the file is.
"""

import math
import pickletools
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from shiftfix._archive import DamagedError, ForeignError, member
from shiftfix.mlp._saving._encoding import PLAIN

STORAGES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
    "torch ComplexFloatStorage": torch.complex64,
    "torch ComplexDoubleStorage": torch.complex128,
}
# Types that came later have no storage class, and are named beside one of bytes.
BYTES, DTYPES = (
    "torch.storage UntypedStorage",
    {f"torch uint{bits}": getattr(torch, f"uint{bits}") for bits in (16, 32, 64)},
)
TENSOR, LATER_TENSOR, HOOKS = (
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "collections OrderedDict",
)
# Text and memory that are referred to again come out again: up to so many times the size of the file.
MOST_REPEATED = 64
MOST_LARGE_KEYS, MOST_AXES = 1000, 64


class Name(NamedTuple):
    """A name in a module, which is only ever compared."""

    name: str


class Memory(NamedTuple):
    """The memory of a tensor: its part of the archive, type and number of entries."""

    key: str
    storage: str
    n_entries: int


@dataclass
class Values:
    """What has been made so far of the values in an archive."""

    archive: zipfile.ZipFile
    folder: str
    budget: int
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    tensors: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict)

    def spend(self, size: int) -> None:
        """Count what comes out again; raise ForeignError when it is more than a file of ours has."""
        self.budget -= size
        if self.budget < 0:
            raise ForeignError("its values are repeated too often")


def from_mark(values: Values) -> list[Any]:
    """Take off the stack what stands above its last mark."""
    start = values.marks.pop()
    taken = values.stack[start:]
    del values.stack[start:]
    return taken


def last(values: Values, kind: type) -> Any:
    """The uppermost value, a container of this kind."""
    if type(values.stack[-1]) is not kind:
        raise ForeignError("its values are no plain ones")
    return values.stack[-1]


def append(values: Values, items: list[Any]) -> None:
    last(values, list).extend(items)


def set_items(values: Values, items: list[Any]) -> None:
    keys = items[::2]
    # Large whole numbers can be chosen so that a dict compares each with all others.
    large = sum(type(key) is int and abs(key) >= 2**63 for key in keys)
    if len(items) % 2 or any(type(key) not in PLAIN for key in keys) or large > MOST_LARGE_KEYS:
        raise ForeignError("its dicts have keys of other kinds")
    last(values, dict).update(zip(keys, items[1::2], strict=True))


def pop(values: Values, n: int) -> list[Any]:
    """Take the last n values off the stack."""
    taken = values.stack[-n:]
    if len(taken) < n:
        raise ForeignError("its values are incomplete")
    del values.stack[-n:]
    return taken


def recall(values: Values, place: int) -> None:
    """Put a value on the stack again; containers would let a small file hold endless content."""
    value = values.memo[place]
    if type(value) is str:
        values.spend(len(value))
    elif type(value) is not Name:
        raise ForeignError("its values are shared")
    values.stack.append(value)


def remember(values: Values, place: int) -> None:
    values.memo[place] = values.stack[-1]


def refer(values: Values) -> None:
    """Read the reference to the memory of a tensor."""
    kind, storage, key, _, n_entries = values.stack.pop()
    if kind != "storage" or type(storage) is not Name or type(key) is not str or type(n_entries) is not int:
        raise ForeignError("its tensors are described in another way")
    values.stack.append(Memory(key, storage.name, n_entries))


def call(values: Values) -> None:
    """Make a tensor, or the empty dict of its hooks: the only calls there are."""
    name, arguments = pop(values, 2)
    if type(name) is not Name or type(arguments) is not tuple:
        raise ForeignError("it calls something")
    if name.name == HOOKS and not arguments:
        values.stack.append({})
    elif name.name == TENSOR and len(arguments) == 6:
        memory, offset, shape, stride = arguments[:4]
        values.stack.append(tensor_of(values, memory, STORAGES[memory.storage], offset, shape, stride))
    elif name.name == LATER_TENSOR and len(arguments) == 7 and arguments[0].storage == BYTES:
        memory, offset, shape, stride = arguments[:4]
        values.stack.append(tensor_of(values, memory, DTYPES[arguments[6].name], offset, shape, stride))
    else:
        raise ForeignError(f"it calls {name.name}")


def tensor_of(values: Values, memory: Memory, dtype: torch.dtype, offset: Any, shape: Any, stride: Any) -> torch.Tensor:
    """The tensor of a memory that it fills; ForeignError for a view of it, or one that is larger."""
    sizes = (*shape, *stride, offset)
    if any(type(size) is not int or not 0 <= size < 2**60 for size in sizes) or offset or len(sizes) > MOST_AXES:
        raise ForeignError("its tensors have impossible shapes")
    n_entries = math.prod(shape)
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    dense = all(size == 1 or step == found for size, step, found in zip(shape, steps, stride, strict=True))
    if not (dense or n_entries == 0):
        raise ForeignError("its tensors are views")
    unit = 1 if memory.storage == BYTES else dtype.itemsize
    if memory.n_entries * unit != n_entries * dtype.itemsize:
        raise ForeignError("its tensors are larger or smaller than their memory")
    if n_entries == 0:
        return torch.empty(shape, dtype=dtype)
    key = (memory.key, dtype, shape)
    if key not in values.tensors:
        raw = bytearray(member(values.archive, f"{values.folder}/data/{memory.key}"))
        if len(raw) != n_entries * dtype.itemsize:
            raise ForeignError("its tensors are larger or smaller than their memory")
        flat = torch.frombuffer(raw, dtype=torch.uint8 if dtype == torch.bool else dtype)
        values.tensors[key] = (flat != 0 if dtype == torch.bool else flat).reshape(shape)
    values.spend(n_entries * dtype.itemsize)
    return values.tensors[key]


def constant(value: Any) -> Callable[[Values, Any], None]:
    return lambda values, _: values.stack.append(value)


def push(values: Values, value: Any) -> None:
    values.stack.append(value)


INSTRUCTIONS: dict[str, Callable[[Values, Any], None]] = {
    "PROTO": lambda values, _: None,
    "STOP": lambda values, _: None,
    "MARK": lambda values, _: values.marks.append(len(values.stack)),
    "NONE": constant(None),
    "NEWTRUE": constant(True),
    "NEWFALSE": constant(False),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE"], push),
    "EMPTY_DICT": lambda values, _: values.stack.append({}),
    "EMPTY_LIST": lambda values, _: values.stack.append([]),
    "EMPTY_TUPLE": constant(()),
    "TUPLE1": lambda values, _: values.stack.append(tuple(pop(values, 1))),
    "TUPLE2": lambda values, _: values.stack.append(tuple(pop(values, 2))),
    "TUPLE3": lambda values, _: values.stack.append(tuple(pop(values, 3))),
    "TUPLE": lambda values, _: values.stack.append(tuple(from_mark(values))),
    "APPEND": lambda values, _: append(values, pop(values, 1)),
    "APPENDS": lambda values, _: append(values, from_mark(values)),
    "SETITEM": lambda values, _: set_items(values, pop(values, 2)),
    "SETITEMS": lambda values, _: set_items(values, from_mark(values)),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT"], remember),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], recall),
    "GLOBAL": lambda values, name: values.stack.append(Name(name)),
    "BINPERSID": lambda values, _: refer(values),
    "REDUCE": lambda values, _: call(values),
}


def folder_of(archive: zipfile.ZipFile) -> str:
    """The folder in an archive of ``torch.save`` that holds all its parts."""
    folders = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ForeignError("it holds no values of torch.save")
    return folders[0]


def read_values(archive: zipfile.ZipFile) -> Any:
    """The values that ``torch.save`` wrote: dicts, lists, tuples, text, numbers, bools, None and dense tensors.

    Parameters
    ----------
    archive : zipfile.ZipFile
        Of :func:`open_archive`.

    Raises
    ------
    ForeignError
        For anything else in it.
    DamagedError
    """
    folder = folder_of(archive)
    order = member(archive, f"{folder}/byteorder").decode("ascii", "replace")
    if order != sys.byteorder:
        raise ForeignError(f"its numbers are in the order of bytes of another machine ({order[:10]!r})")
    pickled = member(archive, f"{folder}/data.pkl")
    size = sum(info.file_size for info in archive.infolist())
    values = Values(archive, folder, MOST_REPEATED * size)
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            INSTRUCTIONS[opcode.name](values, argument)
    except (ForeignError, DamagedError):
        raise
    except Exception as error:  # what a pickle that is none raises is endless
        raise ForeignError(f"its values cannot be read ({type(error).__name__})") from error
    if len(values.stack) != 1 or values.marks:
        raise ForeignError("its values are incomplete")
    return values.stack[0]
