"""One mapping from any pixel type to float32 in [0, 1], taken once for a whole stack."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_sam2.core.errors import ImageError, OptionError
from napari_sam2.core.frames import FrameSource

_MAX_FRAMES = 32
_MAX_PIXELS = 65_536


@dataclass(frozen=True, slots=True)
class IntensityMapping:
    """`low` becomes 0 and `high` becomes 1; what lies beyond is clipped.

    Part of every cache key and of the session file. `provenance` says where the limits came from.
    With ``low == high`` (a constant stack) pixels above `high` become 1 and all others 0.
    """

    low: float
    high: float
    provenance: str = "given"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise OptionError(
                f"intensity limits need low <= high, both finite, got {self.low} and {self.high}",
                remedy="give the darker value first",
            )

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Return `frame` as C-contiguous float32 in [0, 1]; pixels that are NaN or infinite become 0, background.

        Works for every numeric numpy type, bool, any byte order, stride and write protection.

        Raises
        ------
        ImageError
            If the type is complex, object, a date or text.
        """
        check_dtype(frame.dtype)
        # float32 holds all 16-bit integers exactly; anything wider is mapped in float64 so that large offsets survive.
        wide = np.float32 if frame.dtype.kind in "biu" and frame.dtype.itemsize <= 2 else np.float64
        values = np.array(frame, dtype=wide, order="C")
        if frame.dtype.kind == "f":
            values[~np.isfinite(frame)] = -np.inf
        return self._scaled(values)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        if self.low == self.high:
            return (values > self.high).astype(np.float32)
        np.clip(values, self.low, self.high, out=values)
        values -= self.low
        values /= self.high - self.low
        return values.astype(np.float32, copy=False)


def window(width: float, level: float, name: str) -> IntensityMapping:
    """Return the mapping of a window of `width` around `level`, as radiologists give them, Hounsfield units."""
    return IntensityMapping(
        level - width / 2, level + width / 2, f"{name} window {width:g}/{level:g}"
    )


WINDOWS = {
    name: window(width, level, name)
    for name, (width, level) in {
        "soft tissue": (400, 40),
        "lung": (1500, -600),
        "bone": (1800, 400),
        "brain": (80, 40),
    }.items()
}
"""The usual windows of CT, by name."""


def named_window(name: str, frames: FrameSource) -> IntensityMapping:
    """Return one of `WINDOWS`, or for "mr" the percentiles 1 and 99 of a stack; `OptionError` for another name."""
    if name.lower() == "mr":
        return sample_percentiles(frames, 1, 99)
    try:
        return WINDOWS[name.lower()]
    except KeyError:
        known = ", ".join((*WINDOWS, "mr"))
        raise OptionError(f"there is no window '{name}'", remedy=f"there are: {known}") from None


UINT8_MAPPING = IntensityMapping(0.0, 255.0, "8-bit colours as they are")


def count_nonfinite(frame: np.ndarray) -> int:
    """Return how many pixels of `frame` are NaN or infinite."""
    return int(frame.size - np.isfinite(frame).sum()) if frame.dtype.kind == "f" else 0


def is_blank(frame: np.ndarray) -> bool:
    """Say whether the finite pixels of `frame`, (Y, X) or (Y, X, 3), all have one value or colour."""
    pixels = frame.reshape(frame.shape[0] * frame.shape[1], -1)
    if count_nonfinite(frame):
        pixels = pixels[np.isfinite(pixels).all(axis=1)]
    # Colour by colour: numpy takes extremes along a long axis beside a short one 20 times as slowly.
    return len(pixels) == 0 or all(colour.min() == colour.max() for colour in pixels.T)


def check_dtype(dtype: np.dtype, name: str = "image") -> np.dtype:
    """Return `dtype` if pixels of it can be mapped; `ImageError` naming it if not."""
    if dtype.kind not in "biuf":
        raise ImageError(
            f"layer '{name}' has pixels of type {dtype}; whole or real numbers are needed",
            remedy="convert it first, for example to its magnitude as float32",
        )
    return dtype


def sample_percentiles(
    frames: FrameSource, low: float = 0.5, high: float = 99.5
) -> IntensityMapping:
    """Take the mapping from percentiles of a sample of the whole stack.

    At most 32 frames, evenly spread with the first and the last, and at most 65,536 pixels on a regular grid of each
    are looked at, so the same stack always gives the same limits. NaN and infinite pixels are left out. 8-bit RGB
    passes as it is.
    """
    if frames.is_rgb and frames.dtype == np.uint8:
        return UINT8_MAPPING
    if frames.dtype.kind == "b":
        return IntensityMapping(0.0, 1.0, "boolean pixels as they are")
    count = min(len(frames), _MAX_FRAMES)
    chosen = sorted({round(t) for t in np.linspace(0, len(frames) - 1, count)})
    sample = np.concatenate([_grid_sample(frames.read(t)) for t in chosen])
    provenance = f"{low:g}-{high:g} percentiles of {len(chosen)} of {len(frames)} frames"
    if sample.size == 0:
        return IntensityMapping(0.0, 0.0, f"{provenance}: no finite pixel")
    lower, upper = np.percentile(sample, [low, high])
    return IntensityMapping(float(lower), float(upper), provenance)


def _grid_sample(frame: np.ndarray) -> np.ndarray:
    step = max(1, math.ceil(math.sqrt(frame.size / _MAX_PIXELS)))
    pixels = frame[::step, ::step].astype(np.float64).ravel()
    return pixels[np.isfinite(pixels)]
