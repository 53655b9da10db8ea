"""``cache``: what is kept of encoded frames, and how it goes."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from napari_sam2.io.embedding_folder import store_of
from napari_sam2.io.folders import embeddings_folder


@pytest.fixture
def filled(home):
    """Three encoded frames, one of them last used long ago."""
    store = store_of(embeddings_folder())
    for number in range(3):
        store.put(str(number), {"a": np.zeros(250_000, np.float32)})
    then = time.mktime((2020, 5, 17, 12, 0, 0, 0, 0, -1))
    os.utime(store.entries()[0].path, (then, then))
    return store.folder


def test_list_tells_the_folder_its_size_and_quota_by_day(call, filled):
    code, out, _ = call("cache", "list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "2020-05-17  1 frame, 1.0 MB"
    assert lines[1].endswith("2 frames, 2.0 MB")
    assert lines[2].startswith(f"{filled}: 3 frames, 3.0 MB of ")
    assert "B" in lines[2].split(" of ")[1]


def test_clear_removes_them_and_nothing_else(call, filled):
    (filled / "notes.txt").write_text("mine")
    assert call("cache", "clear")[1] == f"{filled}: 3 frames, 3.0 MB removed\n"
    assert [path.name for path in filled.iterdir()] == ["notes.txt"]
    assert call("cache", "list")[1].startswith(f"{filled}: 0 frames, 0.0 MB of ")


def test_without_a_folder_there_is_nothing(call, home):
    assert call("cache", "list")[0] == call("cache", "clear")[0] == 0
    assert not home.exists()


def test_another_folder_can_be_named(call, tmp_path):
    store_of(tmp_path / "mine").put("one", {"a": np.zeros(3)})
    assert "1 frame, 0.0 MB" in call("cache", "list", "--folder", tmp_path / "mine")[1]
    assert "1 frame" in call("cache", "clear", "--folder", tmp_path / "mine")[1]
    assert store_of(tmp_path / "mine").entries() == []


@pytest.mark.parametrize("command", ["list", "clear"])
def test_what_is_no_folder_is_refused_in_one_line(refuse, tmp_path, command):
    (tmp_path / "file").write_text("")
    assert "cannot be" in refuse("cache", command, "--folder", tmp_path / "file")


def test_info_tells_where_they_are_and_how_many(call, filled):
    assert f"encoded frames: {filled}, 3 frames, 3.0 MB of " in call("info")[1]


def test_info_works_where_the_folder_does_not(call, home):
    home.mkdir()
    (home / "embeddings").write_text("")
    code, out, _ = call("info")
    assert code == 0
    assert "encoded frames: " in out
    assert "cannot be read" in out
