"""The version of a session before the present one: kept, found, and named when the present one is damaged."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.io.test_session_masks import clicked, whole_file_of

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io import generations
from napari_sam2.io.sessions import read_session, write_session


@pytest.fixture
def pair(tmp_path):
    """A session saved twice; return its path, and what was saved first and second."""
    path, session = tmp_path / "x.sam2.json", clicked()
    write_session(path, whole_file_of(session))
    first = read_session(path)
    session.add_points(2, 0, [(15, 15)])
    write_session(path, whole_file_of(session))
    return path, first, read_session(path)


def test_the_version_before_is_there_with_its_masks(pair, tmp_path):
    _, first, second = pair
    assert first != second
    assert read_session(tmp_path / "x.previous.sam2.json") == first
    assert first.notice == second.notice == ""


@pytest.mark.parametrize(
    "damage", [lambda text: text[: len(text) // 2], lambda text: b"", bytes.swapcase]
)
def test_a_damaged_session_names_the_version_before(pair, damage):
    path, first, _ = pair
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        FileFormatError, match=r"open the version before it, x\.previous\.sam2\.json"
    ):
        read_session(path)
    assert read_session(generations.previous_of(path)) == first


def test_a_session_that_is_truncated_anywhere_is_refused_and_the_one_before_is_not(pair):
    path, first, _ = pair
    whole = path.read_bytes()
    for length in range(len(whole) - 2):  # the last two are a bracket and the end of its line
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="the version before"):
            read_session(path)
    assert read_session(generations.previous_of(path)) == first


def test_a_damaged_file_does_not_take_the_place_of_a_good_one(pair):
    path, first, second = pair
    path.write_bytes(path.read_bytes()[:-5])
    write_session(path, replace(second, kept=None))
    assert read_session(generations.previous_of(path)) == first


def test_without_hard_links_the_version_before_is_a_copy(tmp_path, monkeypatch):
    def no_links(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    path, session = tmp_path / "x.sam2.json", clicked()
    write_session(path, whole_file_of(session))
    first = path.read_bytes()
    write_session(path, replace(whole_file_of(session), kept=None))
    assert generations.previous_of(path).read_bytes() == first
    assert path.read_bytes() != first
    assert not list(tmp_path.glob(".*"))


def test_a_version_that_cannot_be_kept_is_logged_and_the_new_one_is_saved(
    tmp_path, monkeypatch, caplog
):
    path, session = tmp_path / "x.sam2.json", clicked()
    write_session(path, whole_file_of(session))
    generations.previous_of(path).mkdir()
    write_session(path, replace(whole_file_of(session), kept=None))
    assert read_session(path).kept is None
    assert "cannot be kept" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_saving_the_same_twice_leaves_one_previous_file_and_nothing_else(tmp_path):
    path, session = tmp_path / "x.sam2.json", clicked()
    for _ in range(3):
        write_session(path, whole_file_of(session))
    assert len(list(tmp_path.iterdir())) == 3  # two versions, one file of masks
    assert generations.is_previous(generations.previous_of(path))
    assert not generations.is_previous(path)


def test_a_file_that_was_no_session_is_not_kept(tmp_path):
    path = tmp_path / "x.sam2.json"
    path.write_text("[1, 2]")
    write_session(path, whole_file_of(clicked()))
    assert not generations.previous_of(path).exists()
