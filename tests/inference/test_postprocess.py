"""Filling holes: which background counts as a hole, at which size, and what it becomes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2.inference.postprocess import FILLED_LOGIT, REFERENCE_SIDE, fill_holes
from napari_sam2.inference.step import ABSENT_LOGIT

SIDE = REFERENCE_SIDE  # areas are stated for this side


def foreground(side: int = SIDE) -> torch.Tensor:
    return torch.full((1, 1, side, side), 5.0)


def with_holes(*pixels: tuple[int, int], side: int = SIDE) -> torch.Tensor:
    logits = foreground(side)
    for y, x in pixels:
        logits[0, 0, y, x] = -3.0
    return logits


LINE = [(100, 50 + k) for k in range(8)]
DIAGONAL = [(100 + k, 50 + k) for k in range(8)]


@pytest.mark.parametrize("pixels", [LINE, DIAGONAL, LINE[:1]], ids=["line", "diagonal", "pixel"])
def test_a_hole_of_at_most_the_area_is_filled_and_the_rest_kept(pixels) -> None:
    filled = fill_holes(with_holes(*pixels), 8)
    expected = foreground()
    for y, x in pixels:
        expected[0, 0, y, x] = FILLED_LOGIT
    assert torch.equal(filled, expected)


@pytest.mark.parametrize("extra", [(100, 58), (101, 58), (99, 49)])
def test_one_pixel_more_and_it_stays_also_if_joined_by_a_corner(extra) -> None:
    logits = with_holes(*LINE, extra)
    assert fill_holes(logits, 8) is logits


def test_two_holes_are_judged_apart() -> None:
    large = [(10 + k, 10) for k in range(9)]
    filled = fill_holes(with_holes(*large, (50, 50)), 8)
    assert filled[0, 0, 50, 50] == FILLED_LOGIT
    assert (filled[0, 0, 10:19, 10] == -3.0).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, SIDE - 1), (SIDE - 1, 7), (120, SIDE - 1)])
def test_a_small_piece_of_background_at_the_border_is_filled_too(corner) -> None:
    # The release calls every small component of the background a hole.
    assert (fill_holes(with_holes(corner), 8) > 0).all()


def test_a_logit_of_zero_is_background() -> None:
    logits = foreground()
    logits[0, 0, 9, 9] = 0.0
    assert fill_holes(logits, 8)[0, 0, 9, 9] == FILLED_LOGIT


def test_specks_of_foreground_are_left() -> None:
    logits = -foreground()
    logits[0, 0, 30, 30] = 4.0
    assert fill_holes(logits, 8) is logits


@pytest.mark.parametrize("logits", [foreground(), torch.full((2, 1, SIDE, SIDE), ABSENT_LOGIT)])
def test_a_mask_without_holes_comes_back_itself(logits) -> None:
    assert fill_holes(logits, 8) is logits


def test_zero_turns_it_off() -> None:
    logits = with_holes((9, 9))
    assert fill_holes(logits, 0) is logits


@pytest.mark.parametrize(
    ("side", "max_area", "limit"), [(128, 8, 2), (512, 8, 32), (64, 8, 0), (64, 32, 2)]
)
def test_the_area_is_scaled_to_the_size_of_the_logits(side, max_area, limit) -> None:
    row = [(20, 3 + k) for k in range(limit)]
    assert (fill_holes(with_holes(*row, side=side), max_area) > 0).all()
    longer = with_holes(*row, (20, 3 + limit), side=side)
    assert fill_holes(longer, max_area) is longer


def test_slots_and_candidates_are_filled_each_for_itself() -> None:
    logits = torch.full((2, 3, SIDE, SIDE), 5.0)
    logits[0, 1, 9, 9] = -1.0
    logits[1, 2, 10, 10] = -1.0
    logits[1, 0, :, :] = -1.0
    filled = fill_holes(logits, 8)
    expected = torch.full((2, 3, SIDE, SIDE), 5.0)
    expected[0, 1, 9, 9] = expected[1, 2, 10, 10] = FILLED_LOGIT
    expected[1, 0] = -1.0
    assert torch.equal(filled, expected)
    assert logits[0, 1, 9, 9] == -1.0  # the input is left


def test_a_ring_is_filled_only_if_its_inside_is_small() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(y - 128, x - 128)
    for radius, is_small in ((1.5, True), (3.0, False)):
        ring = torch.from_numpy(np.where((distance > radius) & (distance < 20), 4.0, -4.0))
        filled = fill_holes(ring[None, None].float(), 9)
        assert bool(filled[0, 0, 128, 128] > 0) == is_small
