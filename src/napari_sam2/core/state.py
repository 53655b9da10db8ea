"""The state of a session: one frozen value, changed by making another that shares what stayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts
from napari_sam2.core.table import FrameTable

RecordKey = int
"""Key of a `MaskRecord` in the session's store."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A frame of an object that a person found good: no propagation and no click changes it.

    `from_tracking`: the mask came from tracking and was made a prompt by the lock; unlocking takes that back.
    """

    object_id: ObjectId
    frame: FrameIndex
    from_tracking: bool = False


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object: what was said about it, what was answered, and what tracking found.

    `answers` and `tracks` map a frame to a record; on a prompted frame the answer is shown, and what tracking found
    there earlier waits underneath. `pending`: prompted frames whose answer is still to come.
    `run`: the run that answers count as when masks overlap: the last one that tracked the object, or, before any,
    a number between the runs before and after.
    """

    object_id: ObjectId
    run: int
    prompts: Mapping[FrameIndex, FramePrompts] = field(default_factory=dict)
    answers: FrameTable[RecordKey] = field(default_factory=FrameTable)
    tracks: FrameTable[RecordKey] = field(default_factory=FrameTable)
    pending: frozenset[FrameIndex] = frozenset()

    @property
    def all_prompts(self) -> ObjectPrompts:
        """All conditioning frames, in the order in which they were first prompted."""
        return ObjectPrompts(self.object_id, tuple(self.prompts.values()))

    def shown(self, frame: FrameIndex) -> RecordKey | None:
        """Return what is shown on `frame`: the answer to prompts, or else what tracking found."""
        answer = self.answers.get(frame)
        return self.tracks.get(frame) if answer is None else answer

    def prompted(self, prompts: FramePrompts, answer: RecordKey | None) -> ObjectState:
        """Return the object with `prompts` on their frame; without `answer` it is pending, the old one stays."""
        frame = prompts.frame
        pending = self.pending | {frame} if answer is None else self.pending - {frame}
        answers = self.answers if answer is None else self.answers.with_value(frame, answer)
        said = {**self.prompts, frame: prompts}
        return replace(self, prompts=said, answers=answers, pending=pending)

    def unprompted(self, frame: FrameIndex) -> ObjectState:
        """Return the object without prompts on `frame`."""
        return replace(
            self,
            prompts={t: said for t, said in self.prompts.items() if t != frame},
            answers=self.answers.without(frame),
            pending=self.pending - {frame},
        )

    def tracked(self, frame: FrameIndex, key: RecordKey) -> ObjectState:
        """Return the object with what tracking found on `frame`; a prompted frame is left alone."""
        if frame in self.prompts:
            return self
        return replace(self, tracks=self.tracks.with_value(frame, key))


