"""LazyLabels: what a session shows, as an array that is made one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


class LazyLabels:
    """A live (T, Y, X) label array: each frame is projected when it is asked for.

    It supports `shape`, `dtype`, `ndim`, `len`, iteration, indexing with integers and slices, and `np.asarray`
    (which makes all frames).
    """

    ndim = 3

    def __init__(
        self,
        project: Callable[[int], np.ndarray],
        shape: tuple[int, int, int],
        dtype: np.dtype,
    ) -> None:
        self._project, self.shape, self.dtype = project, shape, dtype

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._project(t) for t in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [item for item in keys if not isinstance(item, np.ndarray)]:
            place = keys.index(Ellipsis)
            missing = self.ndim - len(keys) + 1
            keys = (*keys[:place], *[slice(None)] * missing, *keys[place + 1 :])
        which, inside = (keys[0] if keys else slice(None)), keys[1:]
        chosen = np.arange(len(self))[
            which
        ]  # checks the range and knows about negative numbers and lists
        if chosen.ndim == 0:
            return self._project(int(chosen))[inside]
        cuts = [self._project(int(t))[inside] for t in chosen]
        return np.stack(cuts) if cuts else np.zeros((0, *self.shape[1:]), self.dtype)[:, *inside]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(
                "labels are made when they are asked for; they cannot be had without a copy"
            )
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyLabels(shape={self.shape}, dtype={self.dtype})"
