"""The state of a session: one frozen value, changed by making another that shares what stayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from napari_sam2.core.bases import Bases, Basis
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.label_stack import PackedLabels
from napari_sam2.core.objects import PLAIN, ObjectInfo
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts
from napari_sam2.core.table import FrameTable, OrderedFrameTable

OverlapPolicy = Literal["keep", "overwrite", "highest"]
"""Which run wins where masks of different runs overlap: the earlier, the later, or the stronger mask."""

RecordKey = int
"""Key of a `MaskRecord` in the session's store."""

LockOrigin = Literal["said", "tracked"]
"""What a lock rests on: what a person had said about the frame, or a tracked mask that the lock made a prompt."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A frame of an object that a person found good: no propagation and no click changes it.

    `from_tracking`: the mask came from tracking and was made a prompt by the lock; unlocking takes that back.
    """

    object_id: ObjectId
    frame: FrameIndex
    from_tracking: bool = False

    @property
    def origin(self) -> LockOrigin:
        """What the lock rests on."""
        return "tracked" if self.from_tracking else "said"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What tracking found on a frame: the record, what it rests on, and what it counts as when masks overlap."""

    key: RecordKey
    basis: Basis | None
    standing: int


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object: what was said about it, what was answered, and what tracking found.

    `answers` and `tracks` map a frame to a record; on a prompted frame the answer is shown, and what tracking found
    there earlier waits underneath. `pending`: prompted frames whose answer is still to come.
    `locked`: frames that a person found good; all of them are prompted.
    `run`: the last run that tracked the object, or, before any, a number between the runs before and after.
    `standing`: the run that answers count as when masks overlap: the last one that tracked the object as a whole.
    """

    object_id: ObjectId
    run: int
    standing: int
    prompts: OrderedFrameTable[FramePrompts] = field(default_factory=OrderedFrameTable)
    answers: FrameTable[RecordKey] = field(default_factory=FrameTable)
    tracks: FrameTable[Tracked] = field(default_factory=FrameTable)
    pending: frozenset[FrameIndex] = frozenset()
    locked: FrameTable[LockOrigin] = field(default_factory=FrameTable)

    @property
    def locks(self) -> Iterator[Lock]:
        """All locks, in ascending order of frames."""
        for frame, origin in self.locked.items():
            yield Lock(self.object_id, frame, from_tracking=origin == "tracked")

    @property
    def all_prompts(self) -> ObjectPrompts:
        """All conditioning frames, in the order in which they were first prompted."""
        return ObjectPrompts(self.object_id, tuple(self.prompts.values()))

    def shown(self, frame: FrameIndex) -> RecordKey | None:
        """Return what is shown on `frame`: the answer to prompts, or else what tracking found."""
        shown = self.shown_as(frame)
        return None if shown is None else shown[0]

    def shown_as(self, frame: FrameIndex) -> tuple[RecordKey, int] | None:
        """Return what is shown on `frame`, and the run that it counts as."""
        answer, tracked = self.answers.get(frame), self.tracks.get(frame)
        if answer is not None:
            return answer, self.standing
        return None if tracked is None else (tracked.key, tracked.standing)

    def prompted(self, prompts: FramePrompts, answer: RecordKey | None) -> ObjectState:
        """Return the object with `prompts` on their frame; without `answer` it is pending, the old one stays."""
        frame = prompts.frame
        pending = self.pending | {frame} if answer is None else self.pending - {frame}
        answers = self.answers if answer is None else self.answers.with_value(frame, answer)
        said = self.prompts.with_value(frame, prompts)
        return replace(self, prompts=said, answers=answers, pending=pending)

    def asked_again(self) -> ObjectState:
        """Return the object waiting for all answers that a model gives; until they come, the old ones stay."""
        asked = (t for t, said in self.prompts.items() if said.steps[-1].mask is None)
        return replace(self, pending=frozenset(asked))

    def unprompted(self, frame: FrameIndex) -> ObjectState:
        """Return the object without prompts on `frame`, and without its lock, which rests on them."""
        return replace(
            self,
            prompts=self.prompts.without(frame),
            answers=self.answers.without(frame),
            pending=self.pending - {frame},
            locked=self.locked.without(frame),
        )

    def tracked(self, frame: FrameIndex, key: RecordKey, basis: Basis | None = None) -> ObjectState:
        """Return the object with what tracking found on `frame`; a prompted frame is left alone."""
        if frame in self.prompts:
            return self
        found = Tracked(key, basis, self.standing)
        return replace(self, tracks=self.tracks.with_value(frame, found))


