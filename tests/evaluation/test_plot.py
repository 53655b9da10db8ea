from __future__ import annotations

import numpy as np

from napari_sam2.evaluation.overlay import PALETTE
from napari_sam2.evaluation.plot import SIZE, draw_curves, place


def _draw(curves):
    return draw_curves(curves, "title", "prompted frames", "J&F")


def _colour_at(picture, point, last):
    x, y = place(point, last)
    return tuple(picture[round(y), round(x)].tolist())


def test_every_point_of_every_curve_is_drawn_in_the_colour_of_its_model():
    curves = {"nano": [(1, 0.2), (2, 0.5), (3, 0.6)], "tiny": [(1, 0.7), (3, 0.9)]}
    picture = _draw(curves)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert picture.dtype == np.uint8
    for number, points in enumerate(curves.values()):
        for point in points:
            assert _colour_at(picture, point, 3) == PALETTE[number]
    assert _colour_at(picture, (2, 0.8), 3) == PALETTE[1]  # on the line between the two points
    assert _colour_at(picture, (2, 0.3), 3) not in PALETTE


def test_a_single_point_and_no_score_at_all_are_drawn_too():
    assert _colour_at(_draw({"copy": [(1, 0.5)]}), (1, 0.5), 2) == PALETTE[0]
    without = _draw({"none": [(1, float("nan"))]})
    assert without.shape == (SIZE[1], SIZE[0], 3)


def test_higher_scores_are_higher_up_and_later_rounds_further_right():
    (x1, y1), (x2, y2) = place((1, 0.2), 8), place((8, 0.9), 8)
    assert x1 < x2
    assert y1 > y2


def test_a_long_name_is_cut_at_its_start():
    long = _draw({"/some/where/" * 20 + "nano.safetensors": [(1, 0.5)]})
    assert np.array_equal(long[:, SIZE[0] - 4 :], _draw({"a": [(1, 0.5)]})[:, SIZE[0] - 4 :])
