"""One encoded frame as the bytes of one file: what it is, the numbers as they lie in memory, and a checksum."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from napari_sam2.core.errors import FileFormatError

MAGIC = b"NS2EMB\x01\n"
"""The seventh byte is the version of the format; another one is not read."""

DTYPES = ("bool", "uint8", "uint16", "float16", "float32", "float64")
"""Types of arrays; whoever keeps bfloat16 keeps its bits as uint16."""

_DIGEST = 32
_ALIGNMENT = 64
_MAX_HEADER = 1 << 16
_PREFIX = len(MAGIC) + 4

Arrays = Mapping[str, np.ndarray]


def to_parts(key: str, arrays: Arrays) -> Iterator[bytes | memoryview]:
    """Yield the parts of a file, in order.

    Magic; the length of the header, uint32; the header, JSON; each array at a multiple of 64 bytes; and the SHA-256 of
    all that stands before it. Numbers are little-endian.

    Parameters
    ----------
    key : str
        What the arrays depend on; it is in the header, so a file under a wrong name is told.
    arrays : mapping of str to ndarray
        Of one of `DTYPES`.
    """
    digest = hashlib.sha256()
    dense = {name: _dense(array) for name, array in arrays.items()}
    header = {"key": key, "arrays": [_entry(name, array) for name, array in dense.items()]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(_aligned(_PREFIX + len(text)) - _PREFIX)
    for part in _body(text, dense):
        digest.update(part)
        yield part
    yield digest.digest()


def _body(text: bytes, dense: Arrays) -> Iterator[bytes | memoryview]:
    yield MAGIC + len(text).to_bytes(4, "little") + text
    for array in dense.values():
        data = array.ravel(order="K").astype(array.dtype.newbyteorder("<"), copy=False)
        yield data.view(np.uint8).data
        yield bytes(_aligned(data.nbytes) - data.nbytes)


def from_bytes(content: np.ndarray, key: str) -> dict[str, np.ndarray]:
    """Return the arrays in the `content`, uint8, of a file; they are views of it.

    Raises
    ------
    FileFormatError
        If it is damaged, cut, of another kind or version, or not of `key`.
    """
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    if len(content) < _PREFIX + _DIGEST or content[: len(MAGIC)].tobytes() != MAGIC:
        raise FileFormatError("it is no encoded frame of this version")
    if hashlib.sha256(body.data).digest() != digest.tobytes():
        raise FileFormatError("its checksum is wrong")
    length = int.from_bytes(body[len(MAGIC) : _PREFIX].tobytes(), "little")
    if length > min(_MAX_HEADER, len(body) - _PREFIX):
        raise FileFormatError(f"its header would have {length} bytes")
    try:
        header = json.loads(body[_PREFIX : _PREFIX + length].tobytes())
        if header["key"] != key:
            raise FileFormatError("it is of another frame")
        return dict(_arrays(header["arrays"], body[_PREFIX + length :]))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"its header cannot be understood: {error}") from error


def _arrays(entries: list[Any], data: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    start = 0
    for name, dtype_name, shape, strides in entries:
        if dtype_name not in DTYPES:
            raise FileFormatError(f"it has numbers of type {dtype_name}")
        dtype, size = np.dtype(dtype_name), math.prod(shape)
        if not _is_dense(shape, strides):
            raise FileFormatError(f"its array {name} has shape {shape} and strides {strides}")
        stop = start + size * dtype.itemsize
        if stop > len(data):
            raise FileFormatError("it is shorter than its header says")
        flat = data[start:stop].view(dtype.newbyteorder("<")).astype(dtype, copy=False)
        yield name, as_strided(flat, shape, [step * dtype.itemsize for step in strides])
        start = _aligned(stop)


def _entry(name: str, array: np.ndarray) -> tuple[str, str, list[int], list[int]]:
    if array.dtype.name not in DTYPES:
        raise ValueError(f"array {name} has type {array.dtype}, expected one of {DTYPES}")
    strides = [step // array.itemsize for step in array.strides]
    return name, array.dtype.name, list(array.shape), strides


def _dense(array: np.ndarray) -> np.ndarray:
    """Return `array`, or a contiguous copy if its elements do not fill a block of memory."""
    strides = [step / array.itemsize for step in array.strides]
    return array if _is_dense(array.shape, strides) else np.ascontiguousarray(array)


def _is_dense(shape: Any, strides: Any) -> bool:
    """Say whether elements fill a block of memory without gaps or overlaps: an array, its axes in any order."""
    expected = 1
    for step, length in sorted(zip(strides, shape, strict=True)):
        if length < 1 or step < 1 or (length > 1 and step != expected):
            return False
        expected *= length
    return True


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
