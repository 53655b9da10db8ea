"""What a session asks of any model. The model behind it may be SAM 2, a fake, or another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.ids import FrameIndex
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import Box
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)


class Segmenter(Protocol):
    """Answers prompts and carries objects through one stack; lives on one thread.

    A segmenter is bound to its frames when it is made, and to the intensity mapping for requests that name none. Its
    answers are pure functions of the request (with the `NATIVE` options): it may cache, but nothing asked before
    changes an answer.
    """

    @property
    def mapping(self) -> IntensityMapping | None:
        """How frames are seen by requests that name no mapping; None if they are taken as they are."""

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Return the mask of one object on its prompted frame."""

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Yield tracked frames as they are computed; each yield is progress and a cancellation point.

        With `resume` (the field of the last result that was kept) the iteration continues after that result,
        bit for bit as if it had not been interrupted. Once `cancellation` is asked the iteration ends soon, in the
        middle of a frame too, without a result for it.
        """

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Get ready for questions about a frame, so that the first one need not wait; no answer changes by it.

        Parameters
        ----------
        frame : int
            Which one.
        box : (y0, x0, y1, x1), optional
            What an object fills there, frame pixels: questions about it are prepared as well.
        may_forget : bool
            What was not used for longest may be forgotten for it, if there is no room.

        Returns
        -------
        bool
            Whether it is ready; if not, there was no room.
        """
