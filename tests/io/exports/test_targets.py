"""Where results may go: a person's folders and images are never lost, and refusals come before any work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.io.exports.made import random_labels, result_of

from napari_sam2.core.errors import FileFormatError, StorageError
from napari_sam2.core.placement import Placement
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.exports import check_suits, check_target, export

FOLDERS = [("out", "ctc"), ("out", "davis"), ("out.ome.zarr", "ome-zarr")]
LABELS = random_labels((2, 5, 6))


def content(folder):
    return sorted(
        (str(item.relative_to(folder)), item.read_bytes())
        for item in folder.rglob("*")
        if item.is_file()
    )


@pytest.mark.parametrize(("name", "format"), FOLDERS)
def test_a_folder_that_holds_the_image_is_never_replaced(tmp_path, name, format):
    image = tmp_path / name / "deep" / "image.tif"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"pixels")
    result = result_of(LABELS, path=image, kind="tiff")
    with pytest.raises(FileFormatError, match=r"holds image\.tif, which is what is read from"):
        export(result, tmp_path / name, format, overwrite=True)
    assert image.read_bytes() == b"pixels"


@pytest.mark.parametrize(("name", "format"), FOLDERS)
def test_a_folder_of_other_things_is_never_replaced(tmp_path, name, format):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years")
    with pytest.raises(FileFormatError, match="holds other things than an earlier result"):
        export(result_of(LABELS), tmp_path / name, format, overwrite=True)
    assert (tmp_path / name / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize(("name", "format"), FOLDERS)
def test_an_earlier_result_is_replaced_when_asked_for(tmp_path, name, format):
    export(result_of(LABELS), tmp_path / name, format)
    before = content(tmp_path / name)
    (tmp_path / name / ".DS_Store").write_bytes(b"left by a file manager")
    export(result_of(LABELS[:1] * 0), tmp_path / name, format, overwrite=True)
    after = content(tmp_path / name)
    assert after != before
    assert all(file != ".DS_Store" for file, _ in after)
    assert [item.name for item in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "format"), FOLDERS)
def test_an_empty_folder_is_filled_when_asked_for(tmp_path, name, format):
    (tmp_path / name).mkdir()
    export(result_of(LABELS), tmp_path / name, format, overwrite=True)
    assert content(tmp_path / name)


def test_a_zarr_that_is_an_image_is_not_taken_for_labels(tmp_path):
    group = zarr.create_group(tmp_path / "image.ome.zarr")
    group.create_array("0", data=np.ones((2, 3), np.uint16))
    before = content(tmp_path / "image.ome.zarr")
    with pytest.raises(FileFormatError, match="holds other things"):
        check_target(tmp_path / "image.ome.zarr", overwrite=True)
    assert content(tmp_path / "image.ome.zarr") == before


def test_nothing_is_written_into_the_folder_that_is_the_image(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    result = result_of(LABELS, path=folder, kind="folder")
    with pytest.raises(FileFormatError, match=r"labels\.tif lies in .*slices"):
        export(result, folder / "labels.tif")
    assert list(folder.iterdir()) == []
    assert export(result, tmp_path / "labels.tif").exists()


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_the_image_is_known_through_links(tmp_path, link):
    image = tmp_path / "image.tif"
    image.write_bytes(b"pixels")
    getattr(tmp_path / "other.tif", link)(image)
    with pytest.raises(FileFormatError, match="is what is read from"):
        check_target(tmp_path / "other.tif", overwrite=True, inputs=[image])


@pytest.mark.parametrize("name", ["a" * 300, "a" * 235, "ä" * 120, "a\0b"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    with pytest.raises(FileFormatError, match="no file can be called"):
        check_target(tmp_path / f"{name}.tif")


def test_a_folder_without_permission_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    with pytest.raises(StorageError, match="may not be written to; choose another folder"):
        check_target(tmp_path / "l.tif")


def test_a_file_as_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="there is no folder"):
        check_target(tmp_path / "file" / "l.tif")


# What suits the image


def source(kind, path=None):
    return ImageSource("scan", Placement.plain(3), kind, path)


def test_a_segmentation_of_what_is_no_dicom_is_refused_before_work():
    with pytest.raises(FileFormatError, match="'scan' did not come from DICOM"):
        check_suits("l.dcm", None, source("nifti", "scan.nii"))
    check_suits("l.dcm", None, source("dicom", "scan"))
    check_suits("l.tif", None, source("nifti", "scan.nii"))


@pytest.mark.parametrize(
    ("path", "kind", "library", "remedy"),
    [
        ("l.nii.gz", "array", "nibabel", r"napari-sam2\[nifti\]"),
        ("l.dcm", "dicom", "highdicom", r"napari-sam2\[dicom\]"),
    ],
)
def test_a_missing_library_is_told_before_work(monkeypatch, path, kind, library, remedy):
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FileFormatError, match=f"'{library}', which is not installed.*{remedy}"):
        check_suits(path, None, source(kind, "scan"))


def test_highdicom_on_a_python_that_it_is_not_for(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(FileFormatError, match=r"needs Python 3\.13 or older; or write NIfTI"):
        check_suits(Path("l.dcm"), None, source("dicom", "scan"))
