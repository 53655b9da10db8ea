"""Opening: a session from what was saved of one, with or without the masks that a model made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from napari_sam2.core import edits
from napari_sam2.core.bases import Bases
from napari_sam2.core.errors import PromptError
from napari_sam2.core.history import Entry, History
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.joining import person_answer
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.organising import Organising, check_descent
from napari_sam2.core.overlapping import Overlapping
from napari_sam2.core.projection import check_label, check_overlap
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.propagating import Propagating
from napari_sam2.core.recording import recorded
from napari_sam2.core.saved import Kept, SavedSession
from napari_sam2.core.snapshot import Snapshot, bases_of
from napari_sam2.core.state import Lock, SessionState, Tracked
from napari_sam2.core.table import FrameTable
from napari_sam2.core.validation import check_frame


class Opening(Overlapping, Organising, Propagating):
    """What is saved of a session, and sessions that begin with it."""

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
        self._act("open", self._opened(saved, Kept()))

    @property
    def kept(self) -> Kept:
        """All masks of the model that are known, to be given to `take_up` with `saved`."""
        return self.snapshot().kept

    def snapshot(self) -> Snapshot:
        """Return the session as it is now, to be saved by another thread."""
        return Snapshot(
            self.state,
            self.store,
            len(self.frames),
            self.stack_view.depth,
            self._model,
            self._highest_id,
            self.log,
        )

    def take_up(self, saved: SavedSession, kept: Kept, log: Iterable[str] = ()) -> None:
        """Replace everything by a saved session with all its masks, and go on with its log.

        Undo ends here: the log tells what was done before, and is not to be contradicted by what comes. No model is
        needed for that. Masks that were out of date still are; answers that are not among those that were kept are
        asked for. Errors as in `reopen`.

        Parameters
        ----------
        saved : SavedSession
            What a person made.
        kept : Kept
            What a model made of it.
        log : iterable of str
            The lines so far.
        """
        with self._drafts.action():
            self._change(History(Entry("", self._opened(saved, kept))), is_move=True)
        self._log.begin(log)

    def _opened(self, saved: SavedSession, kept: Kept) -> SessionState:
        existing = None
        if saved.existing is not None:
            taken = {item.object_id for item in saved.prompts} | set(saved.infos)
            existing = self._checked_existing(saved.existing, saved.protects_existing, taken)
        if saved.highest_id:
            check_label(saved.highest_id, self.labels_dtype)
        empty = SessionState(
            overlap=check_overlap(saved.overlap), existing=existing, mapping=self.mapping
        )
        state = self._filled(empty, saved, kept)
        return replace(self._with_tracks(state, kept), reserved=saved.highest_id)

    def _with_tracks(self, state: SessionState, kept: Kept) -> SessionState:
        """Return the state with the tracked masks that were kept."""
        found: dict[ObjectId, dict[FrameIndex, Tracked]] = {}
        bases: dict[ObjectId, Bases] = {}
        for mask in kept.masks:
            object_id, frame = mask.record.object_id, mask.record.frame
            if mask.record.provenance != "tracked" or object_id not in state.objects:
                continue
            if object_id not in bases:
                bases[object_id] = self._bases_of(object_id, state)
            basis = None if mask.passed is None else bases[object_id].of(object_id, frame)
            if basis is not None and mask.passed is not None:
                basis = replace(basis, anchor=mask.passed[0], start=mask.passed[1])
            key = self._drafts.append(mask.record)
            tracked = Tracked(key, basis, kept.standing(mask.rank))
            found.setdefault(object_id, {})[check_frame(frame, len(self.frames))] = tracked
        for object_id, tracks in found.items():
            known = state.objects[object_id]
            state = state.with_object(replace(known, tracks=FrameTable(tracks.items())))
        return state

    def _bases_of(self, object_id: ObjectId, state: SessionState) -> Bases:
        """Return what every frame of an object rests on, also those that are trimmed away now."""
        return bases_of(object_id, state, len(self.frames), self.stack_view.depth, self._model)

    def _filled(
        self, state: SessionState, saved: SavedSession, kept: Kept | None = None
    ) -> SessionState:
        """Return an empty state with the objects of a saved session, each checked as if it came from a person."""
        answers = {
            (mask.record.object_id, mask.record.frame): mask.record
            for mask in (() if kept is None else kept.masks)
            if mask.record.provenance == "prompt"
        }
        for item in saved.prompts:
            object_id = self._free(item.object_id, state)
            standing = saved.standing(object_id, self._new_standing)
            if kept is not None and object_id in kept.ranks:
                standing = kept.standing(kept.ranks[object_id])
            for given in item.frames:
                check_frame(given.frame, len(self.frames))
                if state.prompts_on(object_id, given.frame) is not None:
                    raise PromptError(
                        f"object {object_id} comes twice on frame {given.frame}",
                        remedy="take an earlier copy of the session",
                    )
                said = edits.check_frame_prompts(given, self.frames.shape)
                answer = person_answer(said, object_id, self._drafts)
                record = answers.get((object_id, said.frame))
                if answer is None and record is not None:
                    answer = self._drafts.append(record)
                state = state.with_prompts(object_id, said, answer, standing)
        for lock in saved.locks:
            if state.prompts_on(lock.object_id, lock.frame) is None:
                raise PromptError(
                    f"the lock of object {lock.object_id} on frame {lock.frame} has no prompt",
                    remedy="take an earlier copy of the session",
                )
            state = state.with_lock(lock)
        for number, info in saved.infos.items():
            state = self._described(state, self._free(number, state), info)
        check_descent(state, state.infos)
        return state
