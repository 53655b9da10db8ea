"""Asks: the questions to a model whose answers are still on their way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from napari_sam2.core.history import History
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import PromptRequest, PromptResult
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.core.state import SessionState

MAX_OFFERS = 64
"""Answers whose candidates are remembered."""


@dataclass(slots=True)
class Ask:
    """One question. `after`: the history when it was asked; `before`: without the action that asked it, if any did.

    `line`: number of that action in the log.
    """

    request: PromptRequest
    before: History | None
    after: History
    line: int = 0


@dataclass(slots=True)
class Offers:
    """The last answers with the candidates that were not chosen; older ones are forgotten."""

    _results: dict[tuple[ObjectId, FramePrompts], PromptResult] = field(default_factory=dict)

    def keep(self, object_id: ObjectId, prompts: FramePrompts, result: PromptResult) -> None:
        """Remember an answer."""
        self._results.pop((object_id, prompts), None)
        self._results[object_id, prompts] = result
        if len(self._results) > MAX_OFFERS:
            del self._results[next(iter(self._results))]

    def get(self, object_id: ObjectId, prompts: FramePrompts) -> PromptResult | None:
        """Return the answer to prompts, if it is remembered."""
        return self._results.get((object_id, prompts))


@dataclass(slots=True)
class Asks:
    """All questions on their way, by generation."""

    _open: dict[int, Ask] = field(default_factory=dict)
    _newest: dict[tuple[ObjectId, FrameIndex], PromptRequest] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self._open

    def add(self, ask: Ask) -> None:
        """Note a question that is being asked."""
        request = ask.request
        self._open[request.generation] = ask
        self._newest[request.object_id, request.prompts.frame] = request

    def take(self, generation: int) -> Ask | None:
        """Return a question that was answered or refused, and forget it; None if it is unknown."""
        ask = self._open.pop(generation, None)
        if ask is not None and self._is_newest(ask.request):
            del self._newest[ask.request.object_id, ask.request.prompts.frame]
        return ask

    def unasked(self, state: SessionState) -> Iterator[tuple[ObjectId, FramePrompts]]:
        """Yield what `state` waits for and nobody was asked, or was asked before a newer question took over."""
        for known in state.objects.values():
            for frame in sorted(known.pending):
                newest = self._newest.get((known.object_id, frame))
                if newest is None or newest.prompts != known.prompts[frame]:
                    yield known.object_id, known.prompts[frame]

    def _is_newest(self, request: PromptRequest) -> bool:
        return self._newest.get((request.object_id, request.prompts.frame)) is request
