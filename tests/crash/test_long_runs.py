"""Long runs: memory does not grow with what was found, and the last frame takes no longer than the first.

The default suite goes through 2,000 frames; 10,000 as
``python -m pytest tests/crash/test_long_runs.py -m slow -s`` (prints the figures).
"""

from __future__ import annotations

import gc
import time

import numpy as np
import psutil
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.messages import FrameResult, PromptResult, ResumePoint
from napari_sam2.core.plan import plan_of
from napari_sam2.core.session import Session
from napari_sam2.io.digests import digest_of
from napari_sam2.io.kept_results import KeptEngine, ResultFile
from napari_sam2.io.store import DiskMaskStore
from napari_sam2.plugin.journaling import RunJournal

SIDE = 64
NUM_OBJECTS = 3


class Quick:
    """A segmenter that takes no time: a disc for every object, a little further on every frame."""

    mapping = None

    def __init__(self):
        rows, columns = np.mgrid[:SIDE, :SIDE]
        self._masks = {
            (key, place): ObjectMask.from_logits(
                key,
                6 - np.hypot(rows - 16 * key, columns - 8 - place).astype(np.float32),
                5.0,
                0.9,
            )
            for key in range(1, NUM_OBJECTS + 1)
            for place in range(48)
        }

    def prompt(self, request):
        mask = self._masks[request.object_id, 0]
        return PromptResult(request.generation, request.prompts.frame, mask)

    def propagate(self, request, resume=None, cancellation=None):
        plan = plan_of(request)
        for number, planned in enumerate(plan, start=1):
            masks = tuple(
                self._masks[track.object_id, planned.frame % 48] for track in planned.tracks
            )
            yield FrameResult(planned.frame, masks, len(plan), ResumePoint(number))


class Stack:
    """A stack of any length without pixels."""

    def __init__(self, num_frames):
        self.shape, self.ndim, self.dtype = (num_frames, SIDE, SIDE), 3, np.dtype(np.uint8)

    def __getitem__(self, index):
        return np.zeros((SIDE, SIDE), np.uint8)


def go_through(num_frames, folder):
    """Run through a stack with all that keeps frames; return (frame, bytes, seconds of the processor) on the way."""
    frames = ArrayFrames(Stack(num_frames))
    process, measured = psutil.Process(), []
    with DiskMaskStore(folder / "masks.store") as store:
        session = Session(frames, InlineEngine(Quick()), store=store)
        results = ResultFile(folder / "x.run", digest_of("question"), frames.shape)
        session.engine = KeptEngine(session.engine, results)
        session.journal = RunJournal(folder / "x.sam2.json")
        for key in range(1, NUM_OBJECTS + 1):
            session.add_points(key, 0, [(16 * key, 8)])
        run = session.propagate()
        for result in run:
            if result.frame % (num_frames // 20) == 0:
                gc.collect()
                measured.append((result.frame, process.memory_info().rss, time.process_time()))
        assert len(store) == NUM_OBJECTS * num_frames
        np.testing.assert_array_equal(np.unique(session.labels[num_frames - 1]), [0, 1, 2, 3])
        results.remove()
        session.journal.close()
    return np.array(measured)


def check_growth(measured, num_frames):
    frames, memory, seconds = measured.T
    later = frames > num_frames * 0.25
    slope = np.polyfit(frames[later], memory[later], 1)[0]
    steps = np.diff(seconds)
    first, last = steps[: len(steps) // 3].mean(), steps[-(len(steps) // 3) :].mean()
    per_frame = seconds[-1] / frames[-1] * 1000
    print(f"\n{num_frames} frames: {slope:.0f} bytes a frame, {per_frame:.2f} ms a frame, ")
    print(f"the last third takes {last / first:.2f} times as long as the first")
    assert slope < 1024
    assert last < 1.6 * first


def test_memory_and_time_of_a_frame_do_not_grow(tmp_path):
    check_growth(go_through(2000, tmp_path), 2000)


@pytest.mark.slow
def test_memory_and_time_of_a_frame_do_not_grow_over_ten_thousand_frames(tmp_path):
    check_growth(go_through(10_000, tmp_path), 10_000)
