"""Where a world position of a viewer lies in a layer's data: units, transforms and axes, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.core.geometry import as_tuple, world_to_data
from napari_sam2.core.placement import Placement
from napari_sam2.core.sources import ImageSource

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

SPATIAL = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""The attributes that place a layer in the world."""


def spatial_attributes(layer: Layer) -> dict[str, object]:
    """Return what another layer needs to lie exactly on `layer`."""
    return {name: getattr(layer, name) for name in SPATIAL}


def place_like(layer: Layer, other: Layer) -> None:
    """Lay a layer exactly on another of the same axes."""
    for name, value in spatial_attributes(other).items():
        setattr(layer, name, value)


def placement_of(layer: Layer) -> Placement:
    """Return where the pixels of a layer lie, in its units."""
    units = [_short(unit) for unit in layer.units]
    # napari calls axes without a name "-3", "-2", "-1".
    labels = ["" if _is_number(label) else str(label).lower() for label in layer.axis_labels]
    return Placement.of(matrix_of(layer), units, labels)


def source_of(layer: Layer) -> ImageSource:
    """Return where a layer came from: what our readers noted on it, or else the path that napari knows."""
    noted = layer.metadata.get("napari_sam2", {}).get("source")
    if isinstance(noted, ImageSource):
        return replace(noted, name=layer.name, placement=placement_of(layer))
    path = layer.source.path
    return ImageSource(layer.name, placement_of(layer), path=None if path is None else str(path))


def _short(unit: object) -> str:
    """Return the usual sign of a unit of pint."""
    text = f"{unit:~}" if hasattr(unit, "dimensionality") else str(unit)
    return {"µm": "um", "μm": "um", "": "pixel", "px": "pixel"}.get(text, text)


def _is_number(label: object) -> bool:
    return str(label).lstrip("-").isdecimal()


def to_data(layer: Layer, viewer: ViewerModel, world: Sequence[float]) -> tuple[float, ...]:
    """Return the data index of a world position, float; pixel centres are integers.

    A viewer's world is in its smallest unit, a layer's own transform in the layer's unit.
    """
    position = np.asarray(world[-layer.ndim :], np.float64) * _unit_factors(layer, viewer)
    return as_tuple(world_to_data(position[None], matrix_of(layer))[0])


def to_world(layer: Layer, viewer: ViewerModel, index: Sequence[float]) -> tuple[float, ...]:
    """Return the world position of a data index, in the viewer's units; the inverse of `to_data`."""
    return as_tuple(np.asarray(layer.data_to_world(index)) / _unit_factors(layer, viewer))


def current_index(layer: Layer, viewer: ViewerModel) -> tuple[float, ...]:
    """Return the data index that the sliders of the viewer stand at."""
    return to_data(layer, viewer, viewer.dims.point)


def displayed_axes(layer: Layer, viewer: ViewerModel) -> tuple[int, ...]:
    """Return which of the layer's axes are displayed, in the order of the display."""
    extra = viewer.dims.ndim - layer.ndim
    return tuple(axis - extra for axis in viewer.dims.displayed if axis >= extra)


def matrix_of(layer: Layer) -> np.ndarray:
    """Return the (D + 1, D + 1) matrix from data to world in the layer's units."""
    origin = np.asarray(layer.data_to_world((0.0,) * layer.ndim), np.float64)
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = np.asarray(layer.data_to_world(tuple(unit))) - origin
    return matrix


def _unit_factors(layer: Layer, viewer: ViewerModel) -> np.ndarray:
    shown = viewer.dims.units
    if shown is None:
        return np.ones(layer.ndim)
    pairs = zip(shown[-layer.ndim :], layer.units, strict=True)
    return np.array([1.0 if a == b else float((1 * a).to(b).magnitude) for a, b in pairs])
