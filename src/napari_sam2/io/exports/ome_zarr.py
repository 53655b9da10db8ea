"""OME-Zarr 0.5: a label image with a colour for every object, one chunk a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.colours import colour_of
from napari_sam2.core.results import LabelResult

_LONG = {
    "um": "micrometer",
    "µm": "micrometer",
    "nm": "nanometer",
    "mm": "millimeter",
    "m": "meter",
    "s": "second",
    "ms": "millisecond",
    "min": "minute",
    "h": "hour",
}
_KINDS = {"t": "time", "c": "channel"}


def write_ome_zarr(path: Path, result: LabelResult) -> None:
    """Write the group; what a scale and a translation cannot say of the placement is added as an affine."""
    import zarr

    group = zarr.create_group(path, zarr_format=3, overwrite=True)
    shape = result.shape
    array: Any = group.create_array(
        "0",
        shape=shape,
        dtype=result.dtype,
        chunks=(*(1,) * (len(shape) - 2), *shape[-2:]),
        fill_value=0,
        dimension_names=_names(result),
    )
    found: set[int] = set()
    for number, plane in enumerate(result.planes()):
        found.update(np.unique(plane).tolist())
        if plane.any():
            array[(*np.unravel_index(number, shape[:-2]), ...)] = plane
    group.attrs["ome"] = ome_attributes(result, sorted(found - {0}))


def ome_attributes(result: LabelResult, object_ids: list[int]) -> dict[str, Any]:
    """Return the metadata of the group: axes, transformations, colours and names."""
    colours = [
        {"label-value": object_id, "rgba": [*colour_of(object_id), 255]} for object_id in object_ids
    ]
    properties = [
        {
            "label-value": object_id,
            "name": result.info(object_id).name,
            "class": result.info(object_id).class_name,
        }
        for object_id in object_ids
    ]
    label = {"version": "0.5", "colors": colours, "properties": properties}
    if not object_ids:  # lists without entries are not allowed
        label = {"version": "0.5"}
    content = {
        "version": "0.5",
        "multiscales": [
            {
                "name": "labels",
                "axes": _axes(result),
                "datasets": [{"path": "0", "coordinateTransformations": _transformations(result)}],
            }
        ],
        "image-label": label,
    }
    if not result.placement.is_straight:
        # The standard has no rotation yet: whoever knows us finds all of it here.
        content["napari-sam2"] = {"affine": [list(row) for row in result.placement.matrix]}
    return content


def _names(result: LabelResult) -> list[str]:
    """Return names that are all different; the standard wants space as z, y, x at the end."""
    names = list(result.labels_of_axes)
    return names if len(set(names)) == len(names) else ["t", "z", "y", "x"][-len(names) :]


def _axes(result: LabelResult) -> list[dict[str, str]]:
    listed = []
    for name, unit in zip(_names(result), result.placement.units, strict=True):
        axis = {"name": name, "type": _KINDS.get(name, "space")}
        listed.append({**axis, "unit": _LONG[unit]} if unit in _LONG else axis)
    return listed


def _transformations(result: LabelResult) -> list[dict[str, Any]]:
    placement = result.placement
    matrix = placement.as_array()
    steps = np.diag(matrix)[:-1].tolist() if placement.is_straight else list(placement.spacing)
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
    if any(placement.translate):
        transformations.append({"type": "translation", "translation": list(placement.translate)})
    return transformations
