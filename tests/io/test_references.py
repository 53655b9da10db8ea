"""Stacks with reference masks: pairs of files, archives, folders of archives, DAVIS layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam2.core.errors import FileFormatError, FrameReadError, LabelsError
from napari_sam2.io.masklets import write_labels
from napari_sam2.io.references import find_references, kind_of
from napari_sam2.io.samples import sample_path
from napari_sam2.testing import moving_discs


@pytest.fixture(scope="module")
def discs():
    return moving_discs(5, 32, 2)


def write_archive(folder, name, discs, kind=None, **more):
    image, labels = discs
    np.savez(folder / f"{name}.npz", image=image, labels=labels, **more)
    if kind is not None:
        (folder / f"{name}.json").write_text(json.dumps({"kind": kind}))
    return folder / f"{name}.npz"


def write_davis(folder, name, discs):
    """Write a sequence as DAVIS does: JPEG frames, and masks with a palette."""
    image, labels = discs
    frames, masks = folder / "JPEGImages" / name, folder / "Annotations" / name
    for place in (frames, masks):
        place.mkdir(parents=True)
    for t, (frame, label) in enumerate(zip(image, labels, strict=True)):
        Image.fromarray(np.repeat(frame[..., None], 3, axis=2)).save(frames / f"{t:05}.jpg")
        mask = Image.fromarray(label.astype(np.uint8), mode="P")
        mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [7] * (768 - 9))
        mask.save(masks / f"{t:05}.png")


def read_one(image, labels=None, **more):
    (file,) = find_references(image, labels)
    return file.read(**more)


def test_an_archive_holds_image_and_labels(tmp_path, discs):
    path = write_archive(tmp_path, "cells", discs)
    for stack in (read_one(path), read_one(path, path)):
        assert stack.name == "cells"
        np.testing.assert_array_equal(stack.image, discs[0])
        np.testing.assert_array_equal(stack.labels, discs[1])


def test_another_array_of_an_archive_can_be_the_labels(tmp_path, discs):
    path = write_archive(tmp_path, "cells", discs, manual=discs[1] * 3)
    stack = read_one(path, f"{path}:manual")
    np.testing.assert_array_equal(stack.labels, discs[1] * 3)


def test_labels_of_one_frame_stand_for_the_first_frame(tmp_path, discs):
    path = write_archive(tmp_path, "cells", discs, manual=discs[1][0])
    stack = read_one(path, f"{path}:manual")
    assert stack.image.shape == stack.labels.shape == (1, 32, 32)
    np.testing.assert_array_equal(stack.image[0], discs[0][0])


def test_manual_masks_of_the_first_frame_are_read_where_an_archive_has_them(tmp_path, discs):
    write_archive(tmp_path, "automatic", discs)
    write_archive(tmp_path, "both", discs, manual_frame0=discs[1][0] * 5)
    automatic, both = find_references(tmp_path)
    assert automatic.read_manual() is None
    np.testing.assert_array_equal(both.read_manual(), discs[1][0] * 5)
    np.testing.assert_array_equal(both.read().labels, discs[1])


def test_pictures_have_no_manual_masks_beside_their_labels(tmp_path, discs):
    write_davis(tmp_path, "walk", discs)
    (file,) = find_references(tmp_path)
    assert file.read_manual() is None


def write_tiff(folder, discs):
    tifffile.imwrite(folder / "image.tif", discs[0], photometric="minisblack")
    return folder / "image.tif", write_labels(folder / "labels.tif", discs[1])


def write_zarr(folder, discs):
    for name, array in zip(("image.zarr", "labels.zarr"), discs, strict=True):
        made = zarr.create_array(folder / name, shape=array.shape, dtype=array.dtype)
        made[...] = array
    return folder / "image.zarr", folder / "labels.zarr"


def write_npy(folder, discs):
    for name, array in zip(("image.npy", "labels.npy"), discs, strict=True):
        np.save(folder / name, array)
    return folder / "image.npy", folder / "labels.npy"


@pytest.mark.parametrize("write", [write_tiff, write_zarr, write_npy])
def test_two_files_make_a_pair(tmp_path, discs, write):
    stack = read_one(*write(tmp_path, discs))
    assert (stack.name, stack.kind, stack.group) == ("image", "time", "")
    np.testing.assert_array_equal(stack.image, discs[0])
    np.testing.assert_array_equal(stack.labels, discs[1])


@pytest.mark.parametrize("axis", [1, 2])
def test_frames_may_lie_along_another_axis(tmp_path, discs, axis):
    turned = [np.moveaxis(array, 0, axis) for array in discs]
    stack = read_one(*write_npy(tmp_path, turned), axis=axis)
    np.testing.assert_array_equal(stack.image, discs[0])
    np.testing.assert_array_equal(stack.labels, discs[1])


def test_colours_are_read(tmp_path, discs):
    rgb = np.repeat(discs[0][..., None], 3, axis=3)
    stack = read_one(*write_npy(tmp_path, (rgb, discs[1])))
    assert stack.is_rgb
    assert stack.image.shape == (5, 32, 32, 3)


def test_davis_layout_is_read_with_the_ids_of_the_palette(tmp_path, discs):
    write_davis(tmp_path, "480p/swan", discs)
    write_davis(tmp_path, "480p/bear", (discs[0][:3], discs[1][:3]))
    bear, swan = find_references(tmp_path)
    assert (bear.name, swan.name) == ("480p/bear", "480p/swan")
    stack = swan.read()
    assert (stack.kind, stack.group, stack.image.shape) == ("time", "DAVIS", (5, 32, 32, 3))
    np.testing.assert_array_equal(stack.labels, discs[1])
    assert np.abs(stack.image[..., 0].astype(float) - discs[0]).mean() < 5  # JPEG is lossy


def test_one_sequence_of_davis_is_two_folders(tmp_path, discs):
    write_davis(tmp_path, "swan", discs)
    stack = read_one(tmp_path / "JPEGImages" / "swan", tmp_path / "Annotations" / "swan")
    np.testing.assert_array_equal(stack.labels, discs[1])


def test_a_sequence_without_masks_is_named(tmp_path, discs):
    write_davis(tmp_path, "swan", discs)
    (tmp_path / "JPEGImages" / "owl").mkdir()
    (tmp_path / "JPEGImages" / "owl" / "0.jpg").write_bytes(b"")
    with pytest.raises(FileFormatError, match="owl"):
        find_references(tmp_path)


def test_a_folder_of_archives_is_read_in_order_of_names_and_by_kind(tmp_path, discs):
    write_archive(tmp_path, "b_time", discs, "microscopy-time")
    write_archive(tmp_path, "a_ct", discs, "ct")
    write_archive(tmp_path, "c_unknown", discs)
    stacks = [file.read() for file in find_references(tmp_path)]
    assert [(stack.name, stack.group, stack.kind) for stack in stacks] == [
        ("a_ct", "medical", "z"),
        ("b_time", "microscopy", "time"),
        ("c_unknown", "", "time"),
    ]


def test_the_kind_that_a_person_gives_wins(tmp_path, discs):
    assert read_one(write_archive(tmp_path, "a", discs, "ct"), kind="time").kind == "time"


@pytest.mark.parametrize(("axes", "kind"), [("ZYX", "z"), ("TYX", "time")])
def test_the_axes_of_a_tiff_say_its_kind(tmp_path, discs, axes, kind):
    write_labels(tmp_path / "a.tif", discs[1], axes=axes)
    assert kind_of(tmp_path / "a.tif") == kind
    assert read_one(tmp_path / "a.tif", tmp_path / "a.tif").kind == kind


def test_the_bundled_volume_is_known_as_one():
    assert kind_of(sample_path("ct_volume.tif")) == "z"


@pytest.mark.parametrize(("axis", "kind"), [("z", "z"), ("t", "time")])
def test_the_axes_of_an_ome_zarr_say_its_kind(tmp_path, discs, axis, kind):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", shape=discs[0].shape, dtype=discs[0].dtype)[...] = discs[0]
    axes = [{"name": axis}, {"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    assert kind_of(tmp_path / "a.zarr") == kind


def test_what_says_nothing_has_no_kind(tmp_path, discs):
    write_tiff(tmp_path, discs)
    write_zarr(tmp_path, discs)
    for name in ("image.tif", "image.zarr"):
        assert kind_of(tmp_path / name) is None


def test_a_description_without_kind_is_refused(tmp_path, discs):
    for content in ('{"name": "a"}', "[]", '{"kind": 3}', "not JSON"):
        path = write_archive(tmp_path, "a", discs)
        path.with_suffix(".json").write_text(content)
        with pytest.raises(FileFormatError, match=r"a\.json does not say the kind"):
            find_references(path)


def test_labels_of_another_shape_are_refused_with_both_shapes(tmp_path, discs):
    path = write_archive(tmp_path, "a", (discs[0], discs[1][:, 1:]))
    with pytest.raises(FileFormatError, match=r"\(5, 32, 32\) and labels \(5, 31, 32\)"):
        read_one(path)
    path = write_archive(tmp_path, "a", (discs[0], discs[1][:3]))
    with pytest.raises(FileFormatError, match="differ in shape"):
        read_one(path)


def test_an_archive_without_labels_is_refused(tmp_path, discs):
    np.savez(tmp_path / "a.npz", image=discs[0], other=discs[0])
    with pytest.raises(FileFormatError, match="labels"):
        read_one(tmp_path / "a.npz")


def test_labels_that_are_real_numbers_are_refused(tmp_path, discs):
    path = write_archive(tmp_path, "a", (discs[0], discs[1] / 2))
    with pytest.raises(LabelsError, match="float64"):
        read_one(path)


def test_what_comes_without_labels_or_is_not_there_is_told(tmp_path, discs):
    write_tiff(tmp_path, discs)
    with pytest.raises(FileFormatError, match="without labels"):
        find_references(tmp_path / "image.tif")
    with pytest.raises(FileFormatError, match="without labels"):
        find_references(tmp_path)
    with pytest.raises(FrameReadError, match="nowhere"):
        find_references(tmp_path / "nowhere")
