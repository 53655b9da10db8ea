"""What a session asks of any model. The model behind it may be SAM 2, a fake, or another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)


class Segmenter(Protocol):
    """Answers prompts and carries objects through one stack; lives on one thread.

    A segmenter is bound to its frames and intensity mapping when it is made. Its answers are pure functions of the
    request (with the `NATIVE` options): it may cache, but nothing asked before changes an answer.
    """

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
