"""Rows of the fault matrix through whole sessions: sources that break, many prompts, little memory, lost images."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import zarr

from napari_sam2 import Session
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import FrameReadError
from napari_sam2.core.session import Session as CoreSession
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=6, size=48, num_objects=2, seed=0)
INSIDE = tuple(float(value) for value in np.argwhere(TRUTH[0] == 1).mean(0))


def clicked(stack, **options):
    session = Session(stack, **options)
    session.add_points(1, 0, [INSIDE])
    return session


@pytest.fixture(scope="module")
def expected():
    session = clicked(VIDEO)
    list(session.propagate())
    return np.asarray(session.labels)


class Breaking:
    """A stack of which one frame cannot be read, for as long as `times` says."""

    def __init__(self, frame, times, error):
        self.shape, self.dtype, self.ndim = VIDEO.shape, VIDEO.dtype, VIDEO.ndim
        self.frame, self.times, self.error = frame, times, error

    def __getitem__(self, key):
        index = key[0] if isinstance(key, tuple) else key
        if index == self.frame and self.times > 0:
            self.times -= 1
            raise self.error
        return VIDEO[key]


ERRORS = [RuntimeError("Zstd: corrupted block"), OSError(5, "Input/output error"), ValueError("x")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_run_stops_at_a_frame_that_cannot_be_read_and_goes_on_later(
    expected, contract, error, monkeypatch
):
    monkeypatch.setattr("napari_sam2.core.arrays._PAUSES", (0.0, 0.0))
    stack = Breaking(3, 0, error)
    session = clicked(stack, limits=(0, 255))
    usual = clicked(VIDEO, limits=(0, 255))
    list(usual.propagate())
    stack.times = 99

    def fails():
        list(session.propagate())

    def goes_on():
        stack.times = 0
        run = session.propagate()
        assert run.done == 2, "frames 1 and 2 are not tracked again"
        list(run)

    found = contract.session(session, fails, goes_on, FrameReadError)
    assert "frame 3" in found.what
    assert type(error).__name__ in found.what
    np.testing.assert_array_equal(np.asarray(session.labels), np.asarray(usual.labels))
    assert expected.any(axis=(1, 2)).all(), "equality with nothing would mean nothing"


def test_a_share_that_fails_twice_is_waited_for(monkeypatch):
    monkeypatch.setattr("napari_sam2.core.arrays._PAUSES", (0.0, 0.0))
    stack = Breaking(3, 0, OSError(116, "Stale file handle"))
    session = clicked(stack, limits=(0, 255))
    stack.times = 2
    assert len(list(session.propagate())) == 5


@pytest.mark.parametrize("way", ["cut", "emptied", "overwritten"])
def test_a_damaged_chunk_costs_its_frame_only(tmp_path, contract, way):
    store = zarr.create_array(
        tmp_path / "a.zarr", shape=VIDEO.shape, chunks=(1, 48, 48), dtype=np.uint8
    )
    store[:] = VIDEO
    chunk = next(path for path in (tmp_path / "a.zarr").rglob("4/0/0") if path.is_file())
    whole = chunk.read_bytes()
    session = clicked(str(tmp_path / "a.zarr"), limits=(0, 255))
    chunk.write_bytes({"cut": whole[:-9], "emptied": b"", "overwritten": b"\xff" * 40}[way])

    def mended():
        chunk.write_bytes(whole)
        assert len(list(session.propagate())) == 2

    found = contract.session(session, lambda: list(session.propagate()), mended, FrameReadError)
    assert "frame 4" in found.what
    assert len(session.quality(1)) == 6


# Many prompts


class Counting(FakeSegmenter):
    """Counts the points that it is told."""

    num_points = 0

    def prompt(self, request):
        self.num_points += sum(len(step.points) for step in request.prompts.steps)
        return super().prompt(request)


def small_session(segmenter_of=Counting, num_objects=1, size=48):
    frames = ArrayFrames(moving_discs(3, size, num_objects)[0])
    return CoreSession(frames, InlineEngine(segmenter_of(frames)))


def test_a_thousand_points_are_one_question():
    session = small_session()
    rows, columns = np.divmod(np.arange(1000), 48)
    session.add_points(1, 0, np.stack([rows, columns], 1), np.arange(1000) % 2)
    segmenter = session.engine.segmenter
    assert (segmenter.num_calls, segmenter.num_points) == (1, 1000)
    (said,) = session.prompts[0].frames
    assert len(said.steps[0].points) == 1000
    list(session.propagate())
    assert segmenter.num_calls == 3


def test_three_hundred_objects_cost_each_what_the_first_one_did():
    def cost(count):
        session = small_session()
        for number in range(count):
            mask = np.zeros((48, 48), bool)
            mask[number // 24 * 3 : number // 24 * 3 + 2, number % 24 * 2] = True
            session.add_mask(number + 1, 0, mask)
        kept = len(session.store)
        list(session.propagate())
        return session, kept, len(session.store), session.engine.segmenter.num_calls

    few, many = cost(30), cost(300)
    assert many[1] == 10 * few[1] == 300, "a record a prompt"
    assert many[2] == 10 * few[2] == 900, "and one a frame"
    assert few[3] == many[3] == 2, "all objects of a frame are one call"
    assert many[0].store.num_bytes < 300 * 3 * 2000
    assert len(np.unique(many[0].labels[0])) == 301


# Memory


SHORT = """
import resource
import torch
from napari_sam2.core.errors import OutOfMemoryError
from napari_sam2.inference.memory_ladder import MemoryLadder
kept = [torch.zeros(600 << 20, dtype=torch.uint8)]
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
ladder = MemoryLadder(torch.device("cpu"), 1, kept.clear)
work = lambda size: len(torch.ones(size << 20, dtype=torch.uint8))
print("got", ladder.climb("tracking frame 3", lambda: work(500)))
try:
    ladder.climb("tracking frame 4", lambda: work(4000))
