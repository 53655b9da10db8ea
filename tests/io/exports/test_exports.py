"""Every format gives back, voxel for voxel, what was written, and where it lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from tests.io.exports.made import OBLIQUE, in_image_order, random_labels, result_of, scored, told
from tests.io.images.made import save_dicom, save_nifti

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FileFormatError, LabelsError, StorageError
from napari_sam2.core.placement import Placement
from napari_sam2.io.exports import FORMATS, check_target, export, format_of
from napari_sam2.io.exports.coco import decode, encode
from napari_sam2.io.images import open_image
from napari_sam2.io.masklets import read_labels

SCALED = Placement.from_scale((1, 0.3, 0.3), (5, -2, 1), ("um",) * 3, ("z", "y", "x"))
FLIPPED = Placement.from_scale((-1, 0.3, -0.3), (5, -2, 1), ("mm",) * 3, ("z", "y", "x"))
TILTED = Placement.of(OBLIQUE, ("mm",) * 3, ("z", "y", "x"))
PLACES = {"plain": Placement.plain(3), "scaled": SCALED, "flipped": FLIPPED, "tilted": TILTED}

VIEWS = {
    "frames first": (StackView(0, 1, 2), (4, 5, 6)),
    "frames in the middle": (StackView(1, 0, 2), (5, 4, 6)),
    "frames last, transposed": (StackView(2, 1, 0), (6, 5, 4)),
    "one channel": (StackView(0, 2, 3, ((1, 1),)), (4, 2, 5, 6)),
    "one image": (StackView(None, 0, 1), (5, 6)),
    "volumes": (StackView(1, 2, 3, (), 0, 2), (2, 2, 5, 6)),
    "volumes, time second": (StackView(0, 2, 3, (), 1, 2), (2, 2, 5, 6)),
}


def labels_for(view, dtype=np.uint16, highest=3):
    return random_labels((1 if view.frame_axis is None else 4, 5, 6), dtype, highest)


@pytest.mark.parametrize("name", ["l.tif", "l.ome.zarr", "l.zarr", "l.nii", "l.nii.gz"])
@pytest.mark.parametrize("view", [view for view, _ in VIEWS.values()], ids=VIEWS)
def test_labels_come_back_with_the_axes_of_the_image(tmp_path, name, view):
    labels = labels_for(view)
    path = export(result_of(labels, view), tmp_path / name)
    expected = in_image_order(labels, view)
    back = np.asarray(open_image(path).array[...])
    np.testing.assert_array_equal(back.reshape(expected.shape), expected)
    assert [item.name for item in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("name", ["l.tif", "l.ome.zarr", "l.nii.gz"])
def test_large_ids_come_back(tmp_path, name, dtype):
    labels = labels_for(StackView(0, 1, 2), dtype)
    labels[1, 2, 3] = np.iinfo(dtype).max
    path = export(result_of(labels), tmp_path / name)
    np.testing.assert_array_equal(np.asarray(open_image(path).array[...]), labels)


@pytest.mark.parametrize("place", ["scaled", "flipped"])
@pytest.mark.parametrize("name", ["l.ome.zarr", "l.nii.gz"])
def test_labels_lie_where_the_image_does(tmp_path, name, place):
    placement = PLACES[place]
    path = export(result_of(labels_for(StackView(0, 1, 2)), placement=placement), tmp_path / name)
    back = open_image(path).source.placement
    scale = placement.metres(0) / back.metres(0)  # NIfTI counts in millimetres
    np.testing.assert_allclose(
        back.as_array()[:3], placement.as_array()[:3] * scale, rtol=1e-5, atol=1e-6
    )
    assert back.labels == ("z", "y", "x")


def test_an_oblique_placement_is_exact_in_nifti_and_told_in_zarr(tmp_path):
    result = result_of(labels_for(StackView(0, 1, 2)), placement=TILTED)
    back = open_image(export(result, tmp_path / "l.nii")).source.placement
    np.testing.assert_allclose(back.as_array(), OBLIQUE, atol=1e-5)
    group = zarr.open_group(export(result, tmp_path / "l.ome.zarr"))
    np.testing.assert_array_equal(group.attrs["ome"]["napari-sam2"]["affine"], OBLIQUE)


MIXED = Placement.from_scale((2, 300, 250), units=("um", "nm", "nm"), labels=("z", "y", "x"))


def test_units_that_differ_from_axis_to_axis_are_not_mixed_up(tmp_path):
    import nibabel

    result = result_of(labels_for(StackView(0, 1, 2)), placement=MIXED)
    image = nibabel.load(export(result, tmp_path / "l.nii"))
    np.testing.assert_allclose(np.diag(image.affine)[:3], [2.5e-4, 3e-4, 2e-3])
    assert image.header.get_xyzt_units()[0] == "mm"
    with tifffile.TiffFile(export(result, tmp_path / "l.tif")) as file:
        assert file.imagej_metadata["unit"] == "nm"
        assert file.imagej_metadata["spacing"] == pytest.approx(2000)
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert denominator / numerator == pytest.approx(250)


def test_a_tiff_has_steps_and_units(tmp_path):
    path = export(result_of(labels_for(StackView(0, 1, 2)), placement=SCALED), tmp_path / "l.tif")
    back = open_image(path).source.placement
    assert back.spacing == pytest.approx((1, 0.3, 0.3))
    assert back.units == ("um",) * 3
    assert back.labels == ("z", "y", "x")
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej


# NIfTI with the header of its source


@pytest.mark.parametrize("codes", [(1, 1), (4, 0), (0, 2), (2, 3)])
def test_nifti_of_nifti_has_the_header_of_its_source(tmp_path, codes):
    import nibabel

    volume = random_labels((6, 5, 4), np.int16, 900)
    save_nifti(tmp_path / "ct.nii.gz", volume, slope_inter=(2.0, -1024.0))
    image = nibabel.load(tmp_path / "ct.nii.gz")
    affine = image.affine
    straight = np.diag([0.5, 0.6, -2.0, 1.0])
    image.set_sform(affine if codes[0] else None, codes[0])
    image.set_qform(straight if codes[1] else None, codes[1])
    nibabel.save(image, tmp_path / "source.nii.gz")
    source = nibabel.load(tmp_path / "source.nii.gz")
    opened = open_image(tmp_path / "source.nii.gz")
    labels = random_labels(opened.array.shape)
    result = result_of(
        labels, placement=opened.source.placement, kind="nifti", path=opened.source.path
    )
    back = nibabel.load(export(result, tmp_path / "l.nii.gz"))
    np.testing.assert_array_equal(np.asarray(back.dataobj), labels.T)
    np.testing.assert_array_equal(back.affine, source.affine)
    for form in ("sform", "qform"):
        one, other = (getattr(item.header, f"get_{form}")(coded=True) for item in (source, back))
        assert int(one[1]) == int(other[1])
        if one[0] is not None:
            np.testing.assert_array_equal(one[0], other[0])
    assert back.header.get_slope_inter() in ((1.0, 0.0), (None, None))
    assert back.header.get_xyzt_units() == source.header.get_xyzt_units()


def test_a_volume_of_a_nifti_movie_and_the_whole_movie(tmp_path):
    import nibabel

    movie = random_labels((6, 5, 4, 3), np.int16, 900)
    save_nifti(tmp_path / "m.nii", movie, zooms=[(1, 1, 1, 2.5)])
    opened = open_image(tmp_path / "m.nii")
    source = {"placement": opened.source.placement, "kind": "nifti", "path": opened.source.path}
    one = random_labels((4, 5, 6))
    back = nibabel.load(
        export(result_of(one, StackView(1, 2, 3, ((0, 2),)), **source), tmp_path / "one.nii")
    )
    np.testing.assert_array_equal(np.asarray(back.dataobj), one.T)
    all_of_it = random_labels((12, 5, 6))
    back = nibabel.load(
        export(result_of(all_of_it, StackView(1, 2, 3, (), 0, 4), **source), tmp_path / "all.nii")
    )
    np.testing.assert_array_equal(np.asarray(back.dataobj), all_of_it.reshape(3, 4, 5, 6).T)
    assert back.header.get_zooms()[3] == 2.5


# DICOM


ANGLED = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


@pytest.fixture
def series(tmp_path):
    volume = random_labels((4, 5, 6), np.uint16, 900)
    return open_image(save_dicom(tmp_path / "ct", volume, orientation=ANGLED))


def dicom_result(series, labels, **changes):
    return result_of(
        labels,
        placement=series.source.placement,
        kind="dicom",
        path=series.source.path,
        **changes,
    )


def test_a_dicom_segmentation_has_a_segment_an_object_on_the_right_images(tmp_path, series):
    import highdicom
    import pydicom

    labels = random_labels((4, 5, 6), highest=2)
    labels[2] = 0
    result = dicom_result(series, labels, infos=told(1, name="liver", class_name="organ"))
    path = export(result, tmp_path / "seg.dcm")
    seg = highdicom.seg.segread(path)
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "object 2"]
    uids = {}
    for file in (tmp_path / "ct").iterdir():
        item = pydicom.dcmread(file)
        position = np.array(item.ImagePositionPatient, float)
        uids[round(float(position @ np.cross(ANGLED[:3], ANGLED[3:])), 3)] = item.SOPInstanceUID
    ordered = [uids[key] for key in sorted(uids)]
    pixels = seg.get_pixels_by_source_instance(
        ordered, combine_segments=True, ignore_spatial_locations=True
    )
    np.testing.assert_array_equal(pixels, labels)


def test_more_objects_than_segments_are_refused(tmp_path, series, monkeypatch):
    monkeypatch.setattr("napari_sam2.io.exports.dicom_seg._MOST", 2)
    with pytest.raises(LabelsError, match="at most 2 segments, the labels have 3 objects"):
        export(dicom_result(series, labels_for(StackView(0, 1, 2))), tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()


def test_dicom_as_nifti_lies_at_the_same_place_of_the_patient(tmp_path, series):
    import nibabel

    labels = random_labels((4, 5, 6))
    back = nibabel.load(export(dicom_result(series, labels), tmp_path / "l.nii.gz"))
    np.testing.assert_array_equal(np.asarray(back.dataobj), labels.T)
    here = series.source.placement.as_array() @ (3, 1, 5, 1)  # (S, P, L)
    there = back.affine @ (5, 1, 3, 1)  # (R, A, S)
    np.testing.assert_allclose(there[:3], (-here[2], -here[1], here[0]), atol=1e-4)


def test_what_is_no_dicom_makes_no_segmentation(tmp_path, series):
    labels = random_labels((4, 5, 6))
    with pytest.raises(FileFormatError, match="did not come from DICOM"):
        export(result_of(labels), tmp_path / "seg.dcm")
    with pytest.raises(LabelsError, match="at least one visible object"):
        export(dicom_result(series, labels * 0), tmp_path / "seg.dcm")
    with pytest.raises(FileFormatError, match="segment the whole series"):
        export(dicom_result(series, labels[:2]), tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()


# OME-Zarr


def test_ome_zarr_is_a_valid_label_image_with_colours_and_a_chunk_a_frame(tmp_path):
    from yaozarrs import v05

    result = result_of(labels_for(StackView(0, 1, 2)), placement=SCALED, infos=told(2, name="b"))
    group = zarr.open_group(export(result, tmp_path / "l.ome.zarr"))
    v05.LabelImage.model_validate(group.attrs["ome"])
    assert group["0"].chunks == (1, 5, 6)
    label = group.attrs["ome"]["image-label"]
    assert [item["label-value"] for item in label["colors"]] == [1, 2, 3]
    assert len({tuple(item["rgba"]) for item in label["colors"]}) == 3
    assert label["properties"][1]["name"] == "b"


def test_empty_frames_take_no_chunk(tmp_path):
    labels = labels_for(StackView(0, 1, 2))
    labels[1] = 0
    path = export(result_of(labels), tmp_path / "l.ome.zarr")
    assert len(list((path / "0" / "c").iterdir())) == 3
    export(result_of(labels * 0), tmp_path / "none.ome.zarr")
    assert not np.asarray(open_image(tmp_path / "none.ome.zarr").array[...]).any()


# Cell Tracking Challenge


def ctc_of(folder):
    masks = [tifffile.imread(file) for file in sorted(folder.glob("mask*.tif"))]
    rows = [
        tuple(map(int, line.split()))
        for line in (folder / "man_track.txt").read_text().splitlines()
    ]
    return masks, rows


def test_ctc_has_masks_tracks_mothers_and_no_gaps(tmp_path):
    labels = np.zeros((6, 5, 6), np.uint16)
    labels[0:3, 0, 0] = 1  # the mother
    labels[3:6, 1, 1] = 2
    labels[3, 2, 2] = 3
    labels[5, 2, 2] = 3  # gone on frame 4
    infos = {**told(2, parent=1), **told(3, parent=1)}
    path = export(result_of(labels, infos=infos), tmp_path / "01_RES", "ctc")
    masks, rows = ctc_of(path)
    assert rows == [(1, 0, 2, 0), (2, 3, 5, 1), (3, 3, 3, 1), (4, 5, 5, 3)]
    assert sorted(file.name for file in path.iterdir())[:2] == ["man_track.txt", "mask000.tif"]
    for label, first, last, _ in rows:
        present = [t for t, mask in enumerate(masks) if (mask == label).any()]
        assert present == list(range(first, last + 1))
    np.testing.assert_array_equal(np.array(masks) > 0, labels > 0)
    assert masks[0].dtype == np.uint16


def test_a_mother_that_goes_on_is_no_parent(tmp_path):
    labels = np.zeros((3, 5, 6), np.uint16)
    labels[:, 0, 0], labels[1:, 1, 1] = 1, 2
    _, rows = ctc_of(export(result_of(labels, infos=told(2, parent=1)), tmp_path / "r", "ctc"))
    assert rows == [(1, 0, 2, 0), (2, 1, 2, 0)]


def test_a_stack_in_space_is_one_time_point_and_volumes_are_several(tmp_path):
    labels = random_labels((4, 5, 6))
    masks, rows = ctc_of(export(result_of(labels, placement=SCALED), tmp_path / "z", "ctc"))
    assert [mask.shape for mask in masks] == [(4, 5, 6)]
    assert rows == [(1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0)]
    masks, _ = ctc_of(
        export(result_of(labels, StackView(1, 2, 3, (), 0, 2)), tmp_path / "t", "ctc")
    )
    np.testing.assert_array_equal(masks, labels.reshape(2, 2, 5, 6))


class OneByOne:
    """Labels that are read frame by frame only, as those of a long film are."""

    def __init__(self, labels):
        self._labels, self.shape, self.dtype = labels, labels.shape, labels.dtype

    def __getitem__(self, key):
        assert isinstance(key, int), "the whole stack was asked for"
        return self._labels[key]


@pytest.mark.parametrize("name", ["l.tif", "l.zarr", "l.json", "l.csv", "ctc", "davis"])
def test_a_time_lapse_is_never_held_as_a_whole(tmp_path, name):
    labels = labels_for(StackView(0, 1, 2))
    place = Placement.from_scale((9, 1, 1), units=("s", "um", "um"), labels=("t", "y", "x"))
    format = name if "." not in name else None
    export(result_of(labels, placement=place), tmp_path / f"whole {name}", format)
    path = export(result_of(OneByOne(labels), placement=place), tmp_path / name, format)
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    assert files
    for file in files:
        twin = tmp_path / f"whole {name}" / file.relative_to(path)
        assert file.stat().st_size == twin.stat().st_size
        if name != "l.json":  # categories of objects are told beforehand
            assert file.read_bytes() == twin.read_bytes()


def test_ctc_without_objects_and_with_too_many(tmp_path):
    _, rows = ctc_of(export(result_of(np.zeros((2, 5, 6), np.uint16)), tmp_path / "r", "ctc"))
    assert rows == []
    labels = np.full((2, 5, 6), 70_000, np.uint32)
    with pytest.raises(LabelsError, match="numbers tracks up to 65535"):
        export(result_of(labels), tmp_path / "many", "ctc")
    assert not (tmp_path / "many").exists()


# COCO, DAVIS, CSV


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_pycocotools(seed):
    from pycocotools import mask as oracle

    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 90, 2)
    for mask in (
        rng.random(shape) > 0.5,
        rng.random(shape) > 0.97,
        np.ones(shape, bool),
        np.zeros(shape, bool),
    ):
        expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert encode(mask)["counts"] == expected["counts"].decode()
        np.testing.assert_array_equal(decode(encode(mask)), mask)


def test_runs_that_do_not_fill_a_mask_are_refused():
    with pytest.raises(ValueError, match="fill 5 of 6"):
        decode({"size": [2, 3], "counts": [1, 4]})


def test_coco_holds_every_object_on_every_frame(tmp_path):
    labels = labels_for(StackView(0, 1, 2))
    infos = told(2, name="b", class_name="cell")
    result = result_of(labels, infos=infos, scores=scored((1, 0)))
    content = json.loads(export(result, tmp_path / "l.json").read_text())
    assert [item["name"] for item in content["categories"]] == ["cell", "object"]
    back = np.zeros_like(labels)
    for item in content["annotations"]:
        mask = decode(item["segmentation"])
        back[item["image_id"] - 1][mask] = item["track_id"]
        x, y, width, height = item["bbox"]
        rows, columns = np.nonzero(mask)
        assert (rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1) == (
            y,
            x,
            height,
            width,
        )
        assert item["area"] == mask.sum()
        assert (item["category_id"] == 1) == (item["track_id"] == 2)
    np.testing.assert_array_equal(back, labels)
    first = next(item for item in content["annotations"] if item["track_id"] == 1)
    assert first["score"] == 0.75


def test_labels_that_were_there_before_are_in_no_class_of_an_object(tmp_path):
    labels = labels_for(StackView(0, 1, 2), highest=2)
    result = result_of(labels, infos=told(1, class_name="cell"), objects=(1,))
    content = json.loads(export(result, tmp_path / "l.json").read_text())
    names = {item["id"]: item["name"] for item in content["categories"]}
    found = {(item["track_id"], names[item["category_id"]]) for item in content["annotations"]}
    assert found == {(1, "cell"), (2, "object")}


def test_davis_masks_are_read_by_our_own_reader(tmp_path):
    labels = labels_for(StackView(0, 1, 2))
    path = export(result_of(labels), tmp_path / "masks", "davis")
    np.testing.assert_array_equal(read_labels(path), labels)
    with pytest.raises(LabelsError, match="hold objects up to 254"):
        export(result_of(labels + 253), tmp_path / "more", "davis")
    assert not (tmp_path / "more").exists()


def test_the_table_measures_in_the_units_of_the_image(tmp_path):
    import csv

    labels = np.zeros((2, 5, 6), np.uint16)
    labels[1, 1:3, 2:5] = 7
    pixels = np.zeros((2, 5, 6), np.float32)
    pixels[1, 1, 2:5], pixels[1, 2, 2] = 4.0, np.nan
    result = result_of(
        labels,
        placement=Placement.from_scale(
            (30, 0.5, 0.25), (0, 10, 0), ("s", "um", "um"), ("t", "y", "x")
        ),
        infos=told(7, name="=cmd()", class_name="cell"),
        scores=scored((7, 1)),
        frames=ArrayFrames(pixels),
    )
    with export(result, tmp_path / "m.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["object_id"], row["frame"]) == ("7", "1")
    assert (row["name"], row["class_name"]) == ("'=cmd()", "cell")
    assert (row["pixels"], row["size"], row["size_unit"]) == ("6", "0.75", "µm²")
    assert (row["centroid_t"], row["centroid_y"], row["centroid_x"]) == ("1", "1.5", "3")
    assert (row["world_t"], row["world_y"], row["world_x"]) == ("30", "10.75", "0.75")
    assert row["intensity"] == "2.4"
    assert (row["object_score"], row["iou"], row["provenance"]) == ("3", "0.75", "tracked")


def test_a_stack_in_space_is_measured_in_volumes(tmp_path):
    import csv

    labels = np.zeros((2, 5, 6), np.uint16)
    labels[0, :2, :2] = 1
    result = result_of(labels, placement=FLIPPED)
    with export(result, tmp_path / "m.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["size"], row["size_unit"]) == ("0.36", "mm³")
    with export(result_of(labels), tmp_path / "plain.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["size"], row["size_unit"], row["intensity"], row["iou"]) == ("", "", "", "")


# Where


def test_the_name_or_the_person_says_the_format():
    assert format_of("a/b.NII.GZ") == "nifti"
    assert format_of("x.ome.zarr") == "ome-zarr"
    assert format_of("folder", "ctc") == "ctc"
    with pytest.raises(FileFormatError, match=r"called x\.doc; end it in \.tif"):
        format_of("x.doc")
    with pytest.raises(FileFormatError, match="there is no format 'mask'; there are: tiff"):
        format_of("x.tif", "mask")
    with pytest.raises(FileFormatError, match=r"'nifti' ends in \.nii\.gz or \.nii"):
        format_of("x.tif", "nifti")


def test_nothing_is_replaced_unasked_and_never_the_image(tmp_path):
    result = result_of(labels_for(StackView(0, 1, 2)))
    path = export(result, tmp_path / "l.tif")
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="exists"):
        export(result, path)
    image = result_of(labels_for(StackView(0, 1, 2)), path=path, kind="tiff")
    with pytest.raises(FileFormatError, match="is what is read from"):
        export(image, path, overwrite=True)
    assert path.read_bytes() == before
    export(result_of(labels_for(StackView(0, 1, 2)) * 0), path, overwrite=True)
    assert path.read_bytes() != before
    with pytest.raises(StorageError, match="there is no folder"):
        check_target(tmp_path / "none" / "l.tif")
    (tmp_path / "d.tif").mkdir()
    with pytest.raises(FileFormatError, match="is a folder, which"):
        export(result, tmp_path / "d.tif", overwrite=True)


class Failing:
    """Labels that cannot be read to their end."""

    shape, dtype = (4, 5, 6), np.dtype(np.uint16)

    def __getitem__(self, key):
        if key == 2 or not isinstance(key, int):
            raise OSError(28, "No space left on device")
        return np.ones((5, 6), np.uint16)


@pytest.mark.parametrize("format", FORMATS)
def test_what_fails_in_the_middle_leaves_what_was_there(tmp_path, format, series, contract):
    names = {"ctc": "x", "davis": "x"}
    path = tmp_path / names.get(format, f"x{(FORMATS[format].suffixes or ('',))[0]}")
    labels = labels_for(StackView(0, 1, 2))
    export(dicom_result(series, labels), path, format)
    found = contract.folder(
        tmp_path,
        lambda: export(dicom_result(series, Failing()), path, format, overwrite=True),
        lambda: export(dicom_result(series, labels), path, format, overwrite=True),
    )
    assert "No space left" in found.what
