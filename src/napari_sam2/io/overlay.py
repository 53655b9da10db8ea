"""Pictures to look at: labels drawn over frames, several frames in one PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import FileFormatError, FrameReadError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.io.atomic import replacing

Mark = tuple[float, float, bool]
"""A point prompt to show: (y, x, positive), frame pixels."""

# Colours that readers with colour blindness can tell apart (Okabe and Ito), then round again.
_PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (204, 121, 167)],
    np.float32,
)
_POSITIVE, _NEGATIVE = (0, 255, 160), (255, 70, 0)
_TILE = 320
_FILL = 0.3
_GAP = 4


def choose_frames(num_frames: int, wanted: Sequence[int] = (), most: int = 12) -> list[int]:
    """Return at most `most` frames: those `wanted`, then others evenly spread, in order."""
    chosen = list(dict.fromkeys(wanted))[:most]
    for t in np.linspace(0, num_frames - 1, min(most, num_frames)).round().astype(int):
        if len(chosen) < most and int(t) not in chosen:
            chosen.append(int(t))
    return sorted(chosen)


def draw_overlay(
    frame: np.ndarray,
    labels: np.ndarray,
    mapping: IntensityMapping,
    marks: Sequence[Mark] = (),
) -> np.ndarray:
    """Return a frame with its objects filled lightly and outlined, and prompts as crosses.

    Parameters
    ----------
    frame : (Y, X) or (Y, X, 3)
        In its own type; `mapping` says what is black and white.
    labels : (Y, X) of an integer type
        0 is background.
    marks : sequence of (y, x, positive)

    Returns
    -------
    (Y * scale, X * scale, 3) uint8
        Small frames are enlarged by whole numbers.
    """
    scale = max(1, _TILE // max(labels.shape))
    grey = mapping.apply(frame) * 255
    picture = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
    picture, enlarged = (_enlarge(array, scale) for array in (picture, labels))
    colours = _PALETTE[(enlarged.astype(np.int64) - 1) % len(_PALETTE)]
    opacity = np.where(_is_outline(enlarged), 1.0, np.where(enlarged > 0, _FILL, 0.0))[..., None]
    drawn: np.ndarray = (picture * (1 - opacity) + colours * opacity).astype(np.uint8)
    for y, x, is_positive in marks:
        _draw_cross(drawn, round((y + 0.5) * scale), round((x + 0.5) * scale), is_positive)
    return drawn


def write_overlay(
    path: str | Path,
    frames: FrameSource,
    labels: ArrayLikeStack,
    mapping: IntensityMapping,
    *,
    indices: Sequence[int] | None = None,
    marks: Mapping[int, Sequence[Mark]] | None = None,
) -> Path:
    """Write one PNG with several frames side by side, in reading order.

    `labels` is (T, Y, X); `indices` says which frames (by default those with `marks` and others evenly spread, twelve
    at most).
    """
    from skimage.io import imsave

    path = Path(path).expanduser()
    check_overlay_path(path)
    marks = marks or {}
    chosen = choose_frames(len(frames), list(marks)) if indices is None else indices
    tiles = [
        draw_overlay(frames.read(t), np.asarray(labels[t]), mapping, marks.get(t, ()))
        for t in chosen
    ]
    with replacing(path) as temporary:
        imsave(temporary, _arrange(tiles), check_contrast=False)
    return path


def check_overlay_path(path: Path) -> None:
    """Refuse a name that a picture cannot be written to."""
    if path.suffix.lower() != ".png":
        raise FileFormatError(
            f"overlays are written as PNG, but the name given is {path.name}",
            remedy="end it in .png",
            kept="no file was written",
        )
    if not path.parent.is_dir():
        raise FrameReadError(
            f"there is no folder {path.parent}", remedy="make it first", kept="no file was written"
        )


def _arrange(tiles: Sequence[np.ndarray]) -> np.ndarray:
    height, width = tiles[0].shape[:2]
    num_columns = min(len(tiles), max(1, math.ceil(math.sqrt(len(tiles) * height / width))))
    num_rows = math.ceil(len(tiles) / num_columns)
    sheet = np.full(
        (num_rows * (height + _GAP) - _GAP, num_columns * (width + _GAP) - _GAP, 3), 255, np.uint8
    )
    for number, tile in enumerate(tiles):
        y = number // num_columns * (height + _GAP)
        x = number % num_columns * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def _enlarge(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def _is_outline(labels: np.ndarray) -> np.ndarray:
    """Tell pixels of an object that touch another object, the background or the frame's edge."""
    padded = np.pad(labels, 1)
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.zeros(labels.shape, bool)
    for neighbour in neighbours:
        differs |= neighbour != labels
    return differs & (labels > 0)


def _draw_cross(picture: np.ndarray, y: int, x: int, is_positive: bool) -> None:
    height, width = picture.shape[:2]
    rows, columns = slice(max(y - 6, 0), y + 7), slice(max(x - 6, 0), x + 7)
    for thickness, colour in ((2, (0, 0, 0)), (1, _POSITIVE if is_positive else _NEGATIVE)):
        picture[max(y - thickness + 1, 0) : min(y + thickness, height), columns] = colour
        picture[rows, max(x - thickness + 1, 0) : min(x + thickness, width)] = colour
