"""Asks: the questions to a model whose answers are still on their way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from napari_sam2.core.edits import with_candidate
from napari_sam2.core.history import History
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.messages import PromptRequest, PromptResult
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.core.state import SessionState

MAX_OFFERS = 64
"""Answers whose candidates are remembered."""


@dataclass(slots=True)
class Ask:
    """One question. `after`: the history when it was asked; `before`: without the action that asked it, if any did.

    `line`: number of that action in the log; `highest_id`: the highest object id before it.
    """

    request: PromptRequest
    before: History | None
    after: History
    line: int = 0
    highest_id: int = 0

    @property
    def place(self) -> tuple[ObjectId, FrameIndex]:
        """What the question is about."""
        return self.request.object_id, self.request.prompts.frame


@dataclass(slots=True)
class Offers:
    """The last answers with the candidates that were not chosen; older ones are forgotten.

    What was said is the same for all candidates of its last step, so while the answer for one of them is on its way
    all are still offered.
    """

    _results: dict[tuple[ObjectId, FramePrompts], tuple[ObjectMask, ...]] = field(
        default_factory=dict
    )

    def keep(self, object_id: ObjectId, prompts: FramePrompts, result: PromptResult) -> None:
        """Remember an answer."""
        chosen, others = prompts.steps[-1].candidate, result.candidates
        key = object_id, with_candidate(prompts, 0)
        self._results.pop(key, None)
        self._results[key] = (*others[:chosen], result.mask, *others[chosen:]) if others else ()
        if len(self._results) > MAX_OFFERS:
            del self._results[next(iter(self._results))]

    def get(self, object_id: ObjectId, prompts: FramePrompts) -> tuple[ObjectMask, ...]:
        """Return all possible answers to prompts, the model's own choice first, if they are remembered."""
        return self._results.get((object_id, with_candidate(prompts, 0)), ())


@dataclass(slots=True)
class Asks:
    """All questions on their way, by generation."""

    _open: dict[int, Ask] = field(default_factory=dict)
    _newest: dict[tuple[ObjectId, FrameIndex], PromptRequest] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self._open

    def copy(self) -> Asks:
        """Return what is on its way now, as another value."""
        return Asks(dict(self._open), dict(self._newest))

    def add(self, ask: Ask) -> None:
        """Note a question that is being asked."""
        request = ask.request
        self._open[request.generation] = ask
        self._newest[ask.place] = request

    def take(self, generation: int) -> Ask | None:
        """Return a question that was answered or refused, and forget it; None if it is unknown.

        With the newest one about a place all are forgotten: an engine may have dropped those that it overtook, and
        says nothing about them.
        """
        ask = self._open.pop(generation, None)
        if ask is not None and self._is_newest(ask.request):
            del self._newest[ask.place]
            self._open = {
                number: other for number, other in self._open.items() if other.place != ask.place
            }
        return ask

    def unasked(self, state: SessionState) -> Iterator[tuple[ObjectId, FramePrompts]]:
        """Yield what `state` waits for and nobody was asked, or was asked before a newer question took over."""
        for known in state.objects.values():
            for frame in sorted(known.pending):
                newest = self._newest.get((known.object_id, frame))
                asked = None if newest is None else (newest.prompts, newest.mapping)
                if asked != (known.prompts[frame], state.mapping):
                    yield known.object_id, known.prompts[frame]

    def _is_newest(self, request: PromptRequest) -> bool:
        return self._newest.get((request.object_id, request.prompts.frame)) is request
