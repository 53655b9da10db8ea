from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import LabelsError, OptionError
from napari_sam2.core.references import ReferenceStack
from napari_sam2.core.session import Session
from napari_sam2.evaluation.clicks import Annotator
from napari_sam2.evaluation.protocols import Protocol
from napari_sam2.evaluation.stacks import (
    evaluate_floor,
    evaluate_stack,
    evaluate_stacks,
    validation_stacks,
)
from napari_sam2.testing import FakeSegmenter, moving_discs


def open_session(image):
    """A session on the fake model, which is right on moving discs."""
    frames = ArrayFrames(image, StackView.default(3, 0), rgb=image.ndim == 4)
    return Session(frames, InlineEngine(FakeSegmenter(frames)))


@pytest.fixture
def discs():
    video, labels = moving_discs(8, 64, 2)
    return ReferenceStack("discs", video, labels, "time", "generated")


def test_one_click_an_object_is_carried_through_and_scored(discs):
    result = evaluate_stack(discs, open_session, Protocol("vos", "click"))
    assert (result.name, result.group, result.kind, result.prompt) == (
        "discs",
        "generated",
        "time",
        "click",
    )
    assert (result.num_objects, result.num_frames) == (2, 8)
    for score in (result.mean.J, result.mean.F, result.mean.dice, result.mean.iou, result.ctc_seg):
        assert score > 0.95
    assert result.switches == 0
    assert result.copy_J < 0.6
    assert result.otsu_J is not None
    assert result.seconds_per_frame > 0
    assert [(row.object_id, row.frame) for row in result.rows] == [
        (i, t) for i in (1, 2) for t in range(8)
    ]
    assert sum(row.is_scored for row in result.rows) == 14


def test_stack_after_stack_is_run_by_its_own_protocol_as_results_are_asked_for(discs):
    told, read = [], []

    def jobs():
        for name, protocol in (
            ("a", Protocol("vos", "click")),
            ("b", Protocol("image", "click", 2)),
        ):
            read.append(name)
            yield replace(discs, name=name), protocol

    results = evaluate_stacks(jobs(), open_session, progress=lambda *said: told.append(said))
    assert next(results).prompt == "click"
    assert read == ["a"]
    assert len(next(results).curve) == 2
    assert {name for name, _ in told} == {"a", "b"}
    assert [said for said in told if said[1] == 1.0] == [("a", 1.0), ("b", 1.0)]


def test_a_z_stack_is_prompted_by_mask_on_the_largest_section_and_tracked_both_ways(discs):
    labels = np.where(np.arange(8)[:, None, None] >= 6, 0, discs.labels)
    labels[0][np.cumsum(labels[0] == 1).reshape(labels[0].shape) > 20] = 0
    result = evaluate_stack(ReferenceStack("z", discs.image, labels, "z"), open_session)
    assert result.otsu_J is None
    first = [row for row in result.rows if row.object_id == 1]
    (prompted,) = [row.frame for row in first if row.is_prompted]
    assert 0 < prompted < 6
    assert sum(row.is_scored for row in first) == 5
    assert min(row.J for row in first if row.frame > 0) > 0.9  # on either side of the prompt


def test_the_identity_of_objects_that_swap_is_seen(near_sighted, squares):
    class Swapping(near_sighted):
        def propagate(self, *arguments, **more):
            run = super().propagate(*arguments, **more)
            self.labels[5:] = np.array([0, 2, 1], np.uint16)[self.labels[5:]]
            return run

    stack = ReferenceStack("swap", squares, squares)
    result = evaluate_stack(stack, lambda image: Swapping(squares, reach=99))
    assert result.switches == pytest.approx(100 * 2 / 18)
    assert result.mean.J == pytest.approx(4 / 9)  # frames 1 to 4 of 1 to 9
    assert result.ctc_seg == 1.0  # SEG does not ask who is who


def test_prompted_masks_do_not_count_for_seg(near_sighted, squares):
    stack = ReferenceStack("squares", squares, squares)
    result = evaluate_stack(stack, lambda image: near_sighted(squares, reach=0))
    assert result.ctc_seg == result.mean.J == 0.0
    assert result.rows[0].J == 1.0  # the prompted one


