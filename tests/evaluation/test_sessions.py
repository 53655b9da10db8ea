from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from napari_sam2.evaluation.sessions import StopWatch


class SlowRun:
    """The first step takes longer than the others, as that of a model which is loaded by it."""

    def __init__(self, frames, first=0.2, other=0.01):
        self.frames, self.first, self.other = frames, first, other
        self.total = len(frames)

    def __iter__(self):
        for number, frame in enumerate(self.frames):
            time.sleep(self.other if number else self.first)
            yield SimpleNamespace(frame=frame)


def test_the_first_frame_may_load_the_model_and_is_not_timed():
    watch = StopWatch()
    watch.drive(SlowRun([3, 4, 5, 2]))
    assert watch.frames == 3
    assert 0.01 <= watch.seconds_per_frame < 0.1


def test_only_the_first_frame_of_all_runs_is_left_out():
    watch = StopWatch()
    watch.drive(SlowRun([3, 4]))
    watch.drive(SlowRun([3, 4], first=0.2))
    assert watch.frames == 3
    assert watch.seconds >= 0.2


def test_a_single_frame_is_timed_for_want_of_others():
    watch = StopWatch()
    watch.drive(SlowRun([3]))
    assert watch.seconds_per_frame >= 0.2


def test_a_frame_that_is_passed_twice_counts_once():
    watch = StopWatch()
    watch.drive(SlowRun([0, 1, 2, 2, 1], first=0))
    assert watch.frames == 2


def test_answers_are_timed_without_the_first_and_nothing_took_no_time():
    watch = StopWatch()
    assert watch.seconds_per_frame == 0
    watch.drive(SlowRun([]))
    watch.time(lambda: time.sleep(0.2))
    assert watch.seconds_per_frame >= 0.2
    watch.time(lambda: time.sleep(0.02))
    watch.time(lambda: time.sleep(0.02))
    assert watch.frames == 2
    assert 0.02 <= watch.seconds_per_frame < 0.1


def test_progress_goes_up_to_one():
    told = []
    StopWatch().drive(SlowRun([0, 1, 2, 3], 0, 0), told.append)
    assert told == pytest.approx([0.25, 0.5, 0.75, 1.0])
