from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.references import ReferenceStack
from napari_sam2.core.session import Session
from napari_sam2.evaluation.large_frames import (
    LargeFrames,
    compare_in_large_frames,
    embedded_iou,
    texture_like,
)
from napari_sam2.testing import FakeSegmenter, moving_discs


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(1000, 5000, (4, 20, 30)).astype(np.uint16)


def test_each_frame_shows_the_stack_in_its_middle_and_the_same_texture_around(image):
    large = LargeFrames(image, 64)
    assert (large.shape, large.dtype) == ((4, 64, 64), np.uint16)
    outside = np.ones((64, 64), bool)
    outside[large.place] = False
    assert np.count_nonzero(outside) == 64 * 64 - 20 * 30
    for t in range(4):
        np.testing.assert_array_equal(large[t][large.place], image[t])
        np.testing.assert_array_equal(large[t][outside], large[0][outside])
    np.testing.assert_array_equal(large[2, 30:40, :5], large[2][30:40, :5])


def test_frames_are_made_one_at_a_time_from_the_stack(image):
    frames = ArrayFrames(LargeFrames(image, 64), StackView.default(3, 0))
    assert (len(frames), frames.shape) == (4, (64, 64))
    read = frames.read(1)
    read[:] = 0
    assert frames.read(1).any(), "a frame that is written to is not the texture itself"


def test_the_texture_has_the_values_of_the_stack_and_no_objects(image):
    for dtype in (np.uint8, np.int16, np.float32):
        stack = (image // 20).astype(dtype)
        texture = texture_like(stack, 128)
        assert (texture.shape, texture.dtype) == ((128, 128), dtype)
        assert stack.min() <= texture.min() < texture.max() <= stack.max()
        assert np.median(texture) == pytest.approx(np.median(stack), rel=0.1)
        assert texture.std() == pytest.approx(stack.std(), rel=0.3)
    np.testing.assert_array_equal(texture_like(image, 32), texture_like(image, 32))


def test_a_stack_that_is_larger_than_the_frame_is_refused(image):
    with pytest.raises(ValueError, match="20x30 does not fit into frames of 24"):
        LargeFrames(image, 24)


def test_iou_in_a_large_frame_worked_out_by_hand():
    place = slice(2, 4), slice(2, 6)
    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
    found = np.zeros((8, 8), bool)
    found[2:4, 3:5] = True  # 2 of 4 pixels right, 2 surplus
    assert embedded_iou(found, truth, place) == pytest.approx(2 / 6)
    found[7] = True  # 8 more outside of the stack
    assert embedded_iou(found, truth, place) == pytest.approx(2 / 14)
    assert embedded_iou(np.zeros((8, 8), bool), np.zeros((2, 4), bool), place) == 1.0


def test_both_runs_see_the_same_objects_frames_and_intensities():
    video, labels = moving_discs(6, 40, 2)
    opened = []

    def open_session(image, *, limits=None):
        opened.append((tuple(image.shape), limits))
        frames = ArrayFrames(image, StackView.default(3, 0))
        return Session(frames, InlineEngine(FakeSegmenter(frames)))

    result = compare_in_large_frames(ReferenceStack("discs", video, labels), open_session, 96)
    assert [shape for shape, _ in opened] == [(6, 40, 40), (6, 96, 96)]
    assert opened[0][1] == opened[1][1] == tuple(np.percentile(video, (0.5, 99.5)))
    assert (result.name, result.num_objects, result.num_frames) == ("discs", 2, 6)
    assert result.J > 0.95
    assert result.loss == pytest.approx(result.J - result.large_J)
    assert abs(result.loss) < 0.05
