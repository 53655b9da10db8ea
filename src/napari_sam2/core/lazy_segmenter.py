"""LazySegmenter: a segmenter that is made when it is first asked something, and what passes questions on to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

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
from napari_sam2.core.segmenter import Segmenter


class LazySegmenter:
    """Makes the segmenter at the first question, so that a session opens at once; passes all questions on to it."""

    def __init__(self, make: Callable[[], Segmenter]) -> None:
        self._make = make

    @cached_property
    def _segmenter(self) -> Segmenter:
        return self._make()

    @property
    def mapping(self) -> IntensityMapping | None:
        """How frames are seen; see `core.Segmenter`."""
        return self._segmenter.mapping

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Answer a prompt; see `core.Segmenter`."""
        return self._segmenter.prompt(request)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Carry objects along; see `core.Segmenter`."""
        return self._segmenter.propagate(request, resume, cancellation)

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Get ready for questions about a frame; see `core.Segmenter`."""
        return self._segmenter.prepare(frame, box, may_forget=may_forget)
