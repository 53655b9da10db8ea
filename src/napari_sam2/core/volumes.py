"""Rows of volumes, (T, Z, Y, X): which parts of a propagation there are, in which order, and what each rests on.

First, objects are carried through every volume in which something was said about them, as through a stack. Then each
place of the volumes is a stack of its own, along which they are carried from volume to volume; what the first part
found there is what the second one begins with. Frame ``volume * depth + place`` of the row is frame `place` of the
stack of its volume, and frame `volume` of the stack of its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from napari_sam2.core.errors import PropagationError
from napari_sam2.core.extent import WHOLE
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.plan import Span, num_results, spans_of
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts


def volumes_with(item: ObjectPrompts, depth: int) -> tuple[int, ...]:
    """Return the volumes in which something was said about an object, ascending."""
    return tuple(sorted({frame // depth for frame in item.frame_indices}))


def said_within(item: ObjectPrompts, volume: int, depth: int) -> ObjectPrompts:
    """Return what was said about an object in a volume, with its locks there; frames are still those of the row."""
    frames = tuple(said for said in item.frames if said.frame // depth == volume)
    locked = frozenset(frame for frame in item.locked if frame // depth == volume)
    return ObjectPrompts(item.object_id, frames, locked)


def renumbered(item: ObjectPrompts, numbers: Mapping[FrameIndex, int]) -> ObjectPrompts:
    """Return what was said with other numbers of frames; those without one are left out."""
    frames = tuple(
        replace(said, frame=FrameIndex(numbers[said.frame]))
        for said in item.frames
        if said.frame in numbers
    )
    locked = frozenset(FrameIndex(numbers[frame]) for frame in item.locked if frame in numbers)
    return ObjectPrompts(item.object_id, frames, locked)


@dataclass(frozen=True)
class VolumePlan:
    """The parts of one request about a row of volumes: the whole row, or frames of a single volume."""

    request: PropagationRequest

    @property
    def depth(self) -> int:
        """Frames of a volume."""
        return self.request.depth

    @property
    def is_single(self) -> bool:
        """Whether only frames of one volume are wanted."""
        return self.request.start // self.depth == (self.request.stop - 1) // self.depth

    @cached_property
    def volumes(self) -> range:
        """The volumes that the request is about."""
        return range(self.request.start // self.depth, -(-self.request.stop // self.depth))

    @cached_property
    def prompted(self) -> Mapping[ObjectId, tuple[int, ...]]:
        """In which of these volumes something was said about every object that is wanted."""
        found = {
            item.object_id: tuple(v for v in volumes_with(item, self.depth) if v in self.volumes)
            for item in self.request.objects
            if self._is_wanted(item.object_id)
        }
        return {object_id: volumes for object_id, volumes in found.items() if volumes}

    def _is_wanted(self, object_id: ObjectId) -> bool:
        only = self.request.only
        return only is None or any(name.object_id == object_id for name in only)

    @cached_property
    def objects(self) -> tuple[ObjectPrompts, ...]:
        """The objects that are tracked, by ascending id."""
        wanted = (item for item in self.request.objects if item.object_id in self.prompted)
        return tuple(sorted(wanted, key=lambda item: item.object_id))

    @cached_property
    def within(self) -> Mapping[int, PropagationRequest]:
        """The first part: for every volume with prompts, what is asked about its frames 0 to depth - 1."""
        return {volume: self._request_within(volume) for volume in sorted(self._all_prompted)}

    @property
    def _all_prompted(self) -> set[int]:
        return {volume for volumes in self.prompted.values() for volume in volumes}

    def _request_within(self, volume: int) -> PropagationRequest:
        first = volume * self.depth
        numbers = {FrameIndex(first + place): place for place in range(self.depth)}
        objects = (
            renumbered(item, numbers)
            for item in self.objects
            if volume in self.prompted[item.object_id]
        )
        return replace(
            self.request,
            objects=tuple(objects),
            start=FrameIndex(max(self.request.start - first, 0)),
            stop=FrameIndex(min(self.request.stop - first, self.depth)),
            direction=self.request.direction if self.is_single else "both",
            only=None,
            depth=0,
        )

    @cached_property
    def along(self) -> Mapping[int, tuple[ObjectId, ...]]:
        """The second part: which objects are carried to every volume; the same at each place."""
        found: dict[int, list[ObjectId]] = {}
        for item in () if self.is_single else self.objects:
            for volume in self._reached(item.object_id):
                found.setdefault(volume, []).append(item.object_id)
        return {volume: tuple(found[volume]) for volume in sorted(found)}

    def _reached(self, object_id: ObjectId) -> Iterator[int]:
        frames = tuple(FramePrompts(FrameIndex(v), ()) for v in self.prompted[object_id])
        line = replace(
            self.request,
            start=FrameIndex(self.volumes.start),
            stop=FrameIndex(self.volumes.stop),
            only=None,
            depth=0,
        )
        for span in spans_of(ObjectPrompts(object_id, frames), line):
            yield from span.frames

    @property
    def total(self) -> int:
        """How many results the whole propagation gives."""
        first = sum(num_results(request) for request in self.within.values())
        return first + self.depth * len(self.along)


def check_volume_range(start: int, stop: int, depth: int, num_frames: int) -> None:
    """Refuse a range that is neither the whole row nor lies in one volume.

    Raises
    ------
    PropagationError
        If it reaches over some volumes and not all.
    """
    is_whole = (start, stop) == (0, num_frames)
    if not is_whole and start // depth != (stop - 1) // depth:
        raise PropagationError(
            f"frames {start} to {stop - 1} reach over several volumes of {depth} frames",
            remedy="give frames of one volume, or leave the range out to track all of them",
        )


def volume_passes(
    item: ObjectPrompts, request: PropagationRequest
) -> Iterator[tuple[ObjectPrompts, Span]]:
    """Yield the passes that track an object in a row of volumes, each with what was said that it rests on.

    In a volume with prompts that is what was said there; in all others everything that was said. Of the latter, a
    volume is one pass.
    """
    plan = VolumePlan(replace(request, objects=(item,)))
    for volume, part in plan.within.items():
        said = said_within(item, volume, plan.depth)
        first = volume * plan.depth
        own = replace(
            part,
            objects=(said,),
            start=FrameIndex(first + part.start),
            stop=FrameIndex(first + part.stop),
        )
        for span in spans_of(said, own):
            yield said.around(start_of(span)), span
    if plan.along:
        anchor = min(item.frame_indices)
        everything = replace(item, extent=WHOLE)
        for first in _first_frames(plan.along, plan.depth):
            yield everything, Span(anchor, False, first, first + plan.depth)


def _first_frames(volumes: Iterable[int], depth: int) -> Iterator[int]:
    return (volume * depth for volume in volumes)


def start_of(span: Span) -> FrameIndex:
    """Return the frame that a pass tracks first."""
    return FrameIndex(span.stop - 1 if span.is_reverse else span.first)
