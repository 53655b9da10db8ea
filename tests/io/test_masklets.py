"""Label stacks written and read again."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2.core.errors import FileFormatError, LabelsError, StorageError
from napari_sam2.io.masklets import Spacing, read_labels, read_spacing, write_labels


def labels_of(shape, dtype, high=200):
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize(
    "shape",
    [
        (5, 6),
        (1, 1),
        (5, 1),
        (4, 5, 6),
        (1, 5, 6),
        (4, 5, 1),
        (4, 1, 6),
        (4, 1, 1),
        (1, 1, 1),
        (3, 3, 3),
    ],
)
def test_labels_come_back_as_they_were(tmp_path, dtype, shape):
    labels = labels_of(shape, dtype)
    path = write_labels(tmp_path / "l.tif", labels)
    again = read_labels(path)
    np.testing.assert_array_equal(again, labels, strict=True)
    assert [file.name for file in tmp_path.iterdir()] == ["l.tif"]


def test_a_stack_is_written_frame_by_frame(tmp_path):
    class Lazy:
        shape, dtype, asked = (4, 5, 6), np.dtype(np.uint16), []

        def __getitem__(self, key):
            self.asked.append(key)
            return labels_of((5, 6), np.uint16)

    lazy = Lazy()
    write_labels(tmp_path / "l.tif", lazy)
    assert lazy.asked == [0, 1, 2, 3]


def test_labels_are_compressed(tmp_path):
    write_labels(tmp_path / "l.tif", np.zeros((10, 256, 256), np.uint16))
    assert (tmp_path / "l.tif").stat().st_size < 50_000


def test_the_spacing_stands_where_imagej_looks_for_it(tmp_path):
    spacing = Spacing((3.0, 0.5, 0.25), "um")
    write_labels(tmp_path / "l.tif", labels_of((4, 5, 6), np.uint16), spacing=spacing, axes="ZYX")
    found = read_spacing(tmp_path / "l.tif")
    assert found.steps == pytest.approx(spacing.steps)
    assert found.unit == "um"
    with tifffile.TiffFile(tmp_path / "l.tif") as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"


@pytest.mark.parametrize("shape", [(1, 5, 6), (4, 5, 1)])
def test_shapes_that_imagej_does_not_know_keep_their_spacing(tmp_path, shape):
    spacing = Spacing((3.0, 0.5, 0.25), "um")
    write_labels(tmp_path / "l.tif", labels_of(shape, np.uint16), spacing=spacing)
    assert read_spacing(tmp_path / "l.tif") == spacing


def test_no_spacing_is_none(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", labels_of((4, 5), np.uint16))
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    assert read_spacing(tmp_path / "plain.tif") is None
    assert read_spacing(tmp_path / "a.npy") is None


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2)), np.zeros((2, 2), np.int32), np.zeros(3, np.uint8)]
)
def test_what_are_no_labels_is_not_written(tmp_path, array):
    with pytest.raises(LabelsError, match="unsigned integer"):
        write_labels(tmp_path / "l.tif", array)
    assert not list(tmp_path.iterdir())


def test_a_name_or_folder_that_cannot_be_is_told_first(tmp_path):
    with pytest.raises(FileFormatError, match=r"end it in \.tif"):
        write_labels(tmp_path / "l.png", labels_of((4, 5), np.uint8))
    with pytest.raises(StorageError, match="there is no folder"):
        write_labels(tmp_path / "none" / "l.tif", labels_of((4, 5), np.uint8))


def test_a_failure_half_way_leaves_the_old_file_and_no_litter(tmp_path):
    class Failing:
        shape, dtype = (4, 5, 6), np.dtype(np.uint16)

        def __getitem__(self, key):
            if key == 2:
                raise KeyboardInterrupt
            return labels_of((5, 6), np.uint16)

    before = labels_of((4, 5, 6), np.uint16)
    write_labels(tmp_path / "l.tif", before)
    with pytest.raises(KeyboardInterrupt):
        write_labels(tmp_path / "l.tif", Failing())
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), before)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("array", [np.zeros((4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)])
def test_a_file_that_holds_no_labels_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(LabelsError, match="not labels"):
        read_labels(tmp_path / "a.npy")


def write_masks(folder, *masks):
    folder.mkdir(exist_ok=True)
    for t, mask in enumerate(masks):
        Image.fromarray(np.asarray(mask, np.uint8)).save(folder / f"{t:03}.png")
    return folder


def test_a_folder_of_grey_masks_is_a_label_stack(tmp_path):
    masks = labels_of((12, 5, 6), np.uint8)
    np.testing.assert_array_equal(read_labels(write_masks(tmp_path / "m", *masks)), masks)


def test_pixels_that_are_not_annotated_become_background(tmp_path):
    folder = write_masks(tmp_path / "m", [[0, 1, 255]], [[2, 0, 255]])
    assert read_labels(folder).tolist() == [[[0, 1, 0]], [[2, 0, 0]]]


def test_a_mask_of_0_and_255_has_one_object(tmp_path):
    folder = write_masks(tmp_path / "m", [[0, 255, 255]])
    assert read_labels(folder).tolist() == [[[0, 255, 255]]]


def test_a_folder_may_hold_masks_as_tiff(tmp_path):
    masks = labels_of((2, 5, 6), np.uint16)
    for t, mask in enumerate(masks):
        write_labels(tmp_path / f"{t}.tif", mask)
    np.testing.assert_array_equal(read_labels(tmp_path), masks)


def test_masks_with_colours_of_several_sizes_or_damaged_are_refused(tmp_path):
    with pytest.raises(LabelsError, match="colours"):
        read_labels(write_masks(tmp_path / "rgb", np.zeros((4, 4, 3))))
    with pytest.raises(LabelsError, match="differ in shape"):
        read_labels(write_masks(tmp_path / "sizes", np.zeros((4, 4)), np.zeros((4, 5))))
    folder = write_masks(tmp_path / "damaged", np.zeros((4, 4)))
    (folder / "000.png").write_bytes(b"not a picture")
    with pytest.raises(FileFormatError, match=r"000\.png cannot be read"):
        read_labels(folder)


def test_an_archive_has_its_labels_under_that_name_or_another(tmp_path):
    labels = labels_of((4, 5, 6), np.uint16)
    np.savez(tmp_path / "a.npz", image=labels + 1, labels=labels, other=labels + 2)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npz"), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npz", "other"), labels + 2)


def test_the_frames_of_a_stack_have_the_spacing_of_its_other_axes():
    stack = Spacing((5.0, 0.5, 0.25), "um")
    assert stack.of_frames(0) == stack.of_frames(None) == Spacing((0.5, 0.25), "um")
    assert stack.of_frames(1) == Spacing((5.0, 0.25), "um")
    assert stack.of_frames(2) == Spacing((5.0, 0.5), "um")


@pytest.mark.parametrize(
    ("steps", "unit", "expected"),
    [
        ((0.5, 0.25), "um", False),
        ((0.5, 0.251), "um", False),
        ((0.5, 0.26), "um", True),
        ((1.0, 0.5), "micron", True),
        ((0.5, 0.25), "\\u00B5m", False),
        ((1.0, 0.5), "µm", True),
        ((1.0, 1.0), "pixel", False),
        ((500.0, 250.0), "nm", False),
    ],
)
def test_spacings_differ_only_where_both_are_known_in_one_unit(steps, unit, expected):
    known, other = Spacing((0.5, 0.25), "um"), Spacing(steps, unit)
    assert known.differs_from(other) is other.differs_from(known) is expected