@dataclass(frozen=True, slots=True)
class SessionState:
    """All that undo brings back. An object exists as long as something is said about it."""

    objects: Mapping[ObjectId, ObjectState] = field(default_factory=dict)
    locks: Mapping[tuple[ObjectId, FrameIndex], Lock] = field(default_factory=dict)

    def prompts_on(self, object_id: ObjectId, frame: FrameIndex) -> FramePrompts | None:
        """Return what was said about an object on a frame."""
        known = self.objects.get(object_id)
        return None if known is None else known.prompts.get(frame)

    def shown(self, object_id: ObjectId, frame: FrameIndex) -> RecordKey | None:
        """Return the record shown for an object on a frame."""
        known = self.objects.get(object_id)
        return None if known is None else known.shown(frame)

    def is_locked(self, object_id: ObjectId, frame: FrameIndex) -> bool:
        """Say whether a person locked the frame of the object."""
        return (object_id, frame) in self.locks

    def with_object(self, changed: ObjectState) -> SessionState:
        """Return the state with `changed` in place of the object of its id, or as a new one."""
        return replace(self, objects={**self.objects, changed.object_id: changed})

    def without_object(self, object_id: ObjectId) -> SessionState:
        """Return the state without an object and its locks."""
        objects = {key: value for key, value in self.objects.items() if key != object_id}
        locks = {key: value for key, value in self.locks.items() if key[0] != object_id}
        return SessionState(objects, locks)

    def with_prompts(
        self, object_id: ObjectId, prompts: FramePrompts, answer: RecordKey | None, new_run: int
    ) -> SessionState:
        """Return the state with `prompts` on their frame; `new_run` is what a new object counts as."""
        known = self.objects.get(object_id) or ObjectState(object_id, new_run)
        return self.with_object(known.prompted(prompts, answer))

    def without_prompts(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        """Return the state without an object's prompts on a frame.

        With its last prompt the object goes too: what was tracked from nothing could not be made again.
        """
        changed = self.objects[object_id].unprompted(frame)
        return self.with_object(changed) if changed.prompts else self.without_object(object_id)

    def with_lock(self, lock: Lock) -> SessionState:
        """Return the state with a lock."""
        return replace(self, locks={**self.locks, (lock.object_id, lock.frame): lock})

    def without_lock(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        """Return the state without a lock."""
        place = (object_id, frame)
        return replace(self, locks={key: lock for key, lock in self.locks.items() if key != place})

    def with_answer(
        self, object_id: ObjectId, prompts: FramePrompts, answer: RecordKey
    ) -> SessionState:
        """Return the state with the answer to `prompts`, or this very state if it does not wait for it."""
        if not self.awaits(object_id, prompts):
            return self
        return self.with_object(self.objects[object_id].prompted(prompts, answer))

    def with_frame_as_in(
        self, other: SessionState, object_id: ObjectId, frame: FrameIndex
    ) -> SessionState:
        """Return the state with what `other` says and shows for an object on one prompted frame."""
        said = other.prompts_on(object_id, frame)
        if said is None:
            return self.without_prompts(object_id, frame)
        source, known = other.objects[object_id], self.objects[object_id]
        answer = source.answers.get(frame)
        # Not removed and added again: the order of the frames is part of what was said.
        changed = known.prompted(said, answer)
        if answer is None:
            changed = replace(changed, answers=known.answers.without(frame))
        if frame in source.pending:
            changed = replace(changed, pending=changed.pending | {frame})
        return self.with_object(changed)

    def awaits(self, object_id: ObjectId, prompts: FramePrompts) -> bool:
        """Say whether the answer to exactly these prompts is still to come."""
        known = self.objects.get(object_id)
        waiting = known is not None and prompts.frame in known.pending
        return waiting and self.prompts_on(object_id, prompts.frame) == prompts

    def counting_as(self, run: int, object_ids: Iterable[ObjectId]) -> SessionState:
        """Return the state in which the answers of some objects count as made by `run`."""
        changed = {key: replace(self.objects[key], run=run) for key in object_ids}
        return replace(self, objects={**self.objects, **changed})

    def with_tracks(
        self, run: int, frame: FrameIndex, keys: Mapping[ObjectId, RecordKey]
    ) -> SessionState:
        """Return the state with what `run` found on `frame`, or this very state if it has no part in that run."""
        changed = {
            object_id: self.objects[object_id].tracked(frame, key)
            for object_id, key in keys.items()
            if object_id in self.objects and self.objects[object_id].run == run
        }
        return replace(self, objects={**self.objects, **changed}) if changed else self


def changed_frames(
    before: SessionState, after: SessionState
) -> Iterator[tuple[ObjectId, FrameIndex]]:
    """Yield every object and frame whose mask, or standing among other masks, is not the same in both."""
    for object_id in sorted(before.objects.keys() | after.objects.keys()):
        old = before.objects.get(object_id) or ObjectState(object_id, 0)
        new = after.objects.get(object_id) or ObjectState(object_id, 0)
        if old is new:
            continue
        frames = old.answers.differing(new.answers) | old.tracks.differing(new.tracks)
        if old.run != new.run:
            frames.update(new.answers)
        for frame in sorted(frames):
            if old.shown(frame) != new.shown(frame) or old.run != new.run:
                yield object_id, frame
