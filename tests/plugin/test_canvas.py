"""With a true canvas: the mouse on its native widget."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

pytestmark = [pytest.mark.gui, pytest.mark.canvas]

PLACED = {"scale": (1, 0.3, 0.3), "translate": (0, 25, -10), "rotate": 25}


def native(desk):
    return desk.viewer.window._qt_viewer.canvas.native


def pixel_of(desk, *index):
    """Pixel of the canvas's widget that shows a data index, computed from the camera."""
    camera, widget = desk.viewer.scene.camera, native(desk)
    y, x = np.asarray(desk.world(*index))[-2:]
    centre_y, centre_x = camera.center[-2:]
    return QPoint(
        round(widget.width() / 2 + (x - centre_x) * camera.zoom),
        round(widget.height() / 2 + (y - centre_y) * camera.zoom),
    )


def mouse(desk, kind, at, button, held, modifiers=Qt.KeyboardModifier.NoModifier):
    widget = native(desk)
    event = QMouseEvent(kind, QPointF(at), QPointF(widget.mapToGlobal(at)), button, held, modifiers)
    QApplication.sendEvent(widget, event)
    desk.qtbot.wait(20)


def press_and_release(desk, at, button=Qt.MouseButton.LeftButton, *, to=None, modifiers=None):
    modifiers = modifiers or Qt.KeyboardModifier.NoModifier
    none = Qt.MouseButton.NoButton
    mouse(desk, QMouseEvent.Type.MouseButtonPress, at, button, button, modifiers)
    if to is not None:
        for share in (0.5, 1.0):
            between = at + (to - at) * share
            mouse(desk, QMouseEvent.Type.MouseMove, between, none, button, modifiers)
    mouse(desk, QMouseEvent.Type.MouseButtonRelease, to or at, button, none, modifiers)


@pytest.fixture
def shown(open_desk):
    desk = open_desk(show=True, **PLACED)
    desk.viewer.window.resize(1280, 860)
    desk.qtbot.wait(300)
    desk.viewer.reset_view()
    desk.viewer.dims.set_current_step(0, 0)  # napari begins in the middle of a stack
    desk.viewer.scene.camera.zoom *= 0.8
    desk.qtbot.wait(100)
    return desk


def label_at(desk, *index):
    return desk.labels[tuple(round(value) for value in index)]


def test_a_click_on_the_canvas_labels_the_object_under_it(shown):
    frame = 3
    shown.viewer.dims.set_current_step(0, frame)
    index = (frame, *shown.centre(1, frame))
    press_and_release(shown, pixel_of(shown, *index))
    shown.wait_for_answers()
    assert label_at(shown, *index) == 1
    np.testing.assert_array_equal(shown.labels[frame] == 1, shown.truth[frame] == 1)
    ((y, x),) = shown.session.prompts[0].frames[0].steps[0].points
    pixel = 1 / (shown.viewer.scene.camera.zoom * 0.3)  # one screen pixel in data pixels
    assert np.hypot(y - index[1], x - index[2]) <= pixel


def test_right_click_is_negative_and_shift_drag_a_box(shown):
    index = (0, *shown.centre(1))
    press_and_release(shown, pixel_of(shown, *index))
    shown.wait_for_answers()
    beside = (0, index[1] + 3, index[2])
    press_and_release(shown, pixel_of(shown, *beside), Qt.MouseButton.RightButton)
    shown.wait_for_answers()
    steps = shown.session.prompts[0].frames[0].steps
    assert [step.positives for step in steps] == [(True,), (False,)]
    shown.press("M")
    y, x = shown.centre(2)
    press_and_release(
        shown,
        pixel_of(shown, 0, y - 8, x - 8),
        to=pixel_of(shown, 0, y + 8, x + 8),
        modifiers=Qt.KeyboardModifier.ShiftModifier,
    )
    shown.wait_for_answers()
    (step,) = shown.session.prompts[1].frames[0].steps
    np.testing.assert_allclose(step.box, (y - 8, x - 8, y + 8, x + 8), atol=1.0)
    assert label_at(shown, 0, y, x) == 2


def test_a_plain_drag_pans_and_adds_nothing(shown):
    before = tuple(shown.viewer.scene.camera.center)
    start = pixel_of(shown, 0, 30, 30)
    press_and_release(shown, start, to=start + QPoint(60, 40))
    assert tuple(shown.viewer.scene.camera.center) != before
    assert not shown.session.objects


