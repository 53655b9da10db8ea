"""Hostile images: codecs that are programs, bombs, and headers that say what is not so; all of them refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from tests.security import crafted_images as crafted
from tests.security.test_checkpoints import watched

from napari_sam2.core.errors import FileFormatError, NapariSam2Error
from napari_sam2.io.images import open_frames
from napari_sam2.io.images.zarr_metadata import (
    ArrayFacts,
    check_members,
    check_metadata,
    is_inside,
)
from napari_sam2.io.images.zarr_store import require_size

ZARRS = dict(crafted.zarrs())
FILES = dict(crafted.files())
HONEST_FILES = {"a.nii": crafted.nifti(), "a.nrrd": crafted.nrrd(), "a.tif": crafted.tiff()}


def write_zarr(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "files"), [pytest.param(*item, id=item[0]) for item in crafted.honest()]
)
def test_an_honest_zarr_is_read(tmp_path, name, files):
    frames = open_frames(write_zarr(tmp_path / "a.zarr", files))
    np.testing.assert_array_equal(frames.read(1).ravel(), np.arange(72))


@pytest.mark.parametrize(("name", "content"), HONEST_FILES.items(), ids=HONEST_FILES)
def test_an_honest_file_is_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert open_frames(tmp_path / name).read(0).shape == (8, 9)


def test_the_corpus_has_the_size_that_is_promised():
    assert len(ZARRS) >= 110
    assert len(FILES) >= 40


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A folder of images that are what they say."""
    folder = tmp_path_factory.mktemp("honest")
    for name, files in crafted.honest():
        write_zarr(folder / f"{name}.zarr", files)
    np.save(folder / "a.npy", np.zeros((2, 8, 9), np.uint8))
    np.savez(folder / "a.npz", image=np.zeros((2, 8, 9), np.uint8))
    for name, content in HONEST_FILES.items():
        (folder / name).write_bytes(content)
    return folder


def check(told, names):
    assert set(told) == set(names)
    assert {
        name: item["outcome"] for name, item in told.items() if item["outcome"] != "refused"
    } == {}
    assert {name: item["events"] for name, item in told.items() if item["events"]} == {}


def test_types_and_codecs_are_told_by_their_metadata_alone(tmp_path):
    """Nothing of an array is read to find out; what only its chunks tell is refused when they are read."""
    refused = set()
    for number, (name, files) in enumerate(ZARRS.items()):
        folder = write_zarr(tmp_path / f"{number}.zarr", files)
        try:
            check_metadata(folder)
            check_members(folder)
        except FileFormatError:
            refused.add(name)
    evil = {name for name in ZARRS if any(word in name for word in ("pickle", "type", "codec '"))}
    evil.remove("v2 a chunk that is a pickle")  # its metadata are honest: it is taken for numbers
    assert len(evil) > 40
    assert evil <= refused


def test_every_hostile_zarr_is_refused_and_nothing_is_run(tmp_path, honest):
    folder, place = tmp_path / "corpus", tmp_path / "place"
    place.mkdir()
    names = {}
    for number, (name, files) in enumerate(ZARRS.items()):
        names[f"{number}.zarr"] = name
        write_zarr(folder / f"{number}.zarr", files)
    told = {names[name]: item for name, item in watched("images", folder, place, honest).items()}
    check(told, ZARRS)
    assert list(place.iterdir()) == []


def test_every_other_hostile_image_is_refused_and_nothing_is_run(tmp_path, honest):
    folder, place = tmp_path / "corpus", tmp_path / "place"
    folder.mkdir()
    place.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    check(watched("images", folder, place, honest), FILES)
    assert list(place.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on Windows")
@pytest.mark.parametrize("name", [".zarray", ".zattrs", "0.0.0"])
def test_nobody_waits_for_a_pipe_in_a_zarr(tmp_path, name):
    folder = write_zarr(tmp_path / "a.zarr", crafted.v2(bytes(72)))
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(NapariSam2Error, match="pipe or a device"):
        open_frames(folder).read(0)


@pytest.mark.parametrize(
    ("name", "inside"),
    [("0", True), ("a/b", True), ("a/../b", False), ("/a", False), ("a//b", False), ("a:b", False)],
)
def test_arrays_of_a_group_lie_in_it(name, inside):
    assert is_inside(name) == inside


@pytest.mark.parametrize("name", [name for name in ZARRS if "a bomb of" in name])
def test_a_bomb_takes_no_memory(tmp_path, name):
    frames = open_frames(write_zarr(tmp_path / "a.zarr", ZARRS[name]))
    tracemalloc.start()
    with pytest.raises(NapariSam2Error, match="unpacks to more"):
        frames.read(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_what_is_cut_or_damaged_is_left_to_the_codec():
    for compressor in ("gzip", "zlib", "bz2", "lzma", "zstd", "blosc", "lz4", ""):
        for data in (b"", b"x", b"\x1f\x8b\x08\0\0\0\0\0\0\0", bytes(100)):
            if not (compressor in ("lz4", "blosc") and len(data) == 100):
                require_size(data, ArrayFacts(compressor, 1 << 40))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_lies_are_refused_within_one_and_a_half_gigabytes(tmp_path):
    """Row 8 of the faults: a chunk, a frame and a page that would not fit are refused by what is said of them."""
    code = f"""
import sys; sys.path[:] = {sys.path!r}
import resource, zarr, tifffile, pathlib
from napari_sam2.io.images import open_frames
from napari_sam2.core.errors import FileFormatError, NapariSam2Error
resource.setrlimit(resource.RLIMIT_AS, ({3 << 29}, {3 << 29}))
for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
    try:
        open_frames(path).read(0)
        print(path.name, "was read")
    except NapariSam2Error as error:
        assert not isinstance(error.__cause__, MemoryError), path
"""
    for name in (
        "v2 a plane of 2 PB",
        "v2 frames of 200 GB",
        "v2 a chunk of 18 GiB",
        "v2 a zstd head that lies",
        "v3 a bomb of gzip",
    ):
        write_zarr(tmp_path / f"{name}.zarr", ZARRS[name])
    for name in ("huge.tif", "large frames.tif", "a bomb.tif", "huge.nrrd", "a bomb.npz"):
        (tmp_path / name).write_bytes(FILES[name])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
