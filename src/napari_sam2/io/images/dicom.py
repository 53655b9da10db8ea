"""DICOM: a series of one folder, or one file of many frames, as (z, y, x) in a world (S, P, L), millimetres.

Slices are ordered by where they lie, not by their names or numbers. Pixels are those of the modality: rescaled, such as
Hounsfield units, and read when they are asked for.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError, ImageError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import OpenedImage, library, opened

logger = logging.getLogger(__name__)

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_LABELS = ("z", "y", "x")
_UNITS = ("mm", "mm", "mm")
_UNEVEN = 0.01
"""Part of the slice distance from which on differences are told."""

_LOOKED_AT = 256
"""Files of a folder whose first bytes are looked at."""

_ASIDE = 0.5
"""Pixels by which a slice may lie beside the line of the others."""

_GAP = 1.5
"""Times the usual distance from which on a slice must be missing."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One file of a series: all that is known of it without its pixels."""

    path: Path
    series: str
    description: str
    shape: tuple[int, int]
    samples: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    rescale: tuple[float, float]
    stored: tuple[int, int]
    number: int
    window: tuple[float, float] | None


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM, or a folder holds any: by its name, or else by its first bytes."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        if any(file.suffix.lower() in DICOM_SUFFIXES for file in files):
            return True
        return any(map(is_dicom, [file for file in files if _may_be_dicom(file)][:_LOOKED_AT]))
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if not _may_be_dicom(path):
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _may_be_dicom(path: Path) -> bool:
    """Say whether a name is one that DICOM files without a suffix have: none, or a number such as ``.1234``."""
    return not path.suffix or path.suffix[1:].isdecimal()


def open_dicom(path: Path, series: str | None = None) -> OpenedImage:
    """Open a folder, or a file.

    Parameters
    ----------
    path : Path
        A folder of one series, or of several if `series` says which; or one file.
    series : str, optional
        SeriesInstanceUID, or the beginning of it.

    Raises
    ------
    FileFormatError
        If there is no series, several, or none of that name.
    ImageError
        If its slices do not make a volume: other sizes, one missing, two at one place.
    """
    pydicom = library("pydicom", "dicom", path)
    if path.is_file():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if int(header.get("NumberOfFrames", 1) or 1) > 1:
            return _open_multiframe(pydicom, path, header)
        return _as_image(pydicom, path, [_slice_of(path, header)])
    return _as_image(pydicom, path, read_series(path, series))


def read_series(folder: Path, series: str | None = None) -> list[Slice]:
    """Return the slices of the series of a folder, in the order of their files; see `open_dicom`."""
    pydicom = library("pydicom", "dicom", folder)
    found: dict[str, list[Slice]] = defaultdict(list)
    for file in sorted(item for item in folder.iterdir() if item.is_file()):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, EOFError):
            continue  # a note, a DICOMDIR, a thumbnail
        if "Rows" in header:
            found[str(header.get("SeriesInstanceUID", ""))].append(_slice_of(file, header))
    wanted = [name for name in found if series is None or name.startswith(series)]
    if len(wanted) == 1:
        return found[wanted[0]]
    listed = "; ".join(
        f"{name} ({len(slices)} images{', ' + slices[0].description if slices[0].description else ''})"
        for name, slices in sorted(found.items())[:10]
    )
    if not found:
        raise FileFormatError(
            f"folder {folder} holds no DICOM images",
            remedy="give the folder that the .dcm files lie in",
        )
    raise FileFormatError(
        f"folder {folder} holds {len(found)} series, of which {len(wanted)} are meant: {listed}",
        remedy="choose one by its SeriesInstanceUID (option series)",
    )


def _slice_of(path: Path, header: Any) -> Slice:
    def numbers(name: str, count: int) -> tuple[float, ...] | None:
        value = header.get(name)
        if value is None or len(value) != count:
            return None
        return tuple(float(part) for part in value)

    window = None
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width > 0:
        window = centre - width / 2, centre + width / 2
    bits, is_signed = int(header.get("BitsStored", 16)), int(header.get("PixelRepresentation", 0))
    stored = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    slope = float(_first(header.get("RescaleSlope")) or 1.0)
    return Slice(
        path,
        str(header.get("SeriesInstanceUID", "")),
        str(header.get("SeriesDescription", "") or ""),
        (int(header.Rows), int(header.Columns)),
        int(header.get("SamplesPerPixel", 1)),
        numbers("ImagePositionPatient", 3),  # type: ignore[arg-type]
        numbers("ImageOrientationPatient", 6),
        numbers("PixelSpacing", 2),  # type: ignore[arg-type]
        (slope, float(_first(header.get("RescaleIntercept")) or 0.0)),
        stored,
        int(header.get("InstanceNumber", 0) or 0),
        window,
    )


