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

from shiftfix._archive import DamagedError, ForeignError, member, require
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
        require(self.budget >= 0, "its values are repeated too often")


def from_mark(values: Values) -> list[Any]:
    """Take off the stack what stands above its last mark."""
    start = values.marks.pop()
    taken = values.stack[start:]
    del values.stack[start:]
    return taken


def last(values: Values, kind: type) -> Any:
    """The uppermost value, a container of this kind."""
    require(type(values.stack[-1]) is kind, "its values are no plain ones")
    return values.stack[-1]


def append(values: Values, items: list[Any]) -> None:
    last(values, list).extend(items)


def set_items(values: Values, items: list[Any]) -> None:
    keys = items[::2]
    require(set(map(type, keys)) <= set(PLAIN), "its dicts have keys of other kinds")
    # Large whole numbers can be chosen so that a dict compares each with all others.
    require(sum(map(is_large, keys)) <= MOST_LARGE_KEYS, "its dicts have keys of other kinds")
    last(values, dict).update(zip(keys, items[1::2], strict=True))


def is_large(key: Any) -> bool:
    return type(key) is int and abs(key) >= 2**63


def pop(values: Values, n: int) -> list[Any]:
    """Take the last n values off the stack."""
    taken = values.stack[-n:]
    require(len(taken) == n, "its values are incomplete")
    del values.stack[-n:]
    return taken


def recall(values: Values, place: int) -> None:
    """Put a value on the stack again; containers would let a small file hold endless content."""
    value = values.memo[place]
    require(type(value) in (str, Name), "its values are shared")
    values.spend(len(value))
    values.stack.append(value)


def remember(values: Values, place: int) -> None:
    values.memo[place] = values.stack[-1]


def refer(values: Values, _: Any) -> None:
    """Read the reference to the memory of a tensor."""
    kind, storage, key, _, n_entries = values.stack.pop()
    kinds = (kind, type(storage), type(key), type(n_entries))
    require(kinds == ("storage", Name, str, int), "its tensors are described in another way")
    values.stack.append(Memory(key, storage.name, n_entries))


def call(values: Values, _: Any) -> None:
    """Make a tensor, or the empty dict of its hooks: the only calls there are."""
    name, arguments = pop(values, 2)
    require((type(name), type(arguments)) == (Name, tuple), "it calls something")
    require(name.name in CALLS, f"it calls {name.name}")
    values.stack.append(CALLS[name.name](values, *arguments))


def no_hooks(values: Values) -> dict[Any, Any]:
    return {}


def rebuilt(values: Values, memory: Memory, offset: Any, shape: Any, stride: Any, *_: Any) -> torch.Tensor:
    return tensor_of(values, memory, STORAGES[memory.storage], (offset, shape, stride))


def rebuilt_later(
    values: Values, memory: Memory, offset: Any, shape: Any, stride: Any, gradient: Any, hooks: Any, dtype: Name
) -> torch.Tensor:
    require(memory.storage == BYTES, "its tensors are described in another way")
    return tensor_of(values, memory, DTYPES[dtype.name], (offset, shape, stride))


CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": no_hooks,
    "torch._utils _rebuild_tensor_v2": rebuilt,
    "torch._utils _rebuild_tensor_v3": rebuilt_later,
}


def tensor_of(values: Values, memory: Memory, dtype: torch.dtype, view: tuple[Any, Any, Any]) -> torch.Tensor:
    """The tensor of a memory that it fills; ForeignError for a view of it, or one that is larger."""
    check_view(*view)
    shape = view[1]
    n_bytes = math.prod(shape) * dtype.itemsize
    unit = 1 if memory.storage == BYTES else dtype.itemsize
    require(memory.n_entries * unit == n_bytes, "its tensors are larger or smaller than their memory")
    if n_bytes == 0:
        return torch.empty(shape, dtype=dtype)
    values.spend(n_bytes)
    key = (memory.key, dtype, shape)
    if key not in values.tensors:
        values.tensors[key] = entries_of(values, memory, dtype, n_bytes).reshape(shape)
    return values.tensors[key]


def check_view(offset: Any, shape: Any, stride: Any) -> None:
    """Raise unless a tensor is a whole memory, in order."""
    sizes = (*shape, *stride, offset)
    require(set(map(type, sizes)) == {int} and len(sizes) <= MOST_AXES, "its tensors have impossible shapes")
    require(min(sizes) >= 0 and max(sizes) < 2**60, "its tensors have impossible shapes")
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    # The step along an axis of one entry, and any step of none, means nothing.
    wrong = [found for size, step, found in zip(shape, steps, stride, strict=True) if size > 1 and step != found]
    require(not offset and (not wrong or 0 in shape), "its tensors are views")


