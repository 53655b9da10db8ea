"""What an unclear click may have meant besides, as thin contours: drawn and forgotten, never stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_sam2.core.masks import EMPTY_BOX, ObjectMask
from napari_sam2.core.messages import PromptResult
from napari_sam2.plugin.following import FrameDrawing

SAME = 0.9
"""Two masks that overlap more than this (intersection over union) are the same answer for a person."""


class CandidateContours(FrameDrawing):
    """Shows what else the last click may have meant, on its frame only, until something else is done."""

    _place: tuple[int, int] | None = None

    def open(self) -> None:
        """Begin to follow."""
        super().open()
        self._session.prompt_answered.connect(self._on_answer)
        self._session.run_started.connect(self._forget, max_args=0)

    def close(self) -> None:
        """Stop following; what was drawn goes."""
        super().close()
        self._session.prompt_answered.disconnect(self._on_answer, missing_ok=True)
        self._session.run_started.disconnect(self._forget, missing_ok=True)

    def follow(self, object_id: int) -> None:
        """Be about this object only."""
        if self._place is not None and self._place[0] != object_id:
            self._forget()

    def draw(self, _event: Any = None) -> None:
        """Show the contours on the frame that is shown, if they belong there."""
        self._sketch.show_contours(tuple(self._contours()))

    def clear(self) -> None:
        """Show none."""
        self._forget()

    def _on_answer(self, result: PromptResult) -> None:
        self._place = result.mask.object_id, result.frame
        self.draw()

    def _forget(self) -> None:
        self._place = None
        self.draw()

    def _contours(self) -> Iterator[tuple[int, np.ndarray]]:
        if self._place is None or self._place[1] != self._current_frame():
            return
        object_id, frame = self._place
        if self._session.state.prompts_on(object_id, frame) is None:
            return
        offered = self._session.candidates(object_id, frame)
        if not offered:
            return
        shown = [offered[self._session.chosen_candidate(object_id, frame)]]
        for candidate in offered:
            if candidate.box != EMPTY_BOX and all(_iou(candidate, it) < SAME for it in shown):
                shown.append(candidate)
                yield from ((frame, path) for path in contours_of(candidate))


def contours_of(mask: ObjectMask) -> list[np.ndarray]:
    """Return the outlines of a mask as closed paths (N, 2) of (y, x), frame pixels."""
    from skimage.measure import find_contours

    padded = np.pad(mask.mask, 1).astype(np.float32)
    corner = np.array(mask.box[:2]) - 1
    return [path + corner for path in find_contours(padded, 0.5) if len(path) > 3]


def _iou(first: ObjectMask, second: ObjectMask) -> float:
    boxes = np.array([first.box, second.box])
    y0, x0 = boxes[:, :2].min(axis=0)
    y1, x1 = boxes[:, 2:].max(axis=0)
    masks = np.zeros((2, y1 - y0, x1 - x0), bool)
    for whole, item in zip(masks, (first, second), strict=True):
        a, b, c, d = item.box
        whole[a - y0 : c - y0, b - x0 : d - x0] = item.mask
    union = int(masks.any(axis=0).sum())
    return float(masks.all(axis=0).sum() / union) if union else 1.0
