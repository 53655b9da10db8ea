"""Painting on the labels layer with napari's own tools: every stroke is an action of the session."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import PromptError
from napari_sam2.plugin.painting import strokes_of
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui


@pytest.fixture
def brush(desk):
    """A desk with napari's brush in hand, three pixels wide."""
    take_brush(desk)
    return desk


def take_brush(desk, mode="paint"):
    desk.viewer.layers.selection.active = desk.bridge.labels
    desk.bridge.labels.mode = mode
    desk.bridge.labels.brush_size = 3
    desk.viewer.dims.set_current_step(0, 0)


def settled(desk):
    """Let napari come to the end of its stroke, and check that the layer is what the session says."""
    desk.qtbot.wait(1)
    np.testing.assert_array_equal(desk.labels, as_layer(desk))
    assert not desk.bridge.labels._undo_history
    return desk.labels.copy()


def as_layer(desk):
    expected, view = np.zeros_like(desk.labels), desk.session.stack_view
    for t in range(len(desk.session.frames)):
        plane = expected[view.frame_key(t)]
        (plane.T if view.is_transposed else plane)[:] = desk.session.project(t)
    return expected


def test_a_stroke_is_one_entry_and_locks_its_frame(brush):
    brush.drag([(0, 50, 10), (0, 50, 20), (0, 50, 30)])
    painted = settled(brush)
    assert painted[0, 50, 10:31].tolist() == [1] * 21
    assert not painted[1:].any()
    assert brush.session.undo_action == "paint"
    assert len(brush.session.log) == 1
    assert brush.session.state.is_locked(1, 0)
    assert brush.shown().message.text == "Painted object 1: locked on frame 0."
    assert str(brush.bridge.labels.mode) == "paint", "the brush stays in hand"


def test_undo_and_redo_go_through_the_session_and_bring_the_same_bytes(brush):
    shown = [brush.labels.copy()]
    for row in (20, 22, 40):
        brush.drag([(0, row, 10), (0, row, 30)])
        shown.append(settled(brush))
    for expected in reversed(shown[:-1]):
        brush.press("Control-Z")
        np.testing.assert_array_equal(settled(brush), expected)
    for expected in shown[1:]:
        brush.press("Control-Shift-Z")
        np.testing.assert_array_equal(settled(brush), expected)
    brush.bridge.labels.undo()
    np.testing.assert_array_equal(brush.labels, shown[-1])


def test_a_stroke_corrects_a_tracked_frame_and_stays_when_tracking_again(desk):
    desk.click(1)
    desk.propagate()
    take_brush(desk)
    desk.viewer.dims.set_current_step(0, 5)
    y, x = desk.centre(1, 5)
    desk.drag([(5, y + 12, x - 5), (5, y + 12, x + 5)])
    painted = settled(desk)
    assert painted[5, int(y), int(x)] == painted[5, int(y) + 12, int(x)] == 1
    desk.propagate()
    np.testing.assert_array_equal(desk.labels[5], painted[5])


def test_m_and_a_chosen_label_start_objects(brush):
    brush.drag([(0, 10, 10)])
    brush.press("M")
    assert brush.bridge.labels.selected_label == 2
    brush.drag([(0, 20, 10)])
    brush.bridge.labels.selected_label = 7
    assert brush.controller.active_object == 7
    brush.drag([(0, 30, 10)])
    assert brush.session.objects == (1, 2, 7)
    assert settled(brush)[0, (10, 20, 30), 10].tolist() == [1, 2, 7]


def test_painting_over_a_locked_frame_of_another_object_wins_and_says_so(desk):
    desk.click(1)
    desk.press("G")
    before = desk.labels.copy()
    desk.press("M")
    take_brush(desk)
    y, x = desk.centre(1)
    desk.drag([(0, y, x)])
    painted = settled(desk)
    assert painted[0, int(y), int(x)] == 2
    assert desk.session.state.is_locked(1, 0)
    text = desk.shown().message.text
    assert "Object 1 gave up pixels" in text
    assert "Ctrl+Z" in text
    desk.press("Control-Z")
    np.testing.assert_array_equal(settled(desk), before)


