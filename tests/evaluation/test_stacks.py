from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.session import Session
from napari_sam2.evaluation.stacks import (
    Stack,
    evaluate_stack,
    group_means,
    read_stack,
    read_stacks,
    results_json,
    summary_table,
    validation_stacks,
)
from napari_sam2.testing import FakeSegmenter, moving_discs


def open_session(image):
    """A session on the fake model, which is right on moving discs."""
    frames = ArrayFrames(image, StackView.default(3, 0))
    return Session(frames, InlineEngine(FakeSegmenter(frames)))


@pytest.fixture
def discs():
    video, labels = moving_discs(8, 64, 2)
    return Stack("discs", video, labels, "generated", "first")


def write_set(folder, name, kind, image, labels):
    np.savez(folder / f"{name}.npz", image=image, labels=labels)
    (folder / f"{name}.json").write_text(json.dumps({"kind": kind}))


def test_one_click_an_object_is_carried_through_and_scored(discs):
    steps = []
    result = evaluate_stack(discs, open_session, "click", lambda *step: steps.append(step))
    assert result.mean_J > 0.95
    assert result.mean_F > 0.95
    assert [(row.object_id, row.prompted_frame, row.frames) for row in result.objects] == [
        (1, 0, 7),
        (2, 0, 7),
    ]
    assert result.copy_J < 0.6
    assert result.otsu_J is not None
    assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert result.seconds_per_frame > 0


def test_a_z_stack_is_prompted_by_mask_on_the_largest_section_and_tracked_both_ways(discs):
    labels = np.where(np.arange(8)[:, None, None] >= 6, 0, discs.labels)
    labels[0][np.cumsum(labels[0] == 1).reshape(labels[0].shape) > 20] = 0
    stack = Stack("z", discs.image, labels, "medical", "largest")
    result = evaluate_stack(stack, open_session, "mask")
    assert result.otsu_J is None
    first = result.objects[0]
    assert 0 < first.prompted_frame < 6
    assert first.frames == 5


def test_limits_keep_a_run_short(discs):
    short = discs.limited(frames=slice(0, 3), objects=1)
    assert short.image.shape == short.labels.shape == (3, 64, 64)
    assert np.unique(short.labels).tolist() == [0, 1]
    assert np.unique(discs.labels).tolist() == [0, 1, 2]


def test_folders_of_stacks_are_read_by_kind(tmp_path, discs):
    write_set(tmp_path, "b_time", "microscopy-time", discs.image, discs.labels)
    write_set(tmp_path, "a_ct", "ct", discs.image, discs.labels)
    stacks = list(read_stacks(tmp_path))
    assert [(stack.name, stack.group, stack.prompt_frame) for stack in stacks] == [
        ("a_ct", "medical", "largest"),
        ("b_time", "microscopy", "first"),
    ]


def test_a_stack_without_description_or_labels_is_refused(tmp_path, discs):
    write_set(tmp_path, "good", "ct", discs.image, discs.labels)
    (tmp_path / "good.json").unlink()
    with pytest.raises(FileFormatError, match=r"good\.json"):
        read_stack(tmp_path / "good.npz")
    np.savez(tmp_path / "good.npz", image=discs.image)
    (tmp_path / "good.json").write_text('{"kind": "ct"}')
    with pytest.raises(FileFormatError, match="labels"):
        read_stack(tmp_path / "good.npz")
    write_set(tmp_path, "good", "ct", discs.image, discs.labels[:, 1:])
    with pytest.raises(FileFormatError, match="differ in shape"):
        read_stack(tmp_path / "good.npz")


def test_groups_are_averaged_over_stacks_and_written_with_every_object(discs):
    results = [
        evaluate_stack(discs, open_session, "click"),
        evaluate_stack(discs.limited(slice(0, 2)), open_session, "click"),
    ]
    (mean,) = group_means(results)
    assert mean.mean_J == pytest.approx((results[0].mean_J + results[1].mean_J) / 2)
    assert summary_table(results).count("\n") == 3
    content = json.loads(results_json("fake", "1", results))
    assert content["model"] == "fake"
    assert content["means"][0]["mean_J"] == pytest.approx(mean.mean_J)
    assert len(content["stacks"][0]["objects"]) == 2


def test_a_stack_with_nothing_to_score_is_null_not_nan(discs):
    result = evaluate_stack(discs.limited(slice(0, 1)), open_session, "click")
    assert math.isnan(result.mean_J)
    content = json.loads(results_json("fake", "1", [result]), parse_constant=pytest.fail)
    assert content["stacks"][0]["mean_J"] is None


def test_validation_stacks_are_the_frozen_sequences():
    (stack,) = validation_stacks([4])
    assert (stack.name, stack.group, stack.prompt_frame) == ("generated_04", "generated", "first")
    assert stack.image.dtype == np.uint8
