"""Choosing: an ambiguous click has several possible answers."""

from __future__ import annotations

from napari_sam2.core import edits
from napari_sam2.core.editing import Editing
from napari_sam2.core.errors import PromptError
from napari_sam2.core.ids import is_whole
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.recording import recorded


class Choosing(Editing):
    """Candidates of the last answer on a frame; those not chosen are offered, and never stored."""

    def candidates(self, object: int, frame: int) -> tuple[ObjectMask, ...]:
        """Return all possible answers to what was said about an object on a frame, the model's own choice first.

        Empty where there was nothing to choose, or the answer is too long ago.
        """
        said = self._said(*self._seen_place(object, frame))
        return self._offers.get(self._known(object), said)

    def chosen_candidate(self, object: int, frame: int) -> int:
        """Return the number of the candidate that is shown for an object on a frame; 0 is the model's own choice."""
        return self._said(*self._seen_place(object, frame)).steps[-1].candidate

    @recorded
    def choose_candidate(self, object: int, frame: int, number: int) -> None:
        """Let another candidate be the answer; it is part of what was said, and runs start from it.

        Raises
        ------
        PromptError
            If there is no such candidate.
        """
        object_id, frame_idx = self._place(object, frame)
        offered = len(self.candidates(object_id, frame_idx))
        if not is_whole(number) or not 0 <= number < offered:
            raise PromptError(
                f"object {object_id} has {offered} candidates on frame {frame_idx}, got number {number!r}",
                remedy="click it once to be offered some",
            )
        said = self._said(object_id, frame_idx)
        if number != said.steps[-1].candidate:
            chosen = edits.with_candidate(said, int(number))
            self._say(object_id, chosen, "choose candidate")
