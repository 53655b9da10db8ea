"""What is told of a saved session before it is opened, and how it goes without being lost."""

from __future__ import annotations

import pytest
from tests.crash.work import Work

from napari_sam2.io.autosaved import (
    ASIDE,
    NUM_ASIDE,
    Summary,
    remove_session,
    set_aside,
    summary_of,
)
from napari_sam2.io.holding import Hold, lock_of
from napari_sam2.io.journal import journal_of
from napari_sam2.plugin.journaling import RunJournal


@pytest.fixture
def work(tmp_path):
    """A session file on the disk, with a journal: two objects, a run that was cut off after five of its frames."""
    work = Work(tmp_path / "sessions", num_frames=12)
    work.folder.mkdir()
    session = work.session()
    work.say(session, 1, 4)
    work.say(session, 2, 4)
    session.journal = journal = RunJournal(work.session_path)
    run = session.propagate()
    journal.begin(run, session)
    work.save(session, journal)
    journal.base_written()
    run.drive(5)
    journal.close()
    return work


def test_objects_and_frames_are_counted_with_those_of_the_journal(work):
    assert summary_of(work.session_path) == Summary(2, 6, was_cut_off=True)
    assert str(summary_of(work.session_path)) == "2 objects, 6 frames"
    work.save(work.restored(), RunJournal(work.session_path))
    assert summary_of(work.session_path) == Summary(2, 6, was_cut_off=False)


def test_a_lock_that_nobody_holds_says_that_a_program_ended(work):
    journal_of(work.session_path).unlink()
    assert not summary_of(work.session_path).was_cut_off
    hold = Hold(work.session_path)
    assert not summary_of(work.session_path).was_cut_off
    hold._file.close()  # as the system does when a program dies
    assert summary_of(work.session_path).was_cut_off


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"prompts": [1]}', b"[" * 100_000])
def test_damage_is_no_error_of_a_summary(work, content):
    work.session_path.write_bytes(content)
    journal_of(work.session_path).write_bytes(content)
    assert summary_of(work.session_path).was_cut_off


def test_large_files_are_not_looked_into(work, monkeypatch):
    monkeypatch.setattr("napari_sam2.io.autosaved._MAX_LOOKED_AT", 10)
    assert summary_of(work.session_path) == Summary(None, None, was_cut_off=True)
    assert str(summary_of(work.session_path)) == ""


def test_a_session_that_is_removed_leaves_nothing(work):
    Hold(work.session_path)._file.close()
    remove_session(work.session_path)
    assert list(work.folder.iterdir()) == []
    remove_session(work.session_path)


def test_a_session_that_is_set_aside_can_be_opened_there(work):
    before = work.restored().saved
    Hold(work.session_path)._file.close()
    moved = set_aside(work.session_path)
    assert moved == work.folder / ASIDE / work.session_path.name
    assert [path.name for path in work.folder.iterdir()] == [ASIDE]
    assert work.restored(moved).saved == before
    assert len(work.restored(moved).kept.masks) == 12


def test_few_sessions_are_kept_aside(work):
    text = work.session_path.read_bytes()
    for number in range(NUM_ASIDE + 2):
        path = work.folder / f"{number}.sam2.json"
        path.write_bytes(text)
        lock_of(path).touch()
        set_aside(path)
    assert len(list((work.folder / ASIDE).iterdir())) == NUM_ASIDE
