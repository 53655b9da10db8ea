"""Folders of the program's own: for their owner alone, and refused where others may write; paths without names."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_sam2.core.errors import UnsafeFolderError
from napari_sam2.io import weights
from napari_sam2.io.folders import weights_folder, with_home, without_home
from napari_sam2.io.private_folders import private_folder, require_private

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other rules of access")


def mode_of(folder):
    return folder.stat().st_mode & 0o777


def test_folders_that_are_made_are_for_the_owner_alone(home):
    private_folder(weights_folder())
    assert mode_of(home) == mode_of(home / "weights") == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o770, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("which", ["top", "inner"])
def test_a_folder_that_others_may_write_to_is_refused(home, mode, which):
    folder = private_folder(weights_folder())
    place = home if which == "top" else folder
    place.chmod(mode)
    with pytest.raises(UnsafeFolderError, match="chmod go-w") as caught:
        private_folder(folder)
    assert str(place) in str(caught.value)
    place.chmod(0o755)
    assert private_folder(folder) == folder


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    real = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda self, **_: SimpleNamespace(st_uid=54321, st_mode=real(self).st_mode)
    )
    with pytest.raises(UnsafeFolderError, match="belongs to another user"):
        require_private(tmp_path)


def test_a_link_to_a_folder_that_others_may_write_to_is_refused(home, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    home.mkdir()
    (home / "weights").symlink_to(shared)
    with pytest.raises(UnsafeFolderError):
        private_folder(weights_folder())


def test_nothing_is_downloaded_into_a_folder_that_others_may_write_to(home, monkeypatch):
    monkeypatch.setattr(weights, "download", lambda *_, **__: pytest.fail("it was asked for"))
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(UnsafeFolderError):
        weights.fetch("tiny")


def test_a_path_below_the_home_folder_is_told_without_it(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    inside = str(tmp_path / "data" / "a.tif")
    assert without_home(inside) == "~/data/a.tif"
    assert with_home("~/data/a.tif") == inside
    for other in ("nano", "/elsewhere/a.tif", str(tmp_path), f"{tmp_path}x/a.tif"):
        assert with_home(without_home(other)) == without_home(other) == other
