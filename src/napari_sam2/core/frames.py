"""FrameSource: frames are read one at a time, in their own dtype, and the stack is never copied."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class FrameSource(Protocol):
    """A stack of frames along the propagated axis."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of every frame, pixels."""

    @property
    def dtype(self) -> np.dtype:
        """Data type of the stored pixels."""

    @property
    def is_rgb(self) -> bool:
        """Whether a frame is (Y, X, 3) instead of (Y, X)."""

    def __len__(self) -> int:
        """Return the number of frames."""

    def read(self, t: int) -> np.ndarray:
        """Return frame `t`, (Y, X) or (Y, X, 3), in native byte order; `FrameReadError` if it cannot be had."""


class ForwardedFrames:
    """A `FrameSource` that is another one, but for what a subclass changes."""

    def __init__(self, frames: FrameSource) -> None:
        self._frames = frames

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of every frame, pixels."""
        return self._frames.shape

    @property
    def dtype(self) -> np.dtype:
        """Data type of the pixels."""
        return self._frames.dtype

    @property
    def is_rgb(self) -> bool:
        """Whether a frame has colours."""
        return self._frames.is_rgb

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, t: int) -> np.ndarray:
        """Return frame `t`."""
        return self._frames.read(t)
