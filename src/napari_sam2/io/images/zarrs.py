"""zarr 2 and 3, and OME-Zarr 0.4 and 0.5: lazy, any level of a pyramid, with axes and transformations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.arrays import looks_like_rgb, only
from napari_sam2.io.images.opened import OpenedImage, opened
from napari_sam2.io.images.zarr_metadata import check_members, check_metadata, is_inside

_SHORT = {"micrometer": "um", "nanometer": "nm", "millimeter": "mm", "meter": "m", "second": "s"}


def open_zarr(path: Path, level: int = 0) -> OpenedImage:
    """Open an array, the only array of a group, or a level of a pyramid, 0 the finest."""
    import zarr
    from zarr.storage import LocalStore

    from napari_sam2.io.images.zarr_store import CarefulStore

    arrays = {**check_members(path), **check_metadata(path)}
    store = CarefulStore(LocalStore(path, read_only=True), arrays)
    found: Any = zarr.open(store, mode="r")
    if not isinstance(found, zarr.Group):
        return _plain(found, path, level)
    attributes: dict[str, Any] = dict(found.attrs)
    pyramids = attributes.get("ome", attributes).get("multiscales")
    if not pyramids:
        return _plain(found[only(sorted(found.array_keys()), path, "arrays", "")], path, level)
    pyramid = pyramids[0]
    levels = pyramid["datasets"]
    if not 0 <= level < len(levels):
        raise FileFormatError(
            f"{path.name} has {len(levels)} levels, there is no level {level}",
            remedy="level 0 is the full resolution",
        )
    name = str(levels[level]["path"])
    if not is_inside(name):
        raise FileFormatError(
            f"level {level} of {path.name} is said to lie elsewhere: {name[:80]!r}",
            remedy="the zarr is damaged or crafted; get it again from its source",
        )
    if name not in arrays:  # deeper than one level
        store.add(name, check_metadata(path / name).get(""))
    array: Any = found[name]
    is_rgb = looks_like_rgb(array) and not _names_axes(pyramid, array.ndim)
    placement = _placement(pyramid, levels[level], len(array.shape) - is_rgb)
    return opened(array, path, "ome-zarr", is_rgb=is_rgb, placement=placement)


def _plain(array: Any, path: Path, level: int) -> OpenedImage:
    if level:
        raise FileFormatError(f"{path.name} is no pyramid, there is no level {level}")
    is_rgb = looks_like_rgb(array)
    labels = _dimension_names(array)[: len(array.shape) - is_rgb]
    return opened(
        array, path, "zarr", is_rgb=is_rgb, placement=Placement.plain(len(labels), labels)
    )


def _dimension_names(array: Any) -> list[str]:
    names = getattr(array.metadata, "dimension_names", None) or [""] * len(array.shape)
    return [str(name or "") for name in names]


def _names_axes(pyramid: dict[str, Any], ndim: int) -> bool:
    return len(pyramid.get("axes") or ()) == ndim


def _placement(pyramid: dict[str, Any], level: dict[str, Any], ndim: int) -> Placement:
    """Return where a level lies: its own transformations come first, then those of the pyramid."""
    axes = pyramid.get("axes") or [""] * ndim
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    labels = [str(axis.get("name") or "").lower() for axis in named]
    units = [_unit(axis.get("unit")) for axis in named]
    if len(labels) != ndim:
        labels, units = [""] * ndim, ["pixel"] * ndim
    matrix = np.eye(ndim + 1)
    for transformation in (
        *level.get("coordinateTransformations", ()),
        *pyramid.get("coordinateTransformations", ()),
    ):
        matrix = _matrix(transformation, ndim) @ matrix
    return Placement.of(matrix, units, labels)


def _unit(name: Any) -> str:
    return _SHORT.get(str(name), str(name)) if name else "pixel"


def _matrix(transformation: dict[str, Any], ndim: int) -> np.ndarray:
    kind, matrix = transformation.get("type"), np.eye(ndim + 1)
    if kind == "scale":
        matrix[range(ndim), range(ndim)] = transformation["scale"]
    elif kind == "translation":
        matrix[:ndim, -1] = transformation["translation"]
    elif kind != "identity":
        raise FileFormatError(
            f"coordinate transformations of type '{kind}' are not known",
            remedy="save the image with scale and translation",
        )
    return matrix
