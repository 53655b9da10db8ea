"""Which axes of an array are frames: chosen by name or number, and never guessed where it is unclear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError
from napari_sam2.core.ids import is_whole

Axis = int | str
"""A number that counts the axes that are not fixed, or a name such as "t" or "z"."""


def choose_view(
    shape: Sequence[int],
    labels: Sequence[str] = (),
    axis: Axis = 0,
    *,
    at: Mapping[Axis, int] | None = None,
    volumes: Axis | None = None,
    name: str = "image",
) -> StackView:
    """Return how an n-D array is seen as frames.

    Parameters
    ----------
    shape : sequence of int
        Length of every axis, colours not counted.
    labels : sequence of str
        Names of the axes; "" for an axis without.
    axis : int or str
        The axis that frames are counted along. A number counts the axes that are not fixed.
    at : mapping of axis to int, optional
        Where other axes stand; numbers count all axes. Axes of length 1 in front need not be named.
    volumes : int or str, optional
        The axis that volumes are counted along, if it is a row of volumes; see `StackView`.
    name : str
        What messages call the image.

    Raises
    ------
    ImageError
        If an axis is not there, or it is not clear which two are rows and columns.
    """
    given = list(labels) if len(labels) == len(shape) else [""] * len(shape)
    fixed = {
        _number(key, given, range(len(shape)), name): value for key, value in (at or {}).items()
    }
    for number, place in fixed.items():
        if not is_whole(place) or not 0 <= place < shape[number]:
            raise ImageError(
                f"axis {_called(number, given)} of '{name}' has {shape[number]} places, there is none at {place!r}",
                remedy="places count from 0",
            )
    wanted = 3 if volumes is None else 4
    for number in range(len(shape)):
        is_spare = len(shape) - len(fixed) > wanted and number not in fixed and shape[number] == 1
        if is_spare and number < len(shape) - 2:
            fixed[number] = 0
    free = [number for number in range(len(shape)) if number not in fixed]
    if len(free) == 2:
        return StackView(None, free[0], free[1], tuple(sorted(fixed.items())))
    if len(free) != wanted:
        raise ImageError(
            f"'{name}' has axes {_listed(shape, given)}; only stacks with one frame axis can be used"
            if volumes is None
            else f"'{name}' has axes {_listed(shape, given)}; a row of volumes has four",
            remedy="say where the others stand, for example at c=0, or which one counts volumes",
        )
    frame = _number(axis, given, free, name)
    volume = None if volumes is None else _number(volumes, given, free, name)
    if frame == volume:
        raise ImageError(
            "frames and volumes cannot be counted along the same axis", remedy="name two axes"
        )
    rows, columns = (number for number in free if number not in (frame, volume))
    places = tuple(sorted((number, int(place)) for number, place in fixed.items()))
    depth = 0 if volume is None else int(shape[frame])
    return StackView(frame, rows, columns, places, volume, depth)


def channel_axis_of(labels: Sequence[str], name: str = "image") -> int:
    """Return the axis called "c"; `ImageError` if there is none."""
    for number, label in enumerate(labels):
        if label.lower() in ("c", "ch", "channel"):
            return number
    raise ImageError(
        f"'{name}' does not say which of its axes are channels",
        remedy="say where that axis stands by its number, for example at 1=0",
    )


def _number(axis: Axis, labels: Sequence[str], among: Sequence[int], name: str) -> int:
    if isinstance(axis, str) and axis.isdecimal():
        axis = int(axis)
    if isinstance(axis, str) and axis.lstrip("-").isdecimal():
        raise ImageError(
            f"frame axis {axis!r} is outside 0..{len(among) - 1}", remedy="axes are counted from 0"
        )
    if isinstance(axis, str):
        found = [number for number in among if labels[number].lower() == axis.lower()]
        if len(found) == 1:
            return found[0]
        known = ", ".join(label for label in labels if label) or "none"
        raise ImageError(
            f"'{name}' has no axis called {axis!r} that is free; axes with names: {known}",
            remedy="give its number instead",
        )
    if not is_whole(axis) or not 0 <= axis < len(among):
        raise ImageError(
            f"frame axis {axis!r} is outside 0..{len(among) - 1}",
            remedy="axes are counted from 0; the default is the first",
        )
    return among[int(axis)]


def _called(number: int, labels: Sequence[str]) -> str:
    return f"{number} ({labels[number]})" if labels[number] else str(number)


def _listed(shape: Sequence[int], labels: Sequence[str]) -> str:
    return ", ".join(f"{_called(number, labels)}: {length}" for number, length in enumerate(shape))
