"""The real network, small and random, keeps the segmenter's contract and gives any history its fresh session."""

from __future__ import annotations

import pytest
import torch
from tests.core.segmenter_contract import SegmenterContract
from tests.core.test_random_actions import LateActionMachine, LateEngine
from tests.core.test_session_history import VIDEO
from tests.random_histories import try_histories

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import InferenceError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.session import Session
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.testing import tiny_sam2

NETWORK = tiny_sam2()


class FailingSegmenter(Sam2Segmenter):
    """The real one, which can be told to fail at a question to come, as the fake can."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.raise_at: set[int] = set()
        self.num_asked = 0

    def fail_next(self, after: int = 0) -> None:
        self.raise_at.add(self.num_asked + after)

    def prompt(self, request):
        self.num_asked += 1
        if self.num_asked - 1 in self.raise_at:
            raise InferenceError("told to fail")
        return super().prompt(request)


def make_segmenter(frames) -> FailingSegmenter:
    policy = DevicePolicy(torch.device("cpu"), torch.device("cpu"))
    return FailingSegmenter(NETWORK, frames, IntensityMapping(0, 255), policy=policy)


class TestSam2Segmenter(SegmenterContract):
    def make(self, frames):
        return make_segmenter(frames)


class RealActionMachine(LateActionMachine):
    """The same actions as with the fake, on the real network; answers come when they come."""

    def _new(self):
        stack = ArrayFrames(VIDEO)
        return Session(stack, LateEngine(make_segmenter(stack)), overlap=self.overlap)

    def _replayed(self):
        stack = ArrayFrames(VIDEO)
        return Session(stack, InlineEngine(make_segmenter(stack)), overlap=self.overlap)


@pytest.mark.slow
def test_any_history_then_a_propagation_equals_a_fresh_session() -> None:
    try_histories(RealActionMachine, few=5, full=20)
