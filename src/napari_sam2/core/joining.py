"""Parts and unions of objects, as states: nothing is tracked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from napari_sam2.core import edits
from napari_sam2.core.extent import Extent
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import EMPTY_BOX, ObjectMask, PackedMask, union_box
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.core.state import ObjectState, RecordKey, SessionState, Tracked
from napari_sam2.core.store import MaskRecord, RecordBook
from napari_sam2.core.table import FrameTable, OrderedFrameTable


def part_of(
    known: ObjectState,
    belongs: Callable[[FrameIndex], bool],
    object_id: ObjectId,
    store: RecordBook,
    run: int,
) -> ObjectState:
    """Return what is known on the frames that belong to a part, as an object of this id.

    It takes no part in runs that go on (`run` is none of theirs): they track the whole object.
    """
    answers, tracks = FrameTable[RecordKey](), FrameTable[Tracked]()
    for t in filter(belongs, known.answers):
        answers = answers.with_value(t, _of_object(known.answers[t], object_id, store))
    for t in filter(belongs, known.tracks):
        tracked = known.tracks[t]
        key = _of_object(tracked.key, object_id, store)
        tracks = tracks.with_value(t, replace(tracked, key=key))
    return replace(
        known,
        object_id=object_id,
        run=run,
        prompts=OrderedFrameTable((t, said) for t, said in known.prompts.items() if belongs(t)),
        answers=answers,
        tracks=tracks,
        pending=frozenset(filter(belongs, known.pending)),
        locked=FrameTable((t, origin) for t, origin in known.locked.items() if belongs(t)),
    )


def joined(
    state: SessionState,
    object_id: ObjectId,
    gone: ObjectId,
    store: RecordBook,
    shape: tuple[int, int],
    extent: Extent,
    run: int,
) -> ObjectState:
    """Return the object that shows what two objects showed, on every frame; `extent`: where it may be.

    It takes no part in runs that go on (`run` is none of theirs): they track one of the two alone.
    What was said about one of them on a frame where it was trimmed away is left out where the joint object is shown.
    """
    both = [state.objects[object_id], state.objects[gone]]
    first, second = both
    merged = ObjectState(object_id, run, first.standing)
    for t in (*first.prompts, *(t for t in second.prompts if t not in first.prompts)):
        said = [known for known in both if t in known.prompts]
        heard = [known for known in said if t in state.info(known.object_id).extent]
        shown = {known.object_id: state.shown(known.object_id, t) for known in both}
        masks = {
            owner: record
            for owner, key in shown.items()
            if key is not None and (record := store.get(key)).box != EMPTY_BOX
        }
        seen = [known for known in both if known.object_id in masks]
        if t not in extent or (heard and not seen):
            merged = _adopted(merged, (heard or said)[0], t, store)
        elif len(seen) == 1 and seen[0] in heard:
            merged = _adopted(merged, seen[0], t, store)
        elif heard:
            records = list(masks.values())
            union = union_of(records[0], records[-1], object_id)
            mask = edits.with_mask(t, PackedMask.from_object_mask(union.to_mask(), shape))
            merged = merged.prompted(mask, person_answer(mask, object_id, store))
    frames = {*first.tracks, *second.tracks, *first.answers, *second.answers}
    for t in sorted(frames - merged.prompts.keys()):
        keys = [key for key in (state.shown(object_id, t), state.shown(gone, t)) if key is not None]
        if keys:
            records = [store.get(key) for key in keys]
            union = union_of(records[0], records[-1], object_id)
            merged = merged.tracked(t, store.append(union))
    return merged


def with_joint_locks(merged: ObjectState, both: Iterable[ObjectState]) -> ObjectState:
    """Return a joint object with the locks of both, where something is said about it.

    What it shows there was never tracked so: no lock is one that unlocking takes the mask back with.
    """
    frames = (t for known in both for t in known.locked if t in merged.prompts)
    return replace(merged, locked=FrameTable((t, "said") for t in frames))


def _adopted(
    merged: ObjectState, owner: ObjectState, frame: FrameIndex, store: RecordBook
) -> ObjectState:
    """Return `merged` with what was said about `owner` on a frame, and the answer."""
    key = _of_object(owner.answers[frame], merged.object_id, store)
    return merged.prompted(owner.prompts[frame], key)


def union_of(first: MaskRecord, second: MaskRecord, object_id: ObjectId) -> MaskRecord:
    """Return the record of what two records of a frame show."""
    box = union_box(first.box, second.box)
    strength = np.zeros((box[2] - box[0], box[3] - box[1]), np.uint8)
    for record in (first, second):
        y, x = record.box[0] - box[0], record.box[1] - box[1]
        part = record.unpacked_strength()
        inside = strength[y : y + part.shape[0], x : x + part.shape[1]]
        np.maximum(inside, part, out=inside)
    score = max(first.object_score, second.object_score)
    iou = min(first.iou, second.iou)
    union = ObjectMask(object_id, box, strength > 0, score, iou, strength)
    return MaskRecord.from_mask(union, first.frame, max(first.run, second.run), "tracked")


def person_answer(said: FramePrompts, object_id: ObjectId, store: RecordBook) -> RecordKey | None:
    """Store and return the answer to prompts that end with a person's own mask; None for others."""
    mask = edits.person_mask(said)
    if mask is None:
        return None
    return store.append(MaskRecord.from_person(mask, object_id, said.frame))


def _of_object(key: RecordKey, object_id: ObjectId, store: RecordBook) -> RecordKey:
    record = store.get(key)
    if record.object_id == object_id:
        return key
    return store.append(replace(record, object_id=object_id))