def entries_of(values: Values, memory: Memory, dtype: torch.dtype, n_bytes: int) -> torch.Tensor:
    """The numbers in a memory, in one row."""
    raw = bytearray(member(values.archive, f"{values.folder}/data/{memory.key}"))
    require(len(raw) == n_bytes, "its tensors are larger or smaller than their memory")
    if dtype == torch.bool:  # other bytes than 0 and 1 are no truth values
        return torch.frombuffer(raw, dtype=torch.uint8) != 0
    return torch.frombuffer(raw, dtype=dtype)


def ignore(values: Values, _: Any) -> None:
    pass


def mark(values: Values, _: Any) -> None:
    values.marks.append(len(values.stack))


def push(values: Values, value: Any) -> None:
    values.stack.append(value)


def push_none(values: Values, _: Any) -> None:
    values.stack.append(None)


def push_true(values: Values, _: Any) -> None:
    values.stack.append(True)


def push_false(values: Values, _: Any) -> None:
    values.stack.append(False)


def push_dict(values: Values, _: Any) -> None:
    values.stack.append({})


def push_list(values: Values, _: Any) -> None:
    values.stack.append([])


def push_name(values: Values, name: str) -> None:
    values.stack.append(Name(name))


def push_tuple(values: Values, _: Any) -> None:
    values.stack.append(())


def tuple_of_one(values: Values, _: Any) -> None:
    values.stack.append(tuple(pop(values, 1)))


def tuple_of_two(values: Values, _: Any) -> None:
    values.stack.append(tuple(pop(values, 2)))


def tuple_of_three(values: Values, _: Any) -> None:
    values.stack.append(tuple(pop(values, 3)))


def tuple_from_mark(values: Values, _: Any) -> None:
    values.stack.append(tuple(from_mark(values)))


def append_one(values: Values, _: Any) -> None:
    append(values, pop(values, 1))


def append_all(values: Values, _: Any) -> None:
    append(values, from_mark(values))


def set_one(values: Values, _: Any) -> None:
    set_items(values, pop(values, 2))


def set_all(values: Values, _: Any) -> None:
    set_items(values, from_mark(values))


INSTRUCTIONS: dict[str, Callable[[Values, Any], None]] = {
    **dict.fromkeys(["PROTO", "STOP"], ignore),
    **dict.fromkeys(["BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE"], push),
    **dict.fromkeys(["BINPUT", "LONG_BINPUT"], remember),
    **dict.fromkeys(["BINGET", "LONG_BINGET"], recall),
    "MARK": mark,
    "NONE": push_none,
    "NEWTRUE": push_true,
    "NEWFALSE": push_false,
    "GLOBAL": push_name,
    "EMPTY_DICT": push_dict,
    "SETITEM": set_one,
    "SETITEMS": set_all,
    "EMPTY_LIST": push_list,
    "APPEND": append_one,
    "APPENDS": append_all,
    "EMPTY_TUPLE": push_tuple,
    "TUPLE1": tuple_of_one,
    "TUPLE2": tuple_of_two,
    "TUPLE3": tuple_of_three,
    "TUPLE": tuple_from_mark,
    "BINPERSID": refer,
    "REDUCE": call,
}


def folder_of(archive: zipfile.ZipFile) -> str:
    """The folder in an archive of ``torch.save`` that holds all its parts."""
    folders = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    require(len(folders) == 1, "it holds no values of torch.save")
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
    require(order == sys.byteorder, f"its numbers are in the order of bytes of another machine ({order[:10]!r})")
    pickled = member(archive, f"{folder}/data.pkl")
    size = sum(info.file_size for info in archive.infolist())
    values = Values(archive, folder, MOST_REPEATED * size)
    try:
        carry_out(pickled, values)
    except (ForeignError, DamagedError):
        raise
    except Exception as error:  # what a pickle that is none raises is endless
        raise ForeignError(f"its values cannot be read ({type(error).__name__})") from error
    require((len(values.stack), values.marks) == (1, []), "its values are incomplete")
    return values.stack[0]


def carry_out(pickled: bytes, values: Values) -> None:
    """Carry out the instructions of a pickle, where they are of the few kinds that are known."""
    for opcode, argument, _ in pickletools.genops(pickled):
        INSTRUCTIONS[opcode.name](values, argument)
