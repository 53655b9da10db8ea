"""VolumeSegmenter: a row of volumes, tracked by segmenters of its stacks; see `core.volumes`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.frames import ForwardedFrames, FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import EMPTY_BOX, Box, ObjectMask, PackedMask
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.segmenter import Segmenter
from napari_sam2.core.table import FrameTable
from napari_sam2.core.volumes import VolumePlan, renumbered

ABSENT_SCORE = -10.0
"""Object score of an object at a place where it is in none of the volumes that were prompted."""

NUM_BOUND = 4
"""Segmenters kept, so that clicks in one volume do not encode it again and again."""


class Line(ForwardedFrames):
    """Some frames of a row of volumes as a stack: those of one volume, or those of one place in all volumes."""

    def __init__(self, frames: FrameSource, numbers: range) -> None:
        super().__init__(frames)
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, t: int) -> np.ndarray:
        """Return frame `t` of the line."""
        return self._frames.read(self._numbers[t])


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a propagation through volumes stands: all that the rest depends on.

    `part`: number of the stack that is tracked now; `inner`: where that stands; `found`: what the first part found,
    by object and frame; `waiting`: masks on frames of the stack of which not all objects are there yet; `given`:
    frames of it that were given.
    """

    part: int = 0
    inner: ResumePoint | None = None
    found: Mapping[ObjectId, FrameTable[PackedMask]] = field(default_factory=dict)
    waiting: Mapping[int, Mapping[ObjectId, ObjectMask]] = field(default_factory=dict)
    given: frozenset[int] = frozenset()

    def next_part(self) -> Progress:
        """Return where it stands when the stack in work is done."""
        return Progress(self.part + 1, found=self.found)


