"""Drawing: outlines, scribbles and whole label images as prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from napari_sam2.core import edits
from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.editing import Editing
from napari_sam2.core.errors import LabelsError, PromptError
from napari_sam2.core.ids import FrameIndex, ObjectId, is_whole
from napari_sam2.core.joining import person_answer
from napari_sam2.core.masks import EMPTY_BOX, Box, PackedMask
from napari_sam2.core.outlines import points_along, polygon_mask
from napari_sam2.core.recording import recorded
from napari_sam2.core.state import Lock, SessionState
from napari_sam2.core.store import MaskRecord
from napari_sam2.core.validation import check_frame, check_mask, check_path, check_points

MAX_SCRIBBLED = 8
"""Points that a scribble becomes at most: the network saw few more in training."""


class Drawing(Editing):
    """Prompts that are drawn with other tools than points and boxes."""

    @recorded
    def add_polygon(
        self, object: int, frame: int, vertices: ArrayLike, *, lock: bool = False
    ) -> None:
        """Add what lies in a polygon, or a lasso, as the mask of an object on a frame; see `add_mask`.

        Parameters
        ----------
        object, frame : int
            Object id from 1; frame from 0.
        vertices : array of shape (N, 2)
            (y, x), frame pixels; at least three.
        lock : bool
            Lock the frame with it.

        Raises
        ------
        PromptError
            If there are fewer than three vertices, no pixel lies inside, or the frame is locked and `lock` is not set.
        """
        mask = polygon_mask(check_path(vertices, 3), self.frames.shape)
        if not mask.any():
            raise PromptError("no pixel lies in the polygon", remedy="draw it larger")
        self.add_mask(object, frame, mask, lock=lock)

    @recorded
    def add_scribble(
        self,
        object: int,
        frame: int,
        path: ArrayLike,
        positive: bool = True,
        spacing: float | None = None,
    ) -> None:
        """Add points along a scribble (N, 2) to an object on a frame, all of one sign, as one interaction.

        Parameters
        ----------
        object, frame : int
            Object id from 1; frame from 0.
        path : array of shape (N, 2)
            (y, x), frame pixels.
        positive : bool
            Whether the scribble says what the object is, or what it is not.
        spacing : float, optional
            Distance of the points, pixels; by default as many as the network takes well.

        Raises
        ------
        PromptError
            If the path is empty or leaves the frame, `spacing` is no number, or a point contradicts an earlier one.
        """
        checked = check_path(path, 1)
        if spacing is not None and not np.isfinite(spacing):
            raise PromptError(
                f"the distance of points must be a finite number, got {spacing!r}",
                remedy="leave it out, and as many points are taken as the network takes well",
            )
        length = float(np.hypot(*np.diff(checked, axis=0).T).sum())
        least = max(length / (MAX_SCRIBBLED - 1), 1.0)
        points = points_along(checked, least if spacing is None else max(float(spacing), 0.5))
        check_points(points, None, self.frames.shape)
        self.add_points(object, frame, points, [int(positive)] * len(points))

    @recorded
    def add_labels(
        self, frame: int, labels: ArrayLike, *, as_new: bool = False, lock: bool = False
    ) -> tuple[ObjectId, ...]:
        """Add every label of an image (Y, X) as the mask of an object on a frame, as one action.

        Parameters
        ----------
        frame : int
            From 0.
        labels : array of shape (Y, X), integer
            0 is background; any other value is an object id.
        as_new : bool
            Give the labels new ids, in their order, instead of adding to the objects that have their ids.
        lock : bool
            Lock the frame for these objects; where it is locked already, a mask is only taken so.

        Returns
        -------
        tuple of object ids
            Of the objects that got a mask.

        Raises
        ------
        PromptError
            If the labels are empty, negative, those of `use_existing`, or of objects that are locked on the frame.
        LabelsError
            If they are no whole numbers of the frame's shape, or beyond the type of the session's labels.
        """
        frame_idx = check_frame(frame, len(self.frames))
        return self._add_labels([(frame_idx, np.asarray(labels))], as_new=as_new, lock=lock)

    @recorded
    def add_labels_stack(
        self,
        labels: ArrayLikeStack,
        frames: Iterable[int] | None = None,
        *,
        as_new: bool = False,
        lock: bool = False,
        once: bool = False,
    ) -> tuple[ObjectId, ...]:
        """Add the labels of many frames, as one action; see `add_labels`.

        Parameters
        ----------
        labels : array-like of shape (T, Y, X), integer
            Read frame by frame.
        frames : iterable of int, optional
            Which frames are read; all by default.
        as_new, lock : bool
            As in `add_labels`.
        once : bool
            Take every label on one frame only, the first one on which it is largest.
        """
        shape = (len(self.frames), *self.frames.shape)
        if tuple(labels.shape) != shape:
            raise LabelsError(
                f"labels have shape {tuple(labels.shape)}, the stack has {shape}",
                remedy="give labels of this stack: (frames, rows, columns)",
            )
        which = range(len(self.frames)) if frames is None else frames
        chosen = [check_frame(t, len(self.frames)) for t in which]
        planes = ((t, np.asarray(labels[t])) for t in chosen)
        if once:
            best = largest_on((t, np.asarray(labels[t])) for t in chosen)
            planes = ((t, _only(plane, t, best)) for t, plane in planes)
        return self._add_labels(planes, as_new=as_new, lock=lock)

    @recorded
    def paint(self, object: int, frame: int, mask: ArrayLike | PackedMask) -> tuple[ObjectId, ...]:
        """Give pixels of a frame to an object, or to nobody, as one brush stroke: one action.

        What is shown of the object, with the stroke, becomes its mask on the frame; what was painted over is taken from
        all others. The frame is locked for every object that this changes, and a frame that was locked before is
        painted all the same: a stroke is a person's word. An object that is erased from the frame is said not to be
        there; the last thing that it rests on takes it along.

        Parameters
        ----------
        object : int
            Object id from 1; 0 erases.
        frame : int
            From 0.
        mask : array of shape (Y, X)
            The pixels of the stroke. Protected labels of `use_existing` keep theirs.

        Returns
        -------
        tuple of object ids
            That the stroke has changed; none if it changed nothing.
        """
        is_erasing = is_whole(object) and object == 0
        object_id = ObjectId(0) if is_erasing else self._free(object)
        frame_idx = check_frame(frame, len(self.frames))
        stroke, _ = check_mask(mask, self.frames.shape)
        before = self.project(frame_idx)
        painted = stroke.to_array() & (before != object_id) & ~self._protected(frame_idx)
        masks = dict(self._without(frame_idx, painted, before, object_id))
        if painted.any() and not is_erasing:
            masks[object_id] = (before == object_id) | painted
        if masks:
            self._act("erase" if is_erasing else "paint", self._painted(frame_idx, masks))
        return tuple(sorted(masks))

    def _without(
        self, frame: FrameIndex, painted: np.ndarray, before: np.ndarray, object_id: ObjectId
    ) -> Iterator[tuple[ObjectId, np.ndarray]]:
        """Yield what others than `object_id` keep of what is shown, if their masks meet the painted pixels.

        Also what they had underneath: it would come to light where a person's mask yields to an earlier one.
        """
        for other in self.objects:
            record = self.record(other, frame)
            if other != object_id and record is not None and _meets(record, painted):
                yield other, (before == other) & ~painted

    def _protected(self, frame: FrameIndex) -> np.ndarray:
        existing = self.state.existing
        if existing is None or not existing.is_protected:
            return np.zeros(self.frames.shape, bool)
        protected: np.ndarray = np.asarray(existing.labels[frame]) != 0
        return protected

    def _painted(self, frame: FrameIndex, masks: dict[ObjectId, np.ndarray]) -> SessionState:
        state = self.state
        for object_id, mask in masks.items():
            if mask.any() or self._is_seen_elsewhere(object_id, frame):
                packed = PackedMask.from_array(mask)
                state = self._with_label(state, object_id, frame, packed, lock=True)
            else:
                for t in self.state.objects[object_id].prompts:
                    state = state.without_prompts(object_id, t)
        return state

    def _is_seen_elsewhere(self, object_id: ObjectId, frame: FrameIndex) -> bool:
        """Say whether anything but "not here" is said about an object on other frames."""
        others = (
            edits.person_mask(said)
            for t, said in self.state.objects[object_id].prompts.items()
            if t != frame
        )
        return any(mask is None or mask.box != EMPTY_BOX for mask in others)

    def _add_labels(
        self, planes: Iterable[tuple[FrameIndex, np.ndarray]], *, as_new: bool, lock: bool
    ) -> tuple[ObjectId, ...]:
        state, given = self.state, dict[int, ObjectId]()
        for frame, plane in planes:
            for value, mask in _masks_of(plane, self.frames.shape):
                if value not in given:
                    wanted = self._highest_id + 1 + len(given) if as_new else value
                    given[value], _ = self._place(wanted, frame, is_locking=True)
                state = self._with_label(state, given[value], frame, mask, lock=lock)
        if not given:
            raise PromptError("the labels are empty", remedy="paint at least one pixel")
        self._act("add labels", state)
        return tuple(given.values())

    def _with_label(
        self,
        state: SessionState,
        object_id: ObjectId,
        frame: FrameIndex,
        mask: PackedMask,
        *,
        lock: bool,
    ) -> SessionState:
        self._place(object_id, frame, is_locking=lock)
        said = edits.with_mask(frame, mask)
        answer = person_answer(said, object_id, self._drafts)
        state = state.with_prompts(object_id, said, answer, self._new_standing)
        return state.with_lock(Lock(object_id, frame)) if lock else state


def largest_on(planes: Iterable[tuple[FrameIndex, np.ndarray]]) -> dict[int, FrameIndex]:
    """Return for every value beside 0 the first one of the frames (Y, X) on which it has most pixels."""
    best: dict[int, tuple[int, FrameIndex]] = {}
    for frame, plane in planes:
        values, counts = np.unique(plane, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value and count > best.get(value, (0, frame))[0]:
                best[value] = count, frame
    return {value: frame for value, (_, frame) in best.items()}


def _only(plane: np.ndarray, frame: FrameIndex, best: dict[int, FrameIndex]) -> np.ndarray:
    """Return a frame of labels with those alone that are taken on it."""
    taken = [value for value, t in best.items() if t == frame]
    return np.where(np.isin(plane, taken), plane, 0)


def _meets(record: MaskRecord, pixels: np.ndarray) -> bool:
    """Say whether a mask has one of these pixels (Y, X) of its frame."""
    y0, x0, y1, x1 = record.box
    return bool((record.to_mask().mask & pixels[y0:y1, x0:x1]).any())


def _masks_of(labels: np.ndarray, shape: tuple[int, int]) -> Iterator[tuple[int, PackedMask]]:
    """Yield every value beside 0 with its mask, in ascending order."""
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise LabelsError(
            f"labels must be whole numbers of shape {shape}, got {labels.dtype} {labels.shape}",
            remedy="give one frame of labels, 0 for background",
        )
    for value, box in boxes_of(labels):
        yield (
            value,
            PackedMask.from_crop(shape, box, labels[box[0] : box[2], box[1] : box[3]] == value),
        )


def boxes_of(labels: np.ndarray) -> Iterator[tuple[int, Box]]:
    """Yield every value of a label image (Y, X) beside 0 with the box around it, in ascending order."""
    y, x = np.nonzero(labels)
    values = labels[y, x]
    order = np.argsort(values, kind="stable")
    y, x = y[order], x[order]
    found, starts = np.unique(values[order], return_index=True)
    if not len(found):
        return
    corners = (
        np.minimum.reduceat(y, starts),
        np.minimum.reduceat(x, starts),
        np.maximum.reduceat(y, starts) + 1,
        np.maximum.reduceat(x, starts) + 1,
    )
    boxes = np.stack(corners, 1).tolist()
    yield from ((value, tuple(box)) for value, box in zip(found.tolist(), boxes, strict=True))
