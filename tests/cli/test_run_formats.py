"""``run`` on images of many axes and formats, and into all formats at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from tests.io.images.made import save_dicom, save_nifti

from napari_sam2.io.images import open_image
from napari_sam2.testing import moving_discs

DISCS = moving_discs(num_frames=4, size=48, num_objects=2, seed=0)[0].astype(np.uint16)
FIVE = np.stack(
    [np.stack([DISCS, DISCS[::-1]]), np.stack([DISCS[:, ::-1], DISCS])]
)  # t, c, z, y, x


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "p.json"

    def write(*entries, **keys):
        path.write_text(json.dumps({"schema": 1, "prompts": entries, **keys}))
        return path

    write({"object": 1, "frame": 1, "points": [[20, 20]]})
    return write


@pytest.fixture
def run(call, tmp_path, random_nano, prompts):
    def run(image, *more, out="labels.tif"):
        return call(
            "run", image, "-p", tmp_path / "p.json", "-o", tmp_path / out, "-m", random_nano, *more
        )

    return run


@pytest.fixture
def five(tmp_path):
    zarr.create_array(
        tmp_path / "five.zarr",
        data=FIVE,
        chunks=(1, 1, 1, 48, 48),
        dimension_names=["t", "c", "z", "y", "x"],
    )
    return tmp_path / "five.zarr"


def test_all_formats_are_written_at_once_and_agree(run, tmp_path):
    save_nifti(tmp_path / "ct.nii.gz", DISCS.T)
    more = [
        part
        for name in ("l.nii.gz", "l.ome.zarr", "l.csv", "l.json")
        for part in ("-o", tmp_path / name)
    ]
    code, out, err = run(tmp_path / "ct.nii.gz", *more, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert len(report["files"]) == 5
    found = [np.asarray(open_image(path).array[...]) for path in report["files"][:3]]
    assert found[0].shape == DISCS.shape
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    assert (
        open_image(tmp_path / "l.nii.gz").source.placement
        == open_image(tmp_path / "ct.nii.gz").source.placement
    )


def test_a_dicom_series_becomes_a_segmentation(run, tmp_path):
    folder = save_dicom(tmp_path / "ct", DISCS, orientation=(1, 0, 0, 0, 0, -1))
    code, _, err = run(folder, "--window", "soft-tissue", "-o", tmp_path / "seg.dcm", "--json")
    assert code == 0, err
    assert (tmp_path / "seg.dcm").stat().st_size > 1000


def test_axes_are_chosen_by_name(run, five, tmp_path):
    code, out, err = run(five, "--axis", "z", "--at", "t=1", "--channel", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["axis"] == 2
    assert open_image(tmp_path / "labels.tif").array.shape == (4, 48, 48)
    code, _, err = run(five, "--axis", "z", "--at", "0=1", "--at", "c=0", out="again.tif")
    assert code == 0, err
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "labels.tif").read_bytes()


def test_a_row_of_volumes_gives_labels_of_all_of_them(run, five, tmp_path):
    code, out, err = run(
        five, "--axis", "z", "--volumes", "t", "--channel", "1", "--json", out="l.ome.zarr"
    )
    assert code == 0, err
    assert json.loads(out)["propagated"] == 3 + 4
    assert open_image(tmp_path / "l.ome.zarr").array.shape == (2, 4, 48, 48)


def test_two_channels_are_seen_as_colours(run, five, tmp_path):
    code, _, err = run(
        five, "--axis", "z", "--at", "t=0", "--channel", "1,0", "--overlay", tmp_path / "o.png"
    )
    assert code == 0, err
    assert (tmp_path / "o.png").exists()


def test_folders_are_written_when_they_are_asked_for(run, tmp_path):
    np.save(tmp_path / "a.npy", DISCS)
    for format, name in (("ctc", "man_track.txt"), ("davis", "00003.png")):
        code, _, err = run(tmp_path / "a.npy", "--format", format, out=format)
        assert code == 0, err
        assert (tmp_path / format / name).exists()


def test_labels_on_disk_are_those_of_memory(run, tmp_path):
    np.save(tmp_path / "a.npy", DISCS)
    code, _, err = run(tmp_path / "a.npy", "-o", tmp_path / "l.zarr")
    assert code == 0, err
    live = open_image(tmp_path / "l.zarr")
    np.testing.assert_array_equal(live.array[...], open_image(tmp_path / "labels.tif").array[...])
    assert live.array.chunks == (1, 48, 48)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "c"], "such as c=1"),
        (["--channel", "a"], "such as 1 or 2,0"),
        (["--channel", "0,1,2,3"], "one to three numbers"),
        (["--axis", "-1", "--at", "t=0", "--channel", "0"], "frame axis '-1' is outside 0..2"),
        (["--axis", "q", "--at", "t=0", "--channel", "0"], "no axis called 'q'"),
        ([], "only stacks with one frame axis"),
        (["--level", "1"], "no pyramid"),
        (["--series", "1.2"], "no folder of DICOM"),
        (["--window", "heart", "--at", "t=0", "--channel", "0"], "there are: soft tissue, lung"),
        (["--window", "lung", "--limits", "0", "1"], "say two things"),
        (["--format", "gif"], "there is no format 'gif'"),
        (["--format", "ctc", "-o", "b.tif"], "about one --out"),
        (["-o", "{folder}/../{name}/l.tif"], "two results have the same name"),
        (["-o", "{folder}/l.dcm", "--at", "t=0", "--channel", "0"], "did not come from DICOM"),
    ],
)
def test_what_cannot_be_understood_is_told_and_nothing_is_written(
    refuse, five, tmp_path, random_nano, prompts, options, message
):
    before = sorted(item.name for item in tmp_path.iterdir())
    given = ["run", five, "-p", tmp_path / "p.json", "-o", tmp_path / "l.tif", "-m", random_nano]
    options = [option.format(folder=tmp_path, name=tmp_path.name) for option in options]
    assert message in refuse(*given, *options)
    assert sorted(item.name for item in tmp_path.iterdir()) == before
