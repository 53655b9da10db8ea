"""Processes that are killed at any moment: nothing that was found is lost, and what is found in the end is the same.

The default suite kills less often than a release should be tested:
``NAPARI_SAM2_KILLS=40 python -m pytest tests/crash/test_kills.py`` (about 1.5 seconds a kill).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from tests.crash.test_kept_results import zarr_of
from tests.crash.work import (
    Work,
    checksum_of,
    labels_of,
    limited_child,
    run_child,
    session_child,
)

from napari_sam2.io.journal import journal_of
from napari_sam2.io.kept_results import KIND
from napari_sam2.io.record_format import read_records

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL and no forkserver")

NUM_KILLS = int(os.environ.get("NAPARI_SAM2_KILLS", "8"))

DELAY = 0.01
"""Seconds that a frame takes."""

NUM_FRAMES = 30


@pytest.fixture(scope="module")
def processes():
    """Children that begin at once: what they need is loaded in the one that they are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.work", "zarr", "scipy.ndimage"])
    return context


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """An undisturbed run, and an undisturbed session."""
    run = Work(tmp_path_factory.mktemp("run"), NUM_FRAMES).run_into_zarr(lambda frame: None)[0]
    work = Work(tmp_path_factory.mktemp("session"), NUM_FRAMES)
    return run, work.work_in_a_session(lambda frame: None)


class Killer:
    """Starts a child, kills it after a random time, and says what everybody had been told by then."""

    def __init__(self, processes, child, folder, seed):
        self.processes, self.child, self.work = processes, child, Work(folder, NUM_FRAMES)
        self.random = random.Random(seed)
        self.num_kills = 0

    @property
    def is_done(self):
        return -1 in self.work.told()

    def frames_told(self):
        return {frame for frame in self.work.told() if frame >= 0}

    def run(self, kill_within=None):
        """Let a child work; kill it once it has begun to tell of frames, at most so many seconds later."""
        before = len(self.work.told())
        process = self.processes.Process(target=self.child, args=(self.work.folder, DELAY))
        process.start()
        if kill_within is not None:
            begun = time.monotonic()
            while len(self.work.told()) == before and process.is_alive():
                assert time.monotonic() - begun < 120
                time.sleep(0.005)
            process.join(self.random.uniform(0, kill_within))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                self.num_kills += 1
        process.join(120)
        assert process.exitcode in ((0,) if kill_within is None else (0, -signal.SIGKILL))

    def kill_early(self):
        """Kill a child at any moment since it began, while it looks what an earlier one has left, too."""
        process = self.processes.Process(target=self.child, args=(self.work.folder, DELAY))
        process.start()
        process.join(self.random.uniform(0, 0.4))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            self.num_kills += 1
        process.join(120)


def frames_on_disk(work):
    """Masks that a run had written, by object and frame."""
    _, records, num_damaged = read_records(work.run_path, KIND)
    assert num_damaged == 0
    return {int.from_bytes(text[25:29], "little") for _, text in records if text[:1] == b"F"}


def test_a_run_into_zarr_that_is_killed_loses_no_frame_and_ends_the_same(
    processes, expected, tmp_path
):
    kills = rounds = 0
    while kills < NUM_KILLS:
        folder = tmp_path / f"round {rounds}"
        folder.mkdir()
        killer = Killer(processes, run_child, folder, rounds)
        killer.run(kill_within=NUM_FRAMES * 2 * DELAY)
        if not killer.is_done:
            assert killer.frames_told() <= frames_on_disk(killer.work)
            assert not killer.work.out.exists()
            killer.run()
        kills, rounds = kills + killer.num_kills, rounds + 1
        np.testing.assert_array_equal(zarr_of(killer.work), labels_of(expected[0]))
        assert sorted(path.name for path in folder.iterdir()) == ["labels.ome.zarr", "told"]
        assert rounds < 3 * NUM_KILLS + 10


def test_a_session_that_is_killed_again_and_again_loses_no_frame_and_ends_the_same(
    processes, expected, tmp_path
):
    kills = rounds = 0
    while kills < NUM_KILLS:
        folder = tmp_path / f"round {rounds}"
        folder.mkdir()
        killer = Killer(processes, session_child, folder, 100 + rounds)
        while not killer.is_done and killer.num_kills < 4:
            killer.run(kill_within=NUM_FRAMES * DELAY)
            _check_session(killer, expected[1])
        if not killer.is_done:
            killer.run()
        kills, rounds = kills + killer.num_kills, rounds + 1
        _check_session(killer, expected[1])
        assert checksum_of(killer.work.restored()) == checksum_of(expected[1])
        assert not journal_of(killer.work.session_path).exists()
        names = {path.name.split(".")[-1] for path in folder.iterdir()}
        assert names == {"json", "masks", "told"}


def _check_session(killer, expected):
    """Every frame that anybody was told of is there, and every mask is that of an undisturbed run."""
    restored = killer.work.restored()
    there = {mask.record.frame for mask in restored.kept.masks}
    assert killer.frames_told() <= there
    for object_id in restored.objects:
        for frame in range(NUM_FRAMES):
            record = restored.record(object_id, frame)
            if record is not None:
                wanted = expected.record(object_id, frame)
                assert (record.box, record.bits, record.strength) == (
                    wanted.box,
                    wanted.bits,
                    wanted.strength,
                )


@pytest.mark.parametrize("child", [run_child, session_child])
def test_kills_while_it_recovers_three_deep_cost_nothing(processes, expected, tmp_path, child):
    killer = Killer(processes, child, tmp_path, 7)
    killer.run(kill_within=0.2)
    told = killer.frames_told()
    for _ in range(3):
        killer.kill_early()
        if child is session_child:
            _check_session(killer, expected[1])
        elif not killer.is_done:
            assert told <= frames_on_disk(killer.work)
    killer.run()
    if child is run_child:
        np.testing.assert_array_equal(zarr_of(killer.work), labels_of(expected[0]))
    else:
        assert checksum_of(killer.work.restored()) == checksum_of(expected[1])


def test_a_disk_that_takes_no_more_keeps_the_frames_before(processes, expected, tmp_path):
    process = processes.Process(target=limited_child, args=(tmp_path, 0.0))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    said = (tmp_path / "error").read_text()
    assert "x.run cannot be written: File too large" in said
    work = Work(tmp_path, NUM_FRAMES)
    told = {frame for frame in work.told() if frame >= 0}
    assert len(told) > 3
    assert told <= frames_on_disk(work)
    work.run_into_zarr()
    np.testing.assert_array_equal(zarr_of(work), labels_of(expected[0]))
