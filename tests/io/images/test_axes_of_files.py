"""What TIFF, OME-Zarr and videos say about their axes, and how frames are chosen from many of them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr

from napari_sam2.core.errors import FileFormatError, FrameReadError, ImageError
from napari_sam2.io.images import open_frames, open_image

FIVE = np.random.default_rng(0).integers(0, 60_000, (3, 2, 4, 5, 6), np.uint16)  # (t, c, z, y, x)


def placement_of(path, **options):
    return open_image(path, **options).source.placement


# TIFF


def test_an_imagej_hyperstack_has_named_axes_and_steps(tmp_path):
    tifffile.imwrite(
        tmp_path / "h.tif",
        FIVE.transpose(0, 2, 1, 3, 4),
        imagej=True,
        resolution=(1 / 0.3, 1 / 0.25),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 1.5, "finterval": 30},
    )
    placement = placement_of(tmp_path / "h.tif")
    assert placement.labels == ("t", "z", "c", "y", "x")
    assert placement.spacing == pytest.approx((30, 1.5, 1, 0.25, 0.3))
    assert placement.units == ("s", "um", "pixel", "um", "um")


def test_an_ome_tiff_has_named_axes_and_steps(tmp_path):
    tifffile.imwrite(
        tmp_path / "o.ome.tif",
        FIVE,
        metadata={
            "axes": "TCZYX",
            "PhysicalSizeX": 0.3,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.25,
            "PhysicalSizeZ": 2,
            "PhysicalSizeZUnit": "nm",
            "TimeIncrement": 5,
            "TimeIncrementUnit": "min",
        },
    )
    opened = open_image(tmp_path / "o.ome.tif")
    np.testing.assert_array_equal(opened.array[...], FIVE)
    assert opened.source.placement.labels == ("t", "c", "z", "y", "x")
    assert opened.source.placement.spacing == pytest.approx((5, 1, 2, 0.25, 0.3))
    assert opened.source.placement.units == ("min", "pixel", "nm", "um", "um")


def test_a_tiff_pyramid_has_levels(tmp_path):
    large = np.random.default_rng(0).integers(0, 99, (64, 96), np.uint8)
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(large, subifds=1, metadata={"axes": "YX"})
        file.write(large[::2, ::2], subfiletype=1)
    assert open_image(tmp_path / "p.tif").array.shape == (64, 96)
    coarse = open_image(tmp_path / "p.tif", level=1)
    np.testing.assert_array_equal(coarse.array[...], large[::2, ::2])
    assert coarse.source.placement.spacing == (2, 2)
    with pytest.raises(FileFormatError, match="has 2 levels, there is no level 2"):
        open_image(tmp_path / "p.tif", level=2)


def test_an_alpha_channel_of_a_tiff_is_left_out(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 255, (3, 5, 6, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    frames = open_frames(tmp_path / "a.tif")
    assert frames.is_rgb
    np.testing.assert_array_equal(frames.read(2), rgba[2, ..., :3])


def test_colours_plane_after_plane_are_frames_as_in_napari_or_channels_and_it_is_told(
    tmp_path, caplog
):
    planar = np.random.default_rng(0).integers(0, 255, (3, 9, 7), np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", planar, photometric="rgb", planarconfig="separate")
    frames = open_frames(tmp_path / "p.tif")
    np.testing.assert_array_equal(frames.read(1), planar[1])
    assert "colours plane after plane" in caplog.text
    colours = open_frames(tmp_path / "p.tif", channel=(0, 1, 2))
    assert (colours.is_rgb, len(colours)) == (True, 1)
    movie = np.stack([planar, planar[::-1]])
    tifffile.imwrite(tmp_path / "m.tif", movie, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(open_frames(tmp_path / "m.tif", channel=2).read(1), planar[0])


def test_a_tiff_of_several_images_says_which_is_opened(tmp_path, caplog):
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(np.zeros((4, 5), np.uint8), metadata={"axes": "YX"})
        file.write(np.zeros((3, 9, 9), np.uint16), metadata={"axes": "ZYX"})
    assert open_image(tmp_path / "two.tif").array.shape == (4, 5)
    assert "holds 2 images; the first is opened" in caplog.text


# numpy


def test_the_opacity_of_colours_is_left_out_and_told(tmp_path, caplog):
    rgba = np.random.default_rng(0).integers(0, 255, (3, 9, 7, 4), np.uint8)
    np.save(tmp_path / "a.npy", rgba)
    frames = open_frames(tmp_path / "a.npy")
    np.testing.assert_array_equal(frames.read(1), rgba[1, ..., :3])
    assert "opacity of its pixels is left out" in caplog.text


def test_an_archive_that_lies_or_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    import io
    import zipfile

    from napari_sam2.io.images import arrays

    def archive(shape, data):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("image.npy", header.getvalue() + data)
        return tmp_path / "a.npz"

    with pytest.raises(FileFormatError, match="says that it has 3000 bytes, and has 100"):
        open_image(archive((3, 100, 10), bytes(100)))
    assert open_image(archive((3, 10, 10), bytes(300))).array.shape == (3, 10, 10)
    monkeypatch.setattr(arrays, "DECODE_BUDGET", 200)
    with pytest.raises(FileFormatError, match="read as a whole"):
        open_image(archive((3, 10, 10), bytes(300)))


# OME-Zarr


def save_pyramid(path, version="0.5", image=FIVE):
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    group.create_array("0", data=image)
    group.create_array("1", data=image[..., ::2, ::2])

    def level(number, step):
        scale = {"type": "scale", "scale": [30, 1, 2, 0.5 * step, 0.5 * step]}
        shift = {"type": "translation", "translation": [0, 0, 7, step / 4, step / 4]}
        return {"path": str(number), "coordinateTransformations": [scale, shift]}

    names = [("t", "time", "second"), ("c", "channel", None), ("z", "space", "micrometer")]
    names += [("y", "space", "micrometer"), ("x", "space", "micrometer")]
    axes = [
        {"name": name, "type": kind, **({"unit": unit} if unit else {})}
        for name, kind, unit in names
    ]
    content = {
        "axes": axes,
        "datasets": [level(0, 1), level(1, 2)],
        "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 10, 10]}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [content]}
    else:
        group.attrs["multiscales"] = [{**content, "version": version}]
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_level_of_ome_zarr_lies_where_it_says(tmp_path, version):
    path = save_pyramid(tmp_path / "p.zarr", version)
    finest, coarse = open_image(path), open_image(path, level=1)
    np.testing.assert_array_equal(coarse.array[...], FIVE[..., ::2, ::2])
    assert finest.source.kind == "ome-zarr"
    assert finest.source.placement.labels == ("t", "c", "z", "y", "x")
    assert finest.source.placement.units == ("s", "pixel", "um", "um", "um")
    assert finest.source.placement.spacing == (30, 1, 2, 5, 5)
    assert coarse.source.placement.spacing == (30, 1, 2, 10, 10)
    assert coarse.source.placement.translate == (0, 0, 7, 5, 5)
    with pytest.raises(FileFormatError, match="has 2 levels"):
        open_image(path, level=2)


def test_a_transformation_that_is_not_known_is_refused(tmp_path):
    path = save_pyramid(tmp_path / "p.zarr")
    group = zarr.open_group(path)
    ome = dict(group.attrs["ome"])
    ome["multiscales"][0]["coordinateTransformations"] = [{"type": "affine"}]
    group.attrs["ome"] = ome
    with pytest.raises(FileFormatError, match="'affine' are not known"):
        open_image(path)


def test_plain_zarr_names_its_dimensions_and_has_no_levels(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=FIVE[:, 0, 0], dimension_names=["t", "y", "x"])
    assert placement_of(tmp_path / "a.zarr").labels == ("t", "y", "x")
    with pytest.raises(FileFormatError, match="no pyramid"):
        open_image(tmp_path / "a.zarr", level=1)
    np.save(tmp_path / "a.npy", FIVE)
    with pytest.raises(FileFormatError, match="no pyramid"):
        open_image(tmp_path / "a.npy", level=1)
    with pytest.raises(FileFormatError, match="no folder of DICOM"):
        open_image(tmp_path / "a.npy", series="1.2")


# Choosing


@pytest.fixture
def five(tmp_path):
    return save_pyramid(tmp_path / "five.zarr")


def test_axes_are_chosen_by_name_and_the_others_stand_where_it_is_said(five):
    np.testing.assert_array_equal(
        open_frames(five, "t", at={"c": 1, "z": 2}).read(2), FIVE[2, 1, 2]
    )
    np.testing.assert_array_equal(
        open_frames(five, "z", at={"t": 1}, channel=0).read(3), FIVE[1, 0, 3]
    )
    np.testing.assert_array_equal(
        open_frames(five, "y", at={0: 1}, channel=0).read(3), FIVE[1, 0, :, 3]
    )
    np.testing.assert_array_equal(
        open_frames(five, 1, at={"c": 0, "x": 5}).read(3), FIVE[:, 0, 3, :, 5]
    )


def test_a_row_of_volumes_is_chosen_by_name(five):
    frames = open_frames(five, "z", volumes="t", channel=1)
    assert len(frames) == 12
    np.testing.assert_array_equal(frames.read(4 * 2 + 3), FIVE[2, 1, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"axes 0 \(t\): 3, 1 \(c\): 2, 2 \(z\): 4, 3 \(y\): 5, 4 \(x\): 6; only stacks"),
        ({"volumes": "t"}, "a row of volumes has four"),
        ({"at": {"q": 0}}, "no axis called 'q'.*t, c, z, y, x"),
        ({"at": {"c": 0, "t": 3}}, r"axis 0 \(t\) of 'five.zarr' has 3 places, there is none at 3"),
        ({"axis": "c", "channel": 1, "at": {"t": 0}}, "no axis called 'c' that is free"),
        ({"axis": "z", "volumes": "z", "channel": 0}, "along the same axis"),
        ({"channel": (0, 1, 0, 1), "at": {"t": 0}}, "two or three channels"),
    ],
)
def test_what_is_unclear_is_told_with_all_axes(five, options, message):
    with pytest.raises(ImageError, match=message):
        open_frames(five, **options)


def test_channels_without_a_name_are_not_guessed(tmp_path):
    np.save(tmp_path / "a.npy", FIVE[0])
    with pytest.raises(ImageError, match="does not say which of its axes are channels"):
        open_frames(tmp_path / "a.npy", channel=0)
    np.testing.assert_array_equal(open_frames(tmp_path / "a.npy", at={0: 1}).read(3), FIVE[0, 1, 3])


def test_channels_are_seen_as_colours(five):
    frames = open_frames(five, "t", at={"z": 0}, channel=(1, 0))
    assert (frames.is_rgb, frames.dtype, len(frames)) == (True, np.uint8, 3)
    seen = frames.read(2)
    for number, channel in enumerate((1, 0)):
        low, high = np.percentile(FIVE[:, channel, 0], [0.5, 99.5])
        expected = np.rint(np.clip((FIVE[2, channel, 0] - low) / (high - low), 0, 1) * 255)
        assert np.abs(seen[..., number] - expected).max() <= 1
    assert not seen[..., 2].any()


def test_colours_have_no_channels(tmp_path):
    np.save(tmp_path / "rgb.npy", np.zeros((2, 5, 6, 3), np.uint8))
    with pytest.raises(ImageError, match="has colours"):
        open_frames(tmp_path / "rgb.npy", channel=0)


# Videos


def save_video(path, frames, rate=10, **options):
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1" if path.suffix == ".mkv" else "mpeg4", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if path.suffix == ".mkv" else "yuv420p"
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            for packet in stream.encode(picture):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)


MOVIE = np.random.default_rng(0).integers(0, 255, (50, 32, 48, 3), np.uint8)


def test_any_frame_of_a_video_is_exactly_the_one_of_its_number(tmp_path):
    save_video(tmp_path / "v.mkv", MOVIE)
    opened = open_image(tmp_path / "v.mkv")
    assert opened.array.shape == MOVIE.shape
    assert opened.source.placement.spacing[0] == pytest.approx(0.1)
    assert opened.source.placement.labels == ("t", "y", "x")
    frames = open_frames(tmp_path / "v.mkv")
    for t in (0, 1, 2, 2, 7, 49, 3, 0, 48, 49, 5, 45):
        np.testing.assert_array_equal(frames.read(t), MOVIE[t], err_msg=str(t))
    np.testing.assert_array_equal(opened.array[10:14, 3:5], MOVIE[10:14, 3:5])


def test_a_video_with_few_key_frames_is_read_in_any_order(tmp_path):
    bars = np.zeros((60, 32, 64, 3), np.uint8)
    for t in range(60):
        bars[t, :, t : t + 4] = 255
    save_video(tmp_path / "v.mp4", bars, gop_size=25, max_b_frames=2)
    frames = open_frames(tmp_path / "v.mp4")
    assert len(frames) == 60
    for t in (59, 30, 31, 2, 40, 0, 59):
        columns = frames.read(t)[..., 0].mean(0)
        assert abs(float((columns * np.arange(64)).sum() / columns.sum()) - (t + 1.5)) < 1


def test_a_file_that_is_no_video_is_told(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"nonsense" * 100)
    with pytest.raises((FileFormatError, FrameReadError), match=r"v\.mp4 cannot be read"):
        open_frames(tmp_path / "v.mp4")
