"""OME-Zarr 0.5: a label image with a colour for every object, one chunk a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.colours import colour_of
from napari_sam2.core.results import LabelResult
from napari_sam2.io.listing import holds_only

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
    """Write the group, frame by frame; a placement that scale and translation cannot tell is added as an affine."""
    labels = LabelZarr(path, result)
    for t in range(result.num_frames):
        labels.write(t, np.asarray(result.labels[t]))
    labels.finish(result)


def is_label_zarr(folder: Path) -> bool:
    """Say whether a folder is a label image as we write them, not an image; an empty one will do."""
    about = folder / "zarr.json"
    if not about.is_file():
        return holds_only(folder, "")
    is_labels = b'"image-label"' in about.read_bytes()
    return is_labels and holds_only(folder, r"zarr\.json|0")


class LabelZarr:
    """A group of labels that is written frame by frame, in any order; a frame is one chunk.

    Parameters
    ----------
    path : Path
        The group; what is there is replaced.
    result : LabelResult
        Says shape, type and axes; its labels are not read.
    """

    def __init__(self, path: Path, result: LabelResult) -> None:
        import zarr

        self._group = zarr.create_group(path, zarr_format=3, overwrite=True)
        self._result = result
        in_frame = (result.view.row_axis, result.view.column_axis)
        lengths = zip(result.axes, result.shape, strict=True)
        self._array: Any = self._group.create_array(
            "0",
            shape=result.shape,
            dtype=result.dtype,
            chunks=tuple(length if axis in in_frame else 1 for axis, length in lengths),
            fill_value=0,
            dimension_names=_names(result),
        )
        self._ids: dict[int, frozenset[int]] = {}

    def write(self, t: int, frame: np.ndarray) -> None:
        """Write the labels (Y, X) of a frame, over earlier ones."""
        found = frozenset(np.unique(frame).tolist()) - {0}
        if found or self._ids.get(t):
            self._array[self._result.index_of(t)] = self._result.in_place(frame)
        self._ids[t] = found

    def finish(self, result: LabelResult) -> None:
        """Write what is known in the end: colours and names."""
        found = sorted(set().union(*self._ids.values()))
        self._group.attrs["ome"] = ome_attributes(result, found)


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
