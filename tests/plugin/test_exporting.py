"""Results leave the window: the dialog, the worker, the notice, and napari's own readers and writers."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from tests.io.images.made import OBLIQUE, save_dicom, save_nifti

from napari_sam2.io.images import open_image
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

VIDEO, TRUTH = moving_discs(num_frames=4, size=48, num_objects=2)


@pytest.fixture
def choose(monkeypatch):
    """Let the dialog answer with a name and a filter; returns what it was asked."""
    asked = []

    def choose(name, chosen):
        def answer(parent, title, suggestion, filters, preferred):
            asked.append((suggestion, preferred))
            return str(name), chosen

        monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(answer))
        return asked

    return choose


def exported(desk):
    desk.dock.show_now()
    desk.dock.files.export.click()
    desk.qtbot.waitUntil(lambda: not desk.controller.exporting.is_busy, timeout=20_000)
    return desk.controller.message


@pytest.mark.parametrize(
    ("chosen", "name", "written"),
    [
        ("TIFF (*.tif)", "l", "l.tif"),
        ("OME-Zarr (*.ome.zarr)", "l.ome.zarr", "l.ome.zarr"),
        ("NIfTI (*.nii.gz)", "l", "l.nii.gz"),
    ],
)
def test_labels_are_written_as_they_are_shown(open_desk, choose, tmp_path, chosen, name, written):
    desk = open_desk(VIDEO, truth=TRUTH, scale=(2, 0.5, 0.5), units=("um",) * 3)
    desk.click(1)
    desk.propagate()
    asked = choose(tmp_path / name, chosen)
    assert exported(desk).text == f"Saved as {tmp_path / written}."
    assert asked[0][0].endswith("discs labels")
    np.testing.assert_array_equal(open_image(tmp_path / written).array[...], desk.labels)


@pytest.mark.parametrize(
    ("chosen", "name", "inside"),
    [
        ("Cell Tracking Challenge folder (*)", "ctc", "man_track.txt"),
        ("DAVIS folder of masks (*)", "davis", "00003.png"),
        ("Table of measurements (*.csv)", "m", ""),
        ("COCO masks (*.json)", "c.json", ""),
    ],
)
def test_other_formats_too(open_desk, choose, tmp_path, chosen, name, inside):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    choose(tmp_path / name, chosen)
    assert exported(desk).tone == "done"
    (path,) = tmp_path.iterdir()
    assert (path / inside).exists() if inside else path.stat().st_size > 50


def test_a_dialog_that_is_left_writes_nothing(open_desk, choose, tmp_path):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.dock.show_now()
    assert not desk.dock.files.export.isEnabled()
    desk.click(1)
    choose("", "")
    exported(desk)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_once_and_the_dock_goes_on(
    open_desk, choose, tmp_path, contract
):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)

    def write(path, kind):
        choose(path, kind)
        return exported(desk)

    for path, kind, said in (
        (tmp_path / "none" / "l.tif", "TIFF (*.tif)", "there is no folder"),
        (tmp_path / "l.dcm", "DICOM segmentation (*.dcm)", "did not come from DICOM"),
    ):
        found = contract.desk(
            desk,
            lambda path=path, kind=kind: write(path, kind),
            lambda: desk.click(2, frame=1),
        )
        assert said in found.what
        assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "l.tif", "TIFF (*.tif)").tone == "done"


def test_what_is_done_meanwhile_is_not_in_the_file(open_desk, choose, tmp_path):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    desk.propagate()
    before = desk.labels.copy()
    choose(tmp_path / "l.tif", "TIFF (*.tif)")
    desk.dock.show_now()
    desk.dock.files.export.click()
    desk.session.clear()
    desk.qtbot.waitUntil(lambda: not desk.controller.exporting.is_busy, timeout=20_000)
    np.testing.assert_array_equal(open_image(tmp_path / "l.tif").array[...], before)


# napari opens and saves


def opened_in(desk, path):
    (layer,) = desk.viewer.open(str(path), plugin="napari-sam2")
    desk.controller.choose_image(layer)
    return layer


def test_a_nifti_is_clicked_and_written_back_voxel_for_voxel(open_desk, choose, tmp_path):
    import nibabel

    save_nifti(tmp_path / "ct.nii.gz", VIDEO.T.astype(np.int16), OBLIQUE)
    desk = open_desk(False, truth=TRUTH)
    layer = opened_in(desk, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(layer.data, VIDEO)
    np.testing.assert_allclose(
        np.asarray(layer.data_to_world((3, 20, 10))), (OBLIQUE @ (10, 20, 3, 1))[2::-1], atol=1e-4
    )
    assert "research use only" in desk.shown().notice
    assert desk.dock.files.notice.isVisibleTo(desk.dock)
    desk.click(1)
    desk.propagate()
    asked = choose(tmp_path / "l", "NIfTI (*.nii.gz)")
    assert exported(desk).tone == "done"
    assert asked[0][1] == "NIfTI (*.nii.gz)"
    written = nibabel.load(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), desk.labels.T)
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / "ct.nii.gz").affine)
    saved = desk.bridge.labels.save(str(tmp_path / "napari.nii.gz"), plugin="napari-sam2")
    assert saved
    again = nibabel.load(tmp_path / "napari.nii.gz")
    np.testing.assert_array_equal(np.asarray(again.dataobj), desk.labels.T)
    np.testing.assert_array_equal(again.affine, written.affine)


def test_a_folder_of_dicom_is_opened_with_its_window_and_segmented(
    open_desk, choose, tmp_path, monkeypatch
):
    from napari_sam2.plugin.image_readers import open_folder

    folder = save_dicom(tmp_path / "ct", VIDEO.astype(np.uint16) * 4)
    desk = open_desk(False, truth=TRUTH)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: str(folder))
    open_folder(desk.viewer)
    layer = desk.viewer.layers["ct"]
    desk.controller.choose_image(layer)
    assert layer.contrast_limits == [-160, 240]
    assert layer.data.min() < -900
    desk.click(1)
    desk.propagate()
    choose(tmp_path / "seg", "DICOM segmentation (*.dcm)")
    assert exported(desk).tone == "done"
    assert (tmp_path / "seg.dcm").stat().st_size > 1000


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.tile(np.linspace(-1000, 800, 400).reshape(1, 20, 20), (10, 1, 1)), (-160, 240)),
        (np.linspace(0, 100, 4000).reshape(10, 20, 20), (50.55, 59.45)),
        (np.full((10, 20, 20), 7.0), None),
    ],
)
def test_a_volume_without_a_window_is_shown_in_the_usual_one(tmp_path, pixels, expected):
    from napari_sam2.plugin.image_readers import read_image

    save_nifti(tmp_path / "v.nii", pixels.T.astype(np.float32))
    ((_, looks, _),) = read_image(str(tmp_path / "v.nii"))
    found = looks.get("contrast_limits")
    assert found == (None if expected is None else pytest.approx(expected, abs=0.6))


def test_a_folder_without_images_is_told(open_desk, tmp_path, monkeypatch):
    from napari_sam2.plugin.image_readers import open_folder

    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: str(tmp_path))
    desk = open_desk(False)
    open_folder(desk.viewer)
    assert "holds no pictures" in told[0]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: "")
    open_folder(desk.viewer)
    assert len(told) == 1
    assert not desk.viewer.layers


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.png", "folder", "a.zarr"])
def test_napari_is_not_made_to_ask_who_opens_other_files(open_desk, tmp_path, name):
    from npe2 import PluginManager

    open_desk(False)
    path = tmp_path / name
    path.mkdir() if "." not in name or name.endswith("zarr") else path.write_bytes(b"")
    readers = PluginManager.instance().iter_compatible_readers([str(path)])
    assert not [item for item in readers if item.command.startswith("napari-sam2")]


def test_files_of_others_are_left_to_others(tmp_path):
    from napari_sam2.plugin.image_readers import get_reader

    (tmp_path / "a.txt").write_text("x")
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader([str(tmp_path / "a.nii")]) is None
    assert get_reader(str(tmp_path / "a.nii")) is not None


@pytest.mark.parametrize("name", ["l.ome.zarr", "l.csv", "l.json", "l.nii"])
def test_any_labels_layer_is_saved_by_napari(open_desk, tmp_path, name):
    desk = open_desk(VIDEO, truth=TRUTH)
    layer = desk.viewer.add_labels(TRUTH.astype(np.int32), scale=(2, 1, 1), name="mine")
    layer.save(str(tmp_path / name), plugin="napari-sam2")
    assert (tmp_path / name).exists()
    if not name.endswith(("csv", "json")):
        np.testing.assert_array_equal(open_image(tmp_path / name).array[...], TRUTH)


def test_what_napari_cannot_save_raises_a_sentence(tmp_path):
    from napari.layers import Labels

    from napari_sam2.plugin.writers import write_labels

    layer = Labels(np.zeros((1, 1, 2, 3, 4), np.uint8))
    data, meta, _ = layer.as_layer_data_tuple()
    with pytest.raises(OSError, match="labels have 2 to 4 axes"):
        write_labels(str(tmp_path / "l.csv"), data, meta)


def test_an_image_without_a_medical_format_has_no_notice(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    assert desk.shown().notice == ""
