from __future__ import annotations

import math

import pytest

from napari_sam2.evaluation.protocols import Effort
from napari_sam2.evaluation.results import (
    CurvePoint,
    StackResult,
    Target,
    average,
    curve_of,
    group_means,
    target_of,
)
from napari_sam2.evaluation.scores import FrameScore, MeanScore


def _row(object_id, j, f):
    return FrameScore(object_id, 1, False, True, j, f, 0.0)


# Two rounds: object 1 is at J&F 0.5, then 0.9; object 2 stays at 0.4.
STEPS = [
    ({1: Effort(1, 3), 2: Effort(1, 3)}, (_row(1, 0.4, 0.6), _row(2, 0.4, 0.4))),
    ({1: Effort(2, 6), 2: Effort(2, 5)}, (_row(1, 0.8, 1.0), _row(2, 0.4, 0.4))),
]


def _result(name="a", group="g", prompt="mask", **more):
    more.setdefault("mean", MeanScore(0.5, 0.7, 0.6, 0.4))
    return StackResult(name, group, "time", 2, 10, prompt, **more)


def test_a_curve_has_one_point_a_round_with_the_mean_cost_of_an_object():
    first, second = curve_of(STEPS)
    assert (first.number, first.frames, first.clicks, first.seconds) == (1, 1, 3, 5.5)
    assert (second.number, second.frames, second.clicks) == (2, 2, 5.5)
    assert second.seconds == pytest.approx((11 + 9.5) / 2)
    assert second.mean.J == pytest.approx(0.6)


def test_drawn_masks_have_no_time():
    (point,) = curve_of([({1: Effort(1, 0, False), 2: Effort(1, 1)}, STEPS[0][1])])
    assert point.seconds is None


def test_the_target_is_reached_in_the_first_round_that_has_it():
    assert target_of(STEPS, 0.5) == Target(0.5, (Effort(1, 3), None))
    assert target_of(STEPS, 0.4) == Target(0.4, (Effort(1, 3), Effort(1, 3)))
    assert target_of(STEPS, 0.85) == Target(0.85, (Effort(2, 6), None))
    assert target_of(STEPS, 0.95) == Target(0.95, (None, None))


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ((Effort(1, 3), Effort(2, 6), Effort(3, 7)), (1.0, 6, 2)),
        ((Effort(1, 3), Effort(2, 6), None), (2 / 3, 6, 2)),
        ((Effort(1, 3), None, None), (1 / 3, None, None)),
        ((Effort(1, 3), None), (0.5, None, None)),
    ],
)
def test_an_object_that_never_got_there_counts_as_the_costliest(spent, expected):
    target = Target(0.75, spent)
    assert (target.reached, target.median_clicks, target.median_frames) == pytest.approx(expected)


def test_of_two_objects_in_the_middle_the_costlier_one_is_the_median():
    steps = [*STEPS, ({1: Effort(2, 6), 2: Effort(3, 8)}, (_row(1, 1, 1), _row(2, 1, 1)))]
    target = target_of(steps, 0.85)
    assert (target.reached, target.median_clicks, target.median_frames) == (1.0, 8, 3)


def test_on_a_single_frame_the_target_is_one_of_iou():
    assert target_of(STEPS, 0.45, is_image=True).reached == 0.5
    assert target_of(STEPS, 0.45).reached == 0.5
    assert target_of(STEPS, 0.8, is_image=True).reached == 0.5
    assert target_of(STEPS, 0.85, is_image=True).reached == 0.0


def test_without_a_scored_object_no_share_reached_the_target():
    target = target_of([({1: Effort()}, ())], 0.5)
    assert math.isnan(target.reached)
    assert target.median_clicks is None


def test_a_mean_over_stacks_weighs_them_alike_and_leaves_out_what_was_not_measured():
    results = [
        _result(mean=MeanScore(0.2, 0.4, 0.3, 0.1), copy_J=0.5, ctc_seg=0.3, switches=2.0),
        _result(mean=MeanScore(0.6, 0.8, 0.7, 0.5), copy_J=0.7, seconds_per_frame=0.1),
        _result(mean=MeanScore()),
    ]
    mean = average(results, "g")
    assert mean.name == "mean: g (3)"
    assert (mean.mean.J, mean.mean.F) == pytest.approx((0.4, 0.6))
    assert (mean.copy_J, mean.ctc_seg, mean.switches) == pytest.approx((0.6, 0.3, 2.0))
    assert (mean.otsu_J, mean.seconds_per_frame) == (None, 0.1)
    assert (mean.num_objects, mean.num_frames) == (6, 30)


def test_a_curve_that_ended_early_stays_at_its_end_in_the_mean():
    def point(number, j):
        return CurvePoint(number, number, number, None, MeanScore(j, j, j, j))

    long = _result(curve=(point(1, 0.2), point(2, 0.4), point(3, 0.6)))
    short = _result(curve=(point(1, 0.8),))
    curve = average([long, short]).curve
    assert [step.mean.J for step in curve] == pytest.approx([0.5, 0.6, 0.7])
    assert [step.frames for step in curve] == [1, 1.5, 2]


def test_the_objects_of_all_stacks_are_asked_together_for_the_target():
    first, second = Target(0.75, (Effort(1, 3), Effort(2, 6))), Target(0.75, (None,))
    results = [_result(target=first), _result(target=second), _result()]
    assert average(results).target == Target(0.75, (Effort(1, 3), Effort(2, 6), None))


def test_stacks_are_grouped_by_kind_and_prompt():
    results = [_result("a"), _result("b", "h"), _result("c"), _result("d", prompt="click")]
    assert [(mean.name, mean.prompt) for mean in group_means(results)] == [
        ("mean: g (2)", "mask"),
        ("mean: h (1)", "mask"),
        ("mean: g (1)", "click"),
    ]
