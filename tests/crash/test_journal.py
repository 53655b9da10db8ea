"""The journal of a session: what runs found is there after any end, and nothing that is not right any more."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.crash.work import Work, checksum_of, labels_of

from napari_sam2.core import script
from napari_sam2.core.errors import FileFormatError, StorageError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.io import journal as journal_module
from napari_sam2.io.journal import Mark, SessionJournal, journal_of
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.sessions import read_session
from napari_sam2.plugin.journaling import RunJournal


class Desk:
    """A session with its journal, in the middle of a run."""

    def __init__(self, work):
        self.work, self.session = work, work.session()
        self.journal = self.session.journal = RunJournal(work.session_path)
        self.run = None

    def begin(self, **how):
        self.run = self.session.propagate(**how)
        self.journal.begin(self.run, self.session)
        self.save()
        self.journal.base_written()

    def save(self):
        self.work.save(self.session, self.journal)

    def restored(self):
        return self.work.restored()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(Work(tmp_path, num_frames=12))
    yield desk
    desk.journal.close()


def same(one, other):
    assert one.saved == other.saved
    np.testing.assert_array_equal(labels_of(one), labels_of(other))
    assert checksum_of(one) == checksum_of(other)
    for number in one.objects:
        assert one.is_changed(number) == other.is_changed(number)
        assert one.stale_frames(number) == other.stale_frames(number)


def replayed(desk, log):
    session = desk.work.session()
    names = {name: getattr(script, name) for name in script.__all__} | {"session": session}
    for line in log:
        exec(line, names)
    return session


def test_every_frame_of_a_run_is_there_while_it_goes_on(desk):
    desk.work.say(desk.session, 1, 4)
    desk.work.say(desk.session, 2, 8)
    desk.begin()
    for done in range(1, desk.run.total + 1):
        desk.run.drive(done)
        same(desk.restored(), desk.session)
    assert read_session(desk.work.session_path).num_regained == 12


def test_going_on_with_what_was_found_gives_what_an_undisturbed_run_gives(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(5)
    restored = desk.restored()
    list(restored.propagate_changed())
    desk.run.drive()
    same(restored, desk.session)


def test_the_log_tells_of_the_run_that_was_cut_off(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(5)
    restored = desk.restored()
    assert restored.log[-2:] == ("run.drive(5)", "run.finish()")
    np.testing.assert_array_equal(labels_of(replayed(desk, restored.log)), labels_of(restored))


def test_a_session_file_that_is_written_while_a_run_goes_on_has_its_base(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(3)
    desk.session.describe(1, ObjectInfo("left"))
    desk.work.say(desk.session, 2, 8)
    desk.save()
    desk.run.drive(7)
    restored = desk.restored()
    same(restored, desk.session)
    assert restored.info(1).name == "left"
    desk.run.drive()
    desk.save()
    same(desk.restored(), desk.session)
    assert not journal_of(desk.work.session_path).exists()


def test_what_was_corrected_meanwhile_is_out_of_date_as_it_is_in_the_window(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    desk.work.say(desk.session, 1, 9)
    desk.save()
    assert desk.session.stale_frames(1)
    same(desk.restored(), desk.session)


def test_a_contrast_that_was_chosen_meanwhile_makes_masks_out_of_date(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    desk.session.use_mapping(IntensityMapping(0, 255))
    desk.save()
    file = read_session(desk.work.session_path)
    session = desk.work.session()
    session.use_mapping(file.mapping)
    session.take_up(file.saved, file.kept)
    assert session.stale_frames(1) == desk.session.stale_frames(1) != ()


def test_what_was_undone_and_saved_does_not_come_back(desk, monkeypatch):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive()
    desk.session.undo()
    # As if the program had died after the session file was in its place, before the journal went.
    monkeypatch.setattr(SessionJournal, "settle", lambda self, mark: None)
    desk.save()
    assert journal_of(desk.work.session_path).exists()
    restored = desk.restored()
    assert len(restored.kept.masks) == 1
    same(restored, desk.session)


def test_a_journal_of_another_session_file_gives_only_what_rests_on_what_is_said(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    path = desk.work.session_path
    path.write_text(path.read_text().replace('"version"', '"version" '))
    same(desk.restored(), desk.session)


def test_later_runs_win_as_they_did(desk):
    for number, frame in ((1, 4), (2, 4)):
        desk.session.add_box(number, frame, (5, 5 + 8 * number, 30, 30 + 8 * number))
    desk.begin(objects=[2])
    desk.run.drive()
    desk.begin(objects=[1])
    desk.run.drive(5)
    same(desk.restored(), desk.session)
    desk.session.set_overlap("overwrite")
    desk.save()
    desk.run.drive(7)
    same(desk.restored(), desk.session)


def test_a_run_that_continues_another_is_one_run(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(4)
    desk.run.finish()
    desk.begin()
    assert desk.run.resume is not None
    desk.run.drive(8)
    same(desk.restored(), desk.session)
    np.testing.assert_array_equal(
        labels_of(replayed(desk, desk.restored().log)), labels_of(desk.session)
    )


def test_a_damaged_frame_of_a_journal_costs_this_frame(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(8)
    path = journal_of(desk.work.session_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    assert read_session(desk.work.session_path).num_regained == 7
    path.write_bytes(bytes(data)[: len(data) - 5])
    assert read_session(desk.work.session_path).num_regained == 6


def test_no_damage_of_a_journal_changes_a_mask_or_breaks_a_session(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(8)
    path, wanted = journal_of(desk.work.session_path), set(desk.session.kept.masks)
    whole, chance = path.read_bytes(), random.Random(3)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] ^= chance.randint(1, 255)
        path.write_bytes(bytes(data)[: chance.choice([len(data), chance.randrange(len(data))])])
        file = read_session(desk.work.session_path)
        assert {replace(mask, rank=0) for mask in file.kept.masks} <= {
            replace(mask, rank=0) for mask in wanted
        }


def test_a_file_that_is_no_journal_is_told_and_the_session_opens(desk):
    desk.work.say(desk.session, 1, 4)
    desk.save()
    journal_of(desk.work.session_path).write_bytes(
        b"something else that is long enough for a header"
    )
    file = read_session(desk.work.session_path)
    assert "no journal of a session" in file.notice
    assert file.saved == desk.session.saved
    desk.begin()  # set aside, and journals go on
    desk.run.drive(3)
    assert read_session(desk.work.session_path).num_regained == 3


def test_a_session_that_moves_takes_its_journal_along(desk, tmp_path):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(3)
    (tmp_path / "else").mkdir()
    desk.work.session_path = tmp_path / "else" / "y.sam2.json"
    desk.journal.move_to(desk.work.session_path)
    desk.save()
    desk.run.drive(6)
    same(desk.restored(), desk.session)


def test_a_journal_that_another_program_left_stays_until_the_session_is_written(desk, tmp_path):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    desk.journal.close()
    found = desk.restored()
    second = found.journal = RunJournal(desk.work.session_path)
    run = found.propagate_changed()
    second.begin(run, found)
    assert read_session(desk.work.session_path).num_regained == 6
    desk.work.save(found, second)
    second.base_written()
    run.drive(2)
    assert read_session(desk.work.session_path).num_regained == 2
    same(desk.restored(), found)
    second.close()


def test_reading_changes_nothing_and_may_be_repeated(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    before = {path: path.read_bytes() for path in desk.work.folder.iterdir()}
    for _ in range(3):
        read_session(desk.work.session_path)
    assert {path: path.read_bytes() for path in desk.work.folder.iterdir()} == before


def test_a_frame_of_another_stack_is_left_out(desk):
    desk.work.say(desk.session, 1, 4)
    desk.begin()
    desk.run.drive(6)
    assert journal_module._unpacked(b"F", (4, 4)) is None
    records = journal_module.read_records(journal_of(desk.work.session_path), journal_module.KIND)[
        1
    ]
    whole = [content for _, content in records if content[:1] == b"F"]
    assert all(journal_module._unpacked(item, (48, 48)) for item in whole)
    assert not any(journal_module._unpacked(item, (4, 4)) for item in whole)
    for item in whole:
        for end in range(len(item)):
            assert journal_module._unpacked(item[:end], (48, 48)) is None
        for kind in (b"A", b"E", b"G", b"z"):
            assert journal_module._unpacked(kind + item[1:], (48, 48)) is None


def test_frames_are_kept_in_a_folder_that_is_made_when_there_is_something_to_keep(tmp_path):
    journal = SessionJournal(tmp_path / "new" / "er" / "x.sam2.json")
    assert journal.next_key == 0
    assert not (tmp_path / "new").exists()
    journal.append(b"F")
    assert journal_of(tmp_path / "new" / "er" / "x.sam2.json").exists()
    journal.close()
    shutil.rmtree(tmp_path / "new")


# Keys and bases


def frames_of(path):
    _, records, _ = journal_module.read_records(journal_of(path), journal_module.KIND)
    return [(key, content) for key, content in records if content[:1] == b"F"]


def test_keys_only_grow(tmp_path):
    path = tmp_path / "x.sam2.json"
    journal = SessionJournal(path)
    for number in range(3):
        assert journal.next_key == number
        journal.append(b"F%d" % number)
    journal.announce("0" * 64, Mark(1, 1))
    assert journal.next_key == 4
    journal.append(b"Flast")
    journal.close()
    assert SessionJournal(path).next_key == 5
    assert frames_of(path) == [(0, b"F0"), (1, b"F1"), (2, b"F2"), (4, b"Flast")]


@pytest.mark.parametrize("num_there", [0, 2])
def test_what_moves_goes_behind_what_is_there(tmp_path, num_there):
    old, new = tmp_path / "a.sam2.json", tmp_path / "b.sam2.json"
    there = SessionJournal(new)
    for number in range(num_there):
        there.append(b"Fthere%d" % number)
    there.close()
    journal = SessionJournal(old)
    for number in range(3):
        journal.append(b"F%d" % number)
        journal.announce("0" * 64, Mark(number, 1))
    assert journal.move_to(new) == num_there
    assert journal.next_key == num_there + 6
    journal.append(b"Flast")
    journal.close()
    moved = [(num_there + key, b"F%d" % (key // 2)) for key in (0, 2, 4)]
    before = [(number, b"Fthere%d" % number) for number in range(num_there)]
    assert frames_of(new) == [*before, *moved, (num_there + 6, b"Flast")]
    assert len(frames_of(old)) == 3


def test_a_journal_that_nothing_was_written_to_moves_without_a_file(tmp_path):
    journal = SessionJournal(tmp_path / "a.sam2.json")
    assert journal.move_to(tmp_path / "b.sam2.json") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_journal_goes_when_the_session_file_has_everything(tmp_path):
    path = tmp_path / "x.sam2.json"
    journal = SessionJournal(path)
    journal.append(b"F0")
    journal.append(b"F1")
    for mark in (Mark(1), Mark(2, run=1), Mark(0)):
        journal.settle(mark)
        assert journal_of(path).exists()
    journal.settle(Mark(2))
    assert not journal_of(path).exists()
    journal.append(b"F2")  # a new one, whose keys go on
    assert frames_of(path) == [(2, b"F2")]
    journal.close()
    other = SessionJournal(path)
    assert other.next_key == 3
    other.settle(Mark(0))  # nothing was written by this program
    assert not journal_of(path).exists()


def test_a_base_comes_back_for_its_own_file_only():
    digest = "5" * 64
    assert Mark() == Mark(0, 0, True, (), 0)
    for mark in (Mark(), Mark(7, 3, False, (1, 5), 2)):
        data = mark.to_json(digest)
        assert Mark.from_json(data, digest) == mark
        assert Mark.from_json(data, "4" * 64) is None
        assert Mark.from_json(data, "6" * 64) is None
        for end in range(len(data)):
            assert Mark.from_json(data[:end], digest) is None
    told = json.loads(Mark().to_json(digest))
    for name in told:
        less = {key: value for key, value in told.items() if key != name}
        assert Mark.from_json(json.dumps(less).encode(), digest) is None
    for wrong in ({**told, "after": "x"}, {**told, "joining": 5}, [1], 7, "x"):
        assert Mark.from_json(json.dumps(wrong).encode(), digest) is None


def test_a_journal_that_cannot_move_stays_where_it_was(tmp_path, monkeypatch):
    old, new = tmp_path / "a.sam2.json", tmp_path / "b.sam2.json"
    journal = SessionJournal(old)
    journal.append(b"F0")
    append = RecordFile.append

    def fail(self, content):
        if self.path == journal_of(new):
            raise StorageError("the disk is full", kept="nothing was changed", remedy="make room")
        return append(self, content)

    monkeypatch.setattr(RecordFile, "append", fail)
    with pytest.raises(StorageError, match="full"):
        journal.move_to(new)
    assert journal.next_key == 1
    journal.append(b"F1")
    journal.close()
    assert frames_of(old) == [(0, b"F0"), (1, b"F1")]


def test_a_journal_that_the_disk_does_not_give_is_told(tmp_path, monkeypatch):
    path = tmp_path / "x.sam2.json"
    journal = SessionJournal(path)
    journal.append(b"F0")
    journal.close()

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal_module, "read_records", fail)
    with pytest.raises(
        FileFormatError, match=r"x\.sam2\.journal cannot be read: Input/output error"
    ):
        journal_module.read_since(path, "0" * 64, (4, 4))
