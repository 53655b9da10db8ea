"""The shipped fake keeps the contract, is right on its video, and fails when told to."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tests.core.segmenter_contract import (
    SIDE,
    TRUTH,
    VIDEO,
    SegmenterContract,
    click,
    question,
    said,
)

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import InferenceError
from napari_sam2.core.messages import PromptRequest
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.testing import FakeSegmenter, moving_discs


class TestFakeSegmenter(SegmenterContract):
    def make(self, frames):
        return FakeSegmenter(frames)


def test_the_video_is_the_same_for_the_same_seed():
    first, second, other = moving_discs(seed=3), moving_discs(seed=3), moving_discs(seed=4)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("num_objects", [1, 2, 3, 5])
def test_every_object_of_the_video_is_visible_on_every_frame(num_objects):
    video, labels = moving_discs(9, 80, num_objects)
    assert video.dtype == np.uint8
    assert labels.dtype == np.uint16
    assert video.shape == labels.shape == (9, 80, 80)
    for frame in labels:
        assert set(np.unique(frame)) == set(range(num_objects + 1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_objects", [1, 2, 3])
def test_the_fake_is_right_on_its_video(seed, num_objects):
    video, labels = moving_discs(8, 64, num_objects, seed)
    segmenter = FakeSegmenter(ArrayFrames(video))
    shown = np.zeros_like(labels)
    for object_id in range(1, num_objects + 1):
        centre = tuple(np.argwhere(labels[3] == object_id).mean(0))
        prompts = FramePrompts(3, (type(click(1, 3))(points=(centre,), positives=(True,)),))
        mask = segmenter.prompt(PromptRequest(1, object_id, prompts)).mask
        shown[3][mask.to_array((64, 64))] = object_id
        item = type(said(1, 3))(object_id, (prompts,))
        for result in segmenter.propagate(question(item)):
            shown[result.frame][result.objects[0].to_array((64, 64))] = object_id
    np.testing.assert_array_equal(shown, labels)


def test_the_fake_takes_colours():
    segmenter = FakeSegmenter(ArrayFrames(np.stack([VIDEO] * 3, axis=-1), rgb=True))
    mask = segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (click(1, 2),)))).mask
    np.testing.assert_array_equal(mask.to_array((SIDE, SIDE)), TRUTH[2] == 1)


def test_the_fake_raises_at_the_call_it_was_told():
    segmenter = FakeSegmenter(ArrayFrames(VIDEO), raise_at={3: InferenceError("third")})
    seen = []
    with pytest.raises(InferenceError, match="third"):
        seen.extend(segmenter.propagate(question(said(1, 2))))
    assert [result.frame for result in seen] == [3, 4]
    segmenter.fail_next(MemoryError())
    with pytest.raises(MemoryError):
        segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (click(1, 2),))))
    assert segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (click(1, 2),)))).mask.mask.any()


def test_the_fake_is_slow_at_the_call_it_was_told():
    segmenter = FakeSegmenter(ArrayFrames(VIDEO), sleep_at={2: 0.2})
    durations, start = [], time.perf_counter()
    for _ in segmenter.propagate(question(said(1, 5))):
        durations.append(time.perf_counter() - start)
        start = time.perf_counter()
    assert durations[1] >= 0.2
    assert np.argmax(durations) == 1


def test_it_notes_what_was_prepared_as_long_as_there_is_room():
    fake = FakeSegmenter(ArrayFrames(VIDEO), room=2)
    assert fake.prepare(3)
    assert fake.prepare(3)
    assert fake.prepare(4, (0, 0, 5, 5))
    assert not fake.prepare(5)
    assert fake.prepare(5, may_forget=True)
    assert fake.prepared == [3, 4, 5]
    assert fake.prepared_boxes == [None, (0, 0, 5, 5), None]
    assert fake.num_calls == 0
