"""Polygons, lassos, scribbles and dragged points: what is drawn on the canvas becomes prompts, once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import PromptError
from napari_sam2.core.outlines import polygon_mask
from napari_sam2.plugin.outlining import outline_of

pytestmark = pytest.mark.gui

SQUARE = [(0, 40, 10), (0, 40, 30), (0, 55, 30), (0, 55, 10)]


def take(desk, mode):
    """Take a tool of napari on the layer of boxes, by the dock's button and napari's own."""
    desk.controller.tools.choose("polygon")
    desk.bridge.prompts.boxes.mode = mode
    desk.viewer.dims.set_current_step(0, 0)


def draw_polygon(desk, corners):
    begin_polygon(desk, corners)
    desk.send("mouse_double_click", corners[-1])
    desk.qtbot.wait(1)


def begin_polygon(desk, corners):
    for corner in corners:
        desk.hover(*corner)
        desk.drag([corner])


def num_shapes(desk):
    return len(desk.bridge.prompts.boxes.data)


def steps_of(desk, object_id=1, frame=0):
    said = desk.session.state.prompts_on(object_id, frame)
    return () if said is None else said.steps


def test_the_dock_makes_the_layer_before_there_is_any_box_and_shows_the_tool(desk):
    assert desk.bridge.prompts.boxes is None
    assert desk.shown().tool == "point"
    desk.dock.prompts.tools["polygon"].click()
    boxes = desk.bridge.prompts.boxes
    assert desk.viewer.layers.selection.active is boxes
    assert str(boxes.mode) == "add_polygon"
    assert desk.shown().tool == "polygon"
    assert desk.dock.prompts.tools["polygon"].isChecked()
    desk.dock.prompts.tools["lasso"].click()
    assert str(boxes.mode) == "add_polygon_lasso"
    boxes.mode = "add_rectangle"
    assert desk.shown().tool == "other"
    assert not any(made.isChecked() for made in desk.dock.prompts.tools.values())
    desk.dock.prompts.tools["point"].click()
    assert str(boxes.mode) == "pan_zoom"
    assert desk.viewer.layers.selection.active is desk.bridge.prompts.points
    desk.dock.prompts.tools["paint"].click()
    assert desk.viewer.layers.selection.active is desk.bridge.labels
    assert desk.shown().tool == "paint"
    desk.press("Escape")
    assert desk.shown().tool == "point"
    desk.click(1)
    assert desk.session.objects == (1,)


def test_a_polygon_becomes_the_mask_of_the_active_object(desk):
    take(desk, "add_polygon")
    draw_polygon(desk, SQUARE)
    expected = polygon_mask(np.array(SQUARE, float)[:, 1:], (64, 64))
    assert expected.sum() > 250
    np.testing.assert_array_equal(desk.labels[0] == 1, expected)
    assert desk.session.undo_action == "paint mask"
    assert num_shapes(desk) == 0, "the layer shows the session, and the mask is in the labels"
    assert str(desk.bridge.prompts.boxes.mode) == "add_polygon", "the tool stays in hand"
    desk.press("M")
    draw_polygon(desk, [(0, y - 30, x) for _, y, x in SQUARE])
    assert desk.session.objects == (1, 2)
    for _ in range(2):
        desk.press("Control-Z")
    assert not desk.labels.any()


def test_a_lasso_becomes_a_mask(desk):
    take(desk, "add_polygon_lasso")
    around = np.linspace(0, 2 * np.pi, 60)
    way = [(0, 32 + 15 * np.sin(a), 32 + 15 * np.cos(a)) for a in around]
    desk.drag(way)
    desk.qtbot.wait(1)
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 <= 15**2
    found = desk.labels[0] == 1
    assert (found & disc).sum() / (found | disc).sum() > 0.9
    assert num_shapes(desk) == 0


@pytest.mark.parametrize("mode", ["add_rectangle", "add_ellipse"])
def test_a_rectangle_becomes_a_box_and_an_ellipse_a_mask(desk, mode):
    take(desk, mode)
    desk.drag([(0, 20, 10), (0, 30, 20), (0, 40, 50)])
    desk.qtbot.wait(1)
    desk.wait_for_answers()
    (step,) = steps_of(desk)
    if mode == "add_rectangle":
        np.testing.assert_allclose(step.box, (20, 10, 40, 50), atol=1e-4)
        assert num_shapes(desk) == 1
    else:
        assert step.mask.area == pytest.approx(np.pi * 10 * 20, rel=0.05)
        assert num_shapes(desk) == 0


def test_a_path_of_napari_is_a_scribble_of_the_current_sign(desk):
    desk.click(1)
    desk.press("T")
    take(desk, "add_path")
    desk.drag([(0, 5, x) for x in range(5, 60, 5)])
    desk.qtbot.wait(1)
    desk.wait_for_answers()
    step = steps_of(desk)[-1]
    assert len(step.points) > 1
    assert not any(step.positives)


def test_what_is_begun_is_thrown_away_by_escape_and_by_another_layer(desk):
    take(desk, "add_polygon")
    begin_polygon(desk, SQUARE[:3])
    assert num_shapes(desk) == 1
    desk.press("Escape")
    desk.qtbot.wait(1)
    assert num_shapes(desk) == 0
    assert desk.shown().tool == "polygon", "only the next Esc puts the tool down"
    begin_polygon(desk, SQUARE[:3])
    desk.viewer.layers.selection.active = desk.bridge.prompts.points
    desk.qtbot.wait(1)
    assert num_shapes(desk) == 0
    assert not desk.session.log


def test_an_answer_that_comes_while_a_polygon_is_drawn_leaves_it_alone(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.viewer.dims.set_current_step(0, 0)
    y, x = desk.centre(2)
    desk.drag([(0, y - 8, x - 8), (0, y, x), (0, y + 8, x + 8)], modifiers=("Shift",))
    desk.press("M")
    take(desk, "add_polygon")
    begin_polygon(desk, SQUARE[:3])
    desk.wait_for_answers()
    assert num_shapes(desk) == 2
    draw_polygon(desk, SQUARE[3:])
    assert desk.session.objects == (1, 2)
    assert num_shapes(desk) == 1, "the box"


def test_a_refused_outline_leaves_no_trace(desk):
    desk.click(1)
    desk.press("G")
    take(desk, "add_polygon")
    before, drawn = desk.session.state, num_shapes(desk)
    draw_polygon(desk, SQUARE)
    assert desk.session.state is before
    assert "locked" in desk.controller.message.text
    assert num_shapes(desk) == drawn


def test_drawn_shapes_cannot_be_changed_behind_the_session(desk):
    take(desk, "add_rectangle")
    desk.drag([(0, 20, 10), (0, 30, 20), (0, 40, 50)])
    desk.qtbot.wait(1)
    boxes = desk.bridge.prompts.boxes
    boxes.mode = "select"
    assert str(boxes.mode) == "pan_zoom"
    boxes.selected_data = {0}
    boxes.remove_selected()
    desk.qtbot.wait(1)
    assert num_shapes(desk) == 1
    desk.press("Shift-C")
    assert num_shapes(desk) == 0


def test_a_plane_that_is_not_a_frame_takes_no_outline(desk):
    desk.click(1)
    desk.viewer.dims.order = (1, 0, 2)
    desk.controller.tools.choose("lasso")
    assert "Show Y/X" in desk.controller.message.text
    assert desk.shown().tool == "point"


def test_shift_and_the_right_button_scribble(desk):
    y, x = desk.centre(1)
    way = [(0, y, x - 3), (0, y, x), (0, y + 2, x + 3)]
    moved = desk.drag(way, button=2, modifiers=("Shift",))
    assert moved.handled, "the camera does not zoom"
    desk.wait_for_answers()
    (step,) = steps_of(desk)
    assert len(step.points) > 2
    assert all(step.positives)
    np.testing.assert_array_equal(desk.labels[0] == 1, desk.truth[0] == 1)
    assert len(desk.session.log) == 1
    desk.press("T")
    desk.send("mouse_press", (0, 2, 2), button=2, modifiers=("Shift",))
    desk.send("mouse_move", (0, 2, 30), button=2, modifiers=("Shift",))
    assert str(desk.bridge.prompts.boxes.shape_type[0]) == "path"
    desk.send("mouse_release", (0, 2, 30), button=2, modifiers=("Shift",))
    desk.wait_for_answers()
    assert not any(steps_of(desk)[-1].positives)
    assert num_shapes(desk) == 0


@pytest.fixture
def near(desk):
    """A desk with one point, so near that eight screen pixels are less than one of the frame."""
    desk.click(1)
    desk.viewer.scene.camera.zoom = 20
    return desk


def test_a_point_is_dragged_and_the_mask_follows(near):
    (y, x), other = near.centre(1), near.centre(2)
    near.send("mouse_press", (0, y, x))
    moved = near.send("mouse_move", (0, other[0] - 9, other[1]))
    assert moved.handled, "the camera stays"
    np.testing.assert_allclose(near.bridge.prompts.points.data, [(0, other[0] - 9, other[1])])
    assert steps_of(near)[0].points == ((y, x),), "nothing is said before the button is released"
    near.send("mouse_move", (0, *other))
    near.send("mouse_release", (0, *other))
    near.wait_for_answers()
    np.testing.assert_allclose(steps_of(near)[0].points, [other])
    np.testing.assert_array_equal(near.labels[0] == 1, near.truth[0] == 2)
    assert len(near.session.log) == 2
    assert near.session.undo_action == "move point"


def test_a_point_dragged_out_of_the_image_or_dropped_with_escape_stays(near):
    y, x = near.centre(1)
    before = near.session.state
    near.drag([(0, y, x), (0, 30, 30), (0, -5, 30)])
    assert near.session.state is before
    near.send("mouse_press", (0, y, x))
    near.send("mouse_move", (0, 30, 30))
    near.press("Escape")
    np.testing.assert_allclose(near.bridge.prompts.points.data, [(0, y, x)])
    near.send("mouse_move", (0, 35, 35))
    near.send("mouse_release", (0, 35, 35))
    assert near.session.state is before
    np.testing.assert_allclose(near.bridge.prompts.points.data, [(0, y, x)])


def test_a_press_on_a_point_without_a_drag_is_a_click_and_beside_it_pans(near):
    y, x = near.centre(1)
    near.click_at(0, y, x, button=2)
    assert "only negative" in near.controller.message.text.lower()
    near.click_at(0, y, x)
    assert len(near.session.log) == 1
    moved = near.drag([(0, y + 5, x), (0, y + 15, x), (0, y + 25, x)])
    assert not moved.handled
    assert len(near.session.log) == 1


def test_a_box_is_given_up_with_escape(desk):
    desk.send("mouse_press", (0, 5, 5), modifiers=("Shift",))
    desk.send("mouse_move", (0, 25, 25), modifiers=("Shift",))
    assert num_shapes(desk) == 1
    desk.press("Escape")
    assert num_shapes(desk) == 0
    desk.send("mouse_release", (0, 25, 25), modifiers=("Shift",))
    assert not desk.session.objects


def test_outlines_are_read_in_frames_whatever_the_order_of_the_axes():
    view = StackView(2, 1, 0)
    corners = np.array([(1, 5, 3), (1, 9, 3), (7, 9, 3), (7, 5, 3)], float)
    box = outline_of("rectangle", corners, view)
    assert (box.kind, box.frame) == ("box", 3)
    assert box.path.tolist() == [[5, 1], [9, 1], [9, 7], [5, 7]]
    ellipse = outline_of("ellipse", corners, view)
    np.testing.assert_allclose(ellipse.path.min(axis=0), (5, 1))
    np.testing.assert_allclose(ellipse.path.max(axis=0), (9, 7))
    assert outline_of("line", corners[:2], view).kind == "scribble"
    with pytest.raises(PromptError, match="several frames"):
        outline_of("polygon", corners + np.eye(4, 3), view)