def test_keys_reach_the_session_from_the_canvas_and_from_the_dock(shown):
    press_and_release(shown, pixel_of(shown, 0, *shown.centre(1)))
    shown.wait_for_answers()
    shown.qtbot.keyClick(native(shown), Qt.Key.Key_M)
    assert shown.controller.active_object == 2
    shown.qtbot.keyClick(shown.dock.run.undo, Qt.Key.Key_T)
    assert not shown.controller.is_positive
    shown.qtbot.keyClick(native(shown), Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    assert shown.session.run is not None
    shown.wait_for_run()
    np.testing.assert_array_equal(shown.labels == 1, shown.truth == 1)
    shown.qtbot.keyClick(native(shown), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not shown.labels[5].any()


def test_the_mask_can_be_seen_where_the_mouse_was_pressed(shown):
    at = pixel_of(shown, 0, *shown.centre(1))
    shown.bridge.prompts.points.visible = False
    before = shown.viewer.screenshot(canvas_only=True, flash=False)
    press_and_release(shown, at)
    shown.wait_for_answers()
    shown.qtbot.wait(200)
    after = shown.viewer.screenshot(canvas_only=True, flash=False)
    ratio = after.shape[0] / native(shown).height()
    row, column = round(at.y() * ratio), round(at.x() * ratio)
    changed = np.abs(after[..., :3].astype(int) - before[..., :3]).sum(axis=-1) > 20
    assert changed[row - 2 : row + 3, column - 2 : column + 3].all()
    assert not changed[:5].any()


def test_napari_s_brush_paints_under_the_pointer_and_the_camera_stays(shown):
    shown.controller.tools.choose("paint")
    shown.bridge.labels.brush_size = 3
    before = tuple(shown.viewer.scene.camera.center)
    press_and_release(shown, pixel_of(shown, 0, 50, 10), to=pixel_of(shown, 0, 50, 40))
    assert tuple(shown.viewer.scene.camera.center) == before
    assert shown.session.undo_action == "paint"
    assert all(label_at(shown, 0, 50, x) == 1 for x in range(10, 41))
    np.testing.assert_array_equal(shown.labels[0], shown.session.project(0))
    shown.qtbot.keyClick(native(shown), Qt.Key.Key_E)
    press_and_release(shown, pixel_of(shown, 0, 50, 20), to=pixel_of(shown, 0, 50, 30))
    assert [label_at(shown, 0, 50, x) for x in (12, 25, 38)] == [1, 0, 1]
    shown.qtbot.keyClick(native(shown), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert label_at(shown, 0, 50, 25) == 1


def test_a_polygon_is_clicked_and_closed_with_a_double_click(shown):
    shown.controller.tools.choose("polygon")
    corners = [(0, 36, 10), (0, 36, 40), (0, 58, 40), (0, 58, 10)]
    none = Qt.MouseButton.NoButton
    for corner in corners:
        at = pixel_of(shown, *corner)
        mouse(shown, QMouseEvent.Type.MouseMove, at, none, none)
        press_and_release(shown, at)
    left = Qt.MouseButton.LeftButton
    mouse(shown, QMouseEvent.Type.MouseButtonDblClick, at, left, left)
    mouse(shown, QMouseEvent.Type.MouseButtonRelease, at, left, none)
    assert shown.session.objects == (1,)
    inside = np.zeros((64, 64), bool)
    inside[37:58, 11:40] = True
    found = shown.labels[0] == 1
    assert found[inside].mean() > 0.97
    assert found[~inside].mean() < 0.03
    assert len(shown.bridge.prompts.boxes.data) == 0


def test_a_point_is_dragged_while_the_camera_stays(shown):
    press_and_release(shown, pixel_of(shown, 0, *shown.centre(1)))
    shown.wait_for_answers()
    before = tuple(shown.viewer.scene.camera.center)
    press_and_release(
        shown, pixel_of(shown, 0, *shown.centre(1)), to=pixel_of(shown, 0, *shown.centre(2))
    )
    shown.wait_for_answers()
    assert tuple(shown.viewer.scene.camera.center) == before
    np.testing.assert_array_equal(shown.labels[0] == 1, shown.truth[0] == 2)
    assert shown.session.undo_action == "move point"