except OutOfMemoryError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_memory_that_is_really_short_is_found_by_dropping_caches_or_told():
    done = subprocess.run(
        [sys.executable, "-c", SHORT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    got, told = done.stdout.strip().splitlines()
    assert got == f"got {500 << 20}"
    assert "memory of the computer ran out tracking frame 4 when 3.91 GiB were asked for" in told
    assert "GiB are free" in told


# The image of a session


@pytest.mark.parametrize("way", ["gone", "renamed"])
def test_a_session_whose_image_is_not_there_takes_another_path(tmp_path, contract, way, expected):
    image = tmp_path / "stack.npy"
    np.save(image, VIDEO)
    session = clicked(str(image))
    list(session.propagate())
    session.save(tmp_path / "x.sam2.json")
    moved = tmp_path / "elsewhere" / "other name.npy"
    moved.parent.mkdir()
    os.replace(image, moved)
    if way == "gone":
        os.unlink(moved)
        np.save(moved, VIDEO)
    found = contract.folder(
        tmp_path,
        lambda: Session.open(tmp_path / "x.sam2.json"),
        lambda: Session.open(tmp_path / "x.sam2.json", moved),
        FrameReadError,
    )
    assert "stack.npy" in found.what
    opened = Session.open(tmp_path / "x.sam2.json", moved)
    np.testing.assert_array_equal(np.asarray(opened.labels), expected)


def test_another_image_of_the_same_shape_is_told_with_the_frames_that_differ(tmp_path, caplog):
    session = clicked(VIDEO)
    list(session.propagate())
    session.save(tmp_path / "x.sam2.json")
    changed = VIDEO.copy()
    changed[2, 7, 7] += 1
    opened = Session.open(tmp_path / "x.sam2.json", changed)
    assert "has changed, at least on frames 2" in caplog.text
    assert opened.saved.prompts == session.saved.prompts, "what was said is kept"
    assert opened.is_changed(1), "and is to be tracked again"