def test_correcting_offline_gives_a_curve_and_what_it_took_to_the_target(near_sighted, squares):
    stack = ReferenceStack("squares", squares, squares)
    result = evaluate_stack(
        stack, lambda image: near_sighted(squares), Protocol("offline", "click"), target=0.8
    )
    assert [point.mean.J for point in result.curve] == pytest.approx([2 / 9, 5 / 9, 8 / 9, 1.0])
    assert [point.clicks for point in result.curve] == [1, 2, 3, 4]
    assert [point.seconds for point in result.curve] == [2.5, 5, 7.5, 10]
    assert (result.target.reached, result.target.median_clicks) == (1.0, 3)
    assert result.target.median_frames == 3
    assert result.mean.J == 1.0


def test_a_single_frame_is_scored_after_each_click(near_sighted, squares):
    stack = ReferenceStack("squares", squares, squares)
    result = evaluate_stack(
        stack,
        lambda image: near_sighted(squares, clicks_needed=3),
        Protocol("image", "click", 5),
    )
    assert [point.mean.iou for point in result.curve] == [0, 0, 1, 1, 1]
    assert (result.target.median_clicks, result.target.median_frames) == (3, 1)
    assert [(row.object_id, row.frame, row.is_scored) for row in result.rows] == [
        (1, 0, True),
        (2, 0, True),
    ]
    assert (result.ctc_seg, result.switches, result.copy_J) == (None, None, None)


def test_every_protocol_runs_on_a_real_session(discs):
    for protocol in (
        Protocol("vos", "3-clicks"),
        Protocol("vos", "box"),
        Protocol("offline", "3-clicks", 3, 3),
        Protocol("online", "3-clicks", 3, 3),
        Protocol("image", "click", 5),
    ):
        assert evaluate_stack(discs, open_session, protocol).mean.J > 0.9, protocol


def test_a_model_that_is_wrong_is_corrected_on_a_real_session(discs):
    """Discs with another brightness on the later frames are lost by the fake, and found again by clicks."""
    image = discs.image.copy()
    image[4:][discs.labels[4:] == 1] = 70
    stack = ReferenceStack("change", image, discs.labels)
    for name in ("offline", "online"):
        result = evaluate_stack(stack, open_session, Protocol(name, "click", 3, 4))
        assert result.curve[0].mean.J < 0.9
        assert result.mean.J > 0.95
        assert len(result.curve) > 1


def test_colours_are_taken_and_have_no_otsu_floor(discs):
    image = np.repeat(discs.image[..., None], 3, axis=3)
    result = evaluate_stack(
        ReferenceStack("rgb", image, discs.labels), open_session, Protocol("vos", "click")
    )
    assert result.mean.J > 0.95
    assert result.otsu_J is None


def test_the_same_seed_gives_the_same_scores(discs):
    def scores(seed):
        person = Annotator(is_noisy=True, seed=seed)
        return evaluate_stack(discs, open_session, Protocol("vos", "box"), person).rows

    assert scores(0) == scores(0)


def test_progress_is_told(discs):
    told = []
    evaluate_stack(discs, open_session, progress=told.append)
    assert told[-1] == pytest.approx(1.0)
    assert len(told) > 5


def test_floors_need_no_model(discs):
    copied, otsu = evaluate_floor(discs, "copy"), evaluate_floor(discs, "otsu")
    result = evaluate_stack(discs, open_session, Protocol("vos", "click"))
    assert copied.mean.J == pytest.approx(result.copy_J)
    assert otsu.mean.J == pytest.approx(result.otsu_J)
    assert (copied.prompt, otsu.prompt) == ("mask", "click")
    assert copied.rows[0].is_prompted
    assert copied.curve[0].seconds is None
    assert otsu.curve[0].seconds == 2.5


def test_otsu_refuses_colours(discs):
    image = np.repeat(discs.image[..., None], 3, axis=3)
    with pytest.raises(OptionError, match="grey"):
        evaluate_floor(ReferenceStack("rgb", image, discs.labels), "otsu")


def test_a_reference_without_objects_is_refused(discs):
    empty = ReferenceStack("empty", discs.image, np.zeros_like(discs.labels))
    with pytest.raises(LabelsError, match="no object"):
        evaluate_stack(empty, open_session)
    with pytest.raises(LabelsError, match="no object"):
        evaluate_floor(empty, "copy")


def test_a_single_frame_has_nothing_to_propagate_and_no_score(discs):
    result = evaluate_stack(discs.limited(frames=1), open_session, Protocol("vos", "click"))
    assert math.isnan(result.mean.J)


def test_validation_stacks_are_the_frozen_sequences():
    (stack,) = validation_stacks([4])
    assert (stack.name, stack.group, stack.kind) == ("generated_04", "generated", "time")
    assert stack.image.dtype == np.uint8
