"""Bases: what every tracked mask rests on, so that it can be told whether tracking it again would change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.plan import Span, spans_of
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.volumes import start_of, volume_passes


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a tracked mask rests on: equal bases give equal masks.

    `prompts`: what was said between the locks around it; `anchor`: where its pass started from; `start`: the first
    frame of the pass; `model`: counts the models that a session has used; `mapping`: how the frames were seen.
    """

    prompts: ObjectPrompts
    anchor: FrameIndex
    start: FrameIndex
    model: int
    mapping: IntensityMapping | None = None


class Bases:
    """What every frame that a request tracks rests on."""

    def __init__(self, request: PropagationRequest, model: int) -> None:
        self.passes: dict[ObjectId, tuple[tuple[Span, Basis], ...]] = {
            item.object_id: tuple(
                (span, Basis(said, span.anchor, start_of(span), model, request.mapping))
                for said, span in _passes(item, request)
            )
            for item in request.objects
        }

    def of(self, object_id: ObjectId, frame: FrameIndex) -> Basis | None:
        """Return what a frame of an object rests on; None if it is not tracked."""
        for span, basis in self.passes.get(object_id, ()):
            if span.first <= frame < span.stop:
                return basis
        return None


def _passes(
    item: ObjectPrompts, request: PropagationRequest
) -> Iterator[tuple[ObjectPrompts, Span]]:
    """Yield the passes that track an object, each with what was said that it rests on."""
    if request.depth:
        yield from volume_passes(item, request)
    else:
        for span in spans_of(item, request):
            yield item.around(start_of(span)), span
