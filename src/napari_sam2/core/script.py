"""Script: values as the Python text that makes them, and the names which that text uses.

``from napari_sam2.core.script import *`` gives a console all names that occur in `Session.log`.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, KeysView, Mapping, Set, ValuesView
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from napari_sam2.core.extent import Extent
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.saved import SavedSession
from napari_sam2.core.state import Lock

__all__ = [
    "Extent",
    "FramePrompts",
    "IntensityMapping",
    "Lock",
    "ObjectInfo",
    "ObjectPrompts",
    "PackedMask",
    "PromptStep",
    "SavedSession",
    "array_from_text",
    "bytes_from_text",
]

SMALL = 64
"""Numbers up to which an array is written out."""

LARGEST = 16 << 20
"""Bytes up to which an array is written at all; a larger one is only named."""


def call_text(name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """Return a call of a method of the session as text."""
    given = [value_text(value) for value in args]
    given += [f"{key}={value_text(value)}" for key, value in kwargs.items()]
    return f"session.{name}({', '.join(given)})"


def value_text(value: Any) -> str:
    """Return the text of an expression that makes a value equal to this one."""
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, tuple):
        inner = ", ".join(map(value_text, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{value_text(key)}: {value_text(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, frozenset):
        return f"frozenset({value_text(sorted(value))})"
    if isinstance(value, Set | KeysView | ValuesView):
        return value_text(list(value))
    if isinstance(value, bytes):
        return f'bytes_from_text("{_packed(value)}")'
    if is_dataclass(value):
        parts = (f"{part.name}={value_text(getattr(value, part.name))}" for part in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array_text(value)
    return repr(value)


def array_from_text(dtype: str, shape: tuple[int, ...], text: str) -> np.ndarray:
    """Return the array that a line of the log holds as text."""
    return np.frombuffer(bytes_from_text(text), np.dtype(dtype)).reshape(shape)


def bytes_from_text(text: str) -> bytes:
    """Return the bytes that a line of the log holds as text."""
    return zlib.decompress(base64.b64decode(text, validate=True))


def _array_text(array: Any) -> str:
    size = int(np.prod(array.shape, dtype=np.int64))
    # Other libraries have types of their own: numpy's is known once the values are numpy's.
    if size * getattr(array.dtype, "itemsize", 8) > LARGEST:
        return (
            f"labels_of_{'x'.join(map(str, array.shape))}"  # to be bound by whoever runs it again
        )
    whole = np.asarray(array[...])
    dtype = whole.dtype
    # A stack is read frame by frame, which takes an array.
    if size <= SMALL and dtype.kind in "biuf" and whole.ndim < 3:
        return value_text(whole.tolist())
    native = whole.astype(dtype.newbyteorder("<"), copy=False)
    text = _packed(np.ascontiguousarray(native).tobytes())
    return f'array_from_text("{native.dtype.str}", {tuple(array.shape)!r}, "{text}")'


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")