class VolumeSegmenter:
    """Implements `core.Segmenter` for a row of volumes.

    Parameters
    ----------
    frames : FrameSource
        All frames of all volumes, one volume after the other.
    depth : int
        Frames of a volume.
    bind : callable
        Makes a segmenter of a stack; all of them should share one network.
    mapping : IntensityMapping, optional
        What those segmenters see frames through by themselves.
    """

    def __init__(
        self,
        frames: FrameSource,
        depth: int,
        bind: Callable[[FrameSource], Segmenter],
        mapping: IntensityMapping | None = None,
    ) -> None:
        self.mapping = mapping
        self._frames, self._depth, self._bind = frames, depth, bind
        self._bound: OrderedDict[range, Segmenter] = OrderedDict()

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer in the volume of the frame; see `core.Segmenter`."""
        volume, place = divmod(request.prompts.frame, self._depth)
        asked = replace(request.prompts, frame=FrameIndex(place))
        inner = replace(request, prompts=asked, history=self._history(request, volume))
        result = self._volume(volume).prompt(inner)
        return replace(result, frame=request.prompts.frame)

    def _history(self, request: PromptRequest, volume: int) -> ObjectPrompts | None:
        if request.history is None:
            return None
        return renumbered(request.history, self._places_of(volume))

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Get ready for questions about a frame; see `core.Segmenter`."""
        volume, place = divmod(frame, self._depth)
        return self._volume(volume).prepare(FrameIndex(place), box, may_forget=may_forget)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Track through the prompted volumes, then from volume to volume; see `core.Segmenter`."""
        plan = VolumePlan(request)
        done = 0 if resume is None else resume.done
        progress = Progress() if resume is None else resume.state
        assert isinstance(progress, Progress)
        volumes, total = tuple(plan.within), plan.total
        num_parts = len(volumes) + (self._depth if plan.along else 0)
        while progress.part < num_parts:
            place = progress.part - len(volumes)
            results = (
                self._within(plan, volumes[progress.part], progress, cancellation)
                if place < 0
                else self._along(plan, place, progress, cancellation)
            )
            for frame, masks, now in results:
                done, progress = done + 1, now
                yield FrameResult(FrameIndex(frame), masks, total, ResumePoint(done, progress))
            if cancellation is not None and cancellation.is_asked:
                return
            progress = progress.next_part()

    # The first part: through a volume

    def _within(
        self,
        plan: VolumePlan,
        volume: int,
        progress: Progress,
        cancellation: Cancellation | None,
    ) -> Iterator[tuple[int, tuple[ObjectMask, ...], Progress]]:
        segmenter, first = self._volume(volume), volume * self._depth
        for result in segmenter.propagate(plan.within[volume], progress.inner, cancellation):
            frame = FrameIndex(first + result.frame)
            found = dict(progress.found)
            for mask in result.objects:
                packed = PackedMask.from_object_mask(mask, self._frames.shape)
                table = found.get(mask.object_id, FrameTable[PackedMask]())
                found[mask.object_id] = table.with_value(frame, packed)
            progress = replace(progress, inner=result.resume, found=found)
            yield frame, result.objects, progress

    # The second part: from volume to volume

    def _along(
        self,
        plan: VolumePlan,
        place: int,
        progress: Progress,
        cancellation: Cancellation | None,
    ) -> Iterator[tuple[int, tuple[ObjectMask, ...], Progress]]:
        """Track one place of all volumes; every volume gives one result, with all objects that are carried there."""
        said = tuple(self._said_along(plan, place, progress))
        tracked = {item.object_id for item in said}
        if said:
            request = replace(
                plan.request,
                objects=said,
                start=FrameIndex(plan.volumes.start),
                stop=FrameIndex(plan.volumes.stop),
                only=None,
                depth=0,
            )
            segmenter = self._segmenter(self._numbers_along(place))
            for result in segmenter.propagate(request, progress.inner, cancellation):
                progress = _with_result(plan, progress, result)
                yield from self._complete(plan, place, result.frame, tracked, progress)
                progress = _given(plan, progress, result.frame, tracked)
            if cancellation is not None and cancellation.is_asked:
                return
        for volume in plan.along:
            if volume not in progress.given:
                masks = _filled(plan, progress, volume)
                progress = replace(progress, given=progress.given | {volume})
                yield volume * self._depth + place, masks, progress

    def _complete(
        self, plan: VolumePlan, place: int, volume: int, tracked: set[ObjectId], progress: Progress
    ) -> Iterator[tuple[int, tuple[ObjectMask, ...], Progress]]:
        """Yield the result of a volume if all objects that are tracked there have come."""
        now = _given(plan, progress, volume, tracked)
        if now is not progress:
            yield volume * self._depth + place, _filled(plan, progress, volume), now

    def _said_along(
        self, plan: VolumePlan, place: int, progress: Progress
    ) -> Iterator[ObjectPrompts]:
        """Yield what is known of every object at a place: what was said there, else what the first part found."""
        for item in plan.objects:
            numbers = {
                FrameIndex(volume * self._depth + place): volume
                for volume in plan.prompted[item.object_id]
            }
            by_person = renumbered(item, numbers)
            there = {said.frame for said in by_person.frames}
            found = progress.found.get(item.object_id, FrameTable[PackedMask]())
            by_tracking = (
                FramePrompts(FrameIndex(volume), (PromptStep(mask=found[frame]),))
                for frame, volume in numbers.items()
                if volume not in there and frame in found and found[frame].box != EMPTY_BOX
            )
            known = replace(by_person, frames=(*by_person.frames, *by_tracking))
            if known.frames:
                yield known

    # Stacks

    def _volume(self, volume: int) -> Segmenter:
        return self._segmenter(self._numbers_within(volume))

    def _numbers_within(self, volume: int) -> range:
        return range(volume * self._depth, (volume + 1) * self._depth)

    def _numbers_along(self, place: int) -> range:
        return range(place, len(self._frames), self._depth)

    def _places_of(self, volume: int) -> dict[FrameIndex, int]:
        return {FrameIndex(t): place for place, t in enumerate(self._numbers_within(volume))}

    def _segmenter(self, numbers: range) -> Segmenter:
        known = self._bound.pop(numbers, None)
        self._bound[numbers] = known or self._bind(Line(self._frames, numbers))
        while len(self._bound) > NUM_BOUND:
            self._bound.popitem(last=False)
        return self._bound[numbers]


def _with_result(plan: VolumePlan, progress: Progress, result: FrameResult) -> Progress:
    """Note the masks of a result that are wanted: not those in volumes where the first part found the object."""
    expected = plan.along.get(result.frame, ())
    masks = {mask.object_id: mask for mask in result.objects if mask.object_id in expected}
    together = {**progress.waiting.get(result.frame, {}), **masks}
    waiting = {**progress.waiting, result.frame: together}
    return replace(progress, inner=result.resume, waiting=waiting)


def _given(plan: VolumePlan, progress: Progress, volume: int, tracked: set[ObjectId]) -> Progress:
    """Return where it stands once a volume is given, or this very value while objects of it are missing."""
    expected = {key for key in plan.along.get(volume, ()) if key in tracked}
    is_complete = bool(expected) and expected <= progress.waiting.get(volume, {}).keys()
    if volume in progress.given or not is_complete:
        return progress
    waiting = {key: masks for key, masks in progress.waiting.items() if key != volume}
    return replace(progress, waiting=waiting, given=progress.given | {volume})


def _filled(plan: VolumePlan, progress: Progress, volume: int) -> tuple[ObjectMask, ...]:
    """Return the masks of a volume at a place; what no pass came to is not there."""
    found = progress.waiting.get(volume, {})
    return tuple(found.get(key) or _absent(key) for key in plan.along[volume])


def _absent(object_id: ObjectId) -> ObjectMask:
    nothing = np.zeros((0, 0), bool)
    return ObjectMask(object_id, EMPTY_BOX, nothing, ABSENT_SCORE, 0.0, nothing.astype(np.uint8))
