"""Quality: which frames of an object a person should look at, from what the model and the masks themselves say.

Everything here is a pure function of records. `doubt` is a fitted probability that a tracked mask is bad; what it is
worth is measured by `benchmarks/quality.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from napari_sam2.core.disappearing import Disappearance, Sight, disappearances
from napari_sam2.core.masks import (
    EMPTY_BOX,
    NO_OPINION,
    Box,
    PackedMask,
    bounding_box,
    overlapping_pairs,
)
from napari_sam2.core.store import MaskRecord

FrameKind = Literal["prompted", "tracked", "absent", "missing"]
"""A person spoke about the frame; tracking shows something; tracking shows nothing; nothing is known."""


BIAS = -5.8
WEIGHTS = {
    "absent": 2.7,
    "vanished": 3.4,
    "iou": 2.8,
    "certainty": 0.9,
    "object_score": 1.4,
    "area_jump": 1.75,
    "area_drift": 3.1,
    "shift": 1.2,
    "overlap": 1.1,
    "distance": 1.3,
}
"""Of `terms_of`: fitted on the generated validation sequences, one click an object, tracked by `nano`.

Those of frames that show nothing, `absent` and `vanished`, were fitted after the others, on the sequences with
disappearances too (`benchmarks/quality.py --fit`). How long an object has been away is no term of its own: in those
sequences half of what leaves comes back, which speaks for doubting long absences, and is so by their design.
"""

_SETTLING = 8
"""Frames of absence after which its suddenness counts half."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a mask looks like: area in pixels, centre (y, x), mean probability of its pixels."""

    area: int
    centre: tuple[float, float]
    certainty: float


NOWHERE = Shape(0, (0.0, 0.0), 0.0)


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """How one object looks on one frame.

    Attributes
    ----------
    frame : int
        Which frame.
    kind : {"prompted", "tracked", "absent", "missing"}
        What is known there.
    object_score : float
        Logit that the object is visible.
    iou : float
        The model's own guess of its mask's quality, 0 to 1.
    certainty : float
        Mean probability of the mask's pixels, 0.5 to 1.
    area : int
        Pixels.
    area_jump : float
        Larger one of the two log ratios of the area to that on the frames beside.
    area_drift : float
        Log ratio of the area to that on the nearest prompted frame that shows the object; 0 if none does.
    shift : float
        Larger one of the two distances of the centre to that on the frames beside, in lengths of the object.
    overlap : float
        Share of the mask that other objects claim as well.
    distance : int
        Frames to the nearest prompted one.
    absent_for : int
        Frames since the object was seen, where it is absent; 0 if it never was.
    vanished : float
        How much it was there when it was seen last, 0 to 1: 0 if it was leaving over the border or had faded.
    doubt : float
        0 nothing to doubt, 1 certainly bad; 0 where a person spoke or nothing is known.
    """

    frame: int
    kind: FrameKind
    object_score: float = 0.0
    iou: float = 0.0
    certainty: float = 0.0
    area: int = 0
    area_jump: float = 0.0
    area_drift: float = 0.0
    shift: float = 0.0
    overlap: float = 0.0
    distance: int = 0
    absent_for: int = 0
    vanished: float = 0.0
    doubt: float = 0.0


def shape_of(record: MaskRecord) -> Shape:
    """Measure a mask."""
    if record.box == EMPTY_BOX:
        return NOWHERE
    strength = record.unpacked_strength()
    inside = strength > 0
    rows, columns = np.nonzero(inside)
    centre = record.box[0] + float(rows.mean()), record.box[1] + float(columns.mean())
    logits = strength[inside].astype(np.float64) / 16.0
    return Shape(len(rows), centre, float((1.0 / (1.0 + np.exp(-logits))).mean()))


def claimed_pixels(records: Sequence[MaskRecord]) -> list[int]:
    """Return for each mask of a frame how many of its pixels the others claim, as a sum over them."""
    masks = [PackedMask((0, 0), record.box, record.bits).crop() for record in records]
    counts = [0] * len(records)
    for i, j in overlapping_pairs([record.box for record in records]):
        first, second = records[i].box, records[j].box
        y0, x0 = max(first[0], second[0]), max(first[1], second[1])
        part = y0, x0, min(first[2], second[2]), min(first[3], second[3])
        both = masks[i][_inside(first, part)] & masks[j][_inside(second, part)]
        shared = int(np.count_nonzero(both))
        counts[i] += shared
        counts[j] += shared
    return counts


def assess(
    records: Sequence[MaskRecord | None],
    shapes: Sequence[Shape],
    overlaps: Sequence[float],
    prompted: Iterable[int],
    frame_shape: tuple[int, int],
) -> tuple[FrameQuality, ...]:
    """Return how an object looks on every frame.

    Parameters
    ----------
    records : sequence of MaskRecord or None
        What is shown of the object, frame by frame.
    shapes : sequence of Shape
        Of the records; `NOWHERE` for None.
    overlaps : sequence of float
        Share of every mask that other objects claim as well.
    prompted : iterable of int
        Frames about which a person spoke.
    frame_shape : (Y, X)
        Of the frames, pixels.
    """
    anchors = sorted(prompted)
    seen = [a for a in anchors if shapes[a].area]
    sights = (
        None if record is None or not shape.area else Sight(t, shape.area, record.box)
        for t, (record, shape) in enumerate(zip(records, shapes, strict=True))
    )
    nearest = [_nearest(t, anchors) for t in range(len(records))]
    gone = disappearances(sights, nearest, frame_shape)
    return tuple(
        FrameQuality(t, "missing")
        if record is None
        else _assess_one(t, record, shapes, overlaps[t], nearest[t], _nearest(t, seen), gone[t])
        for t, record in enumerate(records)
    )


