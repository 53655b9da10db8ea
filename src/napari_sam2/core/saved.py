"""SavedSession: what a session is opened from again; its masks follow from it, the stack and the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_sam2.core.ids import ObjectId
from napari_sam2.core.label_stack import PackedLabels
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.state import Lock, OverlapPolicy, SessionState


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
