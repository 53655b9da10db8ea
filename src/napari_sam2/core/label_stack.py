"""PackedLabels: a label stack as an immutable value; nobody who goes on drawing in the original changes it."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

_KEPT = 4
"""Frames that are kept unpacked: the one that is shown, and its neighbours."""


class PackedLabels:
    """A label stack (T, Y, X) of whole numbers, each frame compressed on its own.

    Label images compress a hundredfold, so a copy costs little, also of a stack that is larger than memory.

    Parameters
    ----------
    shape : (T, Y, X)
        Of the stack, pixels.
    dtype : dtype
        Of the labels, an integer type; they are kept little-endian.
    packed : iterable of bytes
        One zlib stream a frame, of its rows one after another.
    """

    ndim = 3

    def __init__(
        self, shape: tuple[int, int, int], dtype: DTypeLike, packed: Iterable[bytes]
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype).newbyteorder("<")
        self.packed = tuple(packed)
        self._unpacked: OrderedDict[int, np.ndarray] = OrderedDict()

    @staticmethod
    def pack(frame: np.ndarray) -> bytes:
        """Return a frame (Y, X) compressed; level 1 of zlib, because somebody waits for it."""
        little = frame.astype(frame.dtype.newbyteorder("<"), copy=False)
        return zlib.compress(np.ascontiguousarray(little).tobytes(), 1)

    def __len__(self) -> int:
        return len(self.packed)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PackedLabels)
            and (self.shape, self.dtype) == (other.shape, other.dtype)
            and all(np.array_equal(self[t], other[t]) for t in range(len(self)))
        )

    __hash__ = None  # type: ignore[assignment]  # a value, but too large to be a key

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return frame `key`, read-only; or, for anything else, what a numpy array would give."""
        if not isinstance(key, (int, np.integer)):
            whole: np.ndarray = np.asarray(self)[key]
            return whole
        t = range(len(self))[key]
        frame = self._unpacked.pop(t, None)
        if frame is None:
            frame = np.frombuffer(zlib.decompress(self.packed[t]), self.dtype)
            frame = frame.reshape(self.shape[1:])
        self._unpacked[t] = frame
        if len(self._unpacked) > _KEPT:
            self._unpacked.popitem(last=False)
        return frame

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("packed labels cannot be had without a copy")
        return np.stack([self[t] for t in range(len(self))]).astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"PackedLabels(shape={self.shape}, dtype={self.dtype})"
