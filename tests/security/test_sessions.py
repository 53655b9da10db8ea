"""Hostile session files: refused, or read without what is wrong with them; nothing else is opened for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.security import crafted_sessions as crafted
from tests.security.test_checkpoints import watched

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.sessions import read_session

SESSIONS = dict(crafted.sessions())
MASKS = dict(crafted.masks_files())


def write(folder, content, name="x.sam2.json"):
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_corpus_has_the_size_that_is_promised():
    assert len(SESSIONS) >= 90


def test_the_honest_session_is_read(tmp_path):
    file = read_session(write(tmp_path, crafted.text().encode()))
    assert len(file.saved.prompts) == 1
    assert file.place.path == str(tmp_path / "a.tif")


def test_every_hostile_session_is_refused_at_once_and_nothing_is_run(tmp_path):
    folder, place = tmp_path / "corpus", tmp_path / "place"
    folder.mkdir()
    place.mkdir()
    for name, content in SESSIONS.items():
        write(folder, content, name)
    told = watched("sessions", folder, place)
    assert set(told) == set(SESSIONS)
    assert {
        name: item["outcome"] for name, item in told.items() if item["outcome"] != "refused"
    } == {}
    assert {name: item["events"] for name, item in told.items() if item["events"]} == {}
    assert {name: item["seconds"] for name, item in told.items() if item["seconds"] > 1} == {}
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_prove_nothing_are_none(tmp_path, name):
    write(tmp_path, MASKS[name], "m.masks")
    file = read_session(write(tmp_path, crafted.with_masks("m.masks", MASKS[name])))
    masks = () if file.kept is None else file.kept.masks
    assert len(masks) == (name == "honest")


# What is no file, or somewhere else


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on Windows")
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "x.sam2.json")
    with pytest.raises(FileFormatError, match="a pipe or a device"):
        read_session(tmp_path / "x.sam2.json")
    os.mkfifo(tmp_path / "m.masks")
    file = read_session(write(tmp_path, crafted.with_masks("m.masks", b""), "y.sam2.json"))
    assert file.kept is None
    assert "not beside it" in file.notice


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices on Windows")
def test_a_link_to_a_device_is_not_read(tmp_path):
    (tmp_path / "x.sam2.json").symlink_to("/dev/zero")
    with pytest.raises(FileFormatError, match="a pipe or a device"):
        read_session(tmp_path / "x.sam2.json")
    (tmp_path / "m.masks").symlink_to("/dev/zero")
    file = read_session(write(tmp_path, crafted.with_masks("m.masks", b""), "y.sam2.json"))
    assert file.kept is None


def test_a_link_to_another_file_of_masks_proves_nothing(tmp_path):
    secret = write(tmp_path, b"NSAM2MK1 something of mine", "secret")
    (tmp_path / "m.masks").symlink_to(secret)
    file = read_session(write(tmp_path, crafted.with_masks("m.masks", MASKS["honest"])))
    assert file.kept is None
    assert "damaged" in file.notice


@pytest.mark.parametrize(
    "path",
    [
        *(
            "\\\\host\\share\\a.tif",
            "//host/share/a.tif",
            "\\/host\\a.tif",
            "\\\\?\\UNC\\host\\a.tif",
        ),
        *("http://host/a.tif", "s3://bucket/a.zarr", "file://host/share/a.tif", "a\0.tif"),
    ],
)
def test_an_image_elsewhere_is_never_looked_for(tmp_path, monkeypatch, path):
    content = json.loads(crafted.text())
    content["source"] |= {"path": path, "absolute": path}
    asked = []
    monkeypatch.setattr(Path, "is_file", lambda self: bool(asked.append(str(self))))
    file = read_session(write(tmp_path, json.dumps(content).encode()))
    assert file.place.path is None
    assert not [one for one in asked if "host" in one or "bucket" in one]