@dataclass(frozen=True, slots=True, eq=False)
class ExistingLabels:
    """Labels that somebody else made, read frame by frame; the session shows them and never changes them.

    `labels`: a copy; `highest`: the largest of them; `is_protected`: no mask covers them; `ids`: all of them
    beside 0.
    """

    labels: PackedLabels = field(repr=False)
    highest: int
    is_protected: bool = True
    ids: frozenset[int] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class SessionState:
    """All that undo brings back. An object exists as long as something is said about it.

    `infos`: names and the like, also of objects that are still to be prompted; `overlap`: which run wins;
    `existing`: labels that were there before; `reserved`: ids up to it were handed out before the session was opened;
    `mapping`: how the frames are seen, None as the model was given them.
    """

    objects: Mapping[ObjectId, ObjectState] = field(default_factory=dict)
    infos: Mapping[ObjectId, ObjectInfo] = field(default_factory=dict)
    overlap: OverlapPolicy = "keep"
    existing: ExistingLabels | None = None
    reserved: int = 0
    mapping: IntensityMapping | None = None

    @property
    def highest_id(self) -> int:
        """The highest id that is in use or reserved; 0 if none is."""
        labels = 0 if self.existing is None else self.existing.highest
        return max(self.reserved, labels, *self.objects, *self.infos, 0)

    def records(self, seen: set[int]) -> Iterator[RecordKey]:
        """Yield the records that the state refers to, but for parts shared with states asked before; see `seen`."""
        for known in self.objects.values():
            yield from known.answers.values_beside(seen)
            yield from (tracked.key for tracked in known.tracks.values_beside(seen))

    def emptied(self) -> SessionState:
        """Return the state without objects; how overlaps are decided and how frames are seen stays."""
        return SessionState(overlap=self.overlap, existing=self.existing, mapping=self.mapping)

    def seen_through(self, mapping: IntensityMapping) -> SessionState:
        """Return the state with another mapping: all that a model answered is to be answered again."""
        objects = {key: known.asked_again() for key, known in self.objects.items()}
        return replace(self, objects=objects, mapping=mapping)

    def prompts_on(self, object_id: ObjectId, frame: FrameIndex) -> FramePrompts | None:
        """Return what was said about an object on a frame."""
        known = self.objects.get(object_id)
        return None if known is None else known.prompts.get(frame)

    def shown(self, object_id: ObjectId, frame: FrameIndex) -> RecordKey | None:
        """Return the record shown for an object on a frame."""
        shown = self.shown_as(object_id, frame)
        return None if shown is None else shown[0]

    def shown_as(self, object_id: ObjectId, frame: FrameIndex) -> tuple[RecordKey, int] | None:
        """Return the record shown for an object on a frame and the run it counts as; nothing beyond its extent."""
        known = self.objects.get(object_id)
        if known is None or frame not in self.info(object_id).extent:
            return None
        return known.shown_as(frame)

    def info(self, object_id: ObjectId) -> ObjectInfo:
        """Return the name and the like of an object."""
        return self.infos.get(object_id, PLAIN)

    def asked(self, object_id: ObjectId) -> ObjectPrompts:
        """Return all that tracking an object depends on: its prompts, its locks and its extent."""
        known, extent = self.objects[object_id], self.info(object_id).extent
        return replace(known.all_prompts, locked=frozenset(known.locked), extent=extent)

    def is_locked(self, object_id: ObjectId, frame: FrameIndex) -> bool:
        """Say whether a person locked the frame of the object."""
        known = self.objects.get(object_id)
        return known is not None and frame in known.locked

    def with_object(self, changed: ObjectState) -> SessionState:
        """Return the state with `changed` in place of the object of its id, or as a new one."""
        return replace(self, objects={**self.objects, changed.object_id: changed})

    def with_info(self, object_id: ObjectId, info: ObjectInfo) -> SessionState:
        """Return the state with other names and the like of an object."""
        infos = {key: value for key, value in self.infos.items() if key != object_id}
        return replace(self, infos=infos if info == PLAIN else {**infos, object_id: info})

    def with_daughters_moved(
        self,
        old: ObjectId,
        new: ObjectId | None,
        belongs: Callable[[ObjectInfo], bool] = lambda info: True,
    ) -> SessionState:
        """Return the state in which some daughters of `old` are those of `new`, or of nobody."""
        state = self
        for object_id, info in self.infos.items():
            if info.parent == old and belongs(info):
                state = state.with_info(object_id, replace(info, parent=new))
        return state

    def descends(self, object_id: ObjectId | None, ancestor: ObjectId) -> bool:
        """Say whether an object is `ancestor`, or comes from it by divisions."""
        seen = set[ObjectId]()
        while object_id is not None and object_id not in seen and object_id != ancestor:
            seen.add(object_id)
            object_id = self.info(object_id).parent
        return object_id == ancestor

    def without_object(self, object_id: ObjectId) -> SessionState:
        """Return the state without an object, its name and the like; its daughters have no parent."""
        objects = {key: value for key, value in self.objects.items() if key != object_id}
        state = self.with_info(object_id, PLAIN).with_daughters_moved(object_id, None)
        return replace(state, objects=objects)

    def with_prompts(
        self, object_id: ObjectId, prompts: FramePrompts, answer: RecordKey | None, new_run: int
    ) -> SessionState:
        """Return the state with `prompts` on their frame; `new_run` is what a new object counts as.

        An object is wherever a person says that it is: its extent grows to hold the frame.
        """
        known = self.objects.get(object_id) or ObjectState(object_id, new_run, new_run)
        state = self.with_object(known.prompted(prompts, answer))
        info = self.info(object_id)
        extent = info.extent.widened(prompts.frame)
        return (
            state
            if extent == info.extent
            else state.with_info(object_id, replace(info, extent=extent))
        )

    def without_prompts(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        """Return the state without an object's prompts on a frame, and without its lock, which rests on them.

        With its last prompt the object goes too: what was tracked from nothing could not be made again.
        """
        changed = self.objects[object_id].unprompted(frame)
        if changed.prompts:
            return self.with_object(changed)
        state = self.without_object(object_id)
        is_daughter = self.info(object_id).parent is not None  # she stays one for the next click
        return replace(state, infos=self.infos) if is_daughter else state

    def with_lock(self, lock: Lock) -> SessionState:
        """Return the state with a lock of a prompted frame."""
        known = self.objects[lock.object_id]
        return self.with_object(
            replace(known, locked=known.locked.with_value(lock.frame, lock.origin))
        )

    def without_lock(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        """Return the state without a lock."""
        known = self.objects[object_id]
        return self.with_object(replace(known, locked=known.locked.without(frame)))

    def with_answer(
        self,
        object_id: ObjectId,
        prompts: FramePrompts,
        answer: RecordKey,
        mapping: IntensityMapping | None = None,
    ) -> SessionState:
        """Return the state with the answer to `prompts`, or this very state if it does not wait for it."""
        if not self.awaits(object_id, prompts, mapping):
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

    def awaits(
        self, object_id: ObjectId, prompts: FramePrompts, mapping: IntensityMapping | None = None
    ) -> bool:
        """Say whether the answer to exactly these prompts, seen through `mapping`, is still to come."""
        known = self.objects.get(object_id)
        waiting = known is not None and prompts.frame in known.pending and mapping == self.mapping
        return waiting and self.prompts_on(object_id, prompts.frame) == prompts

    def joining(
        self, run: int, object_ids: Iterable[ObjectId], *, is_repair: bool = False
    ) -> SessionState:
        """Return the state in which some objects are tracked by `run`.

        Their answers count as made by it, unless the run only repairs parts of what was tracked before.
        """
        changed = {}
        for key in object_ids:
            known = self.objects[key]
            standing = known.standing if is_repair and len(known.tracks) else run
            changed[key] = replace(known, run=run, standing=standing)
        return replace(self, objects={**self.objects, **changed})

    def with_tracks(
        self,
        run: int,
        frame: FrameIndex,
        keys: Mapping[ObjectId, RecordKey],
        bases: Bases,
        made: Made | None = None,
    ) -> SessionState:
        """Return the state with what `run` found on `frame`, or this very state if it has no part in that run.

        `made`: what was made so for other states; they go on sharing what they share now.
        """
        made = Made() if made is None else made
        objects = made.objects.get(id(self.objects))
        if objects is None:
            joined = [
                (known, key)
                for object_id, key in keys.items()
                if (known := self.objects.get(object_id)) is not None and known.run == run
            ]
            for known, key in joined:
                if id(known) not in made.known:
                    basis = bases.of(known.object_id, frame)
                    made.known[id(known)] = known.tracked(frame, key, basis)
            changed = {known.object_id: made.known[id(known)] for known, _ in joined}
            objects = {**self.objects, **changed} if changed else self.objects
            made.objects[id(self.objects)] = objects
        return self if objects is self.objects else replace(self, objects=objects)


@dataclass(slots=True)
class Made:
    """What was made of objects, and of whole tables of them, by the identity of what they were before."""

    objects: dict[int, Mapping[ObjectId, ObjectState]] = field(default_factory=dict)
    known: dict[int, ObjectState] = field(default_factory=dict)


def changed_frames(
    before: SessionState, after: SessionState
) -> Iterator[tuple[ObjectId, FrameIndex]]:
    """Yield every object and frame whose mask, or standing among other masks, is not the same in both."""
    for object_id in sorted(before.objects.keys() | after.objects.keys()):
        old = before.objects.get(object_id) or ObjectState(object_id, 0, 0)
        new = after.objects.get(object_id) or ObjectState(object_id, 0, 0)
        is_resized = before.info(object_id).extent != after.info(object_id).extent
        if old is new and not is_resized and before.overlap == after.overlap:
            continue
        frames = old.answers.differing(new.answers) | old.tracks.differing(new.tracks)
        if old.standing != new.standing:
            frames.update(new.answers)
        if is_resized or before.overlap != after.overlap:
            frames = {*old.answers, *new.answers, *old.tracks, *new.tracks}
        for frame in sorted(frames):
            shown = before.shown_as(object_id, frame), after.shown_as(object_id, frame)
            if shown[0] != shown[1] or (before.overlap != after.overlap and shown[1] is not None):
                yield object_id, frame
