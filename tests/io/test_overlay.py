"""Overlay pictures: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.io import imread

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import FileFormatError, FrameReadError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.io.overlay import choose_frames, draw_overlay, write_overlay

MAPPING = IntensityMapping(0, 1000)


def stack_with_square():
    stack = np.full((5, 40, 60), 500, np.uint16)
    labels = np.zeros((5, 40, 60), np.uint16)
    labels[:, 10:20, 10:20] = 1
    labels[:, 10:20, 20:30] = 2
    return stack, labels


def test_background_is_the_frame_and_objects_have_their_own_outline():
    stack, labels = stack_with_square()
    picture = draw_overlay(stack[0], labels[0], MAPPING)
    scale = picture.shape[0] // 40
    assert picture.shape == (40 * scale, 60 * scale, 3)
    assert scale > 1
    assert (picture[0, 0] == 127).all()
    first, second = picture[10 * scale, 12 * scale], picture[10 * scale, 25 * scale]
    assert tuple(first) != tuple(second) != (127, 127, 127)
    inside = picture[15 * scale, 15 * scale].astype(int)
    assert 0 < abs(inside - 127).sum() < abs(first.astype(int) - 127).sum()


def test_touching_objects_are_told_apart_by_their_outlines():
    stack, labels = stack_with_square()
    picture = draw_overlay(stack[0], labels[0], MAPPING)
    scale = picture.shape[0] // 40
    left, right = picture[15 * scale, 20 * scale - 1], picture[15 * scale, 20 * scale]
    assert tuple(left) != tuple(right)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (39, 59), (15.4, 15.4)])
def test_prompts_are_marked_also_at_the_edge_of_the_frame(y, x):
    stack, labels = stack_with_square()
    plain = draw_overlay(stack[0], labels[0], MAPPING)
    positive = draw_overlay(stack[0], labels[0], MAPPING, [(y, x, True)])
    negative = draw_overlay(stack[0], labels[0], MAPPING, [(y, x, False)])
    assert (plain != positive).any()
    assert (positive != negative).any()


def test_colours_are_drawn_as_colours():
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[..., 0] = 200
    picture = draw_overlay(rgb, np.zeros((40, 60), np.uint16), IntensityMapping(0, 255))
    assert tuple(picture[0, 0]) in {(200, 0, 0), (199, 0, 0)}


def test_prompted_frames_are_chosen_first_then_others_evenly():
    assert choose_frames(100, [37], most=5) == [0, 33, 37, 66, 99] or 37 in choose_frames(100, [37])
    assert choose_frames(3) == [0, 1, 2]
    assert choose_frames(1, [0]) == [0]
    assert len(choose_frames(1000, range(40))) == 12


def test_a_picture_is_written_whole(tmp_path):
    stack, labels = stack_with_square()
    path = write_overlay(
        tmp_path / "o.png", ArrayFrames(stack), labels, MAPPING, marks={3: [(1, 2, True)]}
    )
    picture = imread(path)
    assert picture.ndim == 3
    assert [file.name for file in tmp_path.iterdir()] == ["o.png"]


def test_a_name_or_folder_that_cannot_be_is_told(tmp_path):
    stack, labels = stack_with_square()
    with pytest.raises(FileFormatError, match=r"end it in \.png"):
        write_overlay(tmp_path / "o.gif", ArrayFrames(stack), labels, MAPPING)
    with pytest.raises(FrameReadError, match="there is no folder"):
        write_overlay(tmp_path / "none" / "o.png", ArrayFrames(stack), labels, MAPPING)
