"""A session file is done again without a window: the same labels, whatever happened in between."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_sam2.api import Session
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.io.images import open_image
from napari_sam2.testing import moving_discs

DISCS, TRUTH = moving_discs(num_frames=5, size=48, num_objects=2, seed=0)
STACK = DISCS.astype(np.uint16) * 40


@pytest.fixture
def saved(tmp_path, random_nano):
    """A session of two objects and some history, its image, and the labels that it showed."""
    np.save(tmp_path / "stack.npy", STACK)
    session = Session(tmp_path / "stack.npy", model=random_nano, limits=(400, 9000))
    session.add_points(1, 1, [(20, 20)])
    list(session.propagate())
    session.add_mask(2, 3, TRUTH[3] == 2)
    list(session.propagate(objects=[2]))
    session.add_box(1, 4, (5, 5, 30, 30))
    session.undo()
    session.describe(2, ObjectInfo("second"))
    session.save(tmp_path / "x.sam2.json")
    return tmp_path / "x.sam2.json", np.asarray(session.labels[...])


def labels_of(path):
    return np.asarray(open_image(path).array[...])


def test_the_labels_are_the_same_to_the_bit(call, saved, tmp_path):
    path, expected = saved
    code, out, err = call(
        "run", path, "-o", tmp_path / "l.tif", "--overlay", tmp_path / "o.png", "--json"
    )
    assert code == 0, err
    np.testing.assert_array_equal(labels_of(tmp_path / "l.tif"), expected)
    report = json.loads(out)
    assert report["objects"] == [1, 2]
    assert report["limits"] == [400, 9000]


def test_without_its_masks_too_and_on_another_image(call, saved, tmp_path):
    path, expected = saved
    for file in tmp_path.glob("*.masks"):
        file.unlink()
    (tmp_path / "else").mkdir()
    (tmp_path / "stack.npy").rename(tmp_path / "else" / "moved.npy")
    code, _, err = call("run", path, "-o", tmp_path / "l.tif")
    assert code == 2
    assert "stack.npy; bring it back, or say where it is now" in err
    code, _, err = call(
        "run", path, "--image", tmp_path / "else" / "moved.npy", "-o", tmp_path / "l.tif"
    )
    assert code == 0, err
    np.testing.assert_array_equal(labels_of(tmp_path / "l.tif"), expected)


def test_a_folder_that_is_moved_with_its_session_still_works(call, saved, tmp_path):
    path, expected = saved
    moved = tmp_path.with_name(f"{tmp_path.name} moved")
    shutil.move(tmp_path, moved)
    code, _, err = call("run", moved / path.name, "-o", moved / "l.tif")
    assert code == 0, err
    np.testing.assert_array_equal(labels_of(moved / "l.tif"), expected)


def test_opened_in_python_all_masks_are_there_without_a_model(saved, monkeypatch):
    path, expected = saved
    from napari_sam2 import api

    def fail(*arguments, **options):
        raise AssertionError("no model is needed")

    monkeypatch.setattr(api, "make_segmenter", fail)
    session = Session.open(path)
    np.testing.assert_array_equal(session.labels[...], expected)
    assert session.changed == ()
    assert session.info(2).name == "second"
    assert session.source.path.endswith("stack.npy")


def test_on_an_image_that_has_changed_masks_are_to_be_tracked_again(saved, tmp_path, caplog):
    path, _ = saved
    changed = STACK.copy()
    changed[4, 0, 0] += 1
    np.save(tmp_path / "stack.npy", changed)
    session = Session.open(path)
    assert session.changed == (1, 2)
    assert "has changed, at least on frames 4" in caplog.text


def test_with_other_weights_masks_are_to_be_tracked_again(saved, caplog):
    path, _ = saved
    session = Session.open(path, model="nano")
    assert session.changed == (1, 2)
    assert "was made with other weights" in caplog.text


def test_a_row_of_volumes_and_channels_come_back(tmp_path, random_nano):
    import zarr

    image = np.stack([np.stack([STACK[:3], STACK[2:]]), np.stack([STACK[2:], STACK[:3]])])
    zarr.create_array(tmp_path / "a.zarr", data=image, dimension_names=["t", "c", "z", "y", "x"])
    options = {"axis": "z", "volumes": "t", "channel": (1, 0)}
    session = Session(tmp_path / "a.zarr", model=random_nano, **options)
    session.add_points(1, 4, [(20, 20)])
    list(session.propagate())
    session.save(tmp_path / "v.sam2.json")
    opened = Session.open(tmp_path / "v.sam2.json")
    assert opened.stack_view == session.stack_view
    np.testing.assert_array_equal(opened.frames.read(4), session.frames.read(4))
    np.testing.assert_array_equal(opened.labels[...], session.labels[...])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--axis", "1"], "says itself what --axis would say"),
        (["--channel", "1", "--limits", "0", "1"], "--limits, --channel"),
    ],
)
def test_what_the_session_says_is_not_said_twice(refuse, saved, tmp_path, options, message):
    assert message in refuse("run", saved[0], "-o", tmp_path / "l.tif", *options)


def test_without_prompts_an_image_is_not_enough(refuse, saved, tmp_path):
    message = refuse("run", tmp_path / "stack.npy", "-o", tmp_path / "l.tif")
    assert "give --prompts, or a session file" in message


def test_nothing_that_is_read_from_is_written_over(refuse, saved, tmp_path):
    before = saved[0].read_bytes()
    (tmp_path / "a.tif").write_bytes(b"x")
    assert "is what is read from" in refuse(
        "run", saved[0], "--image", tmp_path / "a.tif", "-o", tmp_path / "a.tif", "--overwrite"
    )
    assert saved[0].read_bytes() == before


def test_an_image_that_lies_elsewhere_is_named_when_it_is_opened(call, saved, tmp_path):
    path, _ = saved
    _, _, err = call("run", path, "--out", tmp_path / "beside.tif")
    assert "opens its image" not in err
    (tmp_path / "far").mkdir()
    Session.open(path).save(tmp_path / "far" / "y.sam2.json")
    code, _, err = call("run", tmp_path / "far" / "y.sam2.json", "--out", tmp_path / "labels.tif")
    assert code == 0
    assert f"y.sam2.json opens its image: {tmp_path / 'stack.npy'}" in err
