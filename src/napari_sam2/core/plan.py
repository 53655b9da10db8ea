"""Who is tracked on which frame, from where, in which order: the pure plan of a propagation.

Every unprompted frame is tracked from the conditioning frame nearest to it (a tie goes to the earlier one); passes
start at conditioning frames and never see memories of other passes, so the plan and the prompts decide everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import Direction, PropagationRequest


@dataclass(frozen=True, slots=True)
class Track:
    """One object on one frame of a sweep. `anchor`: the conditioning frame that its pass started from."""

    object_id: ObjectId
    anchor: FrameIndex


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """One result to come. `is_reverse`: the sweep goes towards frame 0; `tracks`: in ascending object id."""

    frame: FrameIndex
    is_reverse: bool
    tracks: tuple[Track, ...]


def plan_of(request: PropagationRequest) -> tuple[PlannedFrame, ...]:
    """Return all results of a propagation in order: one sweep forward, then one backward."""
    anchors = {item.object_id: sorted(item.frame_indices) for item in request.objects}
    frames = range(request.start, request.stop)
    sweeps = ((False, frames), (True, reversed(frames)))
    planned = (
        _planned(t, is_reverse, anchors, request.direction)
        for is_reverse, order in sweeps
        for t in order
    )
    return tuple(item for item in planned if item.tracks)


def _planned(
    t: int, is_reverse: bool, anchors: dict[ObjectId, list[FrameIndex]], direction: Direction
) -> PlannedFrame:
    tracks = []
    for object_id in sorted(anchors):
        anchor = _anchor(t, anchors[object_id], direction)
        if anchor is not None and anchor != t and (anchor > t) == is_reverse:
            tracks.append(Track(object_id, anchor))
    return PlannedFrame(FrameIndex(t), is_reverse, tuple(tracks))


def _anchor(t: int, conditioning: Iterable[FrameIndex], direction: Direction) -> FrameIndex | None:
    """Return the conditioning frame that frame `t` is tracked from; `t` itself if it is one."""
    before = max((c for c in conditioning if c <= t), default=None)
    after = min((c for c in conditioning if c >= t), default=None)
    if direction == "forward":
        return before
    if direction == "backward":
        return after
    if before is None or after is None:
        return after if before is None else before
    return before if t - before <= after - t else after
