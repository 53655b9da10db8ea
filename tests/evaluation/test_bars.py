from __future__ import annotations

import math

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.references import ReferenceStack
from napari_sam2.core.session import Session
from napari_sam2.evaluation import bars
from napari_sam2.evaluation.bars import (
    BARS,
    MEASURES,
    Bar,
    Measurement,
    measurement_line,
    part_lines,
    small_objects,
)
from napari_sam2.evaluation.bench import Bench, Extent, OpenStack
from napari_sam2.evaluation.large_frames import LargeFrameResult
from napari_sam2.evaluation.presence import PresenceCounts
from napari_sam2.evaluation.protocols import Effort
from napari_sam2.evaluation.results import CurvePoint, StackResult, Target
from napari_sam2.evaluation.scores import FrameScore, MeanScore
from napari_sam2.testing import FakeSegmenter, moving_discs


class Opened:
    """Opens sessions on the fake model, which is right on moving discs, and remembers how."""

    def __init__(self):
        self.focus, self.shapes, self.limits = [], [], []

    def __call__(self, image, *, focus=True, limits=None):
        self.focus.append(focus)
        self.shapes.append(tuple(image.shape))
        self.limits.append(limits)
        frames = ArrayFrames(image, StackView.default(3, 0))
        return Session(frames, InlineEngine(FakeSegmenter(frames)))


@pytest.fixture
def discs():
    video, labels = moving_discs(6, 64, 2)
    return ReferenceStack("discs", video, labels, "time", "microscopy")


def result(name, group="microscopy", **more):
    return StackResult(name, group, "time", 2, 5, "mask", more.pop("mean", MeanScore()), **more)


def bench(**runs):
    """A bench whose runs are given."""
    made = Bench(Opened())
    vars(made).update(runs)
    return made


def row(object_id, j, *, is_scored=True):
    return FrameScore(object_id, 1, not is_scored, is_scored, j, j, j)


# What the bars are


def test_there_is_a_measure_for_every_bar():
    assert list(MEASURES) == list(BARS)
    assert all(bar.name == name for name, bar in BARS.items())


def test_a_bar_is_met_from_its_value_on_and_a_cost_up_to_it():
    quality, cost = Bar("q", "", 0.5), Bar("c", "", 6, is_cost=True)
    assert [quality.is_met_by(value) for value in (0.5, 0.499, math.nan)] == [True, False, None]
    assert [cost.is_met_by(value) for value in (6, 7, math.inf, math.nan)] == [
        True,
        False,
        False,
        None,
    ]


def test_lines_say_met_missed_or_not_measured():
    assert measurement_line(Measurement(BARS["medical"], 0.7)).split()[-4:] == [
        "0.700",
        "0.820",
        "0.700",
        "met",
    ]
    assert measurement_line(Measurement(BARS["clicks"], math.inf)).split()[-5:] == [
        "<=",
        "6",
        "2",
        "never",
        "missed",
    ]
    assert measurement_line(Measurement(BARS["focus"], math.nan)).endswith("-  not measured")
    parts = part_lines(Measurement(BARS["focus"], 0.1, {"a": 0.25, "b": math.nan}, "2 objects"))
    assert parts == ["    (2 objects)", "    a: 0.250", "    b: -"]


def test_what_is_not_finite_is_none_in_plain_values():
    plain = Measurement(BARS["clicks"], math.inf, {"a": math.nan, "b": 3}, "n").to_dict()
    assert (plain["value"], plain["met"], plain["parts"]) == (None, False, {"a": None, "b": 3})
    assert (plain["needed"], plain["aim"], plain["is_cost"]) == (6, 2, True)


# What each is read off, worked out by hand


def test_means_are_over_sets_not_over_objects():
    runs = (result("a", mean=MeanScore(J=0.2)), result("b", mean=MeanScore(J=0.6)))
    for measure, name in ((bars.microscopy, "focused"), (bars.medical, "medical")):
        measured = measure(bench(**{name: runs}))
        assert measured.value == pytest.approx(0.4)
        assert measured.parts == {"a": 0.2, "b": 0.6}
        assert measured.note == "2 sets, 4 objects"


def curve(*ious):
    return tuple(CurvePoint(k, 1, k, None, MeanScore(iou=v)) for k, v in enumerate(ious, start=1))


def test_one_and_five_clicks_are_read_off_one_run_on_the_microscopy():
    runs = (
        result("a", curve=curve(0.1, 0.2, 0.3, 0.4, 0.5, 0.9)),
        result("b", curve=curve(0.3, 0.3, 0.3, 0.3, 0.7, 0.9)),
        result("organ", "medical", curve=curve(1, 1, 1, 1, 1, 1)),
    )
    assert bars.one_click(bench(clicked=runs)).value == pytest.approx(0.2)
    assert bars.five_clicks(bench(clicked=runs)).value == pytest.approx(0.6)


def spent(*clicks):
    return Target(0.75, tuple(None if n is None else Effort(1, n) for n in clicks))


