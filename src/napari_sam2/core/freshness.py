"""Freshness: whether tracked masks rest on what is said now. The one owner of "out of date".

Nothing is flagged. A mask is kept with its `Basis`, and how it stands is a comparison with the basis that tracking it
now would have; so undo, redo, late answers and cut runs cannot leave a wrong flag behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from napari_sam2.core.bases import Bases, Basis
from napari_sam2.core.extent import Extent
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PassId, PropagationRequest
from napari_sam2.core.plan import Span
from napari_sam2.core.state import ObjectState, SessionState, Tracked

Freshness = Literal["fresh", "moved", "outdated", "missing"]
"""Of a frame: tracking it now would give the same mask; it would start elsewhere, from the same prompts; something
said since, or another model or contrast, has made it out of date; it was never tracked."""


def freshness_of(tracked: Tracked | None, basis: Basis) -> Freshness:
    """Return how a frame stands on which `tracked` was found, and which now would rest on `basis`."""
    if tracked is None:
        return "missing"
    old = tracked.basis
    if old == basis:
        return "fresh"
    return "moved" if old is not None and _foundation(old) == _foundation(basis) else "outdated"


def _foundation(basis: Basis) -> tuple[object, ...]:
    """Return all of a basis but where the pass begins."""
    return basis.prompts, basis.model, basis.mapping


@dataclass(frozen=True, slots=True)
class ObjectFreshness:
    """How an object stands on the whole stack.

    `outdated`: the frames whose masks are out of date, ascending; `is_untracked`: none was ever tracked that could be.
    """

    outdated: tuple[FrameIndex, ...]
    is_untracked: bool

    @property
    def is_changed(self) -> bool:
        """Whether the object is worth tracking: something is out of date, or nothing is there."""
        return bool(self.outdated) or self.is_untracked


def freshness_of_object(
    known: ObjectState, passes: Iterable[tuple[Span, Basis]]
) -> ObjectFreshness:
    """Return how an object stands; `passes`: those that would track it on the whole stack, with what they rest on."""
    frames = {
        t: freshness_of(known.tracks.get(t), basis) for span, basis in passes for t in span.frames
    }
    outdated = sorted(t for t, freshness in frames.items() if freshness == "outdated")
    return ObjectFreshness(tuple(outdated), bool(frames) and set(frames.values()) == {"missing"})


def passes_to_track(
    known: ObjectState, passes: Iterable[tuple[Span, Basis]], *, is_whole: bool
) -> tuple[PassId, ...]:
    """Return the passes of a request of which a frame is missing or out of date.

    If the request is about the whole stack and both ways (`is_whole`), a frame must also come from where such a run
    would track it from; otherwise that would have good masks tracked again from further away.
    """
    good = ("fresh",) if is_whole else ("fresh", "moved")
    return tuple(
        PassId(known.object_id, span.anchor, span.is_reverse)
        for span, basis in passes
        if any(freshness_of(known.tracks.get(t), basis) not in good for t in span.frames)
    )


class _Look(NamedTuple):
    known: ObjectState
    rest: tuple[Extent, int, IntensityMapping | None]
    freshness: ObjectFreshness


class FreshnessBook:
    """How every object of a session of `num_frames` frames stands; it is asked often, and looked into once.

    `depth`: frames of a volume, in a row of volumes.
    """

    def __init__(self, num_frames: int, depth: int = 0) -> None:
        self._num_frames, self._depth = num_frames, depth
        self._looks: dict[ObjectId, _Look] = {}

    def of_object(self, object_id: ObjectId, state: SessionState, model: int) -> ObjectFreshness:
        """Return how an object of `state` stands with regard to a model, by its number."""
        known = state.objects[object_id]
        rest = state.info(object_id).extent, model, state.mapping
        look = self._looks.get(object_id)
        if look is None or look.known is not known or look.rest != rest:
            asked = (state.asked(object_id),)
            stop = FrameIndex(self._num_frames)
            whole = PropagationRequest(
                0, asked, FrameIndex(0), stop, mapping=state.mapping, depth=self._depth
            )
            freshness = freshness_of_object(known, Bases(whole, model).passes[object_id])
            look = self._looks[object_id] = _Look(known, rest, freshness)
        return look.freshness

    def to_track(
        self, request: PropagationRequest, state: SessionState, model: int
    ) -> frozenset[PassId]:
        """Return the passes of a request that something said since, or that they never were, makes necessary."""
        is_whole = (request.direction, request.start, request.stop) == ("both", 0, self._num_frames)
        passes = Bases(request, model).passes
        return frozenset(
            name
            for object_id in passes
            for name in passes_to_track(
                state.objects[object_id], passes[object_id], is_whole=is_whole
            )
        )
