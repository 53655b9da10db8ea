"""The pickle of a stranger's checkpoint, read without an unpickler: a list of what may occur, and nothing is called.

A small machine follows the opcodes that `torch.save` writes for tables of tensors. Names of anything but tensors,
storages and `OrderedDict` end it, and so does every opcode that it does not know. What comes out is a description.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from napari_sam2.io.checkpoint_archive import refused

MAX_STEPS = 2_000_000
MAX_TEXT = 4096
MAX_AXES = 8

_STORAGES = {
    "BFloat16Storage": ("BF16", 2),
    "BoolStorage": ("BOOL", 1),
    "ByteStorage": ("U8", 1),
    "CharStorage": ("I8", 1),
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "IntStorage": ("I32", 4),
    "LongStorage": ("I64", 8),
    "ShortStorage": ("I16", 2),
}


@dataclass(frozen=True, slots=True)
class StorageType:
    """A typed storage's name. `dtype` as safetensors spells it; `item_size` bytes."""

    dtype: str
    item_size: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a part of the archive."""

    type: StorageType
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What a checkpoint says about a tensor. `dtype` as safetensors spells it; `offset`, `strides` in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Type of its numbers."""
        return self.storage.type.dtype

    @property
    def num_bytes(self) -> int:
        """What it takes when it is written."""
        return math.prod(self.shape) * self.storage.type.item_size


class Table(dict[Any, Any]):
    """An OrderedDict of the file."""


@dataclass(frozen=True, slots=True)
class _Callable:
    name: str


_ORDERED_DICT, _REBUILD = _Callable("OrderedDict"), _Callable("_rebuild_tensor_v2")
_NAMES: dict[str, StorageType | _Callable] = {
    "collections OrderedDict": _ORDERED_DICT,
    "torch._utils _rebuild_tensor_v2": _REBUILD,
    **{f"torch {name}": StorageType(*facts) for name, facts in _STORAGES.items()},
}


@dataclass(frozen=True, slots=True)
class Described:
    """What a pickle describes: containers of plain values and `TensorFacts`; and all storages that it names."""

    content: Any
    storages: tuple[Storage, ...]


def read_pickle(data: bytes) -> Described:
    """Return what a pickle describes; nothing is imported or called.

    Raises
    ------
    CheckpointError
        It says anything else, or is damaged.
    """
    machine = _Machine()
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if number >= MAX_STEPS:
                raise refused(f"its pickle takes more than {MAX_STEPS} steps")
            if opcode.name != "STOP":
                machine.step(opcode.name, argument)
            elif position != len(data) - 1:  # type: ignore[operator]
                raise refused("there is something behind the end of its pickle")
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
        if hasattr(error, "kept"):
            raise
        raise refused(f"its pickle is damaged or crafted ({type(error).__name__})") from error
    return Described(machine.result(), tuple(machine.storages))


class _Machine:
    """The stack of a pickle; a mark puts it aside and begins a new one."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._aside: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self.storages: set[Storage] = set()
        self._steps: dict[str, Callable[[Any], None]] = {
            "PROTO": self._proto,
            "GLOBAL": self._global,
            "MARK": self._mark,
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "BININT": self._number,
            "BININT1": self._number,
            "BININT2": self._number,
            "LONG1": self._number,
            "BINFLOAT": self._push,
            "BINUNICODE": self._text,
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "SETITEM": lambda _: self._set_items([self._pop(), self._pop()][::-1]),
            "SETITEMS": lambda _: self._set_items(self._since_mark()),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "BINPERSID": self._storage,
            "REDUCE": self._reduce,
            "BUILD": self._build,
        }

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        follow = self._steps.get(name)
        if follow is None:
            raise refused(f"its pickle uses {name}, which no table of tensors needs")
        follow(argument)

    def result(self) -> Any:
        """Return what lies on the stack at the end."""
        if len(self._stack) != 1 or self._aside:
            raise refused("its pickle leaves more than one thing")
        return self._stack[0]

    # Plain values

    def _pop(self) -> Any:
        return self._stack.pop()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _proto(self, version: int) -> None:
        if version != 2:
            raise refused(f"its pickle is of protocol {version}; torch.save writes protocol 2")

    def _number(self, value: int) -> None:
        if not -(1 << 63) <= value < 1 << 63:
            raise refused("its pickle has a number of more than 64 bits")
        self._stack.append(value)

    def _text(self, value: str) -> None:
        if len(value) > MAX_TEXT:
            raise refused(f"its pickle has a text of {len(value)} letters")
        self._stack.append(value)

    def _mark(self, _: Any) -> None:
        self._aside.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._aside.pop()
        return values

    def _tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise refused("its pickle takes more than there is")
        values = tuple(self._stack[-length:])
        del self._stack[-length:]
        self._stack.append(values)

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _get(self, key: int) -> None:
        self._stack.append(self._memo[key])

    # Containers

    def _set_items(self, values: list[Any]) -> None:
        table = self._stack[-1]
        if not isinstance(table, dict) or len(values) % 2:
            raise refused("its pickle sets items of what is no table")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int):
                raise refused("its pickle has a table whose keys are no texts")
            table[key] = value

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise refused("its pickle appends to what is no list")
        self._stack[-1].extend(values)

    # Tensors

    def _global(self, name: str) -> None:
        known = _NAMES.get(name)
        if known is None:
            raise refused(f"its pickle names {name[:200].replace(' ', '.')!r}, which is no tensor")
        self._stack.append(known)

    def _storage(self, _: Any) -> None:
        said = self._pop()
        kinds = (str, StorageType, str, str, int)
        if not _is_like(said, kinds) or said[0] != "storage" or said[4] < 0:
            raise refused("its pickle has a storage that is none")
        storage = Storage(said[1], said[2], said[4])
        self.storages.add(storage)
        self._stack.append(storage)

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if function is _ORDERED_DICT and arguments == ():
            self._stack.append(Table())
        elif function is _REBUILD:
            self._stack.append(_tensor(arguments))
        else:
            raise refused("its pickle calls what may not be called, or with other arguments")

    def _build(self, _: Any) -> None:
        """Drop what hangs on an OrderedDict: `state_dict` leaves versions of modules there."""
        state = self._pop()
        if not isinstance(self._stack[-1], Table) or type(state) is not dict:
            raise refused("its pickle changes the state of what is no table")
        if set(state) != {"_metadata"} or not isinstance(state["_metadata"], dict):
            raise refused("its pickle hangs something else than versions on a table")


def _is_like(values: Any, kinds: tuple[type, ...]) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == len(kinds)
        and all(type(value) is kind for value, kind in zip(values, kinds, strict=True))
    )


def _tensor(arguments: Any) -> TensorFacts:
    if not _is_like(arguments, (Storage, int, tuple, tuple, bool, Table)) or arguments[5]:
        _crafted()
    storage, offset, shape, strides = arguments[:4]
    if len(shape) != len(strides) or len(shape) > MAX_AXES or offset < 0:
        _crafted()
    for length, stride in zip(shape, strides, strict=True):
        if type(length) is not int or type(stride) is not int or length < 0 or stride < 0:
            _crafted()
    reach = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    last = offset + reach if math.prod(shape) else offset - 1
    if last >= storage.count or math.prod(shape) > storage.count:
        raise refused("its pickle has a tensor that reaches beyond its storage")
    return TensorFacts(storage, offset, shape, strides)


def _crafted() -> NoReturn:
    raise refused("its pickle has a tensor that is none")