def _first(value: Any) -> float | None:
    """Return a number, or the first of several: windows often come in twos."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, (int, float, str)) else np.atleast_1d(value)[0])


def _as_image(pydicom: Any, path: Path, slices: Sequence[Slice]) -> OpenedImage:
    _check_alike(path, slices)
    ordered = ordered_slices(slices)
    matrix = _matrix(path, ordered)
    units = ("pixel",) * 3 if matrix is None else _UNITS
    placement = Placement.of(np.eye(4) if matrix is None else matrix, units, _LABELS)
    stack = DicomStack(pydicom, ordered)
    is_rgb = ordered[0].samples == 3
    limits = None if is_rgb else ordered[0].window
    part = ordered[0].series or None
    return opened(
        stack, path, "dicom", is_rgb=is_rgb, placement=placement, limits=limits, part=part
    )


def _check_alike(path: Path, slices: Sequence[Slice]) -> None:
    first = slices[0]
    for other in slices[1:]:
        if (other.shape, other.samples) != (first.shape, first.samples):
            raise ImageError(
                f"the images of {path.name} differ in size: {first.path.name} has {first.shape}, "
                f"{other.path.name} {other.shape}",
                remedy="keep the images of one acquisition in the folder",
            )
        if not _is_parallel(first.spacing, other.spacing):
            raise ImageError(
                f"the images of {path.name} differ in the size of their pixels: {first.path.name} has "
                f"{first.spacing}, {other.path.name} {other.spacing} mm",
                remedy="keep the images of one acquisition in the folder",
            )
        if not _is_parallel(first.orientation, other.orientation):
            raise ImageError(
                f"the images of {path.name} are not parallel: {first.path.name} and {other.path.name}",
                remedy="a localiser may be among them; take it out",
            )
    if first.samples not in (1, 3):
        raise ImageError(
            f"{first.path.name} has {first.samples} samples a pixel; 1 or 3 can be used",
            remedy="convert it to grey values or RGB",
        )


def _is_parallel(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return (one is None) == (other is None)
    return bool(np.allclose(one, other, atol=1e-3))


def ordered_slices(slices: Iterable[Slice]) -> list[Slice]:
    """Return slices by their place along the normal of their plane; by their number where they have no place."""
    listed = list(slices)
    first = listed[0]
    if first.orientation is None or any(item.position is None for item in listed):
        return sorted(listed, key=lambda item: (item.number, item.path.name))
    normal = _normal(first.orientation)
    return sorted(listed, key=lambda item: (float(np.dot(normal, item.position)), item.path.name))  # type: ignore[arg-type]


def _normal(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def _matrix(path: Path, slices: Sequence[Slice]) -> np.ndarray | None:
    """Return the map from (z, y, x) to (S, P, L), None if the files do not say where they lie."""
    first = slices[0]
    if first.orientation is None or first.spacing is None or first.position is None:
        return None
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    step = _normal(first.orientation)
    if len(slices) > 1:
        places = np.array([item.position for item in slices])
        _check_even(path, slices, places @ step)
        step = (places[-1] - places[0]) / (len(slices) - 1)
        _check_straight(path, slices, places, step, min(first.spacing))
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = (
        step,
        column * first.spacing[0],
        row * first.spacing[1],
    )
    matrix[:3, 3] = first.position
    matrix[:3] = matrix[2::-1]
    return matrix


def _check_even(path: Path, slices: Sequence[Slice], heights: np.ndarray) -> None:
    distances = np.diff(heights)
    usual = float(np.median(distances))
    if usual <= 0 or distances.min() <= 1e-4 * max(usual, 1e-6):
        at = int(np.argmin(distances))
        raise ImageError(
            f"two images of {path.name} lie at one place: {slices[at].path.name} and {slices[at + 1].path.name}",
            remedy="keep one acquisition, or one time point, in the folder",
        )
    if distances.max() > _GAP * usual:
        at = int(np.argmax(distances))
        raise ImageError(
            f"between {slices[at].path.name} and {slices[at + 1].path.name} of {path.name} "
            f"{distances[at]:g} mm are missing; the other images are {usual:g} mm apart",
            remedy="look for images that were not copied",
        )
    if np.abs(distances - usual).max() > _UNEVEN * usual:
        logger.warning(
            "the images of %s are %.4g to %.4g mm apart; %.4g mm is taken for all",
            path.name,
            distances.min(),
            distances.max(),
            float(distances.mean()),
        )


def _check_straight(
    path: Path, slices: Sequence[Slice], places: np.ndarray, step: np.ndarray, pixel: float
) -> None:
    """Refuse slices that lie beside the line from the first to the last; a tilted gantry leaves them on it."""
    away = places - places[0]
    along = step / np.linalg.norm(step)
    aside = np.linalg.norm(away - np.outer(away @ along, along), axis=1)
    at = int(np.argmax(aside))
    if aside[at] > _ASIDE * pixel:
        raise ImageError(
            f"{slices[at].path.name} of {path.name} lies {aside[at]:.3g} mm beside the other images",
            remedy="keep the images of one acquisition in the folder",
        )


def value_type(slices: Sequence[Slice]) -> np.dtype:
    """Return the smallest usual type that holds all rescaled values of some slices."""
    rescales = {item.rescale for item in slices}
    if slices[0].samples == 3:
        return np.dtype(np.uint8)
    if any(not float(part).is_integer() for rescale in rescales for part in rescale):
        return np.dtype(np.float32)
    ends = [
        value * slope + intercept
        for item in slices
        for slope, intercept in [item.rescale]
        for value in item.stored
    ]
    for name in ("uint8", "uint16", "int16", "int32"):
        if np.iinfo(name).min <= min(ends) and max(ends) <= np.iinfo(name).max:
            return np.dtype(name)
    return np.dtype(np.float32)


class DicomStack:
    """The slices of a series as an array (z, y, x), or with colours; a slice is read when it is asked for."""

    def __init__(self, pydicom: Any, slices: Sequence[Slice]) -> None:
        self._pydicom, self._slices = pydicom, tuple(slices)
        colours = (3,) if slices[0].samples == 3 else ()
        self.shape = (len(slices), *slices[0].shape, *colours)
        self.dtype = value_type(slices)

    def __getitem__(self, key: Any) -> np.ndarray:
        parts = key if isinstance(key, tuple) else (key,)
        if parts[0] is Ellipsis:
            parts = (slice(None), *parts[1:])
        if isinstance(parts[0], slice):
            chosen = range(*parts[0].indices(self.shape[0]))
            several = np.empty((len(chosen), *self.shape[1:]), self.dtype)
            for number, z in enumerate(chosen):
                several[number] = self._read(z)
            cut: np.ndarray = several[(slice(None), *parts[1:])]
            return cut
        one: np.ndarray = self._read(range(self.shape[0])[int(parts[0])])[parts[1:]]
        return one

    def _read(self, z: int) -> np.ndarray:
        item = self._slices[z]
        stored = self._pydicom.dcmread(item.path).pixel_array
        return rescaled(stored, item.rescale, self.dtype)


def rescaled(stored: np.ndarray, rescale: tuple[float, float], dtype: np.dtype) -> np.ndarray:
    """Return stored pixels as values of the modality."""
    slope, intercept = rescale
    if (slope, intercept) == (1, 0):
        return stored.astype(dtype, copy=False)
    return (stored * slope + intercept).astype(dtype)


def _open_multiframe(pydicom: Any, path: Path, header: Any) -> OpenedImage:
    """Open one file of many frames; its pixels are read as a whole when the first is asked for."""
    base = _slice_of(path, header)
    places = [_frame_place(header, number) for number in range(int(header.NumberOfFrames))]
    slices = [
        Slice(
            path,
            base.series,
            base.description,
            base.shape,
            base.samples,
            place.position or base.position,
            place.orientation or base.orientation,
            place.spacing or base.spacing,
            place.rescale or base.rescale,
            base.stored,
            number,
            base.window,
        )
        for number, place in enumerate(places)
    ]
    has_places = len({item.position for item in slices}) == len(slices)
    ordered = ordered_slices(slices) if has_places else slices
    matrix = _matrix(path, ordered) if has_places else None
    labels = _LABELS if has_places else ("t", "y", "x")
    placement = (
        Placement.plain(3, labels) if matrix is None else Placement.of(matrix, _UNITS, labels)
    )
    stack = _MultiframeStack(pydicom, ordered)
    is_rgb = base.samples == 3
    limits = None if is_rgb else base.window
    return opened(stack, path, "dicom", is_rgb=is_rgb, placement=placement, limits=limits)


class _MultiframeStack(DicomStack):
    _pixels: np.ndarray | None = None

    def _read(self, z: int) -> np.ndarray:
        item = self._slices[z]
        if self._pixels is None:
            self._pixels = self._pydicom.dcmread(item.path).pixel_array
        return rescaled(self._pixels[item.number], item.rescale, self.dtype)


@dataclass(frozen=True, slots=True)
class _FramePlace:
    position: tuple[float, float, float] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, float] | None = None
    rescale: tuple[float, float] | None = None


def _frame_place(header: Any, number: int) -> _FramePlace:
    """Return what the functional groups say of a frame: its own ones, or else the shared ones."""
    own = header.get("PerFrameFunctionalGroupsSequence")
    shared = header.get("SharedFunctionalGroupsSequence")
    groups = [own[number]] if own else []
    groups += [shared[0]] if shared else []

    def item(sequence: str, name: str) -> Any:
        for group in groups:
            found = group.get(sequence)
            if found and name in found[0]:
                return found[0][name].value
        return None

    position = item("PlanePositionSequence", "ImagePositionPatient")
    orientation = item("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = item("PixelMeasuresSequence", "PixelSpacing")
    slope = item("PixelValueTransformationSequence", "RescaleSlope")
    intercept = item("PixelValueTransformationSequence", "RescaleIntercept")
    return _FramePlace(
        None if position is None else tuple(map(float, position)),  # type: ignore[arg-type]
        None if orientation is None else tuple(map(float, orientation)),
        None if spacing is None else tuple(map(float, spacing)),  # type: ignore[arg-type]
        None if slope is None else (float(slope), float(intercept or 0)),
    )
