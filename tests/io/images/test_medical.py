"""NIfTI, DICOM and NRRD: every voxel where its file says, to the bit, and a sentence for what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.io.images.made import OBLIQUE, save_dicom, save_nifti

from napari_sam2.core.errors import FileFormatError, FrameReadError, ImageError
from napari_sam2.io.images import open_frames, open_image

VOLUME = np.random.default_rng(0).integers(0, 4000, (6, 5, 4), np.uint16)  # (x, y, z)
TALL = np.random.default_rng(1).integers(0, 4000, (5, 6, 7), np.uint16)  # (z, y, x)


def world_of(opened, index):
    return opened.source.placement.as_array() @ (*index, 1)


# NIfTI


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_nifti_slices_come_first_and_every_voxel_stays_where_it_is(tmp_path, name):
    save_nifti(tmp_path / name, VOLUME)
    opened = open_image(tmp_path / name)
    assert opened.array.shape == (4, 5, 6)
    assert opened.array.dtype == np.uint16
    np.testing.assert_array_equal(opened.array[...], VOLUME.T)
    assert (opened.source.kind, opened.source.is_medical) == ("nifti", True)
    assert opened.source.placement.labels == ("z", "y", "x")
    assert opened.source.placement.units == ("mm",) * 3
    for x, y, z in ((0, 0, 0), (5, 4, 3), (1, 2, 3)):
        there = OBLIQUE @ (x, y, z, 1)
        np.testing.assert_allclose(world_of(opened, (z, y, x))[:3], there[2::-1], atol=1e-5)


def test_nifti_frames_are_read_along_any_axis(tmp_path):
    save_nifti(tmp_path / "v.nii", VOLUME)
    for axis, name in enumerate("zyx"):
        frames = open_frames(tmp_path / "v.nii", name)
        np.testing.assert_array_equal(frames.read(2), VOLUME.T.take(2, axis))


def test_nifti_values_are_rescaled(tmp_path):
    save_nifti(tmp_path / "v.nii", VOLUME.astype(np.int16), slope_inter=(0.5, -100))
    opened = open_image(tmp_path / "v.nii")
    assert opened.array.dtype == np.float32
    stored = np.asarray(opened.array[...])
    import nibabel

    np.testing.assert_array_equal(stored, nibabel.load(tmp_path / "v.nii").get_fdata().T)


def test_nifti_over_time_is_a_row_of_volumes(tmp_path):
    movie = np.stack([VOLUME, VOLUME[::-1]], axis=-1)
    save_nifti(tmp_path / "m.nii.gz", movie, zooms=[(1, 1, 1, 2.5)])
    opened = open_image(tmp_path / "m.nii.gz")
    assert opened.source.placement.labels == ("t", "z", "y", "x")
    assert opened.source.placement.units[0] == "s"
    assert opened.source.placement.spacing[0] == 2.5
    frames = open_frames(tmp_path / "m.nii.gz", "z", volumes="t")
    np.testing.assert_array_equal(frames.read(4 + 2), movie[..., 2, 1].T)
    np.testing.assert_array_equal(
        open_frames(tmp_path / "m.nii.gz", "z", at={"t": 1}).read(2), movie[..., 2, 1].T
    )
    with pytest.raises(ImageError, match=r"0 \(t\): 2, 1 \(z\): 4"):
        open_frames(tmp_path / "m.nii.gz")


def test_nifti_with_spare_axes_is_a_volume(tmp_path):
    save_nifti(tmp_path / "v.nii", VOLUME[..., None, None])
    assert open_image(tmp_path / "v.nii").array.shape == (4, 5, 6)


@pytest.mark.parametrize("cut", [0, 100, 348, 380])
def test_a_nifti_that_is_cut_off_is_told_by_name(tmp_path, cut):
    save_nifti(tmp_path / "v.nii", VOLUME)
    whole = (tmp_path / "v.nii").read_bytes()
    (tmp_path / "v.nii").write_bytes(whole[:cut])
    with pytest.raises((FileFormatError, FrameReadError), match=r"v\.nii"):
        open_frames(tmp_path / "v.nii").read(3)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(-3, 3).filter(lambda v: abs(v) > 0.05), min_size=3, max_size=3),
    st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3)),
    st.lists(st.floats(-500, 500), min_size=3, max_size=3),
)
def test_any_affine_comes_through(tmp_path_factory, scale, angles, origin):
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(angles).as_matrix() * scale
    affine[:3, 3] = origin
    path = tmp_path_factory.mktemp("n") / "v.nii"
    save_nifti(path, VOLUME, affine)
    opened = open_image(path)
    np.testing.assert_allclose(
        world_of(opened, (3, 1, 5))[:3], (affine @ (5, 1, 3, 1))[2::-1], atol=1e-3
    )


# DICOM

ANGLED = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), ANGLED])
def test_dicom_slices_are_ordered_by_where_they_lie(tmp_path, orientation):
    folder = save_dicom(tmp_path / "ct", TALL, orientation=orientation)
    (folder / "notes.txt").write_text("not an image")
    opened = open_image(folder)
    np.testing.assert_array_equal(opened.array[...], TALL.astype(int) - 1024)
    assert opened.array.dtype == np.int16
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    there = (
        np.array([-10, 20, 5]) + 3 * 2 * np.cross(row, column) + 2 * 0.5 * column + 4 * 0.7 * row
    )
    np.testing.assert_allclose(world_of(opened, (3, 2, 4))[:3], there[::-1])
    assert opened.source.placement.spacing == pytest.approx((2, 0.5, 0.7))
    assert opened.limits == (-160, 240)
    assert opened.source.is_medical


def test_dicom_is_read_slice_by_slice(tmp_path, monkeypatch):
    import pydicom

    folder = save_dicom(tmp_path / "ct", TALL)
    frames = open_frames(folder)
    read = []
    real = pydicom.dcmread
    monkeypatch.setattr(
        pydicom, "dcmread", lambda path, **options: read.append(path) or real(path, **options)
    )
    np.testing.assert_array_equal(frames.read(3), TALL[3].astype(int) - 1024)
    assert len(read) == 1


def test_dicom_in_fractions_is_real_numbers(tmp_path):
    folder = save_dicom(tmp_path / "pet", TALL, rescale=(0.25, 0))
    opened = open_image(folder)
    assert opened.array.dtype == np.float32
    np.testing.assert_array_equal(opened.array[...], TALL * np.float32(0.25))


def test_of_several_series_one_is_chosen(tmp_path):
    save_dicom(tmp_path / "ct", TALL, series="1.2.3.1", SeriesDescription="thin")
    save_dicom(tmp_path / "ct", TALL[:2] + 1, series="1.2.3.2", SeriesDescription="scout")
    with pytest.raises(FileFormatError, match=r"2 series.*1\.2\.3\.1 \(5 images, thin\)"):
        open_image(tmp_path / "ct")
    chosen = open_image(tmp_path / "ct", series="1.2.3.2")
    np.testing.assert_array_equal(chosen.array[0], TALL[0].astype(int) + 1 - 1024)
    with pytest.raises(FileFormatError, match="0 are meant"):
        open_image(tmp_path / "ct", series="9")


def test_a_missing_slice_is_told_with_its_neighbours(tmp_path):
    folder = save_dicom(tmp_path / "ct", TALL, shuffle=False)
    (folder / "1.2.3.1-002.dcm").unlink()
    with pytest.raises(ImageError, match=r"001\.dcm and 1\.2\.3\.1-003\.dcm .* 4 mm are missing"):
        open_image(folder)


def test_two_slices_at_one_place_are_refused(tmp_path):
    save_dicom(tmp_path / "ct", TALL)
    folder = save_dicom(tmp_path / "again", TALL[:1])
    next(folder.iterdir()).rename(tmp_path / "ct" / "copy.dcm")
    with pytest.raises(ImageError, match="lie at one place"):
        open_image(tmp_path / "ct")


def test_slices_that_are_not_parallel_or_not_alike_are_refused(tmp_path):
    save_dicom(tmp_path / "ct", TALL)
    scout = save_dicom(tmp_path / "scout", TALL[:1], orientation=(0, 1, 0, 0, 0, 1))
    next(scout.iterdir()).rename(tmp_path / "ct" / "scout.dcm")
    with pytest.raises(ImageError, match="not parallel"):
        open_image(tmp_path / "ct")
    save_dicom(tmp_path / "other", TALL[:, :4])
    save_dicom(tmp_path / "other", TALL[:1], origin=(0, 0, -99), shuffle=True, StudyID="x")
    with pytest.raises(ImageError, match="differ in size"):
        open_image(tmp_path / "other")


def test_uneven_slices_are_told(tmp_path, caplog):
    folder = save_dicom(tmp_path / "ct", TALL, shuffle=False)
    import pydicom

    moved = pydicom.dcmread(folder / "1.2.3.1-002.dcm")
    moved.ImagePositionPatient = [-10.0, 20.0, 9.4]
    moved.save_as(folder / "1.2.3.1-002.dcm")
    assert open_image(folder).source.placement.spacing[0] == 2
    assert "1.6 to 2.4 mm apart" in caplog.text


def changed(folder, number, **tags):
    import pydicom

    item = pydicom.dcmread(folder / f"1.2.3.1-{number:03d}.dcm")
    for name, value in tags.items():
        if value is None:
            delattr(item, name)
        else:
            setattr(item, name, value)
    item.save_as(folder / f"1.2.3.1-{number:03d}.dcm")
    return folder


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": [5.0, 5.0]}, "differ in the size of their pixels"),
        ({"PixelSpacing": None}, "differ in the size of their pixels"),
        ({"ImagePositionPatient": [50.0, 20.0, 9.0]}, r"002\.dcm of ct lies 60 mm beside"),
    ],
)
def test_a_slice_that_differs_from_the_others_is_refused(tmp_path, tags, message):
    folder = save_dicom(tmp_path / "ct", TALL, shuffle=False)
    with pytest.raises(ImageError, match=message):
        open_image(changed(folder, 2, **tags))


def test_a_tilted_gantry_is_a_shear_and_no_mistake(tmp_path):
    folder = save_dicom(tmp_path / "ct", TALL, shuffle=False)
    for z in range(len(TALL)):
        changed(folder, z, ImagePositionPatient=[-10.0, 20.0 + 0.8 * z, 5.0 + 2.0 * z])
    placement = open_image(folder).source.placement
    np.testing.assert_allclose(placement.as_array()[:3, 0], (2, 0.8, 0), atol=1e-9)


def test_a_series_among_many_other_files_is_found(tmp_path):
    folder = save_dicom(tmp_path / "ct", TALL)
    for number in range(70):
        (folder / f"{number}.txt").write_text("x")
        (folder / f"0{number}").write_text("x")
    np.testing.assert_array_equal(open_image(folder).array[0], TALL[0].astype(int) - 1024)
    with pytest.raises(FileFormatError, match="it has folders: ct"):
        open_image(tmp_path)


def test_packed_nifti_is_unpacked_once(tmp_path, monkeypatch):
    import nibabel

    save_nifti(tmp_path / "v.nii.gz", VOLUME)
    frames = open_frames(tmp_path / "v.nii.gz")
    read = []
    real = nibabel.arrayproxy.ArrayProxy._get_unscaled
    monkeypatch.setattr(
        nibabel.arrayproxy.ArrayProxy,
        "_get_unscaled",
        lambda self, slicer: read.append(1) or real(self, slicer),
    )
    for t in (3, 0, 2):
        np.testing.assert_array_equal(frames.read(t), VOLUME.T[t])
    assert len(read) == 1


def test_one_dicom_file_is_one_frame_also_without_a_suffix(tmp_path):
    folder = save_dicom(tmp_path / "ct", TALL[:1])
    file = next(folder.iterdir()).rename(tmp_path / "IM0001")
    frames = open_frames(file)
    assert (len(frames), frames.shape) == (1, (6, 7))


def test_one_file_of_many_frames(tmp_path):
    from pydicom import dcmread
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    folder = save_dicom(tmp_path / "ct", TALL[:1])
    item = dcmread(next(folder.iterdir()))
    item.NumberOfFrames = len(TALL)
    item.PixelData = TALL[::-1].astype("<u2").tobytes()
    groups = []
    for z in range(len(TALL))[::-1]:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, 3.0 * z]
        group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    item.PerFrameFunctionalGroupsSequence = Sequence(groups)
    item.save_as(tmp_path / "many.dcm")
    opened = open_image(tmp_path / "many.dcm")
    np.testing.assert_array_equal(opened.array[...], TALL.astype(int) - 1024)
    assert opened.source.placement.spacing[0] == pytest.approx(3)


def test_a_cine_without_places_is_frames_over_time(tmp_path):
    from pydicom import dcmread

    item = dcmread(next(save_dicom(tmp_path / "us", TALL[:1]).iterdir()))
    item.NumberOfFrames, item.PixelData = len(TALL), TALL.astype("<u2").tobytes()
    item.save_as(tmp_path / "cine.dcm")
    opened = open_image(tmp_path / "cine.dcm")
    assert opened.source.placement.labels == ("t", "y", "x")
    np.testing.assert_array_equal(opened.array[3], TALL[3].astype(int) - 1024)


@pytest.mark.parametrize("cut", [140, 600])
def test_a_dicom_that_is_cut_off_is_told(tmp_path, cut):
    folder = save_dicom(tmp_path / "ct", TALL, shuffle=False)
    file = folder / "1.2.3.1-002.dcm"
    file.write_bytes(file.read_bytes()[:cut] if cut < 200 else file.read_bytes()[:-30])
    with pytest.raises((FileFormatError, FrameReadError, ImageError)):
        open_frames(folder).read(2)


# NRRD


def test_nrrd_comes_with_its_directions(tmp_path):
    import nrrd

    directions = OBLIQUE[:3, :3].T
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": [1, 2, 3],
    }
    nrrd.write(str(tmp_path / "v.nrrd"), VOLUME, header)
    opened = open_image(tmp_path / "v.nrrd")
    np.testing.assert_array_equal(opened.array[...], VOLUME.T)
    there = OBLIQUE[:3, :3] @ (5, 4, 3) + (1, 2, 3)
    there *= (-1, -1, 1)  # left and posterior count the other way round
    np.testing.assert_allclose(world_of(opened, (3, 4, 5))[:3], there[::-1])
    (tmp_path / "v.nrrd").write_bytes((tmp_path / "v.nrrd").read_bytes()[:300])
    with pytest.raises((FileFormatError, FrameReadError), match=r"v\.nrrd"):
        open_image(tmp_path / "v.nrrd")


def test_one_place_of_the_patient_is_one_place_of_the_world(tmp_path):
    import nrrd

    for space, sign in (("left-posterior-superior", -1), ("RAS", 1)):
        directions = np.diag([sign, sign, 1.0])
        header = {
            "space": space,
            "space directions": directions,
            "space origin": [sign, 2 * sign, 3],
        }
        nrrd.write(str(tmp_path / f"{space}.nrrd"), VOLUME, header)
    first, second = (open_image(file).source.placement for file in tmp_path.glob("*.nrrd"))
    assert first == second


def test_pixels_of_nrrd_lie_beside_their_header(tmp_path):
    text = (
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
        "endian: little\ndata file: {}\n\n"
    )
    (tmp_path / "v.nhdr").write_text(text.format("../secret.raw"))
    with pytest.raises(FileFormatError, match="lie elsewhere"):
        open_image(tmp_path / "v.nhdr")
    (tmp_path / "v.nhdr").write_text(text.format("v.raw").replace("2 2 2", "99999 99999 99999"))
    with pytest.raises(ImageError, match="read as a whole"):
        open_image(tmp_path / "v.nhdr")


def test_nrrd_without_a_space_has_its_spacings(tmp_path):
    import nrrd

    nrrd.write(str(tmp_path / "v.nrrd"), VOLUME, {"spacings": [0.5, 0.6, 2]})
    placement = open_image(tmp_path / "v.nrrd").source.placement
    assert placement.spacing == (2, 0.6, 0.5)
    assert placement.units == ("pixel",) * 3


# What is not installed


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [("v.nii", "nibabel", "nifti"), ("v.nrrd", "nrrd", "nrrd"), ("v.dcm", "pydicom", "dicom")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path, monkeypatch, name, library, extra
):
    import sys

    (tmp_path / name).write_bytes(b"whatever")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FileFormatError, match=rf"'{library}'.*napari-sam2\[{extra}\]"):
        open_image(tmp_path / name)
