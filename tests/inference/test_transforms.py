"""Frames to the model's square and logits back: values, places, and masks that do not vanish."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.core.geometry import frame_to_model
from napari_sam2.core.views import View
from napari_sam2.inference.transforms import (
    MEAN,
    STD,
    normalise,
    to_model_input,
    to_model_mask,
    to_object_logits,
    to_view_logits,
)

CPU = torch.device("cpu")


def test_channels_are_shifted_and_scaled_by_the_training_statistics() -> None:
    image = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert torch.equal(normalise(image), torch.zeros(1, 3, 2, 2))
    one_above = image + torch.tensor(STD).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(one_above), torch.ones(1, 3, 2, 2))


@pytest.mark.parametrize("shape", [(48, 30), (16, 16), (7, 90)])
def test_a_grey_frame_becomes_three_equal_channels_of_the_square(shape) -> None:
    frame = np.random.default_rng(0).random(shape, dtype=np.float32)
    image = to_model_input(frame, 16, CPU)
    assert image.shape == (1, 3, 16, 16)
    assert image.dtype == torch.float32
    undone = image[0] * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    torch.testing.assert_close(undone[0], undone[1])
    torch.testing.assert_close(undone[0], undone[2])
    assert undone.min() >= -1e-6
    assert undone.max() <= 1 + 1e-6


def test_a_frame_of_the_models_size_is_not_resampled() -> None:
    frame = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32)
    expected = normalise(torch.from_numpy(frame).permute(2, 0, 1)[None])
    assert torch.equal(to_model_input(frame, 16, CPU), expected)


def test_rgb_channels_keep_their_order() -> None:
    frame = np.zeros((20, 24, 3), np.float32)
    frame[..., 2] = 1.0
    image = to_model_input(frame, 16, CPU)
    blue = (1 - MEAN[2]) / STD[2]
    torch.testing.assert_close(image[0, 2], torch.full((16, 16), blue), atol=1e-5, rtol=0)
    assert (image[0, :2] < 0).all()


def test_shrinking_averages_and_does_not_drop_pixels() -> None:
    frame = np.zeros((64, 64), np.float32)
    frame[::2] = 1.0  # alternating lines vanish into grey
    undone = to_model_input(frame, 16, CPU)[0, 0] * STD[0] + MEAN[0]
    assert (undone[1:-1] - 0.5).abs().max() < 0.05


def test_a_view_into_a_larger_array_is_taken() -> None:
    stack = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    window = stack[3:19, 5:21]
    assert not window.flags.c_contiguous
    assert torch.equal(to_model_input(window, 16, CPU), to_model_input(window.copy(), 16, CPU))


@pytest.mark.parametrize(("y", "x"), [(3, 20), (40, 5), (25, 25)])
def test_a_spot_lies_where_geometry_says(y, x) -> None:
    shape, side = (48, 30), 96
    frame = np.zeros(shape, np.float32)
    frame[y, x] = 1.0
    spot = to_model_input(frame, side, CPU)[0, 0]
    row, column = np.unravel_index(int(spot.argmax()), (side, side))
    ((expected_x, expected_y),) = frame_to_model([(y, x)], View.whole(shape), side)
    # A pixel becomes 2 x 3.2 model pixels, of which several share the top.
    assert abs(row - expected_y) <= 1
    assert abs(column - expected_x) <= 1.6


def test_logits_are_stretched_to_the_frame_and_back_onto_their_place() -> None:
    logits = torch.full((2, 3, 16, 16), -5.0)
    logits[1, 2, 4:8, 10:12] = 5.0
    frame = to_view_logits(logits, View.whole((32, 64)))
    assert frame.shape == (2, 3, 32, 64)
    ys, xs = torch.nonzero(frame[1, 2] > 0, as_tuple=True)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (8, 15, 40, 47)
    assert not (frame[0] > 0).any()


def test_logits_of_the_frames_size_come_back_themselves() -> None:
    logits = torch.zeros(1, 1, 16, 16)
    assert to_view_logits(logits, View.whole((16, 16))) is logits


def test_half_precision_logits_are_stretched_in_float32() -> None:
    assert (
        to_view_logits(torch.zeros(1, 1, 16, 16).bfloat16(), View.whole((20, 20))).dtype
        == torch.float32
    )


def test_a_mask_of_the_models_size_is_taken_as_it_is() -> None:
    mask = np.random.default_rng(0).random((16, 16)) > 0.5
    assert torch.equal(to_model_mask(mask, 16, CPU)[0, 0], torch.from_numpy(mask).float())


def test_a_mask_grows_with_the_model_and_half_covered_pixels_count() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:6] = True
    large = to_model_mask(mask, 16, CPU)
    assert large.shape == (1, 1, 16, 16)
    assert set(large.unique().tolist()) == {0.0, 1.0}
    ys, xs = torch.nonzero(large[0, 0], as_tuple=True)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (4, 7, 4, 11)


def test_a_mask_too_small_for_the_model_does_not_vanish() -> None:
    mask = np.zeros((400, 400), bool)
    mask[200, 311] = True
    small = to_model_mask(mask, 16, CPU)[0, 0]
    row, column = np.unravel_index(int(small.argmax()), (16, 16))
    assert 1 <= small.sum() <= 4
    assert (row, column) == (200 * 16 // 400, 311 * 16 // 400)


def test_an_empty_mask_stays_empty() -> None:
    assert not to_model_mask(np.zeros((400, 300), bool), 16, CPU).any()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 999)
)
def test_an_object_alone_is_stretched_as_the_whole_view_is(height, width, by_y, by_x, seed):
    """Everything above 0 lies in the part, at its place and with its value; what is left out is not above 0."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 1, height, width, generator=generator) - 1.0
    view = View(0, 0, height * by_y, width * by_x)
    whole = to_view_logits(logits, view)[0, 0]
    part, (y, x) = to_object_logits(logits, view)
    rebuilt = torch.full_like(whole, -1.0)
    rebuilt[y : y + part.shape[0], x : x + part.shape[1]] = part
    is_above = whole > 1e-6
    torch.testing.assert_close(rebuilt[is_above], whole[is_above], atol=1e-5, rtol=1e-5)
    assert not (rebuilt[whole < -1e-6] > 0).any()


def test_a_small_object_in_a_large_frame_is_stretched_alone_and_nothing_is_a_spot():
    logits = torch.full((1, 1, 64, 64), -8.0)
    view = View(0, 0, 4096, 4096)
    assert to_object_logits(logits, view)[0].shape == (64, 64)
    logits[..., 10:12, 30] = 5.0
    part, corner = to_object_logits(logits, view)
    assert part.shape == (6 * 64, 5 * 64)
    assert corner == (8 * 64, 28 * 64)
    uneven = View(0, 0, 100, 4096)
    assert to_object_logits(logits, uneven)[0].shape == (100, 4096), "whole, where cells do not fit"
