"""Session: objects, prompts and results of one stack; the single source of truth."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from psygnal import Signal

from napari_sam2.core import edits
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import Engine
from napari_sam2.core.errors import OptionError, PromptError, PropagationError, UnknownObjectError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId, is_whole
from napari_sam2.core.labels import LazyLabels
from napari_sam2.core.masks import EMPTY_BOX, Box, PackedMask
from napari_sam2.core.messages import Direction, PropagationRequest
from napari_sam2.core.projection import (
    OverlapPolicy,
    Shown,
    check_labels_dtype,
    count_contested,
    project,
)
from napari_sam2.core.prompts import BoxPrompt, FramePrompts, MaskPrompt, ObjectPrompts, PointPrompt
from napari_sam2.core.run import Run
from napari_sam2.core.state import Lock, SessionState
from napari_sam2.core.store import NO_RUN, MaskRecord, MaskStore, MemoryMaskStore
from napari_sam2.core.timeline import Timeline
from napari_sam2.core.validation import (
    check_box,
    check_frame,
    check_frame_range,
    check_mask,
    check_object_id,
    check_points,
)

logger = logging.getLogger(__name__)


class Session(Timeline):
    """Objects, prompts and results of one stack, with undo; everything happens on the thread that made it.

    Only `Run.store`, `Run.cancel` and the store itself may be used on other threads. Every action checks its input
    in full, makes one history entry, and asks the engine. If the input is refused or the engine raises, the session
    is exactly as it was.

    Parameters
    ----------
    frames : FrameSource
        The stack; only its shape and length are used here.
    engine : Engine
        The way to the model.
    stack_view : StackView, optional
        How prompts on the n-D array (`add`) lie on the frames; the first axis of three by default.
    store : MaskStore, optional
        Where results are kept; in memory by default.
    labels_dtype : dtype
        Type of `labels`; object ids beyond it are refused.
    overlap : {"keep", "overwrite"}
        Which run wins where masks of different runs overlap: the earlier or the later.
    """

    notice_given = Signal(str, description="Something was corrected or is unusual.")

    def __init__(
        self,
        frames: FrameSource,
        engine: Engine,
        *,
        stack_view: StackView | None = None,
        store: MaskStore | None = None,
        labels_dtype: DTypeLike = np.uint16,
        overlap: OverlapPolicy = "keep",
    ) -> None:
        if overlap not in ("keep", "overwrite"):
            raise OptionError(f"overlap must be 'keep' or 'overwrite', got {overlap!r}")
        super().__init__(engine, MemoryMaskStore() if store is None else store)
        self.frames, self.overlap = frames, overlap
        self.stack_view = StackView.default(3) if stack_view is None else stack_view
        self.labels_dtype = check_labels_dtype(labels_dtype)

    # What there is

    @property
    def objects(self) -> tuple[ObjectId, ...]:
        """Ids of all objects, ascending."""
        return tuple(sorted(self.state.objects))

    @property
    def prompts(self) -> tuple[ObjectPrompts, ...]:
        """All that was said about every object, by ascending id; with `locks`, all that a propagation needs."""
        return tuple(self.state.objects[object_id].all_prompts for object_id in self.objects)

    @property
    def locks(self) -> tuple[Lock, ...]:
        """All locked frames."""
        return tuple(self.state.locks.values())

    @property
    def labels(self) -> LazyLabels:
        """A live (T, Y, X) label array; frames are projected when asked for."""
        shape = (len(self.frames), *self.frames.shape)
        return LazyLabels(self.project, shape, self.labels_dtype)

    @property
    def next_object_id(self) -> ObjectId:
        """The id for a new object; ids of removed objects are not handed out again."""
        return ObjectId(self._highest_id + 1)

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
        whole = (0, 0, *self.frames.shape)
        shown = self._shown(frame_idx)
        return project(shown, whole if box is None else box, self.labels_dtype, self.overlap)

    def num_contested(self, frame: int) -> int:
        """Return how many pixels of a frame several objects claim; `labels` gives each to one of them."""
        frame_idx = check_frame(frame, len(self.frames))
        return count_contested(self._shown(frame_idx), (0, 0, *self.frames.shape))

    def _shown(self, frame: FrameIndex) -> Iterable[Shown]:
        for known in self.state.objects.values():
            key = known.shown(frame)
            if key is not None:
                record = self.store.get(key)
                yield Shown(record, known.run if record.run == NO_RUN else record.run)

    # What a person says

    def add(self, prompt: PointPrompt | BoxPrompt | MaskPrompt) -> None:
        """Add a prompt whose positions are data indices of the n-D array."""
        if isinstance(prompt, PointPrompt):
            frame, y, x = self.stack_view.to_frame(prompt.index)
            self.add_points(prompt.object_id, frame, [(y, x)], [prompt.positive])
        elif isinstance(prompt, BoxPrompt):
            frame, y0, x0 = self.stack_view.to_frame(prompt.start)
            other, y1, x1 = self.stack_view.to_frame(prompt.stop)
            if frame != other:
                raise PromptError(f"a box lies on one frame, got corners on {frame} and {other}")
            self.add_box(prompt.object_id, frame, (y0, x0, y1, x1))
        else:
            frame, _, _ = self.stack_view.to_frame(prompt.index)
            self.add_mask(prompt.object_id, frame, prompt.mask)

    def add_points(
        self,
        object: int,
        frame: int,
        points: ArrayLike,
        labels: Iterable[int] | None = None,
    ) -> None:
        """Add points to an object on a frame.

        Parameters
        ----------
        object, frame : int
            Object id from 1; frame from 0.
        points : array of shape (N, 2)
            (y, x), frame pixels, centres at integers.
        labels : iterable of 0 or 1, optional
            1 positive, 0 negative; all positive by default.

        Raises
        ------
        PromptError
            If anything is wrong with them; nothing is registered then.
        LabelsError
            If the labels' type cannot hold the object id.
        """
        object_id, frame_idx = self._place(object, frame)
        clicks = check_points(points, labels, self.frames.shape)
        said = self.state.prompts_on(object_id, frame_idx)
        tracked = self._tracked_mask(object_id, frame_idx)
        prompts = edits.with_points(said, frame_idx, clicks, tracked)
        if prompts is not None and prompts is not said:
            self._say(object_id, prompts, "add point")

    def add_box(self, object: int, frame: int, box: Sequence[float]) -> None:
        """Add a box (y0, x0, y1, x1), frame pixels, any two opposite corners; it replaces an earlier one there."""
        object_id, frame_idx = self._place(object, frame)
        checked, notice = check_box(box, self.frames.shape)
        said = self.state.prompts_on(object_id, frame_idx)
        prompts = edits.with_box(said, frame_idx, checked)
        if prompts != said:
            self._say(object_id, prompts, "add box", notice=notice)

    def add_mask(
        self, object: int, frame: int, mask: ArrayLike | PackedMask, *, lock: bool = False
    ) -> None:
        """Add a mask (Y, X), which replaces all that was said about the object on the frame.

        With `lock` the frame is locked with it, as after a brush stroke; a locked frame takes a mask only so.
        """
        object_id, frame_idx = self._place(object, frame, is_locking=lock)
        packed, notice = check_mask(mask, self.frames.shape)
        prompts = edits.with_mask(frame_idx, packed)
        self._say(object_id, prompts, "paint mask", notice=notice, lock=lock)

    def remove_prompts(self, object: int, frame: int) -> None:
        """Remove what was said about an object on a frame; with its last prompt the object goes too."""
        object_id, frame_idx = self._place(object, frame)
        self._known(object_id)
        if self.state.prompts_on(object_id, frame_idx) is not None:
            self._act("remove prompts", self.state.without_prompts(object_id, frame_idx))

    def remove_object(self, object: int) -> None:
        """Remove an object with its prompts, locks and results."""
        self._act("remove object", self.state.without_object(self._known(object)))

    def clear(self) -> None:
        """Remove all objects."""
        if self.state.objects:
            self._act("clear", SessionState())

    def lock(self, object: int, frame: int) -> None:
        """Find a frame of an object good: from now on it conditions, and neither a run nor a click changes it."""
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        if self.state.is_locked(object_id, frame_idx):
            return
        if self.state.prompts_on(object_id, frame_idx) is not None:
            state = self.state.with_lock(Lock(object_id, frame_idx))
        else:
            state = self._locked_track(object_id, frame_idx)
        self._act("lock", state)

    def unlock(self, object: int, frame: int) -> None:
        """Take a lock back; what it made a prompt is a tracked mask again."""
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        lock = self.state.locks.get((object_id, frame_idx))
        if lock is None:
            return
        state = self.state.without_lock(object_id, frame_idx)
        # The last thing that the object rests on stays: without it the object would go.
        if lock.from_tracking and len(state.objects[object_id].prompts) > 1:
            state = state.without_prompts(object_id, frame_idx)
        self._act("unlock", state)

    def restore(self, prompts: Iterable[ObjectPrompts], locks: Iterable[Lock] = ()) -> None:
        """Replace everything by prompts and locks from elsewhere, for example a file; one history entry."""
        state = SessionState()
        for item in prompts:
            object_id = check_object_id(item.object_id, self.labels_dtype, self.next_object_id)
            for given in item.frames:
                check_frame(given.frame, len(self.frames))
                if state.prompts_on(object_id, given.frame) is not None:
                    raise PromptError(f"object {object_id} comes twice on frame {given.frame}")
                said = edits.check_frame_prompts(given, self.frames.shape)
                answer = self._person_answer(object_id, said)
                state = state.with_prompts(object_id, said, answer, self._new_standing)
        for lock in locks:
            if state.prompts_on(lock.object_id, lock.frame) is None:
                raise PromptError(
                    f"the lock of object {lock.object_id} on frame {lock.frame} has no prompt"
                )
            state = state.with_lock(lock)
        self._act("restore", state)

    # Propagation

    def propagate(
        self,
        direction: Direction = "both",
        frames: range | tuple[int, int] | None = None,
        objects: Iterable[int] | None = None,
    ) -> Run:
        """Carry objects along the frames.

        Every unprompted frame is tracked from the nearest conditioning frame of the object; prompted and locked
        frames are never written. The whole run is one history entry. After a cancelled or failed run, the same call
        continues it, and gives the same result as if nothing had happened.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            Where to go from the conditioning frames.
        frames : range or (start, stop), optional
            Which frames are tracked; all by default.
        objects : iterable of int, optional
            Which objects; all by default.

        Returns
        -------
        Run
            Iterate it to drive it. If there is nothing to track its `total` is 0, and that is no error.

        Raises
        ------
        PropagationError
            If no object has a prompt, the range is wrong, or another run is going on.
        """
        if direction not in ("both", "forward", "backward"):
            raise OptionError(
                f"direction must be 'both', 'forward' or 'backward', got {direction!r}"
            )
        start, stop = check_frame_range(frames, len(self.frames))
        chosen = self.objects if objects is None else self._chosen(objects)
        if not chosen:
            raise PropagationError("no object has a prompt yet", remedy="click one first")
        asked = tuple(self.state.objects[object_id].all_prompts for object_id in chosen)
        self._generation += 1
        return self._start_run(PropagationRequest(self._generation, asked, start, stop, direction))

    def _chosen(self, objects: Iterable[int]) -> tuple[ObjectId, ...]:
        try:
            given = list(objects)
        except TypeError as error:
            raise PropagationError(
                f"objects must be a sequence of ids, got {objects!r}",
                remedy="give a list, also of one id",
            ) from error
        return tuple(sorted({self._known(item) for item in given}))

    # Checks and small steps

    def _place(
        self, object: int, frame: int, *, is_locking: bool = False
    ) -> tuple[ObjectId, FrameIndex]:
        object_id = check_object_id(object, self.labels_dtype, self.next_object_id)
        frame_idx = check_frame(frame, len(self.frames))
        if self.state.is_locked(object_id, frame_idx) and not is_locking:
            raise PromptError(
                f"object {object_id} is locked on frame {frame_idx}", remedy="unlock it first"
            )
        return object_id, frame_idx

    def _known(self, object: int) -> ObjectId:
        if not is_whole(object) or object not in self.state.objects:
            known = ", ".join(map(str, self.objects)) or "none yet"
            raise UnknownObjectError(f"there is no object {object!r}; there are: {known}")
        return ObjectId(int(object))

    def _say(
        self,
        object_id: ObjectId,
        prompts: FramePrompts,
        action: str,
        *,
        notice: str = "",
        lock: bool = False,
    ) -> None:
        answer = self._person_answer(object_id, prompts)
        state = self.state.with_prompts(object_id, prompts, answer, self._new_standing)
        if lock:
            state = state.with_lock(Lock(object_id, prompts.frame))
        self._act(action, state)
        if notice:
            logger.warning("object %d, frame %d: %s", object_id, prompts.frame, notice)
            self.notice_given.emit(notice)

    def _person_answer(self, object_id: ObjectId, prompts: FramePrompts) -> int | None:
        mask = edits.person_mask(prompts)
        if mask is None:
            return None
        return self.store.append(MaskRecord.from_person(mask, object_id, prompts.frame))

    def _tracked_mask(self, object_id: ObjectId, frame: FrameIndex) -> PackedMask | None:
        """Return what tracking shows for the object on an unprompted frame, unless nothing is visible."""
        key = self.state.shown(object_id, frame)
        record = None if key is None else self.store.get(key)
        if record is None or record.provenance != "tracked" or record.box == EMPTY_BOX:
            return None
        return record.to_packed(self.frames.shape)

    def _locked_track(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        mask = self._tracked_mask(object_id, frame)
        if mask is None:
            raise PromptError(
                f"object {object_id} has no mask on frame {frame} to lock",
                remedy="propagate, click or paint there first",
            )
        prompts = edits.with_mask(frame, mask)
        answer = self._person_answer(object_id, prompts)
        state = self.state.with_prompts(object_id, prompts, answer, self._new_standing)
        return state.with_lock(Lock(object_id, frame, from_tracking=True))
