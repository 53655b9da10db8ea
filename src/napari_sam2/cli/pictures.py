"""Pictures of what a command found, over frames as the model saw them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.core.errors import OptionError

if TYPE_CHECKING:
    from napari_sam2.core.frames import FrameSource
    from napari_sam2.core.intensity import IntensityMapping


_LONGEST = 50
"""Longer side of a frame over its shorter one, beyond which a picture is a line or fills the memory."""


def check_drawable(shape: tuple[int, int]) -> None:
    """Refuse to draw frames (Y, X) that are too narrow for a picture, before any work."""
    if max(shape) > _LONGEST * min(shape):
        raise OptionError(
            f"frames of {shape[0]}x{shape[1]} pixels are too narrow for a picture",
            kept="no file was written",
            remedy="leave the picture out",
        )


class SeenFrames:
    """The frames of a session through its intensity mapping, as an array that reads one when it is asked for.

    Shape (T, Y, X, 3), uint8: finished colours, so that whoever draws them chooses no contrast of their own.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, frames: FrameSource, mapping: IntensityMapping) -> None:
        self._frames, self._mapping = frames, mapping
        self.shape = (len(frames), *frames.shape, 3)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, t: int) -> np.ndarray:
        mapped = self._mapping.apply(self._frames.read(t))
        grey = np.rint(mapped * 255).astype(np.uint8)
        # (Y, X) or (Y, X, 3) -> (Y, X, 3)
        return grey if self._frames.is_rgb else np.repeat(grey[..., None], 3, axis=2)
