"""Channels: up to three of them seen as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError
from napari_sam2.core.intensity import IntensityMapping, sample_percentiles


class ChannelFrames:
    """A `FrameSource` of colours, (Y, X, 3) uint8, composed of two or three channels.

    Every channel has one mapping for the whole stack; the third of two is black.

    Parameters
    ----------
    channels : sequence of ArrayFrames
        Frames of one channel each, equal in number and shape; the first becomes red.
    mappings : sequence of IntensityMapping, optional
        What becomes black and full colour; by default percentiles of a sample of each channel.
    """

    is_rgb = True
    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        channels: Sequence[ArrayFrames],
        mappings: Sequence[IntensityMapping] | None = None,
    ) -> None:
        if not 2 <= len(channels) <= 3 or any(item.is_rgb for item in channels):
            raise ImageError(
                f"colours are composed of two or three channels without colours, got {len(channels)}",
                remedy="choose two or three channels",
            )
        sizes = {(len(item), item.shape) for item in channels}
        if len(sizes) > 1:
            raise ImageError(
                f"channels differ in shape: {', '.join(map(str, sorted(sizes)))}",
                remedy="choose channels of one shape",
            )
        self._channels = tuple(channels)
        self.mappings = tuple(mappings or map(sample_percentiles, channels))
        self.name = channels[0].name

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of every frame, pixels."""
        return self._channels[0].shape

    @property
    def stack_view(self) -> StackView:
        """Which axes are frames, rows and columns."""
        return self._channels[0].stack_view

    @property
    def blank(self) -> tuple[int, ...]:
        """The frames read so far on which there is nothing to see in any channel."""
        return tuple(sorted(set.intersection(*(set(item.blank) for item in self._channels))))

    @property
    def nonfinite(self) -> dict[int, int]:
        """How many pixels of a frame are NaN or infinite, summed over channels."""
        found: dict[int, int] = {}
        for item in self._channels:
            for frame, count in item.nonfinite.items():
                found[frame] = found.get(frame, 0) + count
        return found

    def __len__(self) -> int:
        return len(self._channels[0])

    def read(self, t: int) -> np.ndarray:
        """Return frame `t`, (Y, X, 3) uint8."""
        frame = np.zeros((*self.shape, 3), np.uint8)
        for number, (item, mapping) in enumerate(zip(self._channels, self.mappings, strict=True)):
            frame[..., number] = np.rint(mapping.apply(item.read(t)) * 255)
        return frame
