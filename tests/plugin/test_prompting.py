"""Mouse and keys on a viewer: what a person does becomes what the session holds."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.prompts import PromptStep
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

PLACED = {
    "plain": {},
    "anisotropic": {"scale": (1, 0.3, 0.3)},
    "moved and turned": {
        "scale": (1, 0.3, 0.3),
        "translate": (5, -40, 12),
        "rotate": 30,
    },
    "sheared": {"scale": (2, 1, 1), "shear": [0, 0, 0.4]},
    "affine": {"affine": [[1, 0, 0, 3], [0, 0, -2, 7], [0, 2, 0, 1], [0, 0, 0, 1]]},
    "in micrometres": {"scale": (5, 0.65, 0.65), "units": ("s", "um", "um")},
}


def only_step(desk, object_id=1, frame=0):
    (step,) = desk.session.state.prompts_on(object_id, frame).steps
    return step


@pytest.mark.parametrize("placed", PLACED.values(), ids=PLACED.keys())
def test_a_click_is_the_same_prompt_wherever_the_layer_lies(open_desk, placed):
    desk = open_desk(**placed)
    desk.click(1, frame=3)
    step = only_step(desk, frame=3)
    assert step.positives == (True,)
    np.testing.assert_allclose(step.points, [desk.centre(1, 3)], atol=1e-6)
    assert desk.labels[3][tuple(int(v) for v in desk.centre(1, 3))] == 1
    assert not np.delete(desk.labels, 3, axis=0).any()


@pytest.mark.parametrize("placed", PLACED.values(), ids=PLACED.keys())
def test_what_is_drawn_lies_on_the_image(open_desk, placed):
    desk = open_desk(**placed)
    desk.click(1)
    desk.drag([(0, 30, 5), (0, 40, 15), (0, 58, 25)], modifiers=("Shift",))
    image = desk.controller.binding.image
    assert len(desk.bridge.layers) == 3
    for layer in desk.bridge.layers:
        for index in ((0, 0, 0), (3, 10, 20)):
            np.testing.assert_allclose(layer.data_to_world(index), image.data_to_world(index))
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels


def test_a_second_layer_in_other_units_does_not_shift_the_click(open_desk):
    desk = open_desk(scale=(1, 0.5, 0.5), units=("um", "um", "um"))
    desk.viewer.add_image(np.zeros((4, 4, 4)), units=("nm", "nm", "nm"), name="small")
    desk.viewer.layers.selection.active = desk.bridge.prompts.points
    assert str(desk.viewer.dims.units[0]) == "nanometer"
    desk.click_at(4, *desk.centre(2, 4))
    desk.wait_for_answers()
    np.testing.assert_allclose(only_step(desk, frame=4).points, [desk.centre(2, 4)], atol=1e-6)


@pytest.mark.parametrize(
    ("button", "modifiers", "positive"), [(1, (), True), (2, (), False), (1, ("Alt",), False)]
)
def test_left_is_positive_and_right_or_alt_negative(desk, button, modifiers, positive):
    desk.click(1)
    y, x = desk.centre(1)
    desk.click_at(0, y + 2, x, button=button, modifiers=modifiers)
    desk.wait_for_answers()
    last = desk.session.state.prompts_on(1, 0).steps[-1]
    assert last.positives == (positive,)


def test_a_drag_pans_and_is_no_click(desk):
    moved = desk.drag([(0, 10, 10), (0, 20, 20), (0, 30, 30)])
    assert not desk.session.objects
    assert not moved.handled, "the camera gets it"
    desk.drag([(0, 10, 10), (0, 20, 20), (0, 10, 10)])
    assert not desk.session.objects, "a way there and back is a drag too"


def test_a_trembling_hand_still_clicks_and_the_camera_stays(desk):
    y, x = desk.centre(1)
    moved = desk.drag([(0, y, x), (0, y + 0.5, x)])
    assert moved.handled
    assert desk.session.objects == (1,)
    np.testing.assert_allclose(only_step(desk).points, [(y, x)])


def test_shift_and_drag_is_a_box(desk):
    y, x = desk.centre(1)
    moved = desk.drag([(0, y - 9, x - 9), (0, y, x), (0, y + 9, x + 9)], modifiers=("Shift",))
    assert moved.handled
    desk.wait_for_answers()
    assert only_step(desk) == PromptStep(box=(max(y - 9, -0.5), max(x - 9, -0.5), y + 9, x + 9))
    assert desk.labels[0].any()
    boxes = desk.bridge.prompts.boxes
    assert len(boxes.data) == 1
    assert desk.viewer.layers.selection.active is desk.bridge.prompts.points


def test_the_box_is_seen_while_it_is_drawn_and_gone_when_refused(desk, caplog):
    from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks

    mouse_press_callbacks(desk.viewer, desk.event("mouse_press", (0, 5, 5), modifiers=("Shift",)))
    mouse_move_callbacks(desk.viewer, desk.event("mouse_move", (0, 9, 9), modifiers=("Shift",)))
    assert len(desk.bridge.prompts.boxes.data) == 1
    desk.controller.handwork.finish("box", [desk.world(0, 5, 5)])
    assert len(desk.bridge.prompts.boxes.data) == 0
    assert "no area" in desk.controller.message.text
    desk.qtbot.wait(10)
    desk.viewer.layers.selection.active = desk.bridge.prompts.boxes
    desk.press("T")
    assert not desk.controller.is_positive, (
        "the keys work on the layer that the refused box has made"
    )


def test_m_starts_the_next_object_and_pressing_it_twice_makes_no_gap(desk):
    desk.click(1)
    desk.press("M")
    desk.press("M")
    assert desk.controller.active_object == 2
    desk.click(2)
    assert desk.session.objects == (1, 2)
    assert set(np.unique(desk.labels[0])) == {0, 1, 2}
    desk.press("Shift-M")
    assert desk.controller.active_object == 1
    assert desk.bridge.labels.selected_label == 1


def test_ctrl_click_on_a_mask_makes_its_object_active(desk):
    desk.click(1)
    desk.press("M")
    desk.click(2)
    desk.click(1, modifiers=("Control",))
    assert desk.controller.active_object == 1
    assert len(desk.session.prompts[0].frames[0].steps) == 1


def test_t_toggles_what_a_click_means(desk):
    desk.click(1)
    desk.press("T")
    assert not desk.controller.is_positive
    y, x = desk.centre(1)
    desk.click_at(0, y, x + 2)
    desk.press("T")
    assert desk.controller.is_positive
    assert desk.session.state.prompts_on(1, 0).steps[-1].positives == (False,)


def test_a_quick_second_click_is_a_prompt_not_a_zoom(desk):
    zoom = desk.viewer.scene.camera.zoom
    event = desk.event("mouse_double_click", (0, *desk.centre(1)))
    from napari.utils.interactions import mouse_double_click_callbacks

    mouse_double_click_callbacks(desk.viewer, event)
    assert desk.session.objects == (1,)
    assert desk.viewer.scene.camera.zoom == zoom


def test_undo_and_redo_go_through_the_session_and_bring_the_same_bytes(desk):
    desk.click(1)
    one = desk.labels.copy()
    desk.press("M")
    desk.click(2)
    two = desk.labels.copy()
    desk.propagate()
    three = desk.labels.copy()
    for expected in (two, one, np.zeros_like(one)):
        desk.press("Control-Z")
        np.testing.assert_array_equal(desk.labels, expected)
    for expected in (one, two, three):
        desk.press("Control-Shift-Z")
        desk.wait_for_answers()
        np.testing.assert_array_equal(desk.labels, expected)


def test_three_dimensional_display_is_refused_with_a_sentence(desk):
    desk.viewer.dims.ndisplay = 3
    desk.click_at(0, *desk.centre(1))
    assert not desk.session.objects
    assert "Show Y/X" in desk.controller.message.text
    desk.viewer.dims.ndisplay = 2
    desk.click(1)
    assert desk.session.objects == (1,)


@pytest.mark.parametrize("order", [(1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_another_plane_is_refused_once_there_are_objects(desk, order):
    desk.click(1)
    desk.viewer.dims.order = order
    desk.click_at(3, 32, 20)
    assert desk.session.state.objects[1].prompts.keys() == {0}
    assert "Show Y/X" in desk.controller.message.text


@pytest.mark.parametrize("placed", PLACED.values(), ids=PLACED.keys())
def test_a_transposed_view_of_the_same_plane_is_the_same_prompt(open_desk, placed):
    desk = open_desk(**placed)
    desk.viewer.dims.order = (0, 2, 1)
    desk.click_at(3, *desk.centre(1, 3))
    desk.wait_for_answers()
    np.testing.assert_allclose(only_step(desk, frame=3).points, [desk.centre(1, 3)], atol=1e-6)
    assert desk.labels[3][tuple(int(v) for v in desk.centre(1, 3))] == 1


def test_before_the_first_object_the_plane_on_display_is_followed(open_desk):
    video, truth = moving_discs(num_frames=20)
    desk = open_desk(np.moveaxis(video, 0, 1), truth=truth)
    assert desk.session.stack_view.frame_axis == 0
    desk.viewer.dims.order = (1, 0, 2)
    y, x = desk.centre(1, 4)
    desk.click_at(y, 4, x)
    desk.wait_for_answers()
    assert desk.session.stack_view.frame_axis == 1
    assert desk.session.state.objects[1].prompts.keys() == {4}
    assert desk.labels[int(y), 4, int(x)] == 1
    assert desk.labels.shape == desk.controller.binding.image.data.shape


def test_a_plane_of_a_four_dimensional_stack_is_held_while_there_are_objects(open_desk):
    video, truth = moving_discs()
    stack = np.zeros((12, 3, 64, 64), np.uint8)
    stack[:, 1] = video
    desk = open_desk(stack, truth=truth)
    desk.viewer.dims.set_current_step(1, 1)
    desk.viewer.dims.set_current_step(0, 2)
    desk.click_at(2, 1, *desk.centre(1, 2))
    desk.wait_for_answers()
    assert desk.session.stack_view.fixed == ((1, 1),)
    assert desk.labels[2, 1].any()
    desk.click_at(2, 2, *desk.centre(1, 2))
    assert "not on the plane in use" in desk.controller.message.text
    desk.propagate()
    assert desk.labels[:, 1].any(axis=(1, 2)).all()
    assert not desk.labels[:, [0, 2]].any()


def test_clicks_are_left_to_napari_while_another_layer_or_tool_is_in_hand(desk):
    other = desk.viewer.add_labels(np.zeros((12, 64, 64), int), name="mine")
    other.mode = "paint"
    desk.click_at(0, *desk.centre(1))
    assert not desk.session.objects
    desk.viewer.layers.selection.active = desk.controller.binding.image
    desk.click(1)
    assert desk.session.objects == (1,)


@pytest.mark.parametrize("index", [(0, -1, 5), (0, 5, 64), (-3, 5, 5), (12, 5, 5)])
def test_a_click_outside_is_refused_and_leaves_no_trace(desk, contract, index):
    desk.click(1)
    contract.desk(desk, lambda: desk.click_at(*index), lambda: desk.click(1, frame=2))
    desk.propagate()
    assert desk.labels.any(axis=(1, 2)).all()


def test_an_image_without_frames_needs_no_propagation(open_desk):
    video, truth = moving_discs()
    desk = open_desk(video[0], truth=truth[:1])
    y, x = desk.centre(1)
    desk.click_at(y, x)
    desk.wait_for_answers()
    assert desk.labels.shape == (64, 64)
    assert desk.labels[int(y), int(x)] == 1
    assert not desk.shown().can_propagate
    desk.press("Shift-S")
    assert "Nothing to propagate" in desk.controller.message.text


def test_a_colour_image_gets_labels_without_the_colour_axis(open_desk):
    video, truth = moving_discs()
    desk = open_desk(np.stack([video] * 3, axis=-1), truth=truth, rgb=True)
    desk.click(1)
    assert desk.labels.shape == (12, 64, 64)
    assert desk.labels[0].any()


def test_a_multiscale_image_is_prompted_at_its_finest_level(open_desk):
    video, truth = moving_discs()
    desk = open_desk([video, video[:, ::2, ::2]], truth=truth, multiscale=True)
    desk.click(1)
    assert desk.labels.shape == (12, 64, 64)
    np.testing.assert_allclose(only_step(desk).points, [desk.centre(1)])
