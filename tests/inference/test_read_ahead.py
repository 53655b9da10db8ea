"""ReadAhead: one frame ahead, one read at a time, errors where they belong, nothing left running."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_sam2.core.errors import FrameReadError
from napari_sam2.inference.read_ahead import ReadAhead

NUM = 8


class Slow:
    """A source that says when it is read, on which thread, and that it is never read twice at once."""

    shape, dtype, is_rgb = (2, 2), np.dtype(np.uint8), False

    def __init__(self, seconds=0.0, broken=()):
        self.seconds, self.broken = seconds, set(broken)
        self.reads, self.threads, self._busy = [], [], threading.Lock()

    def __len__(self):
        return NUM

    def read(self, t):
        assert self._busy.acquire(blocking=False), "two reads at once"
        try:
            self.reads.append(t)
            self.threads.append(threading.current_thread())
            time.sleep(self.seconds)
            if t in self.broken:
                raise FrameReadError(f"frame {t} is broken")
            return np.full(self.shape, t, np.uint8)
        finally:
            self._busy.release()


def walk(frames, order, work=0.0):
    """Read frames in order as a run does; return what came."""
    seen = []
    with frames.run():
        for number, t in enumerate(order):
            if number + 1 < len(order):
                frames.expect(t, order[number + 1])
            seen.append(int(frames.read(t)[0, 0]))
            time.sleep(work)
    return seen


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("read frame")]


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("order", [list(range(NUM)), [3, 4, 5, 2, 1, 0], [0, 1, 1, 0, 2]])
def test_frames_are_the_same_and_each_is_read_once_when_it_is_asked_for(order, is_on):
    source = Slow()
    assert walk(ReadAhead(source, is_on=is_on), order) == order
    assert source.reads == order


def test_a_run_over_a_slow_source_is_faster_with_reading_ahead():
    seconds = {}
    for is_on in (True, False):
        start = time.perf_counter()
        walk(ReadAhead(Slow(0.05), is_on=is_on), range(NUM), work=0.05)
        seconds[is_on] = time.perf_counter() - start
    assert seconds[True] < 0.8 * seconds[False]


def test_all_but_the_first_are_read_on_another_thread_and_none_if_it_is_off():
    here = threading.current_thread()
    on, off = Slow(), Slow()
    walk(ReadAhead(on), range(NUM))
    walk(ReadAhead(off, is_on=False), range(NUM))
    assert [thread is here for thread in on.threads] == [True] + [False] * (NUM - 1)
    assert all(thread is here for thread in off.threads)


def test_at_most_one_frame_is_read_ahead():
    source = Slow()
    frames = ReadAhead(source)
    with frames.run():
        frames.expect(0, 1)
        frames.read(0)
        time.sleep(0.1)
        assert source.reads == [0, 1]
    assert source.reads == [0, 1]


def test_nothing_is_read_ahead_while_frames_are_not_read_or_outside_a_run():
    source = Slow()
    frames = ReadAhead(source)
    with frames.run():
        frames.expect(0, 1)  # the embedding of frame 0 is known
        frames.expect(1, 2)
        frames.read(7)  # of a conditioning frame
    frames.expect(2, 3)
    frames.read(2)
    assert source.reads == [7, 2]


def test_an_error_comes_when_its_frame_is_asked_for_and_the_frame_can_be_asked_for_again():
    source = Slow(broken=[1])
    frames = ReadAhead(source)
    with frames.run():
        frames.expect(0, 1)
        assert frames.read(0)[0, 0] == 0
        time.sleep(0.05)
        assert frames.read(5)[0, 0] == 5
        with pytest.raises(FrameReadError, match="frame 1 is broken"):
            frames.read(1)
        source.broken.clear()
        assert frames.read(1)[0, 0] == 1
    assert source.reads == [0, 1, 5, 1]


def test_an_error_of_a_frame_that_nobody_asks_for_is_nobodys():
    frames = ReadAhead(Slow(broken=[1]))
    with frames.run():
        frames.expect(0, 1)
        frames.read(0)


def test_another_frame_than_the_announced_one_waits_its_turn():
    source = Slow(0.02)
    frames = ReadAhead(source)
    with frames.run():
        for t in range(4):
            frames.expect(t, t + 1)
            assert frames.read(t)[0, 0] == t
            assert frames.read(6)[0, 0] == 6
            frames.expect(6, 7)
            assert frames.read(6)[0, 0] == 6


def test_ending_a_run_waits_for_the_reading_that_goes_on():
    source = Slow(0.1)
    frames = ReadAhead(source)

    def fail():
        with frames.run():
            frames.expect(0, 1)
            frames.read(0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert source.reads == [0, 1]
    assert not source._busy.locked()


def test_it_looks_like_its_source():
    frames = ReadAhead(Slow())
    assert (frames.shape, frames.dtype, frames.is_rgb, len(frames)) == ((2, 2), np.uint8, False, 8)
