"""The power goes at any moment: whatever the disk may hold then once was a session or a run, and is gone on with.

The default suite looks at some of what a disk may hold after each moment; more of it:
``NAPARI_SAM2_POWER=10 python -m pytest tests/crash/test_power.py`` (states a moment; 3 by default).
"""

from __future__ import annotations

import os
import random
import shutil

import numpy as np
import pytest
from tests.crash.test_kept_results import zarr_of
from tests.crash.work import Work, checksum_of, labels_of
from tests.power import RecordingDisk, read_state, write_state

from napari_sam2.core.masks import PackedMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.journal import KIND as JOURNAL
from napari_sam2.io.journal import SessionJournal, journal_of
from napari_sam2.io.kept_results import KIND as RESULTS
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.record_format import read_records
from napari_sam2.io.store import DiskMaskStore
from napari_sam2.plugin.journaling import RunJournal

STATES = int(os.environ.get("NAPARI_SAM2_POWER", "3"))
"""How many of the states are looked at that a disk may be in after each moment."""

NUM_FRAMES = 4


class Losses:
    """All moments of a recorded work at which the power may go, each in a folder of its own."""

    def __init__(self, disk, folder):
        self.disk, self.folder = disk, folder
        self.num = 0

    def __iter__(self):
        for moment in range(self.disk.moment + 1):
            for number in range(STATES):
                self.num += 1
                place = self.folder / f"{moment} {number}"
                state = self.disk.state(moment, random.Random(1000 * moment + number))
                write_state(state, self.disk.folder, place)
                yield moment, place
                shutil.rmtree(place)


@pytest.fixture
def recorded(tmp_path):
    """Have some work done in a folder; return what became of the disk, and all losses of power."""

    def record(work):
        folder = tmp_path / "before"
        folder.mkdir()
        disk = RecordingDisk(folder)
        with disk.recording():
            work(folder, disk)
        # The record is right: played in full, it is what lies there.
        assert disk.state(disk.moment) == read_state(folder)
        return Losses(disk, tmp_path / "after")

    return record


class Told:
    """What somebody was told, and after how much had been done to the disk."""

    def __init__(self, disk):
        self.disk, self.all = disk, []

    def __call__(self, fact):
        self.all.append((self.disk.moment, fact))

    def by(self, moment):
        return [fact for told, fact in self.all if told <= moment]


# The window


def test_a_session_is_one_that_was_saved_and_ends_the_same(recorded):
    told, moments, final = None, [], None

    def person(folder, disk):
        nonlocal told, final
        told, work = Told(disk), Work(folder, NUM_FRAMES)
        session = work.session()
        session.journal = journal = RunJournal(work.session_path)

        def save():
            moments.append((session.saved.prompts, checksum_of(session)))
            work.save(session, journal)
            told(len(moments))

        def track():
            run = session.propagate_changed()
            journal.begin(run, session)
            save()
            journal.base_written()
            list(run)
            save()

        work.say(session, 1, 2)
        save()
        track()
        work.say(session, 2, 1)
        track()
        journal.close()
        final = checksum_of(session)

    losses = recorded(person)
    for moment, folder in losses:
        work = Work(folder, NUM_FRAMES)
        sure = max(told.by(moment), default=0)
        if not work.session_path.exists():
            assert sure == 0
            continue
        session = work.restored()
        known = [
            number for number, (said, _) in enumerate(moments) if said == session.saved.prompts
        ]
        assert known
        assert max(known) + 1 >= sure
        _is_between(checksum_of(session), [masks for _, masks in moments] + [final])
        list(session.propagate_changed()) if session.objects else None
        if session.saved.prompts == moments[-1][0]:
            assert checksum_of(session) == final
    assert losses.num >= 80 * STATES


def _is_between(found, moments):
    """Every mask is one that there was at some moment."""
    for number, mask in enumerate(found):
        assert any(number < len(masks) and masks[number] == mask for masks in moments)


# A run


@pytest.mark.parametrize("durable", [False, True])
def test_a_run_into_zarr_is_gone_on_with_and_ends_the_same(recorded, durable):
    told, expected = None, None

    def run(folder, disk):
        nonlocal told, expected
        told, work = Told(disk), Work(folder, NUM_FRAMES)
        work.is_durable = durable
        expected, _ = work.run_into_zarr(told)

    losses = recorded(run)
    for moment, folder in losses:
        work = Work(folder, NUM_FRAMES)
        if work.out.exists():
            np.testing.assert_array_equal(zarr_of(work), labels_of(expected))
            continue
        if durable:
            assert set(told.by(moment)) <= _frames_kept(work.run_path)
        session, engine = work.run_into_zarr(lambda frame: None)
        assert not durable or engine.num_known >= len(told.by(moment))
        np.testing.assert_array_equal(zarr_of(work), labels_of(expected))
        assert checksum_of(session) == checksum_of(expected)
    assert losses.num >= 50 * STATES


def _frames_kept(path):
    if not path.exists():
        return set()
    _, records, _ = read_records(path, RESULTS)
    return {
        int.from_bytes(content[25:29], "little") for _, content in records if content[:1] == b"F"
    }


# Files of records


def test_what_is_durable_is_there_after_any_loss_of_power(recorded):
    told = None

    def write(folder, disk):
        nonlocal told
        told = Told(disk)
        with DiskMaskStore(folder / "masks", durable=True) as store:
            for frame in range(6):
                told(("masks", store.append(_mask(frame))))
        journal = SessionJournal(folder / "x.sam2.json", durable=True)
        for number in range(6):
            key = journal.next_key
            journal.append(b"F%d" % number * 300)
            told(("journal", key))
        journal.close()

    for moment, folder in recorded(write):
        sure = told.by(moment)
        with DiskMaskStore(folder / "masks", durable=True) as store:
            for key in [key for name, key in sure if name == "masks"]:
                assert store.get(key) == _mask(key)
        if keys := {key for name, key in sure if name == "journal"}:
            _, records, _ = read_records(journal_of(folder / "x.sam2.json"), JOURNAL)
            assert keys <= {key for key, _ in records}
            assert all(content == b"F%d" % key * 300 for key, content in records)


def _mask(frame):
    bits = np.random.default_rng(frame).random((40, 40)) > 0.5
    return MaskRecord.from_person(PackedMask.from_array(bits), 1, frame)


def test_a_file_that_is_made_smaller_is_the_old_or_the_new_one(recorded):
    moments = {}

    def compact(folder, disk):
        with DiskMaskStore(folder / "masks", durable=True) as store:
            for frame in range(6):
                store.append(_mask(frame))
            moments["whole"] = disk.moment
            store.discard({1, 4})
            store.compact()
            moments["compact"] = disk.moment

    for moment, folder in recorded(compact):
        if moment < moments["whole"]:
            continue
        with DiskMaskStore(folder / "masks") as store:
            assert store._records.keys() in ([0, 1, 2, 3, 4, 5], [1, 4])
            assert moment < moments["compact"] or len(store) == 2
            assert all(store.get(key) == _mask(key) for key in store._records.keys())


def test_a_disk_that_forgets_what_was_not_synced_is_told_from_one_that_does_not(recorded):
    """The record knows the difference, else the tests above would show nothing."""

    def write(folder, disk):
        records = RecordFile(folder / "lost", RESULTS)
        for number in range(4):
            records.append(b"F%d" % number)
        records.close()

    sizes = {
        (folder / "lost").stat().st_size
        for _, folder in recorded(write)
        if (folder / "lost").exists()
    }
    assert len(sizes) > 2
    assert 0 in sizes
