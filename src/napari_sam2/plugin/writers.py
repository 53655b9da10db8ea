"""Writers for napari: a labels layer in the formats that napari does not write itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import LabelsError, NapariSam2Error
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.results import LabelResult
from napari_sam2.plugin.positions import SPATIAL, source_of

if TYPE_CHECKING:
    from napari.layers import Labels


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer; the format follows from the ending of `path`. Returns what was written."""
    from napari.layers import Labels

    from napari_sam2.io.exports import export

    placed = {name: meta[name] for name in SPATIAL if name in meta}
    layer = Labels(data, name=meta.get("name", "labels"), metadata=meta.get("metadata"), **placed)
    try:
        return [str(export(result_of(layer), path, overwrite=True))]
    except NapariSam2Error as error:
        # napari takes a ValueError of a writer for "not mine" and says nothing of it.
        raise OSError(str(error)) from error


def result_of(layer: Labels) -> LabelResult:
    """Return a labels layer as a result: what is known of it is where it lies, and the image it was made on."""
    data = layer.data
    if layer.multiscale:
        data = data[0]
    shape = tuple(int(length) for length in data.shape)
    if not 2 <= len(shape) <= 4:
        raise LabelsError(
            f"labels have 2 to 4 axes, '{layer.name}' has {len(shape)}", remedy="save a part of it"
        )
    view = _view_of(shape)
    stack = np.asarray(data).reshape(-1, *shape[-2:])
    if stack.dtype.kind == "i":
        stack = stack.astype(np.min_scalar_type(max(0, int(stack.max(initial=0)))))
    objects = tuple(ObjectId(int(value)) for value in np.unique(stack) if value)
    return LabelResult(stack, view, source_of(layer), objects=objects)


def _view_of(shape: tuple[int, ...]) -> StackView:
    if len(shape) == 4:
        return StackView(1, 2, 3, (), 0, shape[1])
    return StackView.default(len(shape))
