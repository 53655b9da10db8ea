from __future__ import annotations

import numpy as np

from napari_sam2.core.references import ReferenceStack


def _stack(kind):
    labels = np.zeros((9, 2, 3), np.uint16)
    labels[:, 0] = np.arange(9)[:, None] % 3 + 1
    return ReferenceStack("a", np.arange(9 * 6).reshape(9, 2, 3), labels, kind)


def test_the_few_frames_of_a_time_lapse_are_the_first_ones():
    short = _stack("time").limited(frames=3)
    assert short.image.shape == short.labels.shape == (3, 2, 3)
    assert short.image[0, 0, 0] == 0


def test_the_few_frames_of_a_z_stack_are_the_middle_ones():
    assert _stack("z").limited(frames=3).image[0, 0, 0] == 3 * 6


def test_more_frames_than_there_are_is_all_of_them():
    for kind in ("time", "z"):
        assert _stack(kind).limited(frames=100).image.shape == (9, 2, 3)


def test_objects_are_limited_to_the_lowest_ids_on_the_chosen_frames():
    stack = _stack("time")
    assert np.unique(stack.limited(objects=2).labels).tolist() == [0, 1, 2]
    stack.labels[0] = 0
    assert np.unique(stack.limited(frames=3, objects=1).labels).tolist() == [0, 2]
    assert np.unique(stack.labels).tolist() == [0, 1, 2, 3]


def test_an_image_with_colours_is_known_by_its_axes():
    labels = np.zeros((2, 4, 4), np.uint8)
    assert ReferenceStack("rgb", np.zeros((2, 4, 4, 3)), labels).is_rgb
    assert not ReferenceStack("grey", np.zeros((2, 4, 4)), labels).is_rgb
