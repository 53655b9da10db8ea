"""Sizes: how large objects are, in the units of their image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_sam2.core.extent import Extent
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.measures import LENGTHS
from napari_sam2.core.session import Session
from napari_sam2.core.state import ObjectState, RecordKey
from napari_sam2.plugin.positions import matrix_of

if TYPE_CHECKING:
    from napari.layers import Image

_LEAST = 0.1
"""A larger unit is taken from this value on: 0.1 mm² rather than 100,000 µm²."""

_MILLILITRE = 1e-6  # cubic metres
_DEPTHS = ("z", "depth", "plane", "slice")


@dataclass(frozen=True, slots=True)
class PixelSize:
    """What one pixel measures: an area in a time-lapse, a volume in a stack in space.

    `size`: of a pixel, in `metres` to the power of `dimension`; without `metres`, sizes are numbers of pixels.
    """

    dimension: int
    size: float = 1.0
    has_unit: bool = False

    @property
    def is_volume(self) -> bool:
        """Whether an object is measured over all frames."""
        return self.dimension == 3

    def in_words(self, pixels: int) -> str:
        """Return how large so many pixels are."""
        if not pixels:
            return "0"
        if not self.has_unit:
            return f"{_shortened(pixels)} px"
        size = pixels * self.size
        if self.is_volume and size >= _MILLILITRE:
            return f"{_rounded(size / _MILLILITRE)} mL"
        fitting = [name for name in LENGTHS if size / LENGTHS[name] ** self.dimension >= _LEAST]
        unit = fitting[-1] if fitting else next(iter(LENGTHS))
        return f"{_rounded(size / LENGTHS[unit] ** self.dimension)} {unit}{'²³'[self.is_volume]}"


def pixel_size_of(image: Image, session: Session) -> PixelSize:
    """Return what a pixel of an image measures along the frames of a session.

    A frame axis counts as space if it has a unit of length, or else, where nothing has a unit, the name of a depth.
    """
    view = session.stack_view
    in_frame = [view.row_axis, view.column_axis]
    metres = [_metres(unit) for unit in image.units]
    has_unit = all(metres[axis] for axis in in_frame)
    # Of a row of volumes, all frames together are no volume of anything.
    is_deep = (
        view.frame_axis is not None
        and not view.depth
        and (
            bool(metres[view.frame_axis])
            if has_unit
            else str(image.axis_labels[view.frame_axis]).lower() in _DEPTHS
        )
    )
    axes = [view.frame_axis, *in_frame] if is_deep else in_frame
    if not has_unit:
        return PixelSize(len(axes))
    # Rows of the matrix are in the units of their axes; of time, nothing counts.
    edges = (matrix_of(image)[:-1] * np.array([[factor or 0.0] for factor in metres]))[:, axes]
    return PixelSize(len(axes), math.sqrt(abs(np.linalg.det(edges.T @ edges))), has_unit=True)


def _metres(unit: object) -> float | None:
    """Return the length of a unit of pint in metres, None if it is no length."""
    quantity = 1 * unit  # type: ignore[operator]
    if not quantity.check("[length]"):  # type: ignore[attr-defined]
        return None
    return float(quantity.to("m").magnitude)  # type: ignore[attr-defined]


def _rounded(value: float) -> str:
    """Return three digits that count; no powers of ten before it gets very long."""
    if value >= 1e5 or 0 < value < 1e-3:
        return f"{value:.2e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{float(f'{value:.3g}'):,.6g}".replace(",", "\u2009")


def _shortened(pixels: int) -> str:
    for letter, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if pixels >= 10 * factor:
            return f"{pixels / factor:.3g}{letter}"
    return str(pixels)


class _Count(NamedTuple):
    known: ObjectState
    extent: Extent
    pixels: int


class Sizes:
    """Measures the objects of one session; counts a mask only once, and after a change only what changed.

    Parameters
    ----------
    session : Session
        Whose objects are measured.
    image : Image
        Says how large a pixel is now.
    """

    def __init__(self, session: Session, image: Image) -> None:
        self._session, self._image = session, image
        self._areas: dict[RecordKey, int] = {}
        self._counts: dict[ObjectId, _Count] = {}

    @property
    def is_volume(self) -> bool:
        """Whether objects are measured over all frames, not on the one that is shown."""
        return pixel_size_of(self._image, self._session).is_volume

    def texts(self, frame: int | None) -> Mapping[int, str]:
        """Return the size of every object: its volume, or its area on a frame if that is known."""
        pixel = pixel_size_of(self._image, self._session)
        found = {number: self._pixels(number, frame, pixel) for number in self._session.objects}
        return {number: "" if it is None else pixel.in_words(it) for number, it in found.items()}

    def _pixels(self, object_id: int, frame: int | None, pixel: PixelSize) -> int | None:
        if pixel.is_volume:
            return self.on_all_frames(object_id)
        return None if frame is None else self.on_frame(object_id, frame)

    def on_frame(self, object_id: int, frame: int) -> int | None:
        """Return the pixels of an object on a frame, None if nothing is known there."""
        key = self._session.state.shown(ObjectId(object_id), FrameIndex(frame))
        return None if key is None else self._area(key)

    def on_all_frames(self, object_id: int) -> int:
        """Return the pixels of an object on all frames together."""
        number = ObjectId(object_id)
        known, extent = self._session.state.objects[number], self._session.info(number).extent
        before = self._counts.get(number)
        if before is None or before.extent != extent:
            before = _Count(ObjectState(number, 0, 0), extent, 0)
        if before.known is not known:
            changed = known.answers.differing(before.known.answers)
            changed |= known.tracks.differing(before.known.tracks)
            grown = sum(
                self._shown(known, t) - self._shown(before.known, t) for t in changed if t in extent
            )
            before = self._counts[number] = _Count(known, extent, before.pixels + grown)
        return before.pixels

    def _shown(self, known: ObjectState, frame: FrameIndex) -> int:
        key = known.shown(frame)
        return 0 if key is None else self._area(key)

    def _area(self, key: RecordKey) -> int:
        area = self._areas.get(key)
        if area is None:
            bits = self._session.store.get(key).bits
            area = self._areas[key] = int.from_bytes(bits, "big").bit_count()
        return area
