from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.objects import (
    from_labels,
    mean_over_objects,
    measure_objects,
    object_ids,
    prompt_frames,
)
from napari_sam2.evaluation.region import region_similarity


@pytest.fixture
def reference():
    """Object 1 on frames 0, 1, 3 with areas 2, 4, 2; object 2 on frame 2 alone; object 5 on frames 1 and 2."""
    labels = np.zeros((4, 6, 6), np.uint16)
    labels[0, 0, :2] = 1
    labels[1, 0, :4] = 1
    labels[3, 0, :2] = 1
    labels[2, 5, :3] = 2
    labels[1, 3, :2] = 5
    labels[2, 3, :2] = 5
    return labels


def test_background_is_no_object(reference):
    assert object_ids(reference) == (1, 2, 5)
    assert object_ids(np.zeros((2, 3, 3), np.uint16)) == ()


def test_a_time_lapse_is_prompted_at_first_appearance(reference):
    assert prompt_frames(reference, "first") == {1: 0, 2: 2, 5: 1}


def test_a_z_stack_is_prompted_on_the_largest_section_the_earlier_of_a_tie(reference):
    assert prompt_frames(reference, "largest") == {1: 1, 2: 2, 5: 1}


def test_scored_are_the_frames_of_the_reference_but_the_prompted_one(reference):
    prompted = prompt_frames(reference, "largest")
    scores = measure_objects(from_labels(reference), reference, prompted, region_similarity)
    assert [(score.object_id, score.frames) for score in scores] == [(1, (0, 3)), (5, (2,))]


def test_a_set_is_the_mean_of_objects_not_of_frames(reference):
    prediction = reference.copy()
    prediction[3] = 0  # object 1: frame 0 right, frame 3 lost; object 5 right
    prompted = prompt_frames(reference, "largest")
    scores = measure_objects(from_labels(prediction), reference, prompted, region_similarity)
    assert [score.values for score in scores] == [(1.0, 0.0), (1.0,)]
    assert mean_over_objects(scores) == pytest.approx((0.5 + 1.0) / 2)


def test_no_objects_have_no_score():
    assert np.isnan(mean_over_objects([]))
