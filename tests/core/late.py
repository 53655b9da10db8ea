"""An engine whose answers come when the test says so."""

from __future__ import annotations

from tests.core.discs import VIDEO

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.testing import FakeSegmenter

FRAMES = ArrayFrames(VIDEO)


class LateEngine(InlineEngine):
    """Notes what is asked; the test says when the answers come."""

    def __init__(self):
        super().__init__(FakeSegmenter(FRAMES))
        self.waiting = []

    def ask(self, request, deliver):
        self.waiting.append((request, deliver))

    def answer(self, which=0):
        request, deliver = self.waiting.pop(which)
        deliver(self.segmenter.prompt(request))
