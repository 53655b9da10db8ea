"""Videos: frames decoded when they are asked for, in any order, each exactly the one of its number."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import OpenedImage, library, opened

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


def open_video(path: Path) -> OpenedImage:
    """Open the first video stream, (T, Y, X, 3) uint8; time in seconds."""
    av = library("av", "video", path)
    stack = VideoStack(av, path)
    placement = Placement.from_scale(
        (stack.seconds, 1, 1), units=("s", "pixel", "pixel"), labels=("t", "y", "x")
    )
    return opened(stack, path, "video", is_rgb=True, placement=placement)


class VideoStack:
    """A video as an array (T, Y, X, 3) uint8, of which frames are read.

    The times of all frames are read once, without decoding them. To read one, decoding begins at the key frame before
    it, or goes on where it stands.

    Parameters
    ----------
    av : module
        PyAV.
    path : Path
        The file; it stays open.
    """

    def __init__(self, av: Any, path: Path) -> None:
        self._container = av.open(str(path))
        weakref.finalize(self, self._container.close)
        if not self._container.streams.video:
            raise FileFormatError(
                f"{path.name} holds no video",
                remedy="convert it with ffmpeg, or save it as a stack of pictures",
            )
        self._stream = self._container.streams.video[0]
        self._times = self._read_times(path)
        self._at = -1
        self._decoded: Any = None
        rate = self._stream.average_rate
        self.seconds = float(1 / rate) if rate else 1.0
        height, width = self._stream.codec_context.height, self._stream.codec_context.width
        self.shape = (len(self._times), int(height), int(width), 3)
        self.dtype = np.dtype(np.uint8)

    def _read_times(self, path: Path) -> list[int]:
        packets = self._container.demux(self._stream)
        times = sorted(packet.pts for packet in packets if packet.pts is not None)
        if not times:
            raise FileFormatError(
                f"{path.name} holds no frames",
                remedy="it may be cut off; try to repair it with ffmpeg",
            )
        return times

    def __getitem__(self, key: Any) -> np.ndarray:
        parts = key if isinstance(key, tuple) else (key,)
        if isinstance(parts[0], slice):
            chosen = range(*parts[0].indices(self.shape[0]))
            frames = np.empty((len(chosen), *self.shape[1:]), np.uint8)
            for number, t in enumerate(chosen):
                frames[number] = self._frame(t)
            several: np.ndarray = frames[(slice(None), *parts[1:])]
            return several
        one: np.ndarray = self._frame(range(self.shape[0])[int(parts[0])])[parts[1:]]
        return one

    def _frame(self, t: int) -> np.ndarray:
        if self._decoded is None or t < self._at or t > self._at + 32:
            self._container.seek(self._times[t], stream=self._stream, backward=True)
            self._decoded = self._container.decode(self._stream)
        elif t == self._at:
            return self._last
        for frame in self._decoded:
            if frame.pts is not None and frame.pts >= self._times[t]:
                self._at, self._last = t, frame.to_ndarray(format="rgb24")
                return self._last
        self._decoded, self._at = None, -1
        raise ValueError(f"frame {t} cannot be decoded")

    _last: np.ndarray
