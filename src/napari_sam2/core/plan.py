"""Who is tracked on which frame, from where, in which order: the pure plan of a propagation.

Every unprompted frame is tracked from the conditioning frame nearest to it (a tie goes to the earlier one); passes
start at conditioning frames and never see memories of other passes, so the plan and the prompts decide everything.
A pass between two locked frames knows nothing of what was said beyond them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import Direction, PassId, PropagationRequest
from napari_sam2.core.prompts import ObjectPrompts


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


@dataclass(frozen=True, slots=True)
class Span:
    """The frames `first` to `stop` - 1 of one pass, in ascending order whichever way the pass goes."""

    anchor: FrameIndex
    is_reverse: bool
    first: int
    stop: int

    @property
    def frames(self) -> Iterator[FrameIndex]:
        """The frames of the pass, in ascending order."""
        return map(FrameIndex, range(self.first, self.stop))


def plan_of(request: PropagationRequest) -> tuple[PlannedFrame, ...]:
    """Return all results of a propagation in order: one sweep forward, then one backward."""
    sweeps: dict[bool, dict[int, list[Track]]] = {False: {}, True: {}}
    for item in sorted(request.objects, key=lambda item: item.object_id):
        for span in spans_of(item, request):
            track = Track(item.object_id, span.anchor)
            for t in range(span.first, span.stop):
                sweeps[span.is_reverse].setdefault(t, []).append(track)
    return tuple(
        PlannedFrame(FrameIndex(t), is_reverse, tuple(sweep[t]))
        for is_reverse, sweep in sweeps.items()
        for t in sorted(sweep, reverse=is_reverse)
    )


def num_results(request: PropagationRequest) -> int:
    """Return how many results `plan_of` lists, without listing them."""
    sweeps = np.zeros((2, max(0, request.stop - request.start)), bool)
    for item in request.objects:
        for span in spans_of(item, request):
            first, stop = span.first - request.start, span.stop - request.start
            sweeps[int(span.is_reverse), first:stop] = True
    return int(sweeps.sum())


def spans_of(item: ObjectPrompts, request: PropagationRequest) -> Iterator[Span]:
    """Yield the passes of one object that are wanted and reach into the request's range and the object's extent."""
    anchors = sorted(set(item.frame_indices))
    for span in _all_spans(anchors, request.start, request.stop, request.direction):
        first, stop = max(span.first, request.start), min(span.stop, request.stop)
        first, stop = item.extent.clipped(first, stop, is_reverse=span.is_reverse)
        name = PassId(item.object_id, span.anchor, span.is_reverse)
        if first < stop and (request.only is None or name in request.only):
            yield Span(span.anchor, span.is_reverse, first, stop)


def _all_spans(
    anchors: Sequence[FrameIndex], start: int, stop: int, direction: Direction
) -> Iterator[Span]:
    if not anchors:
        return
    if direction != "forward":
        yield Span(anchors[0], True, start, anchors[0])
    for before, after in pairwise(anchors):
        # The last frame of the pass from `before`: of two equally near passes the earlier one wins.
        turn = {"both": (before + after) // 2, "forward": after - 1, "backward": before}[direction]
        yield Span(before, False, before + 1, turn + 1)
        yield Span(after, True, turn + 1, after)
    if direction != "backward":
        yield Span(anchors[-1], False, anchors[-1] + 1, stop)
