"""Prompts are checked in full before anything is registered; a refused prompt leaves no trace."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from napari_sam2.core.errors import OptionError, PromptError, PropagationError
from napari_sam2.core.geometry import PromptBox, nearest_index
from napari_sam2.core.ids import FrameIndex, ObjectId, is_whole
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.projection import check_label, largest_label

MAX_NAME = 200

Point = tuple[float, float]
Clicks = dict[Point, bool]
"""(y, x) -> positive, in the order in which the points were set."""


def check_object_id(value: object, labels_dtype: DTypeLike, next_free: int) -> ObjectId:
    """Return `value` as an object id.

    Raises
    ------
    PromptError
        If it is not a whole number from 1.
    LabelsError
        If labels of this type cannot hold it.
    """
    if not is_whole(value) or int(value) < 1:
        raise PromptError(
            f"object id must be a whole number from 1 to {largest_label(labels_dtype)}, got {reprlib.repr(value)}",
            remedy=f"the next free id is {next_free}",
        )
    object_id = int(value)
    check_label(object_id, labels_dtype)
    return ObjectId(object_id)


def check_frame(value: object, num_frames: int) -> FrameIndex:
    """Return `value` as a frame index; negative numbers do not count from the end."""
    if not is_whole(value) or not 0 <= int(value) < num_frames:
        raise PromptError(
            f"frame must be a whole number from 0 to {num_frames - 1}, got {reprlib.repr(value)}",
            remedy="frames count from 0",
        )
    return FrameIndex(int(value))


def check_frame_range(frames: object, num_frames: int) -> tuple[FrameIndex, FrameIndex]:
    """Return the first frame and the one after the last of a range or a pair; all frames for None.

    Raises
    ------
    PropagationError
        For a step, anything but whole numbers, an empty range, or one that leaves the stack.
    """
    if frames is None:
        return FrameIndex(0), FrameIndex(num_frames)
    if isinstance(frames, range) and frames.step != 1:
        raise PropagationError(
            f"frames are tracked one after another, got {frames}", remedy="leave the step out"
        )
    ends = (frames.start, frames.stop) if isinstance(frames, range) else frames
    if isinstance(ends, (tuple, list)) and len(ends) == 2 and all(map(is_whole, ends)):
        start, stop = map(int, ends)
        if 0 <= start < stop <= num_frames:
            return FrameIndex(start), FrameIndex(stop)
    raise PropagationError(
        f"frames {reprlib.repr(ends)} are not a range within 0 to {num_frames}",
        remedy="give the first frame and the one after the last",
    )


def check_points(
    points: ArrayLike, labels: Iterable[object] | None, shape: tuple[int, int]
) -> Clicks:
    """Return the points with their signs; a repeated point counts once.

    Parameters
    ----------
    points : array of shape (N, 2), or one (y, x)
        Frame pixels, centres at integers.
    labels : iterable of 0 or 1, optional
        1 positive, 0 negative; all positive if left out.
    shape : (Y, X)
        Of the frame.

    Raises
    ------
    PromptError
        For no points, NaN, a point outside the frame, a label that is not 0 or 1, or one pixel with both signs.
    """
    positions = _positions(points)
    signs = [True] * len(positions) if labels is None else _signs(labels)
    if len(signs) != len(positions):
        raise PromptError(
            f"{len(positions)} points came with {len(signs)} labels",
            remedy="give one label, 1 or 0, for each point",
        )
    for y, x in positions:
        _check_inside(y, x, shape)
    clicks: Clicks = {}
    return merge_clicks(clicks, zip(positions, signs, strict=True))


def merge_clicks(earlier: Clicks, later: Iterable[tuple[Point, bool]]) -> Clicks:
    """Return those of `later` that are new after `earlier`; `PromptError` if one pixel would get both signs."""
    signs = {_pixel(point): (point, positive) for point, positive in earlier.items()}
    fresh: Clicks = {}
    for point, positive in later:
        other = signs.setdefault(_pixel(point), (point, positive))
        if other[1] != positive:
            raise PromptError(
                f"pixel {_pixel(point)} would be positive at {_text(*(other[0] if other[1] else point))} "
                f"and negative at {_text(*(point if other[1] else other[0]))}",
                remedy="remove one of the two points first",
            )
        if point not in earlier:
            fresh[point] = positive
    return fresh


def check_path(path: ArrayLike, least: int) -> np.ndarray:
    """Return the vertices of a line, (N, 2) float64; `PromptError` if there are fewer than `least`."""
    vertices = np.array(_positions(path))
    if len(vertices) < least:
        raise PromptError(
            f"at least {least} vertices (y, x) are needed, got {len(vertices)}",
            remedy="draw at least so many",
        )
    return vertices


def check_box(box: Sequence[float], shape: tuple[int, int]) -> tuple[PromptBox, str]:
    """Return the box in order and inside the frame, and a notice if it had to be cut ("" otherwise).

    Raises
    ------
    PromptError
        For NaN, a box without area, or one that lies outside the frame.
    """
    corners = _numbers(box, "a box").ravel()
    if corners.size != 4:
        raise PromptError(
            f"a box needs 4 numbers (y0, x0, y1, x1), got {corners.size}",
            remedy="give two opposite corners",
        )
    (y0, y1), (x0, x1) = sorted(corners[::2].tolist()), sorted(corners[1::2].tolist())
    given = (y0, x0, y1, x1)
    if y0 == y1 or x0 == x1:
        raise PromptError(f"box {_text(*given)} has no area", remedy="redraw it corner to corner")
    bottom, right = shape[0] - 0.5, shape[1] - 0.5
    cut = (max(y0, -0.5), max(x0, -0.5), min(y1, bottom), min(x1, right))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise PromptError(
            f"box {_text(*given)} is outside {shape[0]}x{shape[1]}",
            remedy="draw it around something in the frame",
        )
    # Half a pixel is the difference between counting pixels and pixel centres: nothing to tell anybody.
    is_cut = max(abs(a - b) for a, b in zip(given, cut, strict=True)) > 0.5
    notice = f"box {_text(*given)} was cut to the frame: {_text(*cut)}" if is_cut else ""
    return cut, notice


def check_mask(
    mask: ArrayLike | PackedMask, shape: tuple[int, int], *, may_be_empty: bool = False
) -> tuple[PackedMask, str]:
    """Return a frame-sized mask, packed, and a notice if it covers the whole frame ("" otherwise).

    An empty one says that the object is not there.

    Raises
    ------
    PromptError
        For another shape, real numbers, more than one value beside 0, or an empty mask where there may be none.
    """
    array = mask.to_array() if isinstance(mask, PackedMask) else _as_array(mask)
    if array.shape != tuple(shape):
        raise PromptError(
            f"mask has shape {array.shape}, the frame has {tuple(shape)}",
            remedy="give one value for every pixel of the frame; a mask is never stretched",
        )
    if array.dtype.kind not in "biu":
        raise PromptError(
            f"mask has type {array.dtype}; it says inside or outside, nothing between",
            remedy="pass a boolean mask, for example probability > 0.5",
        )
    inside = array != 0
    num_values = 1 if array.dtype.kind == "b" else len(np.unique(array[inside]))
    if num_values > 1:
        raise PromptError(
            f"mask holds {num_values} different values",
            remedy="pass one object at a time, for example labels == 3",
        )
    if not inside.any() and not may_be_empty:
        raise PromptError("mask is empty", remedy="paint at least one pixel")
    notice = "the mask covers the whole frame" if inside.all() else ""
    return PackedMask.from_array(inside), notice


def check_name(name: object) -> str:
    """Return a name for an object or a class, without blanks at its ends; `OptionError` if it is no line of text."""
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.isprintable():
        raise OptionError(
            f"a name is one line of at most {MAX_NAME} characters, got {reprlib.repr(name)}",
            remedy="give a shorter name without line breaks",
        )
    return name.strip()


def check_info(info: ObjectInfo, num_frames: int) -> ObjectInfo:
    """Return what is said about an object besides where it is, with its names in order.

    Raises
    ------
    OptionError
        If a name is no line of text.
    PromptError
        If the extent is no part of the stack.
    """
    first, stop = info.extent.first, info.extent.stop
    end = num_frames if stop is None else stop
    if not (is_whole(first) and is_whole(end) and 0 <= first < end <= num_frames):
        raise PromptError(
            f"an object on the frames {first!r} to {stop!r} is nowhere in the stack of {num_frames}",
            remedy="give its first frame and the one after its last",
        )
    name, class_name = check_name(info.name), check_name(info.class_name)
    return replace(info, name=name, class_name=class_name)


def check_positive(clicks: Clicks, *, has_mask: bool) -> None:
    """Refuse negative points alone, unless there is a mask on the frame that they correct."""
    if not has_mask and not any(clicks.values()):
        raise PromptError(
            "only negative points say what the object is not",
            remedy="add a positive point, a box or a mask first",
        )


def _positions(points: ArrayLike) -> list[Point]:
    array = _numbers(points, "points")
    if array.size == 0:
        raise PromptError("no points were given", remedy="give at least one (y, x)")
    if array.ndim == 1 and array.size == 2:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 2:
        raise PromptError(
            f"points need shape (N, 2) as (y, x), got {array.shape}",
            remedy="give the frame on its own, not as a third coordinate",
        )
    return [(float(y), float(x)) for y, x in array]


def _numbers(values: Any, what: str) -> np.ndarray:
    """Return `values` as float64; text, truth values and complex numbers are not taken for positions."""
    try:
        given = np.asarray(values)
        array = np.asarray(given, np.float64) if given.dtype.kind in "iufO" else None
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_numbers(values, what) from error
    if array is None:
        raise _no_numbers(values, what)
    if not np.isfinite(array).all():
        raise PromptError(
            f"{what} must be finite numbers, got {reprlib.repr(array.tolist())}",
            remedy="leave out positions that are not known",
        )
    return array


def _no_numbers(values: Any, what: str) -> PromptError:
    return PromptError(
        f"{what} must be numbers, got {reprlib.repr(values)}",
        remedy="positions are frame pixels, y before x",
    )


def _as_array(mask: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(mask)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"mask is no array: {error}", remedy="give one value for every pixel of the frame"
        ) from error


def _signs(labels: Iterable[object]) -> list[bool]:
    try:
        given = list(labels)
    except TypeError as error:
        raise PromptError(
            f"labels must be a sequence, got {labels!r}",
            remedy="give one label, 1 or 0, for each point",
        ) from error
    return [_sign(label) for label in given]


def _sign(label: object) -> bool:
    is_boolean = isinstance(label, (bool, np.bool_))
    if not is_boolean and not (is_whole(label) and label in (0, 1)):
        raise PromptError(
            f"a point's label is 1 (positive) or 0 (negative), got {reprlib.repr(label)}",
            remedy="give corners as a box, and leave out points that say nothing",
        )
    return bool(label)


def _check_inside(y: float, x: float, shape: tuple[int, int]) -> None:
    if not (0 <= nearest_index(y) < shape[0] and 0 <= nearest_index(x) < shape[1]):
        raise PromptError(
            f"point {_text_point(y, x)} is outside {shape[0]}x{shape[1]}",
            remedy="click inside the frame",
        )


def _pixel(point: Point) -> tuple[int, int]:
    return nearest_index(point[0]), nearest_index(point[1])


def _text(*numbers: float) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"


def _text_point(y: float, x: float) -> str:
    return f"(y={y:g}, x={x:g})"