def terms_of(quality: FrameQuality) -> dict[str, float]:
    """Return what counts for the doubt about a mask, each about 0 to 1, by the names of `WEIGHTS`."""
    is_absent = quality.kind == "absent"
    return {
        "absent": float(is_absent),
        # A long absence has been looked at for long, and is less likely a slip.
        "vanished": quality.vanished * _SETTLING / (_SETTLING - 1 + max(1, quality.absent_for)),
        "iou": 0.0 if is_absent else 1.0 - quality.iou,
        "certainty": 0.0 if is_absent else 1.0 - quality.certainty,
        "object_score": _probability(-quality.object_score / 2.0),
        "area_jump": 0.0 if is_absent else min(quality.area_jump, 2.0),
        "area_drift": 0.0 if is_absent else min(quality.area_drift, 2.0),
        "shift": min(quality.shift, 2.0),
        "overlap": quality.overlap,
        "distance": math.log1p(quality.distance) / 3.0,
    }


def doubt_of(quality: FrameQuality) -> float:
    """Return the probability that a tracked mask overlaps less than half with the truth.

    A logistic regression; see `WEIGHTS`.
    """
    terms = terms_of(quality)
    return _probability(BIAS + sum(WEIGHTS[name] * value for name, value in terms.items()))


def place_to_click(mask: np.ndarray, beside: np.ndarray | None) -> tuple[int, int] | None:
    """Return the pixel (y, x) that tells most: where a mask (Y, X) and that of a frame beside it differ most widely.

    Without a mask beside, or where both agree, the innermost pixel of the mask; None if there is nothing at all.
    """
    candidates = [mask] if beside is None else [mask ^ beside, mask | beside]
    return next((innermost(region) for region in candidates if region.any()), None)


def innermost(region: np.ndarray) -> tuple[int, int]:
    """Return the pixel of a region (Y, X) that is left longest when its border is taken away again and again."""
    y0, x0, y1, x1 = bounding_box(region)
    distance = _distance(np.pad(region[y0:y1, x0:x1], 1))
    rows, columns = np.nonzero(distance == distance.max())
    # Of several the one nearest to their mean: the middle of a ridge.
    nearest = int(np.hypot(rows - rows.mean(), columns - columns.mean()).argmin())
    return y0 + int(rows[nearest]) - 1, x0 + int(columns[nearest]) - 1


def _distance(region: np.ndarray) -> np.ndarray:
    """Return how often the border must be taken away until a pixel goes: its city-block distance to the outside."""
    distance = np.where(region, np.int32(sum(region.shape)), np.int32(0))
    for lines in (distance, distance.T):  # along the columns, then along the rows
        for before, after in pairwise(range(len(lines))):
            np.minimum(lines[after], lines[before] + 1, out=lines[after])
        for after, before in pairwise(reversed(range(len(lines)))):
            np.minimum(lines[before], lines[after] + 1, out=lines[before])
    return distance


def _nearest(t: int, frames: Sequence[int]) -> int | None:
    """Return the frame of an ascending sequence that is nearest to `t`; of two the earlier one."""
    place = bisect_left(frames, t)
    return min(frames[max(place - 1, 0) : place + 1], key=lambda a: (abs(a - t), a), default=None)


def _assess_one(
    t: int,
    record: MaskRecord,
    shapes: Sequence[Shape],
    overlap: float,
    anchor: int | None,
    compared: int | None,
    gone: Disappearance,
) -> FrameQuality:
    """`anchor`: the nearest prompted frame; `compared`: the nearest that shows the object: elsewhere it has no area."""
    here = shapes[t]
    beside = [shapes[s] for s in (t - 1, t + 1) if 0 <= s < len(shapes) and shapes[s].area]
    kind: FrameKind = "tracked" if here.area else "absent"
    measured = FrameQuality(
        t,
        kind,
        record.object_score,
        record.iou,
        here.certainty,
        here.area,
        max((_log_ratio(here, other) for other in beside), default=0.0),
        0.0 if compared is None else _log_ratio(here, shapes[compared]),
        max((_shift(here, other) for other in beside), default=0.0),
        overlap,
        0 if anchor is None else abs(anchor - t),
        gone.absent_for,
        gone.vanished,
    )
    if anchor == t:
        return replace(measured, kind="prompted")
    if kind == "absent" and record.object_score == NO_OPINION:
        return replace(measured, doubt=1.0)  # the model gave no usable answer
    return replace(measured, doubt=doubt_of(measured))


def _probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, logit))))


def _log_ratio(first: Shape, second: Shape) -> float:
    return abs(math.log((first.area + 1) / (second.area + 1)))


def _shift(first: Shape, second: Shape) -> float:
    if not first.area or not second.area:
        return 0.0
    length = math.sqrt(max(first.area, second.area))
    return math.dist(first.centre, second.centre) / length


def _inside(box: Box, part: Box) -> tuple[slice, slice]:
    return (
        slice(part[0] - box[0], part[2] - box[0]),
        slice(part[1] - box[1], part[3] - box[1]),
    )
