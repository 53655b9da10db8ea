"""Every call to the disk fails in turn: no file is corrupt, no error is another's, nothing in memory is lost."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from tests.crash.work import Work, checksum_of, labels_of
from tests.faults import FailingDisk, sweep_faults

from napari_sam2.core.errors import NapariSam2Error, StorageError
from napari_sam2.io.atomic import sweep
from napari_sam2.io.failures import storage_error
from napari_sam2.io.holding import Hold
from napari_sam2.io.journal import KIND as JOURNAL
from napari_sam2.io.journal import journal_of
from napari_sam2.io.kept_results import KIND as RESULTS
from napari_sam2.io.record_format import read_records
from napari_sam2.io.sessions import read_session
from napari_sam2.plugin.journaling import RunJournal

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)

NUM_FRAMES = 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    work = Work(tmp_path_factory.mktemp("undisturbed"), NUM_FRAMES)
    return work.run_into_zarr(lambda frame: None)[0]


def error_is_good(error):
    assert isinstance(error, NapariSam2Error), repr(error)
    assert error.what
    assert error.kept
    assert "cannot be" in error.what or "being worked on" in error.what


class Person:
    """Works in a session that is saved as the window saves it, whatever the disk does."""

    def __init__(self, folder):
        self.work = Work(folder, NUM_FRAMES)
        self.session, self.errors, self.hold = self.work.session(), [], None
        self.journal = self.session.journal = RunJournal(self.work.session_path)
        self.saved = []

    def save(self, path=None):
        try:
            if self.hold is None:
                self.hold = Hold(self.work.session_path)
            self.work.save(self.session, self.journal, path)
        except Exception as error:  # noqa: BLE001 - its kind is what is tested
            error_is_good(error)
            self.errors.append(error)
        self.saved.append((self.session.saved, checksum_of(self.session)))

    def track(self):
        run = self.session.propagate_changed()
        self.journal.begin(run, self.session)
        self.save()
        self.journal.base_written()
        list(run)

    def close(self):
        self.journal.close()
        if self.hold is not None:
            self.hold.release()


def work_and_save(folder, disk):
    """A click, a run, another click, another run: all of it works, and what is on the disk is whole."""
    (folder / "data").mkdir()
    (folder.parent / "elsewhere").mkdir(exist_ok=True)
    disk.folder = str(folder / "data")
    person = Person(folder / "data")
    work = person.work
    with disk.failing():
        work.say(person.session, 1, 2)
        person.save()
        person.track()
        work.say(person.session, 2, 3)
        person.track()
        person.save()
        told = bool(person.errors) or person.journal.error is not None
        rescue = folder.parent / "elsewhere" / "rescue.sam2.json"
        try:
            person.journal.move_to(rescue)
            person.work.save(person.session, person.journal, rescue)
        finally:
            person.close()
    assert checksum_of(work.restored(rescue)) == checksum_of(person.session)
    if disk.is_lasting and disk.num_failed > 3:
        assert told
    if work.session_path.exists():
        _is_a_moment_of(person)
    _records_are_whole(journal_of(work.session_path), JOURNAL)


def _is_a_moment_of(person):
    """The session on the disk is one that there was, and every mask of it is right."""
    file = read_session(person.work.session_path, person.work.frames)
    assert file.saved.prompts in [saved.prompts for saved, _ in person.saved]
    assert not file.notice
    restored = person.work.restored()
    final = checksum_of(person.session)
    list(restored.propagate_changed()) if restored.objects else None
    if restored.saved.prompts == person.session.saved.prompts:
        assert checksum_of(restored) == final


def _records_are_whole(path, kind):
    if path.exists() and path.stat().st_size:
        _, _, num_damaged = read_records(path, kind)
        assert num_damaged == 0


def test_the_way_of_the_window_survives_every_fault(tmp_path):
    assert sweep_faults(tmp_path, CODES[:1], work_and_save) > 100


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES[1:])
def test_the_way_of_the_window_survives_every_fault_of_other_kinds(tmp_path, code):
    assert sweep_faults(tmp_path, [code], work_and_save) > 100


@pytest.fixture
def run_into_zarr(undisturbed):
    """A scenario: a run that fails, and what is found by going on with it once the disk is well."""

    def scenario(folder, disk):
        work, told = Work(folder, NUM_FRAMES), []
        with disk.failing():
            try:
                work.run_into_zarr(told.append)
            except Exception as error:  # noqa: BLE001 - its kind is what is tested
                error_is_good(error)
                assert not (folder / "labels.ome.zarr").exists()
            else:
                assert disk.num_failed <= 1 or disk.is_lasting
        _records_are_whole(work.run_path, RESULTS)
        again = []
        session, _ = work.run_into_zarr(again.append)
        assert again[: len(told)] == told
        assert checksum_of(session) == checksum_of(undisturbed)
        np.testing.assert_array_equal(_zarr(work), labels_of(undisturbed))

    return scenario


def _zarr(work):
    import zarr

    return np.asarray(zarr.open_group(work.out, mode="r")["0"][...])


def test_a_run_into_zarr_survives_every_fault(tmp_path, run_into_zarr):
    assert sweep_faults(tmp_path, CODES[:1], run_into_zarr, ways=("once",)) > 60


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_a_run_into_zarr_survives_every_fault_of_all_kinds(tmp_path, run_into_zarr, code):
    done = "once" if code == CODES[0] else ""  # by the test above
    ways = [way for way in ("once", "from then on") if way != done]
    assert sweep_faults(tmp_path, [code], run_into_zarr, ways=ways) > 60 * len(ways)


# What is said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, r"No space left on device \(3 MiB needed, .* free\).*make room"),
        (errno.EFBIG, r"File too large.*make room"),
        (errno.EACCES, "Permission denied.*get the right to write there"),
        (errno.EROFS, "Read-only file system.*get the right to write there"),
        (errno.EIO, "see that the disk is there and well"),
        (errno.ESTALE, "see that the disk is there and well"),
    ],
)
def test_an_error_says_what_was_needed_and_what_to_do(tmp_path, code, words):
    error = storage_error(tmp_path / "x", OSError(code, os.strerror(code)), "all is kept", 3 << 20)
    with pytest.raises(StorageError, match=words):
        raise error
    assert str(error).endswith("all is kept")


def test_how_much_is_free_is_left_out_where_nobody_knows(tmp_path):
    error = storage_error(tmp_path / "no" / "x", OSError(errno.ENOSPC, "full"), "all is kept")
    assert error.what.endswith("cannot be written: full")


def test_a_disk_that_works_again_gets_what_it_did_not_take(tmp_path):
    person = Person(tmp_path)
    person.work.say(person.session, 1, 2)
    disk = FailingDisk(tmp_path, errno.ENOSPC, 0)
    run = person.session.propagate()
    person.journal.begin(run, person.session)
    with disk.failing():
        person.save()
        person.journal.base_written()
        disk.at, disk.is_lasting = len(disk.calls) + 1, True
        run.drive(2)
        disk.at, disk.is_lasting = 0, False
    assert disk.num_failed == 4  # a write and a truncation for each frame
    assert isinstance(person.journal.error, StorageError)
    assert read_session(person.work.session_path).num_regained == 0
    run.drive(3)
    assert person.journal.error is None
    assert read_session(person.work.session_path).num_regained == 3
    person.close()


def test_frames_that_wait_for_the_disk_take_bounded_memory(tmp_path, monkeypatch):
    from napari_sam2.plugin import journaling

    monkeypatch.setattr(journaling, "MAX_WAITING", 1200)
    person = Person(tmp_path)
    person.work.say(person.session, 1, 2)
    disk = FailingDisk(tmp_path, errno.ENOSPC, 1, is_lasting=True)
    run = person.session.propagate()
    with disk.failing():
        list(run)
    assert 0 < person.journal._num_bytes <= 1200
    assert person.journal._num_bytes == sum(map(len, person.journal._waiting))
    person.close()


def test_what_a_dead_program_left_is_swept_and_nothing_else(tmp_path):
    from napari_sam2.io.atomic import unfinished
    from napari_sam2.io.owners import Owner

    alive = unfinished(tmp_path / "x.tif")
    alive.write_bytes(b"in work")
    dead_tag = Owner(Owner.me().host, 2**22 - 7, 1.0).tag
    dead = tmp_path / f".{dead_tag}-0123abcd.x.tif"
    dead.write_bytes(b"left")
    folder = tmp_path / f".{dead_tag}-0123abce.y.ome.zarr"
    (folder / "0").mkdir(parents=True)
    elsewhere = tmp_path / f".{Owner('another host', 4, 1.0).tag}-0123abcf.x.tif"
    elsewhere.write_bytes(b"of another computer")
    (tmp_path / ".hidden.x.tif").write_bytes(b"of a person")
    exchanged = tmp_path / f".{dead_tag}-0123abd0-old.z.ome.zarr"
    exchanged.mkdir()
    (exchanged / "zarr.json").write_text("the earlier result")
    sweep(tmp_path, "x.tif")
    assert not dead.exists()
    assert folder.exists()
    sweep(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith("napari")}
    assert names == {alive.name, elsewhere.name, ".hidden.x.tif", "z.ome.zarr"}
    assert (tmp_path / "z.ome.zarr" / "zarr.json").read_text() == "the earlier result"


def test_what_others_rest_on_is_on_the_disk_before_they_take_their_place(tmp_path):
    """So after a loss of power a session file has its masks, and its base in the journal."""
    person = Person(tmp_path)
    person.work.say(person.session, 1, 2)
    run = person.session.propagate()
    person.journal.begin(run, person.session)
    disk = FailingDisk(tmp_path, errno.EIO, 0)
    with disk.failing():
        person.save()
    person.journal.base_written()
    person.close()
    assert not person.errors

    def first(name, ending):
        return next(
            number
            for number, (call, path) in enumerate(disk.calls)
            if call == name and path.endswith(ending)
        )

    order = [
        first("fsync", ".sam2.masks"),
        first("replace", ".sam2.masks"),
        first("fsync", ".sam2.journal"),
        first("fsync", ".sam2.json"),
        first("replace", ".sam2.json"),
    ]
    assert order == sorted(order)
