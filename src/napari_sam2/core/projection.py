"""Labels of a frame, made from the records that are shown there; they can be made again at any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import DTypeLike

from napari_sam2.core.errors import LabelsError, OptionError
from napari_sam2.core.masks import EMPTY_BOX, Box
from napari_sam2.core.state import OverlapPolicy
from napari_sam2.core.store import MaskRecord


class Shown(NamedTuple):
    """A record that is shown, and the run it counts as: an answer to a prompt joins the last run of its object."""

    record: MaskRecord
    run: int


def project(
    shown: Iterable[Shown],
    box: Box,
    dtype: DTypeLike = np.uint16,
    overlap: OverlapPolicy = "keep",
) -> np.ndarray:
    """Return the labels of one frame inside `box`.

    Where masks overlap, a person's own mask wins; then the earlier run (`keep`) or the later one (`overwrite`);
    within a run, or among all (`highest`), the stronger mask; and at last the lower id. The order of `shown` does not
    matter.

    Parameters
    ----------
    shown : iterable of Shown
        What is shown on the frame; at most one record an object.
    box : (y0, x0, y1, x1)
        The part wanted, frame pixels, half open.
    dtype : dtype
        Type of the labels.
    overlap : {"keep", "overwrite", "highest"}
        Which run wins.

    Returns
    -------
    array of shape (y1 - y0, x1 - x0), `dtype`
        Object ids, 0 for background.

    Raises
    ------
    LabelsError
        If an object id is beyond the type.
    """
    visible = sorted(
        (entry for entry in shown if _intersection(entry.record.box, box) != EMPTY_BOX),
        key=lambda entry: entry.record.object_id,
    )
    labels = np.zeros((box[2] - box[0], box[3] - box[1]), check_labels_dtype(dtype))
    for entry in visible:
        check_label(entry.record.object_id, labels.dtype)
    if len(visible) == 1:
        _fill(visible[0].record, box, labels)
    else:
        _compete(visible, _ranks(visible, overlap), box, labels)
    return labels


def count_contested(shown: Iterable[Shown], box: Box) -> int:
    """Return how many pixels inside `box` (y0, x0, y1, x1) lie in the masks of more than one object."""
    claims = np.zeros((box[2] - box[0], box[3] - box[1]), np.uint32)
    for record, _ in shown:
        common = _intersection(record.box, box)
        if common != EMPTY_BOX:
            inside = record.unpacked_strength()[_relative(common, record.box)] > 0
            claims[_relative(common, box)] += inside
    return int((claims > 1).sum())


def _fill(record: MaskRecord, box: Box, labels: np.ndarray) -> None:
    """Paint the only record there is: the usual case, on frames so large that it shows."""
    target, strength = _part(record, box)
    np.copyto(labels[target], record.object_id, where=strength > 0, casting="unsafe")


def _compete(visible: Sequence[Shown], ranks: Sequence[int], box: Box, labels: np.ndarray) -> None:
    """Paint records that may overlap; ids come in ascending order, so an equal score leaves the lower id."""
    best = np.zeros(labels.shape, np.int32)
    for (record, _), rank in zip(visible, ranks, strict=True):
        target, strength = _part(record, box)
        score = (strength + np.int32(rank * 256)) * (strength > 0)
        np.copyto(labels[target], record.object_id, where=score > best[target], casting="unsafe")
        np.maximum(best[target], score, out=best[target])


def _part(record: MaskRecord, box: Box) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return where in `box` the record lies, and its strength there."""
    common = _intersection(record.box, box)
    return _relative(common, box), record.unpacked_strength()[_relative(common, record.box)]


def _ranks(shown: Sequence[Shown], overlap: OverlapPolicy) -> list[int]:
    sign = {"keep": -1, "overwrite": 1, "highest": 0}[check_overlap(overlap)]
    keys = [(entry.record.provenance == "mask", sign * entry.run) for entry in shown]
    order = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def check_overlap(overlap: object) -> OverlapPolicy:
    """Return the policy; `OptionError` if it is none."""
    for known in get_args(OverlapPolicy):
        if overlap == known:
            return known  # type: ignore[no-any-return]
    choices = ", ".join(map(repr, get_args(OverlapPolicy)))
    raise OptionError(
        f"overlap must be one of {choices}, got {overlap!r}", remedy="take 'keep' if unsure"
    )


def check_labels_dtype(dtype: DTypeLike) -> np.dtype:
    """Return the type of a label image; `LabelsError` if it does not hold whole numbers."""
    try:
        checked = np.dtype(dtype)
    except TypeError as error:
        raise LabelsError(f"there is no type {dtype!r} for labels", remedy="use uint16") from error
    if checked.kind not in "iu":
        raise LabelsError(f"labels of type {checked} cannot hold object ids", remedy="use uint16")
    return checked


def largest_label(dtype: DTypeLike) -> int:
    """Return the largest object id that labels of `dtype` can hold."""
    return int(np.iinfo(check_labels_dtype(dtype)).max)


def check_label(object_id: int, dtype: DTypeLike) -> None:
    """Refuse an object id that would wrap around in labels of `dtype`."""
    if object_id > largest_label(dtype):
        raise LabelsError(
            f"object {object_id} does not fit into labels of type {np.dtype(dtype)}, "
            f"which end at {largest_label(dtype)}",
            remedy=_wider(object_id, dtype),
        )


def _wider(object_id: int, dtype: DTypeLike) -> str:
    fitting = [name for name in ("uint16", "uint32") if object_id <= np.iinfo(name).max]
    below = f"an id up to {largest_label(dtype)}"
    return f"choose {below}, or labels of type {fitting[0]}" if fitting else f"choose {below}"


def _intersection(first: Box, second: Box) -> Box:
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    y1, x1 = min(first[2], second[2]), min(first[3], second[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else EMPTY_BOX


def _relative(part: Box, whole: Box) -> tuple[slice, slice]:
    return (
        slice(part[0] - whole[0], part[2] - whole[0]),
        slice(part[1] - whole[1], part[3] - whole[1]),
    )
