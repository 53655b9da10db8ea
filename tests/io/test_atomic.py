"""Files that appear whole or not at all, also where another program is in the way for a moment."""

from __future__ import annotations

import errno
import os

import pytest

from napari_sam2.io import atomic
from napari_sam2.io.atomic import put_in_place, replacing, replacing_folder


@pytest.fixture
def failing_replace(monkeypatch):
    """Let renaming fail so many times with an error."""

    def fail(count, error):
        real, left = os.replace, [count]

        def replace(source, target):
            if left[0]:
                left[0] -= 1
                raise error
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(atomic.time, "sleep", lambda seconds: None)

    return fail


def denied():
    error = PermissionError(errno.EACCES, "Access is denied")
    error.winerror = 5
    return error


@pytest.mark.parametrize("error", [OSError(errno.EBUSY, "busy"), denied()], ids=["busy", "denied"])
def test_a_rename_that_fails_for_a_moment_is_tried_again(tmp_path, failing_replace, error):
    failing_replace(2, error)
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "x").read_text() == "new"
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), OSError(errno.EBUSY, "busy")])
def test_a_rename_that_goes_on_failing_leaves_the_old_file(tmp_path, failing_replace, error):
    (tmp_path / "x").write_text("old")
    failing_replace(100, error)
    with pytest.raises(OSError, match=error.strerror):
        with replacing(tmp_path / "x") as temporary:
            temporary.write_text("new")
    assert (tmp_path / "x").read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_a_folder_that_the_disk_cannot_remember_is_no_failure(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EIO, "broken")

    (tmp_path / "new").write_text("new")
    monkeypatch.setattr(os, "fsync", fsync)
    put_in_place(tmp_path / "new", tmp_path / "x")
    assert (tmp_path / "x").read_text() == "new"


def test_systems_that_do_not_wait_for_folders_are_passed_over(tmp_path, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EINVAL, "no such thing")

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.sync_folder(tmp_path)


def test_a_folder_is_exchanged_whole_or_not_at_all(tmp_path):
    with replacing_folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("first")
    fails = replacing_folder(tmp_path / "x")
    (fails.__enter__() / "a").write_text("second")
    assert not fails.__exit__(KeyError, KeyError(), None)
    assert (tmp_path / "x" / "a").read_text() == "first"
    with replacing_folder(tmp_path / "x") as temporary:
        (temporary / "b").write_text("third")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
