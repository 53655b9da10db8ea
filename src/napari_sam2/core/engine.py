"""Engine: how a session reaches a model, on its own thread or on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.segmenter import Segmenter


class Engine(Protocol):
    """Takes frozen requests to a `Segmenter` and brings frozen results back.

    An engine that hands over to a worker thread returns from `ask` at once, calls `deliver` later *on the session's
    thread*, and reports a failure through `Session.refuse`. It may drop a request that a newer one for the same
    object and frame has overtaken.
    """

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Have `request` answered and `deliver` called with the result, now or later; an error may be raised."""

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Return an iterator as `Segmenter.propagate` does; whoever drives it decides the thread."""


class InlineEngine:
    """Answers at once, on the caller's thread: scripts, tests and batch runs."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Answer before returning."""
        deliver(self.segmenter.prompt(request))

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Return the segmenter's iterator."""
        return self.segmenter.propagate(request, resume, cancellation)
