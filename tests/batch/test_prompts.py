"""Prompts of a job: from files, and from labels that somebody has."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_sam2.batch.job import JobSpec
from napari_sam2.batch.prompts import object_ids, read_said
from napari_sam2.core.errors import LabelsError, NapariSam2Error, OptionError
from napari_sam2.core.placement import Placement
from napari_sam2.io import images as io_images
from napari_sam2.io.masklets import write_labels


@pytest.fixture
def job(tmp_path):
    """Write a label file and return a job that takes its prompts from it."""

    def job(labels, kind="labels", **options):
        image, path = tmp_path / "image.npy", tmp_path / "labels.npy"
        np.save(image, np.zeros(labels.shape[-3:] if labels.ndim == 3 else (4, 8, 9), np.uint16))
        np.save(path, labels)
        return JobSpec("a", str(image), **{kind: str(path)}, **options)

    return job


def said(spec):
    """Object -> frame, and pixels of its mask."""
    found = {}
    for item in read_said(spec).saved.prompts:
        (prompts,) = item.frames
        (step,) = prompts.steps
        found[int(item.object_id)] = int(prompts.frame), step.mask.to_array()
    return found


def growing_square():
    """Object 3 is seen on frames 1 to 3 of (4, 8, 9), largest on frame 2; object 7 on the last two frames."""
    labels = np.zeros((4, 8, 9), np.uint16)
    labels[1, 1:3, 1:3] = labels[2, 1:5, 1:5] = labels[3, 1:2, 1:2] = 3
    labels[2:, 6:, 6:] = 7
    return labels


@pytest.mark.parametrize(("which", "frames"), [("first", {3: 1, 7: 2}), ("largest", {3: 2, 7: 2})])
def test_every_label_is_given_by_its_mask_on_one_frame(job, which, frames):
    labels = growing_square()
    found = said(job(labels, prompt_frame=which))
    assert {value: t for value, (t, _) in found.items()} == frames
    for value, (t, mask) in found.items():
        np.testing.assert_array_equal(mask, labels[t] == value)


def test_frames_along_another_axis_are_those_of_the_image(job):
    labels = np.moveaxis(growing_square(), 0, 2)
    found = said(job(labels, axis=2, prompt_frame="first"))
    assert found[3][0] == 1
    np.testing.assert_array_equal(found[3][1], labels[:, :, 1] == 3)


@pytest.mark.parametrize(("name", "frame"), [("z", 2), ("t", 1), ("", 1)])
def test_sections_are_largest_along_z_and_first_in_time(job, monkeypatch, name, frame):
    def opened(path, array="image"):
        image = real(path, array)
        placement = replace(Placement.plain(3), labels=(name, "y", "x"))
        return replace(image, source=replace(image.source, placement=placement))

    real = io_images.open_image
    monkeypatch.setattr("napari_sam2.batch.prompts.open_image", opened)
    assert said(job(growing_square()))[3][0] == frame


def test_a_segmentation_of_one_image_gives_the_objects_of_one_frame(job):
    segmentation = growing_square()[2]
    found = said(job(segmentation, "segmentation", frame=3))
    assert {value: t for value, (t, _) in found.items()} == {3: 3, 7: 3}


@pytest.mark.parametrize(
    ("options", "frame", "objects"),
    [
        ({"frame": 1}, 1, [1]),
        ({"prompt_frame": "first"}, 1, [1]),
        ({"prompt_frame": "largest"}, 2, [3, 7]),
    ],
)
def test_a_segmentation_of_all_frames_gives_the_objects_of_one(job, options, frame, objects):
    found = said(job(growing_square(), "segmentation", **options))
    assert sorted(found) == objects
    assert {t for t, _ in found.values()} == {frame}


def test_the_foreground_of_a_segmentation_is_taken_apart_into_regions(job):
    foreground = np.zeros((8, 9), bool)
    foreground[:3, :3] = foreground[5:, 5:] = foreground[3, 3] = True
    found = said(job(foreground, "segmentation"))
    assert [int(mask.sum()) for _, mask in found.values()] == [9, 1, 12]


def test_labels_in_an_archive_or_a_folder_of_pictures_are_read(job, tmp_path):
    labels = growing_square()
    np.savez(tmp_path / "labels.npz", labels=labels, image=labels * 0)
    (tmp_path / "pictures").mkdir()
    for t, frame in enumerate(labels):
        write_labels(tmp_path / "pictures" / f"{t}.tif", frame)
    spec = job(labels, prompt_frame="largest")
    for name in ("labels.npz", "pictures"):
        assert said(replace(spec, labels=str(tmp_path / name)))[3][0] == 2


@pytest.mark.parametrize(
    "labels",
    [np.zeros((4, 8, 9), np.uint8), np.ones((4, 8, 9), np.float32), -np.ones((4, 8, 9), np.int16)],
)
@pytest.mark.parametrize("kind", ["labels", "segmentation"])
def test_what_holds_no_objects_is_refused(job, labels, kind):
    with pytest.raises(LabelsError):
        read_said(job(labels, kind))


def test_colours_are_no_labels(job):
    spec = job(np.zeros((4, 8, 9, 3), np.uint8)[:, :, :, :3].astype(np.uint8))
    with pytest.raises(LabelsError, match="colours"):
        read_said(spec)


def test_a_frame_beyond_the_segmentation_is_refused(job):
    with pytest.raises(NapariSam2Error, match="frame 9"):
        read_said(job(growing_square(), "segmentation", frame=9))


def test_an_axis_that_contradicts_the_prompt_file_is_refused_and_one_that_it_leaves_open_is_not(
    tmp_path,
):
    path = tmp_path / "a.json"
    entries = [{"object": 2, "frame": 0, "points": [[1, 1]]}]
    spec = JobSpec("a", "a.tif", prompts=str(path), axis=1)
    path.write_text(json.dumps({"schema": 1, "prompts": entries}))
    assert object_ids(read_said(spec)) == (2,)
    path.write_text(json.dumps({"schema": 1, "axis": 0, "prompts": entries}))
    with pytest.raises(OptionError, match="along axis 0"):
        read_said(spec)
