"""Reading: what a session shows and knows, and the checks that all its actions share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import DTypeLike

from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import Engine
from napari_sam2.core.errors import PromptError, UnknownObjectError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId, is_whole
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.labels import LazyLabels
from napari_sam2.core.masks import EMPTY_BOX, Box, PackedMask
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.projection import (
    Shown,
    check_labels_dtype,
    check_overlap,
    count_contested,
    project,
)
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.results import LabelResult, Score
from napari_sam2.core.sources import ImageSource
from napari_sam2.core.state import (
    ExistingLabels,
    Lock,
    OverlapPolicy,
    SessionState,
)
from napari_sam2.core.store import MaskRecord, MaskStore, MemoryMaskStore, RecordBook
from napari_sam2.core.timeline import Timeline
from napari_sam2.core.validation import check_frame, check_object_id


class Reading(Timeline):
    """What there is, frame by frame and object by object; see `Session` for the parameters."""

    def __init__(
        self,
        frames: FrameSource,
        engine: Engine,
        *,
        stack_view: StackView | None = None,
        store: MaskStore | None = None,
        labels_dtype: DTypeLike = np.uint16,
        overlap: OverlapPolicy = "keep",
        mapping: IntensityMapping | None = None,
    ) -> None:
        state = SessionState(overlap=check_overlap(overlap), mapping=mapping)
        super().__init__(engine, MemoryMaskStore() if store is None else store, state)
        self.frames = frames
        self.stack_view = StackView.default(3) if stack_view is None else stack_view
        self.labels_dtype = check_labels_dtype(labels_dtype)

    @property
    def objects(self) -> tuple[ObjectId, ...]:
        """Ids of all objects, ascending."""
        return tuple(sorted(self.state.objects))

    @property
    def overlap(self) -> OverlapPolicy:
        """Which run wins where masks of different runs overlap."""
        return self.state.overlap

    @property
    def mapping(self) -> IntensityMapping | None:
        """How the frames are seen; None if that was left to whoever made the model."""
        return self.state.mapping

    @property
    def prompts(self) -> tuple[ObjectPrompts, ...]:
        """All that was said about every object, by ascending id; with `locks`, all that a propagation needs."""
        return tuple(self.state.objects[object_id].all_prompts for object_id in self.objects)

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All locked frames, by ascending object and frame."""
        objects = self.state.objects
        return tuple(lock for object_id in self.objects for lock in objects[object_id].locks)

    @property
    def infos(self) -> Mapping[ObjectId, ObjectInfo]:
        """Names, classes, parents and extents, of those objects about which any was said."""
        return MappingProxyType(dict(self.state.infos))

    @property
    def labels(self) -> LazyLabels:
        """A live (T, Y, X) label array; frames are projected when asked for."""
        shape = (len(self.frames), *self.frames.shape)
        return LazyLabels(self.project, shape, self.labels_dtype)

    @property
    def next_object_id(self) -> ObjectId:
        """The id for a new object; ids of removed objects are not handed out again."""
        return ObjectId(self._highest_id + 1)

    def info(self, object: int) -> ObjectInfo:
        """Return the name, class, parent and extent of an object."""
        return self.state.info(self._listed(object))

    def record(self, object: int, frame: int) -> MaskRecord | None:
        """Return what is shown for an object on a frame, with its scores; None if nothing is known."""
        frame_idx = check_frame(frame, len(self.frames))
        key = self.state.shown(self._known(object), frame_idx)
        return None if key is None else self.store.get(key)

    def mask(self, object: int, frame: int) -> np.ndarray:
        """Return the mask of an object on a frame, (Y, X) bool; where others overlap it does not matter here."""
        record = self.record(object, frame)
        if record is None:
            return np.zeros(self.frames.shape, bool)
        return record.to_mask().to_array(self.frames.shape)

    def project(self, frame: int, box: Box | None = None) -> np.ndarray:
        """Return the labels of a frame, or of a box (y0, x0, y1, x1) of it."""
        frame_idx = check_frame(frame, len(self.frames))
        part = (0, 0, *self.frames.shape) if box is None else box
        return labels_of(self.state, self.store, frame_idx, part, self.labels_dtype)

    def num_contested(self, frame: int) -> int:
        """Return how many pixels of a frame several objects claim; `labels` gives each to one of them."""
        frame_idx = check_frame(frame, len(self.frames))
        shown = _shown_on(self.state, self.store, frame_idx)
        return count_contested(shown, (0, 0, *self.frames.shape))

    def result(self, source: ImageSource) -> LabelResult:
        """Return what was found so far with all that a file of it can hold; what is done later changes nothing in it.

        Parameters
        ----------
        source : ImageSource
            Where the image came from.
        """
        state, store, dtype = self.state, self.store, self.labels_dtype
        whole = (0, 0, *self.frames.shape)
        labels = LazyLabels(
            lambda t: labels_of(state, store, FrameIndex(t), whole, dtype),
            (len(self.frames), *self.frames.shape),
            dtype,
        )
        scores = {
            (object_id, frame): Score(record.object_score, record.iou, record.provenance)
            for object_id, known in state.objects.items()
            for frame in {*known.answers, *known.tracks}
            if (key := state.shown(object_id, frame)) is not None
            for record in [store.get(key)]
        }
        return LabelResult(
            labels, self.stack_view, source, dict(state.infos), scores, self.frames, self.objects
        )

    # Checks and small steps

    def _place(
        self, object: int, frame: int, *, is_locking: bool = False
    ) -> tuple[ObjectId, FrameIndex]:
        object_id = self._free(object)
        frame_idx = check_frame(frame, len(self.frames))
        if self.state.is_locked(object_id, frame_idx) and not is_locking:
            raise PromptError(
                f"object {object_id} is locked on frame {frame_idx}", remedy="unlock it first"
            )
        return object_id, frame_idx

    def _free(self, object: int, state: SessionState | None = None) -> ObjectId:
        """Return the id of an object that is there or may come; one of the labels that were there before may not."""
        object_id = check_object_id(object, self.labels_dtype, self.next_object_id)
        existing = (self.state if state is None else state).existing
        if existing is not None and object_id in existing.ids:
            raise PromptError(
                f"{object_id} is one of the labels that were there before, and cannot be an object",
                remedy=f"the next free id is {self.next_object_id}",
            )
        return object_id

    def _known(self, object: int) -> ObjectId:
        if not is_whole(object) or object not in self.state.objects:
            known = ", ".join(map(str, self.objects)) or "none yet"
            raise UnknownObjectError(
                f"there is no object {object!r}; there are: {known}",
                remedy="name one of these, or prompt it first",
            )
        return ObjectId(int(object))

    def _listed(self, object: int) -> ObjectId:
        """Return the id of an object that has prompts, or is expected to get some as a daughter."""
        is_expected = is_whole(object) and object in self.state.infos
        return ObjectId(int(object)) if is_expected else self._known(object)

    def _seen_place(self, object: int, frame: int) -> tuple[ObjectId, FrameIndex]:
        return self._known(object), check_frame(frame, len(self.frames))

    def _tracked_mask(self, object_id: ObjectId, frame: FrameIndex) -> PackedMask | None:
        """Return what tracking shows for the object on an unprompted frame, unless nothing is visible."""
        key = self.state.shown(object_id, frame)
        record = None if key is None else self.store.get(key)
        if record is None or record.provenance != "tracked" or record.box == EMPTY_BOX:
            return None
        return record.to_packed(self.frames.shape)


def labels_of(
    state: SessionState, store: RecordBook, frame: FrameIndex, box: Box, dtype: np.dtype
) -> np.ndarray:
    """Return the labels of a state in a box (y0, x0, y1, x1) of a frame."""
    labels = project(_shown_on(state, store, frame), box, dtype, state.overlap)
    existing = state.existing
    return labels if existing is None else _with_existing(labels, existing, frame, box)


def _shown_on(state: SessionState, store: RecordBook, frame: FrameIndex) -> Iterable[Shown]:
    for known in state.objects.values():
        shown = state.shown_as(known.object_id, frame)
        if shown is not None:
            yield Shown(store.get(shown[0]), shown[1])


def _with_existing(
    labels: np.ndarray, existing: ExistingLabels, frame: FrameIndex, box: Box
) -> np.ndarray:
    there = np.asarray(existing.labels[frame])[box[0] : box[2], box[1] : box[3]]
    is_free = there == 0 if existing.is_protected else labels != 0
    return np.where(is_free, labels, there.astype(labels.dtype))