def test_the_median_of_clicks_is_over_all_objects_and_knows_never():
    runs = (result("a", target=spent(1, 2, None)), result("b", target=spent(4, None)))
    measured = bars.clicks(bench(clicked=runs))
    # 1, 2, 4, never, never: the one in the middle.
    assert measured.value == 4
    assert measured.parts["a"] == 2
    assert measured.parts["b"] == math.inf  # 4 and never: the worse one
    assert measured.parts["share of the objects that get there"] == pytest.approx(3 / 5)
    assert measured.is_met
    never = bars.clicks(bench(clicked=(result("a", target=spent(1, None, None)),)))
    assert (never.value, never.is_met) == (math.inf, False)


def test_presence_is_over_all_objects_of_all_sequences():
    counts = {"x": PresenceCounts(8, 2, 0, 0), "y": PresenceCounts(7, 3, 1, 3)}
    measured = bars.presence(bench(presence=counts))
    assert measured.value == pytest.approx((15 / 20 + 3 / 4) / 2)
    assert measured.parts["sensitivity"] == 0.75
    assert math.isnan(measured.parts["x"])
    assert measured.parts["y"] == pytest.approx((0.7 + 0.75) / 2)
    assert measured.note.startswith("20 times there, 4 times absent")


def test_focus_is_judged_by_small_objects_set_by_set():
    labels = np.zeros((2, 60, 60), np.uint16)
    labels[:, :10, :10] = 1
    labels[:, 12:52, 12:52] = 2  # 1600 pixels: a disc of 45 pixels
    labels[1, 55:, 55:] = 3
    stacks = tuple(
        OpenStack(ReferenceStack(name, labels, labels, "time", "microscopy")) for name in "ab"
    )
    assert small_objects(stacks[0].stack) == {1, 3}
    made = bench(
        focused=(result("a", rows=(row(1, 0.8), row(2, 0.1))), result("b", rows=(row(1, 0.5),))),
        unfocused=(result("a", rows=(row(1, 0.5), row(2, 0.9))), result("b", rows=(row(1, 0.4),))),
    )
    made.open_stacks = stacks
    measured = bars.focus(made)
    assert measured.value == pytest.approx((0.3 + 0.1) / 2)
    assert measured.parts["a without"] == 0.5
    assert measured.note == "2 objects"


def test_a_disc_of_forty_pixels_is_where_small_ends():
    # pi * 20 ** 2 = 1256.6
    for area, is_small in ((1256, True), (1257, False)):
        labels = np.zeros((1, 50, 50), np.uint16)
        labels.ravel()[:area] = 1
        assert small_objects(ReferenceStack("s", labels, labels)) == ({1} if is_small else set())


def test_the_stack_that_loses_most_in_large_frames_counts():
    made = bench(
        embedded=(LargeFrameResult("a", 4, 8, 0.6, 0.62), LargeFrameResult("b", 4, 8, 0.5, 0.44))
    )
    measured = bars.large_frames(made)
    assert measured.value == pytest.approx(0.06)
    assert not measured.is_met
    assert measured.parts["b set in"] == 0.44


# What is run


def test_manual_masks_judge_single_frames_only(discs):
    manual = np.where(discs.labels[0] == 1, 7, 0).astype(np.uint16)
    still = OpenStack(discs, manual).still
    np.testing.assert_array_equal(still.labels[0], manual)
    assert not still.labels[1:].any()
    assert still.image is discs.image, "the intensity mapping is that of the whole stack"
    assert OpenStack(discs).still is discs


def test_runs_are_made_when_asked_for_and_only_once(discs):
    opened = Opened()
    extent = Extent(generated=1, vanishing=1, frames=4, objects=1, clicks=5)
    made = Bench(opened, (OpenStack(discs),), extent)
    assert not opened.shapes
    assert bars.microscopy(made).value > 0.95
    assert bars.focus(made).value == pytest.approx(0.0)
    assert opened.focus == [True, False]
    assert opened.shapes == [(4, 64, 64)] * 2
    assert bars.one_click(made).value > 0.95
    assert bars.five_clicks(made).value > 0.95
    assert bars.clicks(made).value == 1
    assert len(opened.shapes) == 3


def test_large_frames_are_run_on_few_objects_with_given_intensities(discs):
    opened, told = Opened(), []
    extent = Extent(large_frames=3, large_objects=1, large_side=96)
    made = Bench(opened, (OpenStack(discs),), extent, lambda name, done: told.append((name, done)))
    measured = bars.large_frames(made)
    assert measured.value < 0.05
    assert measured.note == "96 px; objects x frames: 1 x 3; the worst set counts"
    assert opened.shapes == [(3, 64, 64), (3, 96, 96)]
    assert opened.limits[0] == opened.limits[1] is not None
    assert told == [("discs, in large frames", 0.0), ("discs, in large frames", 1.0)]


def test_sequences_with_disappearances_are_run_with_their_unclear_frames():
    opened = Opened()
    measured = bars.presence(Bench(opened, (), Extent(vanishing=1, frames=6, objects=2)))
    assert opened.shapes == [(6, 256, 256)]
    assert "vanishing_00" in measured.parts
    assert sum(map(int, (word for word in measured.note.split() if word.isdigit()))) <= 2 * 5


def test_without_open_stacks_their_bars_are_not_measured():
    made = Bench(Opened())
    for name in ("microscopy", "one-click", "five-clicks", "medical", "clicks", "focus"):
        assert MEASURES[name](made).is_met is None
    assert MEASURES["large-frames"](made).is_met is None
