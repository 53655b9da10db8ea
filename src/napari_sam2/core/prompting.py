"""Prompting: what a person says about where an object is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike
from psygnal import Signal

from napari_sam2.core import edits
from napari_sam2.core.errors import PromptError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.joining import person_answer
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import BoxPrompt, FramePrompts, MaskPrompt, PointPrompt
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded
from napari_sam2.core.state import Lock, SessionState
from napari_sam2.core.validation import check_box, check_frame, check_mask, check_points

logger = logging.getLogger(__name__)


class Prompting(Reading):
    """Points, boxes, masks and locks."""

    notice_given = Signal(str, description="Something was corrected or is unusual.")

    def add(self, prompt: PointPrompt | BoxPrompt | MaskPrompt) -> None:
        """Add a prompt whose positions are data indices of the n-D array.

        Parameters
        ----------
        prompt : PointPrompt, BoxPrompt or MaskPrompt
            Turned into frame pixels by `stack_view`; then as `add_points`, `add_box` or `add_mask`.

        Raises
        ------
        PromptError
            If its positions do not lie on the plane that is in use, or a box on more than one frame.
        """
        if isinstance(prompt, PointPrompt):
            frame, y, x = self.stack_view.to_frame(prompt.index)
            self.add_points(prompt.object_id, frame, [(y, x)], [prompt.positive])
        elif isinstance(prompt, BoxPrompt):
            frame, y0, x0 = self.stack_view.to_frame(prompt.start)
            other, y1, x1 = self.stack_view.to_frame(prompt.stop)
            if frame != other:
                raise PromptError(
                    f"a box lies on one frame, got corners on {frame} and {other}",
                    remedy="draw a box on each of them",
                )
            self.add_box(prompt.object_id, frame, (y0, x0, y1, x1))
        else:
            frame, _, _ = self.stack_view.to_frame(prompt.index)
            self.add_mask(prompt.object_id, frame, prompt.mask)

    @recorded
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

    @recorded
    def add_box(self, object: int, frame: int, box: Sequence[float]) -> None:
        """Add a box around an object on a frame; it replaces an earlier one there, and counts as drawn before points.

        Parameters
        ----------
        object, frame : int
            Object id from 1; frame from 0.
        box : (y0, x0, y1, x1)
            Any two opposite corners, frame pixels, centres at integers. What lies beyond the frame is cut off.

        Raises
        ------
        PromptError
            If the box has no area or lies outside the frame, or the frame is locked; nothing is registered then.
        LabelsError
            If the labels' type cannot hold the object id.
        """
        object_id, frame_idx = self._place(object, frame)
        checked, notice = check_box(box, self.frames.shape)
        said = self.state.prompts_on(object_id, frame_idx)
        prompts = edits.with_box(said, frame_idx, checked)
        if prompts != said:
            self._say(object_id, prompts, "add box", notice=notice)

    @recorded
    def add_mask(
        self, object: int, frame: int, mask: ArrayLike | PackedMask, *, lock: bool = False
    ) -> None:
        """Add a mask, which replaces all that was said about the object on the frame.

        Parameters
        ----------
        object, frame : int
            Object id from 1; frame from 0.
        mask : array of shape (Y, X), bool or integer, or PackedMask
            The frame's pixels: 0 outside, one other value inside.
        lock : bool
            Lock the frame with it, as after a brush stroke; a locked frame takes a mask only so.

        Raises
        ------
        PromptError
            If the mask is empty, or of another shape or kind, or the frame is locked; nothing is registered then.
        LabelsError
            If the labels' type cannot hold the object id.
        """
        object_id, frame_idx = self._place(object, frame, is_locking=lock)
        packed, notice = check_mask(mask, self.frames.shape)
        prompts = edits.with_mask(frame_idx, packed)
        self._say(object_id, prompts, "paint mask", notice=notice, lock=lock)

    @recorded
    def remove_prompts(self, object: int, frame: int) -> None:
        """Remove what was said about an object on a frame; with its last prompt the object goes too.

        Raises
        ------
        UnknownObjectError
            If there is no such object.
        PromptError
            If the frame is locked, or outside the stack.
        """
        object_id, frame_idx = self._place(object, frame)
        self._known(object_id)
        if self.state.prompts_on(object_id, frame_idx) is not None:
            self._act("remove prompts", self.state.without_prompts(object_id, frame_idx))

    @recorded
    def lock(self, object: int, frame: int) -> None:
        """Find a frame of an object good: from now on it conditions, and neither a run nor a click changes it.

        A mask that was tracked becomes a prompt by it.

        Raises
        ------
        UnknownObjectError
            If there is no such object.
        PromptError
            If the object shows nothing on the frame, or that is outside the stack.
        """
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        if self.state.is_locked(object_id, frame_idx):
            return
        if self.state.prompts_on(object_id, frame_idx) is not None:
            state = self.state.with_lock(Lock(object_id, frame_idx))
        else:
            state = self._locked_track(object_id, frame_idx)
        self._act("lock", state)

    @recorded
    def unlock(self, object: int, frame: int) -> None:
        """Take a lock back; what it made a prompt is a tracked mask again, unless nothing else was said.

        Raises
        ------
        UnknownObjectError
            If there is no such object.
        PromptError
            If the frame is outside the stack.
        """
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        origin = self.state.objects[object_id].locked.get(frame_idx)
        if origin is None:
            return
        state = self.state.without_lock(object_id, frame_idx)
        # The last thing that the object rests on stays: without it the object would go.
        if origin == "tracked" and len(state.objects[object_id].prompts) > 1:
            state = state.without_prompts(object_id, frame_idx)
        self._act("unlock", state)

    def _say(
        self,
        object_id: ObjectId,
        prompts: FramePrompts,
        action: str,
        *,
        notice: str = "",
        lock: bool = False,
    ) -> None:
        answer = person_answer(prompts, object_id, self._drafts)
        state = self.state.with_prompts(object_id, prompts, answer, self._new_standing)
        if lock:
            state = state.with_lock(Lock(object_id, prompts.frame))
        self._act(action, state)
        if notice:
            logger.warning("object %d, frame %d: %s", object_id, prompts.frame, notice)
            self.notice_given.emit(notice)

    def _locked_track(self, object_id: ObjectId, frame: FrameIndex) -> SessionState:
        mask = self._tracked_mask(object_id, frame)
        if mask is None:
            raise PromptError(
                f"object {object_id} has no mask on frame {frame} to lock",
                remedy="propagate, click or paint there first",
            )
        prompts = edits.with_mask(frame, mask)
        answer = person_answer(prompts, object_id, self._drafts)
        state = self.state.with_prompts(object_id, prompts, answer, self._new_standing)
        return state.with_lock(Lock(object_id, frame, from_tracking=True))