def test_erasing_all_of_an_object_says_that_it_is_not_on_the_frame(desk):
    desk.click(1)
    desk.propagate()
    take_brush(desk, "fill")
    desk.bridge.labels.selected_label = 0
    desk.viewer.dims.set_current_step(0, 5)
    desk.click_at(5, *desk.centre(1, 5))
    assert not settled(desk)[5].any()
    assert desk.session.state.is_locked(1, 5)
    assert "Erased from object 1: locked on frame 5" in desk.shown().message.text
    desk.propagate()
    assert not desk.labels[5].any()
    take_brush(desk, "fill")
    desk.bridge.labels.selected_label = 0
    desk.click_at(0, *desk.centre(1))
    settled(desk)
    assert not desk.session.objects
    assert "gone" in desk.shown().message.text


def test_the_eraser_takes_pixels_from_whatever_is_there(desk):
    desk.click(1)
    take_brush(desk, "erase")
    y, x = desk.centre(1)
    before = desk.labels.copy()
    desk.drag([(0, y, x - 2), (0, y, x + 2)])
    erased = settled(desk)
    assert not erased[0, int(y), int(x)]
    assert (erased[0] == 1).sum() < (before[0] == 1).sum()
    assert desk.session.undo_action == "erase"


def test_napari_s_polygon_and_programs_that_paint_are_strokes_too(desk):
    labels = desk.bridge.labels
    labels.paint_polygon([(0, 5, 5), (0, 5, 15), (0, 15, 5)], 1)
    settled(desk)
    assert desk.session.undo_action == "paint"
    labels.data_setitem((np.array([2, 2]), np.array([3, 4]), np.array([3, 3])), 2)
    painted = settled(desk)
    assert painted[2, (3, 4), 3].tolist() == [2, 2]
    assert desk.session.objects == (1, 2)
    assert len(desk.session.log) == 2


