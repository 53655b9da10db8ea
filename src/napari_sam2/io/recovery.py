"""Recovery: a session file and what its journal adds to it, as if the program had not died."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from napari_sam2.core.bases import Bases
from napari_sam2.core.extent import WHOLE
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.saved import Kept, KeptMask, SavedSession
from napari_sam2.io.digests import digest_of_foundation
from napari_sam2.io.journal import JournalFrame, JournalMask, Mark, Since


@dataclass(frozen=True, slots=True)
class Regained:
    """What a journal gave back. `num_frames`: on how many frames."""

    kept: Kept
    log: tuple[str, ...]
    num_frames: int


@dataclass(frozen=True, slots=True)
class Stack:
    """What masks rest on besides prompts: `num_frames`, `depth` of a volume, and the mapping of the session file."""

    num_frames: int
    depth: int
    mapping: IntensityMapping | None


def regain(
    saved: SavedSession, kept: Kept | None, log: tuple[str, ...], since: Since, stack: Stack
) -> Regained:
    """Return a session's masks and log with what its journal adds.

    A mask whose foundation is not what is said in the session is out of date, as it would be had the program gone on.
    """
    known = {item.object_id for item in saved.prompts}
    frames = [item for item in since.frames if item.frame < stack.num_frames]
    found = [item for frame in frames for item in frame.masks if _id(item) in known]
    base = Kept((), dict(saved.ranks)) if kept is None else kept
    if found or since.mark.run:
        log = (*log, *_lines(frames, since.mark.run))
    if not found:
        return Regained(base, log, 0)
    expected = _foundations(saved, stack, since.mark.has_mapping)
    ranks = _new_ranks(base, frames, since.mark, known)
    masks = _overlaid(base, found, expected, ranks)
    newest = _newest(ranks)
    places = {item.mask.record.frame for item in found}
    return Regained(Kept(masks, {**base.ranks, **newest}), log, len(places))


def _id(item: JournalMask) -> ObjectId:
    return item.mask.record.object_id


def _lines(frames: Iterable[JournalFrame], run: int) -> tuple[str, ...]:
    """Return how a run that was cut off is told, so that the log still gives the same session."""
    if not run:
        return ()
    done = max((item.done for item in frames if item.run == run), default=0)
    return (f"run.drive({done})", "run.finish()") if done else ("run.finish()",)


def _foundations(
    saved: SavedSession, stack: Stack, has_mapping: bool
) -> Callable[[ObjectId, FrameIndex], bytes | None]:
    """Return what tells the digest of what a frame of an object rests on, as things are said now."""
    mapping = stack.mapping if has_mapping else None
    locked: dict[ObjectId, set[FrameIndex]] = {}
    for lock in saved.locks:
        locked.setdefault(lock.object_id, set()).add(lock.frame)
    bases = {
        item.object_id: Bases(
            PropagationRequest(
                0,
                (replace(item, locked=frozenset(locked.get(item.object_id, ())), extent=WHOLE),),
                FrameIndex(0),
                FrameIndex(stack.num_frames),
                mapping=mapping,
                depth=stack.depth,
            ),
            0,
        )
        for item in saved.prompts
    }
    digests: dict[int, bytes] = {}

    def expected(object_id: ObjectId, frame: FrameIndex) -> bytes | None:
        basis = bases[object_id].of(object_id, frame)
        if basis is None:
            return None
        if id(basis) not in digests:
            digests[id(basis)] = digest_of_foundation(basis.prompts, basis.mapping)
        return digests[id(basis)]

    return expected


def _new_ranks(
    base: Kept, frames: Sequence[JournalFrame], mark: Mark, known: set[ObjectId]
) -> Mapping[tuple[ObjectId, int], int]:
    """Return the ranks of objects in runs that gave them a new standing: later than all that was saved.

    A run that had begun to when the session was saved has its rank there already.
    """
    first = 1 + max((*base.ranks.values(), *(mask.rank for mask in base.masks)), default=-1)
    joined = {(_id(item), frame.run) for frame in frames for item in frame.masks if not item.keeps}
    if any(frame.run == mark.run for frame in frames):
        joined.update((ObjectId(key), mark.run) for key in mark.joining)
    order = {run: first + number for number, run in enumerate(sorted({run for _, run in joined}))}
    member = ObjectId(mark.member)
    if member in base.ranks:
        order[mark.run] = base.ranks[member]
    return {(object_id, run): order[run] for object_id, run in joined if object_id in known}


def _newest(ranks: Mapping[tuple[ObjectId, int], int]) -> dict[ObjectId, int]:
    newest: dict[ObjectId, int] = {}
    for (object_id, _), rank in ranks.items():
        newest[object_id] = max(rank, newest.get(object_id, rank))
    return newest


def _overlaid(
    base: Kept,
    found: Iterable[JournalMask],
    expected: Callable[[ObjectId, FrameIndex], bytes | None],
    ranks: Mapping[tuple[ObjectId, int], int],
) -> tuple[KeptMask, ...]:
    """Return the masks that were saved, with those of a journal over them."""
    newest = _newest(ranks)
    masks: dict[tuple[ObjectId, FrameIndex, bool], KeptMask] = {}
    for mask in base.masks:
        record = mask.record
        is_tracked = record.provenance == "tracked"
        if not is_tracked and record.object_id in newest:
            mask = replace(mask, rank=newest[record.object_id])
        masks[record.object_id, record.frame, is_tracked] = mask
    for item in found:
        record = item.mask.record
        is_good = item.foundation == expected(record.object_id, record.frame)
        rank = ranks.get((record.object_id, record.run))
        if rank is None:
            rank = newest.get(record.object_id, base.ranks.get(record.object_id, 0))
        passed = item.mask.passed if is_good else None
        masks[record.object_id, record.frame, True] = replace(item.mask, rank=rank, passed=passed)
    return tuple(masks.values())
