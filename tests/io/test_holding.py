"""A file is worked on by one program at a time; what a dead one left is known to be stale."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace

import pytest
from tests.crash.holding import held_by_another

from napari_sam2.core.errors import HeldError, StorageError
from napari_sam2.io import holding
from napari_sam2.io.holding import Hold, holder_of, left_by, lock_of
from napari_sam2.io.owners import Owner, is_tag_gone


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.sam2.json"


def sign(path, owner):
    lock_of(path).write_text(json.dumps({**asdict(owner), "since": 1e9}))


GONE = replace(Owner.me(), pid=2**22 - 7)


def test_a_file_is_held_until_it_is_released(path):
    hold = Hold(path)
    assert hold.left_by is None
    assert holder_of(path).owner == Owner.me()
    with pytest.raises(HeldError, match=f"process {os.getpid()} on .* since 20"):
        Hold(path)
    hold.release()
    hold.release()
    assert holder_of(path) is None
    assert left_by(path) is None
    assert list(path.parent.glob("*.lock")) == []
    Hold(path).release()


def test_the_second_program_is_told_who_works_on_the_file(path):
    with held_by_another(path) as process:
        with pytest.raises(HeldError) as caught:
            Hold(path)
        assert re.search(
            rf"x\.sam2\.json is being worked on by process {process.pid} on", str(caught.value)
        )
        assert "save under another name" in caught.value.remedy
        assert holder_of(path).owner.pid == process.pid
        assert left_by(path) is None
    assert holder_of(path) is None
    Hold(path).release()


def test_a_program_that_was_killed_holds_nothing_and_is_known_to_have_been_there(path):
    with held_by_another(path) as process:
        process.kill()
        process.wait()
        assert holder_of(path) is None
        assert left_by(path).owner.pid == process.pid
        hold = Hold(path)
        assert hold.left_by.owner.pid == process.pid
        hold.release()


@pytest.mark.parametrize(
    "owner", [GONE, replace(Owner.me(), started=Owner.me().started - 1000)], ids=["gone", "again"]
)
def test_a_lock_of_a_process_that_ended_is_stale_also_if_its_number_is_used_again(path, owner):
    sign(path, owner)
    assert holder_of(path) is None
    assert left_by(path).owner == owner
    Hold(path).release()


def test_where_the_system_knows_no_locks_what_the_file_says_decides(path, monkeypatch):
    monkeypatch.setattr(holding, "try_lock", lambda file: True)
    with held_by_another(path) as process:
        with pytest.raises(HeldError, match=f"process {process.pid}"):
            Hold(path)
    sign(path, Owner("another computer", 7, 1e9))
    with pytest.raises(HeldError, match=r"process 7 on another computer.*remove x\.sam2\.lock"):
        Hold(path)
    lock_of(path).unlink()
    Hold(path).release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}', "\0" * 10_000])
def test_a_lock_that_says_nothing_is_nobodys(path, content):
    lock_of(path).write_text(content)
    assert holder_of(path) is None
    Hold(path).release()


def test_a_lock_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(StorageError, match=r"x\.sam2\.lock cannot be written"):
        Hold(tmp_path / "nowhere" / "x.sam2.json")


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_the_one_of_this_name(path, monkeypatch):
    removed = []

    def try_lock(file):
        if not removed:
            lock_of(path).unlink()
        removed.append(file)
        return True

    monkeypatch.setattr(holding, "try_lock", try_lock)
    hold = Hold(path)
    assert len(removed) == 2
    assert lock_of(path).exists()
    hold.release()


def test_tags_of_files_tell_whose_they_are():
    assert not is_tag_gone(Owner.me().tag)
    assert is_tag_gone(GONE.tag)
    assert not is_tag_gone(replace(GONE, host="another computer").tag)
    for nonsense in ("", "a-b-c", "0-0", "zz-1-2"):
        assert not is_tag_gone(nonsense)