def test_during_a_run_the_layer_is_read_only_and_afterwards_no_click_paints(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    take_brush(desk)
    desk.press("Shift-S")
    assert not desk.bridge.labels.editable
    assert str(desk.bridge.labels.mode) == "pan_zoom"
    desk.bridge.labels.mode = "paint"
    assert str(desk.bridge.labels.mode) == "pan_zoom"
    desk.wait_for_run()
    assert desk.bridge.labels.editable
    assert str(desk.bridge.labels.mode) == "pan_zoom"
    take_brush(desk)
    desk.drag([(0, 60, 60)])
    assert settled(desk)[0, 60, 60] == 1


def test_a_stroke_that_a_run_cuts_short_is_gone(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    take_brush(desk)
    desk.send("mouse_press", (0, 60, 50))
    desk.send("mouse_move", (0, 60, 55))
    assert desk.labels[0, 60, 50] == 1
    desk.press("Shift-S")
    desk.send("mouse_move", (0, 60, 60))
    desk.send("mouse_release", (0, 60, 60))
    desk.wait_for_run()
    assert not settled(desk)[0, 60].any()


def test_a_program_that_paints_during_a_run_is_refused_and_nothing_of_it_stays(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    desk.press("Shift-S")
    desk.bridge.labels.paint((0, 60, 60), 3)
    assert "going on" in desk.controller.message.text
    desk.wait_for_run()
    settled(desk)
    assert desk.session.objects == (1,)


def test_an_answer_that_comes_during_a_stroke_takes_nothing_away_from_it(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1, wait=False)
    take_brush(desk)
    y, x = desk.centre(1)
    desk.press("M")
    desk.send("mouse_press", (0, y, x))
    desk.wait_for_answers()
    assert desk.labels[0, int(y) + 4, int(x)] == 1
    desk.send("mouse_release", (0, y, x))
    painted = settled(desk)
    assert painted[0, int(y), int(x)] == 2
    assert painted[0, int(y) + 4, int(x)] == 1


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_on_another_plane_nobody_can_paint(brush, order):
    brush.drag([(0, 10, 10)])
    before = settled(brush)
    brush.viewer.dims.order = order
    assert not brush.bridge.labels.editable
    assert str(brush.bridge.labels.mode) == "pan_zoom"
    brush.bridge.labels.paint((3, 20, 20), 2)
    assert "Show Y/X" in brush.controller.message.text
    np.testing.assert_array_equal(settled(brush), before)
    brush.viewer.dims.order = (0, 1, 2)
    assert brush.bridge.labels.editable


def test_in_three_dimensions_nobody_can_paint(brush):
    brush.drag([(0, 10, 10)])
    before = settled(brush)
    brush.viewer.dims.ndisplay = 3
    assert not brush.bridge.labels.editable
    np.testing.assert_array_equal(settled(brush), before)
    brush.viewer.dims.ndisplay = 2
    assert brush.bridge.labels.editable


def test_a_transposed_view_paints_where_the_pointer_is(brush):
    brush.viewer.dims.order = (0, 2, 1)
    brush.drag([(0, 10, 40)])
    assert settled(brush)[0, 10, 40] == 1


def test_other_planes_of_a_four_dimensional_stack_stay_blank(open_desk):
    video, truth = moving_discs()
    stack = np.zeros((12, 3, 64, 64), np.uint8)
    stack[:, 1] = video
    desk = open_desk(stack, truth=truth)
    desk.viewer.dims.set_current_step(1, 1)
    desk.click_at(0, 1, *desk.centre(1))
    desk.wait_for_answers()
    take_brush(desk)
    desk.drag([(0, 1, 60, 60)])
    assert settled(desk)[0, 1, 60, 60] == 1
    desk.viewer.dims.set_current_step(1, 2)
    assert not desk.bridge.labels.editable
    desk.bridge.labels.paint((0, 2, 30, 30), 1)
    assert "no frame" in desk.controller.message.text
    assert not settled(desk)[:, 2].any()


def test_strokes_stay_on_one_frame_and_the_layer_on_its_image(brush):
    labels = brush.bridge.labels
    labels.n_edit_dimensions = 3
    assert labels.n_edit_dimensions == 2
    labels.mode = "transform"
    assert str(labels.mode) == "pan_zoom"


def test_painting_over_replaced_pixels_is_refused(brush):
    brush.controller.binding.image.data = brush.controller.binding.image.data.copy()
    brush.drag([(0, 10, 10)])
    assert "were replaced" in brush.controller.message.text
    assert not settled(brush).any()


def test_a_closed_dock_leaves_a_layer_that_nobody_paints_on_by_mistake(brush):
    brush.drag([(0, 10, 10)])
    labels = brush.bridge.labels
    brush.controller.close()
    assert labels.data[0, 10, 10] == 1
    assert not labels.editable


def test_a_stroke_is_read_in_frames_whatever_the_order_of_the_axes():
    change = (np.array([4, 5]), np.array([2, 2]), np.array([7, 7])), np.zeros(2), 3
    (stroke,) = strokes_of([change], StackView(2, 1, 0), (6, 8))
    assert (stroke.frame, stroke.label) == (7, 3)
    assert np.argwhere(stroke.mask).tolist() == [[2, 4], [2, 5]]
    with pytest.raises(PromptError, match="plane"):
        strokes_of([change], StackView(None, 0, 1, ((2, 6),)), (6, 8))
    flat = (np.array([1]), np.array([2])), np.zeros(1), np.array([0])
    (erased,) = strokes_of([flat], StackView(None, 0, 1), (6, 8))
    assert (erased.frame, erased.label) == (0, 0)
