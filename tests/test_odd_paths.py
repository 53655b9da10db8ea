"""Files with names that people give: they work, or one line says why not (row 70 of the fault matrix)."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import tifffile

from napari_sam2 import Session
from napari_sam2.cli import main
from napari_sam2.core.errors import FrameReadError, NapariSam2Error
from napari_sam2.io.masklets import read_labels
from napari_sam2.io.session_parts import is_local
from napari_sam2.io.store import DiskMaskStore
from napari_sam2.testing import moving_discs

VIDEO, TRUTH = moving_discs(num_frames=3, size=48, num_objects=2, seed=0)
INSIDE = tuple(float(value) for value in np.argwhere(TRUTH[1] == 1).mean(0))

ODD = {
    "accents": "grüße ñandú",
    "other scripts": "細胞 клетка 🔬",
    "spaces": " two  spaces ",
    "hash": "a#b",
    "percent": "100%20",
    "brackets": "[0-9]{a}?*" if sys.platform != "win32" else "[0-9]{a}",
    "quotes": "it's $HOME `a`",
    "dots": "..hidden..name",
    "a dash in front": "-out",
    "far down": "/".join(["a folder with a rather long name"] * 9),
}


@pytest.fixture(params=ODD.values(), ids=ODD)
def folder(tmp_path, request):
    found = tmp_path / request.param
    found.mkdir(parents=True)
    return found


def worked(image):
    session = Session(image)
    session.add_points(1, 1, [INSIDE])
    list(session.propagate())
    return session


def test_everything_is_read_and_written_in_any_folder(folder):
    image = folder / "stack #1.tif"
    tifffile.imwrite(image, VIDEO, imagej=True)
    session = worked(str(image))
    saved, labels = folder / "x [1].sam2.json", folder / "labels %s.tif"
    for _ in range(4):  # the third time the masks of the first one go
        session.save(saved)
    assert len([path for path in folder.iterdir() if path.suffix == ".masks"]) == 2
    session.export(labels)
    opened = Session.open(saved)
    np.testing.assert_array_equal(np.asarray(opened.labels), np.asarray(session.labels))
    np.testing.assert_array_equal(read_labels(labels), np.asarray(session.labels))
    with DiskMaskStore(folder / "store.bin") as store:
        key = store.append(session.record(1, 0))
    with DiskMaskStore(folder / "store.bin") as store:
        assert store.get(key) == session.record(1, 0)


def test_the_command_takes_and_writes_odd_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("-in ü#.tif", VIDEO, imagej=True)
    (tmp_path / "prömpts %.json").write_text(
        json.dumps(
            {
                "schema": 1,
                "axis": 0,
                "prompts": [{"object": 1, "frame": 1, "points": [INSIDE]}],
            }
        )
    )
    code = main.run(["run", "-p", "prömpts %.json", "-o", "-out [x].tif", "--", "-in ü#.tif"])
    assert code == 0, capsys.readouterr().err
    assert read_labels(tmp_path / "-out [x].tif").any()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own on Windows")
def test_links_are_followed_to_read_and_replaced_when_written(tmp_path):
    (tmp_path / "real").mkdir()
    tifffile.imwrite(tmp_path / "real" / "a.tif", VIDEO, imagej=True)
    os.symlink(tmp_path / "real", tmp_path / "linked")
    os.symlink(tmp_path / "linked" / "a.tif", tmp_path / "image.tif")
    session = worked(str(tmp_path / "image.tif"))
    session.save(tmp_path / "linked" / "x.sam2.json")
    opened = Session.open(tmp_path / "real" / "x.sam2.json")
    np.testing.assert_array_equal(np.asarray(opened.labels), np.asarray(session.labels))
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling.tif")
    os.symlink(tmp_path / "circle", tmp_path / "circle")
    for broken in ("dangling.tif", "circle"):
        with pytest.raises(FrameReadError, match="there is no file"):
            Session(str(tmp_path / broken))


TOO_LONG = {"a name": "n" * 300, "a path": "/".join(["p" * 100] * 60)}


@pytest.mark.parametrize("name", TOO_LONG.values(), ids=TOO_LONG)
def test_what_no_file_system_takes_is_told_and_nothing_is_lost(tmp_path, name, contract):
    session = worked(VIDEO)

    def save():
        session.save(tmp_path / f"{name}.sam2.json")

    def export():
        session.export(tmp_path / f"{name}.tif")

    for faulty, good in ((save, "x.sam2.json"), (export, "x.tif")):
        way = session.save if faulty is save else session.export
        contract.folder(tmp_path, faulty, lambda way=way, good=good: way(tmp_path / good))
    with pytest.raises(FrameReadError, match=r"there is no file.*\.stack\.tif"):
        Session(str(tmp_path / f"{name}.stack.tif"))
    with pytest.raises(NapariSam2Error):
        DiskMaskStore(tmp_path / name)


@pytest.mark.parametrize(
    "path", ["\\\\server\\share\\a.tif", "//server/share/a.tif", "smb://server/a.tif", "a\0b"]
)
def test_a_file_never_makes_us_call_another_computer(path):
    assert not is_local(path)
