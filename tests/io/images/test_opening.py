"""Stacks from files: every format gives the same frames, lazily, and a bad file gets one clear error."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from skimage.io import imsave

from napari_sam2.core.errors import FileFormatError, FrameReadError, ImageError, NapariSam2Error
from napari_sam2.io.images import open_frames
from napari_sam2.io.images import pictures as reading

STACK = np.random.default_rng(0).integers(0, 60_000, (4, 5, 6), np.uint16)


def save_tiff(path, array, **options):
    tifffile.imwrite(path, array, photometric="minisblack", **options)


def save_npz(path, array):
    np.savez_compressed(path, image=array, labels=np.zeros_like(array))


def save_zarr(path, array, **options):
    zarr.create_array(path, data=array, chunks=(1, *array.shape[1:]), **options)


def save_ome_zarr(path, array):
    group = zarr.create_group(path)
    group.create_array("full", data=array)
    group.create_array("half", data=array[..., ::2, ::2])
    levels = {"datasets": [{"path": "full"}, {"path": "half"}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [levels]}


def save_folder(path, array):
    path.mkdir()
    (path / "notes.txt").write_text("not a picture")
    for t, frame in enumerate(array):
        imsave(path / f"frame_{t + 8}.png", frame, check_contrast=False)


FORMATS = {
    "plain.tif": save_tiff,
    "compressed.TIFF": lambda path, array: save_tiff(path, array, compression="zlib"),
    "imagej.tif": lambda path, array: save_tiff(path, array, imagej=True),
    "big endian.tif": lambda path, array: save_tiff(path, array, byteorder=">"),
    "stack.npy": np.save,
    "stack.npz": save_npz,
    "stack.zarr": save_zarr,
    "v2.zarr": lambda path, array: save_zarr(path, array, zarr_format=2),
    "pyramid.ome.zarr": save_ome_zarr,
    "folder": save_folder,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_frames(tmp_path, name):
    FORMATS[name](tmp_path / name, STACK)
    frames = open_frames(tmp_path / name)
    assert (len(frames), frames.shape, frames.dtype) == (4, (5, 6), np.dtype(np.uint16))
    for t in (3, 0, 1, 2):
        np.testing.assert_array_equal(frames.read(t), STACK[t])


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "folder"])
@pytest.mark.parametrize("axis", [1, 2])
def test_any_axis_can_be_the_frame_axis(tmp_path, name, axis):
    FORMATS[name](tmp_path / name, STACK)
    frames = open_frames(tmp_path / name, axis)
    np.testing.assert_array_equal(frames.read(2), STACK.take(2, axis))


@pytest.mark.parametrize("axis", [-1, 3])
def test_an_axis_out_of_range_is_refused(tmp_path, axis):
    np.save(tmp_path / "a.npy", STACK)
    with pytest.raises(ImageError, match=f"{axis}"):
        open_frames(tmp_path / "a.npy", axis)


def test_the_frames_of_a_folder_are_its_files(tmp_path):
    save_folder(tmp_path / "folder", STACK)
    with pytest.raises(ImageError, match="the axis must be 0, not 1"):
        open_frames(tmp_path / "folder", 1)


def test_only_the_frame_asked_for_is_decoded(tmp_path, monkeypatch):
    save_folder(tmp_path / "folder", STACK)
    frames = open_frames(tmp_path / "folder")
    read = []
    real = reading.read_picture
    monkeypatch.setattr(reading, "read_picture", lambda path: read.append(path.name) or real(path))
    frames.read(2)
    assert read == ["frame_10.png"]


def test_a_tiff_far_larger_than_memory_is_opened_without_reading_it(tmp_path):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, shape=(500, 8000, 8000), dtype=np.uint16, bigtiff=True)  # 64 GB, a hole
    frames = open_frames(path)
    assert len(frames) == 500
    assert frames.read(499).max() == 0


def test_colours_are_no_axis(tmp_path):
    movie = np.random.default_rng(1).integers(0, 256, (3, 5, 6, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", movie, photometric="rgb")
    np.save(tmp_path / "rgb.npy", movie)
    save_folder(tmp_path / "folder", movie)
    for name in ("rgb.tif", "rgb.npy", "folder"):
        frames = open_frames(tmp_path / name)
        assert frames.is_rgb
        np.testing.assert_array_equal(frames.read(1), movie[1])


def test_one_picture_is_one_frame_and_its_alpha_channel_is_left_out(tmp_path):
    rgba = np.random.default_rng(1).integers(0, 256, (5, 6, 4), np.uint8)
    imsave(tmp_path / "p.png", rgba, check_contrast=False)
    frames = open_frames(tmp_path / "p.png")
    assert (len(frames), frames.is_rgb) == (1, True)
    np.testing.assert_array_equal(frames.read(0), rgba[..., :3])


def test_leading_axes_of_length_one_are_left_out(tmp_path):
    np.save(tmp_path / "a.npy", STACK[None, None])
    frames = open_frames(tmp_path / "a.npy", axis=1)
    np.testing.assert_array_equal(frames.read(4), STACK[:, 4])


def test_other_axes_are_refused_and_never_guessed(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 5), np.uint16))
    with pytest.raises(ImageError, match="only stacks with one frame axis"):
        open_frames(tmp_path / "a.npy")


def test_an_archive_needs_a_key_that_is_clear(tmp_path):
    np.savez(tmp_path / "one.npz", anything=STACK)
    assert len(open_frames(tmp_path / "one.npz")) == 4
    np.savez(tmp_path / "two.npz", a=STACK, b=STACK)
    with pytest.raises(FileFormatError, match="2 arrays and none called 'image': a, b"):
        open_frames(tmp_path / "two.npz")


def test_a_zarr_group_needs_one_array_or_a_pyramid(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    with pytest.raises(FileFormatError, match="holds 0 arrays: nothing"):
        open_frames(tmp_path / "g.zarr")
    group.create_array("a", data=STACK)
    assert len(open_frames(tmp_path / "g.zarr")) == 4
    group.create_array("b", data=STACK)
    with pytest.raises(FileFormatError, match="2 arrays: a, b"):
        open_frames(tmp_path / "g.zarr")


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5, 6)), np.zeros((2, 5, 0)), np.zeros(5), np.zeros(())]
)
def test_shapes_without_frames_are_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError):
        open_frames(tmp_path / "a.npy")


def test_types_without_order_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", STACK.astype(complex))
    with pytest.raises(ImageError, match="complex"):
        open_frames(tmp_path / "a.npy")


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", image=np.array([{}], object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(FileFormatError, match="objects, and no numbers"):
            open_frames(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.npz", "a.png", "a.jpg"])
@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"II*\x00\xff\xff\xff\x7f"])
def test_damaged_files_are_told_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NapariSam2Error, match=name):
        open_frames(tmp_path / name).read(0)


def test_a_truncated_stack_gives_the_frames_it_still_has(tmp_path):
    path = tmp_path / "cut.tif"
    large = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    save_tiff(path, large)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 64 * 32)
    frames = open_frames(path)
    np.testing.assert_array_equal(frames.read(0), large[0])
    with pytest.raises(FrameReadError, match=r"frame 2 of 'cut\.tif'"):
        frames.read(2)


def test_a_picture_of_another_size_is_told_when_it_is_reached(tmp_path):
    save_folder(tmp_path / "folder", STACK)
    imsave(tmp_path / "folder" / "frame_10.png", STACK[0, :3], check_contrast=False)
    frames = open_frames(tmp_path / "folder")
    frames.read(1)
    with pytest.raises(FrameReadError, match=r"frame_10\.png is uint16"):
        frames.read(2)


def test_what_cannot_be_opened_lists_what_can(tmp_path):
    (tmp_path / "a.doc").write_bytes(b"")
    with pytest.raises(FileFormatError, match="supported are TIFF"):
        open_frames(tmp_path / "a.doc")
    with pytest.raises(FileFormatError, match="holds no pictures"):
        open_frames(tmp_path)
    with pytest.raises(FrameReadError, match="there is no file"):
        open_frames(tmp_path / "none.tif")


@pytest.mark.parametrize("name", ["grüße #1 ü.tif", "a b.npy", "c#d.zarr"])
def test_odd_paths_work(tmp_path, name):
    save = {".tif": save_tiff, ".npy": np.save, ".zarr": save_zarr}["." + name.rpartition(".")[2]]
    save(tmp_path / name, STACK)
    assert len(open_frames(str(tmp_path / name))) == 4
