from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.clicks import (
    Annotator,
    Click,
    correction_click,
    first_click,
    innermost_pixel,
)


def _mask(*boxes, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def test_the_first_click_is_in_the_middle_of_a_square():
    assert first_click(_mask((4, 10, 9, 15))) == Click(6, 12, True)


def test_the_click_of_a_dumbbell_is_in_its_larger_end_not_in_its_centre():
    dumbbell = _mask((2, 2, 9, 9), (5, 9, 6, 20), (3, 20, 8, 25))
    assert innermost_pixel(dumbbell) == (5, 5)


def test_a_ring_is_clicked_on_itself():
    ring = _mask((2, 2, 15, 15)) & ~_mask((5, 5, 12, 12))
    assert ring[innermost_pixel(ring)]


def test_of_equally_deep_pixels_the_middle_one_is_taken():
    assert innermost_pixel(_mask((4, 3, 7, 24))) == (5, 13)


def test_the_edge_of_the_frame_is_a_border():
    assert innermost_pixel(_mask((0, 0, 9, 5))) == (4, 2)


def test_an_empty_mask_has_no_click():
    with pytest.raises(ValueError, match="innermost"):
        innermost_pixel(_mask())


def test_a_missing_piece_gets_a_positive_click():
    reference = _mask((2, 2, 12, 12), (14, 20, 17, 23))
    prediction = _mask((14, 20, 17, 23), (2, 20, 5, 23))
    click = correction_click(prediction, reference)
    assert click is not None
    assert click.positive
    assert (click.y, click.x) in {(6, 6), (6, 7), (7, 6), (7, 7)}


def test_a_surplus_piece_gets_a_negative_click():
    reference = _mask((2, 2, 8, 8))
    prediction = reference | _mask((10, 15, 17, 22))
    assert correction_click(prediction, reference) == Click(13, 18, False)


def test_many_small_errors_do_not_add_up_to_a_large_one():
    reference = _mask((2, 2, 7, 7))
    specks = _mask(*[(y, x, y + 1, x + 1) for y in range(9, 20, 2) for x in range(0, 30, 2)])
    assert correction_click(specks, reference) == Click(4, 4, True)


def test_a_perfect_mask_needs_no_click():
    mask = _mask((2, 2, 7, 7))
    assert correction_click(mask, mask) is None


def test_no_pixel_is_clicked_twice_though_the_error_stays():
    reference, nothing, clicks = _mask((4, 4, 7, 7)), _mask(), []
    for _ in range(9):
        clicks.append(correction_click(nothing, reference, clicks))
    assert clicks[0] == Click(5, 5, True)
    assert len({(click.y, click.x) for click in clicks}) == 9
    assert correction_click(nothing, reference, clicks) is None


def test_an_exact_annotator_clicks_the_centre_and_draws_tight_boxes():
    reference = _mask((4, 10, 9, 15))
    assert Annotator().click(_mask(), reference) == Click(6, 12, True)
    assert Annotator().box(reference) == (3.5, 9.5, 8.5, 14.5)


def test_a_noisy_annotator_clicks_off_the_centre_but_always_on_what_is_meant():
    reference = _mask((2, 2, 15, 20))
    clicks = [Annotator(True, seed).click(_mask(), reference) for seed in range(30)]
    assert all(click.positive and reference[click.y, click.x] for click in clicks)
    assert len({(click.y, click.x) for click in clicks}) > 15
    surplus = [Annotator(True, seed).click(~_mask(), reference) for seed in range(5)]
    assert not any(click.positive or reference[click.y, click.x] for click in surplus)


def test_a_noisy_annotator_never_clicks_a_pixel_twice():
    reference, clicks = _mask((4, 4, 6, 6)), []
    for _ in range(4):
        clicks.append(Annotator(True).click(_mask(), reference, clicks))
    assert len({(click.y, click.x) for click in clicks}) == 4
    assert Annotator(True).click(_mask(), reference, clicks) is None


def test_loose_boxes_hold_the_object_within_a_fifth_of_its_sides_and_inside_the_frame():
    reference = _mask((5, 10, 15, 20))
    boxes = np.array([Annotator(True, seed).box(reference) for seed in range(40)])
    outward = (boxes - (4.5, 9.5, 14.5, 19.5)) * (-1, -1, 1, 1)
    assert outward.min() > 0
    assert 1.5 < outward.max() <= 2.0
    for seed in range(10):
        y0, x0, y1, x1 = Annotator(True, seed).box(~_mask())
        assert (y0, x0, y1, x1) == (-0.5, -0.5, 19.5, 29.5)


def test_noise_depends_on_seed_and_place_alone():
    reference = _mask((2, 2, 15, 20))

    def click(seed, place):
        return Annotator(True, seed).click(_mask(), reference, (), place)

    assert click(3, (1, 0)) == click(3, (1, 0))
    assert len({click(seed, (i, t)) for seed in (0, 1) for i in (1, 2) for t in (0, 1)}) > 5
