"""SavedSession: what a session is opened from again. Its masks follow from it, the stack and the model, or are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.label_stack import PackedLabels
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.state import Lock, OverlapPolicy, SessionState
from napari_sam2.core.store import MaskRecord, RecordBook


@dataclass(frozen=True, slots=True)
class SavedSession:
    """All that a person made in a session.

    Attributes
    ----------
    prompts : tuple of ObjectPrompts
        What was said about every object, with the masks that it refines and the candidates that it means; `locked` and
        `extent` of them are not looked at.
    locks : tuple of Lock
        All locked frames.
    infos : mapping of ObjectId to ObjectInfo
        Names, classes, parents and extents.
    ranks : mapping of ObjectId to int
        In which order objects were tracked or, before that, came, from 0; equal ones count as one run where masks
        overlap. Objects that are not in it come after all others.
    overlap : {"keep", "overwrite", "highest"}
        Which of them wins.
    existing : PackedLabels, optional
        Labels that were there before.
    protects_existing : bool
        Whether no mask covers them.
    highest_id : int
        Ids up to it are not handed out again.
    """

    prompts: tuple[ObjectPrompts, ...]
    locks: tuple[Lock, ...] = ()
    infos: Mapping[ObjectId, ObjectInfo] = field(default_factory=dict)
    ranks: Mapping[ObjectId, int] = field(default_factory=dict)
    overlap: OverlapPolicy = "keep"
    existing: PackedLabels | None = field(default=None, repr=False)
    protects_existing: bool = True
    highest_id: int = 0

    @classmethod
    def of(cls, state: SessionState, highest_id: int) -> SavedSession:
        """Return what is to be saved of a state; `highest_id`: of all objects that ever were."""
        objects = dict(sorted(state.objects.items()))
        order = sorted({known.standing for known in objects.values()})
        existing = state.existing
        return cls(
            prompts=tuple(known.all_prompts for known in objects.values()),
            locks=tuple(lock for known in objects.values() for lock in known.locks),
            infos=dict(state.infos),
            ranks={key: order.index(known.standing) for key, known in objects.items()},
            overlap=state.overlap,
            existing=None if existing is None else existing.labels,
            protects_existing=existing is None or existing.is_protected,
            highest_id=max(highest_id, state.highest_id),
        )

    def standing(self, object_id: ObjectId, new: int) -> int:
        """Return what an object counts as where masks overlap: less than all runs to come, or `new`."""
        rank = self.ranks.get(object_id)
        return new if rank is None else rank - max(self.ranks.values()) - 1


@dataclass(frozen=True, slots=True)
class KeptMask:
    """A mask that is kept with a session, so that opening it needs no model.

    `rank`: of its run, as in `Kept.ranks`; `passed`: anchor and first frame of the pass that found it, None for an
    answer to a prompt, and for a tracked mask that was out of date.
    """

    record: MaskRecord
    rank: int = 0
    passed: tuple[FrameIndex, FrameIndex] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The masks of a model in a session. `ranks`: the order of the runs of objects and masks together, from 0."""

    masks: tuple[KeptMask, ...] = ()
    ranks: Mapping[ObjectId, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        state: SessionState,
        store: RecordBook,
        is_good: Callable[[ObjectId, FrameIndex], bool],
    ) -> Kept:
        """Return what a model made of a state; `is_good`: whether a tracked mask is not out of date."""
        standings = {known.standing for known in state.objects.values()}
        for known in state.objects.values():
            standings.update(tracked.standing for tracked in known.tracks.values())
        order = {standing: rank for rank, standing in enumerate(sorted(standings))}
        masks: list[KeptMask] = []
        for object_id, known in sorted(state.objects.items()):
            for frame, key in known.answers.items():
                record = store.get(key)
                if record.provenance == "prompt" and frame not in known.pending:
                    masks.append(KeptMask(record, order[known.standing]))
            for frame, tracked in known.tracks.items():
                basis = tracked.basis if is_good(object_id, frame) else None
                passed = None if basis is None else (basis.anchor, basis.start)
                masks.append(KeptMask(store.get(tracked.key), order[tracked.standing], passed))
        ranks = {key: order[known.standing] for key, known in state.objects.items()}
        return cls(tuple(masks), ranks)

    def standing(self, rank: int) -> int:
        """Return what a rank counts as in the session that is opened: less than all runs to come."""
        highest = max((*self.ranks.values(), *(mask.rank for mask in self.masks)), default=0)
        return rank - highest - 1
