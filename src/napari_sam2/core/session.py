"""Session: objects, prompts and results of one stack; the single source of truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from napari_sam2.core import edits
from napari_sam2.core.choosing import Choosing
from napari_sam2.core.contrast import Contrast
from napari_sam2.core.doubting import Doubting
from napari_sam2.core.drawing import Drawing
from napari_sam2.core.errors import PromptError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.joining import person_answer
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.organising import Organising, check_descent
from napari_sam2.core.overlapping import Overlapping
from napari_sam2.core.projection import check_label, check_overlap
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.propagating import Propagating
from napari_sam2.core.recording import recorded
from napari_sam2.core.saved import SavedSession
from napari_sam2.core.state import Lock, SessionState
from napari_sam2.core.validation import check_frame


class Session(Drawing, Choosing, Overlapping, Contrast, Organising, Propagating, Doubting):
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
    overlap : {"keep", "overwrite", "highest"}
        Which run wins where masks of different runs overlap: the earlier, the later, or the stronger mask.
    mapping : IntensityMapping, optional
        How the frames are seen; by default as the model behind the engine was made.
    """

    @recorded
    def clear(self) -> None:
        """Remove all objects, also those that are still to be prompted."""
        if self.state.objects or self.state.infos:
            self._act("clear", self.state.emptied())

    @recorded
    def restore(
        self,
        prompts: Iterable[ObjectPrompts],
        locks: Iterable[Lock] = (),
        infos: Mapping[ObjectId, ObjectInfo] | None = None,
    ) -> None:
        """Replace all objects by prompts, locks and names from elsewhere; one history entry.

        How overlaps are decided, and labels that were there before, stay.
        """
        saved = SavedSession(tuple(prompts), tuple(locks), infos or {})
        self._act("restore", self._filled(self.state.emptied(), saved))

    @property
    def saved(self) -> SavedSession:
        """All that a person made so far, to be opened again by `reopen`."""
        return SavedSession.of(self.state, self._highest_id)

    @recorded
    def reopen(self, saved: SavedSession) -> None:
        """Replace everything by a saved session, for example from a file; one history entry.

        Answers to prompts are asked for again, tracked masks come with the next propagation; both are as they were
        if the stack, the intensity mapping, the options and the model are.

        Raises
        ------
        PromptError
            If something that was said does not fit the stack or contradicts itself.
        LabelsError
            If ids, or labels that were there before, do not fit.
        OptionError
            If there is no such overlap policy, or a name is no line of text.
        """
        existing = None
        if saved.existing is not None:
            taken = {item.object_id for item in saved.prompts} | set(saved.infos)
            existing = self._checked_existing(saved.existing, saved.protects_existing, taken)
        if saved.highest_id:
            check_label(saved.highest_id, self.labels_dtype)
        empty = SessionState(
            overlap=check_overlap(saved.overlap), existing=existing, mapping=self.state.mapping
        )
        state = self._filled(empty, saved)
        self._act("open", replace(state, reserved=saved.highest_id))

    def _filled(self, state: SessionState, saved: SavedSession) -> SessionState:
        """Return an empty state with the objects of a saved session, each checked as if it came from a person."""
        for item in saved.prompts:
            object_id = self._free(item.object_id, state)
            standing = saved.standing(object_id, self._new_standing)
            for given in item.frames:
                check_frame(given.frame, len(self.frames))
                if state.prompts_on(object_id, given.frame) is not None:
                    raise PromptError(f"object {object_id} comes twice on frame {given.frame}")
                said = edits.check_frame_prompts(given, self.frames.shape)
                answer = person_answer(said, object_id, self._drafts)
                state = state.with_prompts(object_id, said, answer, standing)
        for lock in saved.locks:
            if state.prompts_on(lock.object_id, lock.frame) is None:
                raise PromptError(
                    f"the lock of object {lock.object_id} on frame {lock.frame} has no prompt"
                )
            state = state.with_lock(lock)
        for number, info in saved.infos.items():
            state = self._described(state, self._free(number, state), info)
        check_descent(state, state.infos)
        return state
