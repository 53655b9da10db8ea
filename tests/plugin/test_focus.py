"""The window in which the model looks at a small object: switched in the dock, shown as a thin frame."""

from __future__ import annotations

import numpy as np

from napari_sam2.plugin.sketch import WINDOW


def windows(desk):
    """Corners (y0, x0, y1, x1) of the thin frames that are drawn on the shown frame."""
    boxes = desk.bridge.prompts.boxes
    if boxes is None:
        return []
    colors = np.asarray(boxes.edge_color)
    thin = [shape for shape, color in zip(boxes.data, colors, strict=True) if color[3] < 0.6]
    return [(*shape.min(axis=0)[-2:], *shape.max(axis=0)[-2:]) for shape in thin]


def test_the_window_of_the_active_object_is_framed_and_follows_object_and_slider(open_desk):
    desk = open_desk(fake={"window": 24})
    desk.click(1)
    (first,) = windows(desk)
    view = desk.session.record(1, 0).view
    assert first == (view[0] - 0.5, view[1] - 0.5, view[2] - 0.5, view[3] - 0.5)
    desk.press("M")
    assert windows(desk) == [], "an object without a mask has no window"
    desk.click(2)
    (second,) = windows(desk)
    assert second != first
    desk.controller.activate(1)
    assert windows(desk) == [first]
    desk.viewer.dims.set_current_step(0, 5)
    assert windows(desk) == [], "frame 5 has not been looked at"
    desk.propagate()
    moved = desk.session.record(1, 5).view
    assert windows(desk) == [(moved[0] - 0.5, moved[1] - 0.5, moved[2] - 0.5, moved[3] - 0.5)]
    assert len(WINDOW) == 9, "half transparent"


def test_boxes_that_a_person_drew_stay_beside_the_frame(open_desk):
    desk = open_desk(fake={"window": 24})
    desk.viewer.dims.set_current_step(0, 0)
    y, x = desk.centre(1)
    desk.drag([(0, y - 9, x - 9), (0, y, x), (0, y + 9, x + 9)], modifiers=("Shift",))
    desk.wait_for_answers()
    assert len(windows(desk)) == 1
    assert len(desk.bridge.prompts.boxes.data) == 2


def test_whole_frames_have_no_frame_and_closing_takes_it_away(open_desk):
    plain = open_desk()
    plain.click(1)
    assert windows(plain) == []
    desk = open_desk(fake={"window": 24})
    desk.click(1)
    bridge = desk.bridge
    desk.controller.close()
    assert len(bridge.prompts.boxes.data) == 0


def test_the_switch_in_the_dock_decides_how_the_model_looks_from_now_on(desk):
    switch = desk.dock.image.look.focus
    assert switch.isChecked()
    desk.click(1)
    before = desk.labels.copy()
    switch.click()
    assert not desk.controller.settings.focus
    assert not desk.shown().focus
    desk.press("M")
    desk.click(2)
    assert not desk.controller.binding.engine.recipe.options.focus
    np.testing.assert_array_equal(desk.labels == 1, before == 1)
    switch.click()
    assert desk.controller.binding.engine.recipe.options.focus
    assert switch.isChecked()


def test_the_quality_chosen_in_the_dock_is_used_from_now_on_and_labelled(desk):
    drop_down = desk.dock.image.look.qualities
    labels = [drop_down.itemText(i) for i in range(drop_down.count())]
    assert labels == ["Automatic", "Full", "Balanced (approximate)", "Fast (approximate)"]
    desk.click(1)
    before = desk.labels.copy()
    drop_down.setCurrentIndex(3)
    drop_down.activated.emit(3)
    assert desk.controller.settings.quality == "fast"
    assert desk.shown().quality == "fast"
    assert desk.controller.binding.engine.recipe.options.quality == "fast"
    desk.press("M")
    desk.click(2)
    np.testing.assert_array_equal(desk.labels == 1, before == 1)


def test_the_switch_waits_while_a_run_goes_on(open_desk):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run is not None)
    desk.shown()
    assert not desk.dock.image.look.focus.isEnabled()
    desk.press("Escape")
    desk.wait_for_run()
    desk.shown()
    assert desk.dock.image.look.focus.isEnabled()


def test_where_there_is_only_the_processor_no_device_is_asked_for(desk, monkeypatch):
    from napari_sam2.inference import device

    monkeypatch.setattr(device, "available_devices", lambda: ("cpu",))
    desk.click(1)
    desk.shown()
    assert desk.dock.image.look.devices.isHidden()


def test_a_model_that_does_not_fit_on_the_card_can_be_sent_to_the_processor(desk, monkeypatch):
    from napari_sam2.inference import device

    monkeypatch.setattr(device, "available_devices", lambda: ("cuda", "cpu"))
    desk.click(1)
    desk.shown()
    drop_down = desk.dock.image.look.devices
    labels = [drop_down.itemText(i) for i in range(drop_down.count())]
    assert not drop_down.isHidden()
    assert labels == ["Automatic", "Graphics card", "Processor"]
    before = desk.labels.copy()
    drop_down.setCurrentIndex(2)
    drop_down.activated.emit(2)
    assert desk.shown().device == "cpu"
    desk.press("M")
    desk.click(2)
    assert desk.controller.binding.engine.recipe.device == "cpu"
    np.testing.assert_array_equal(desk.labels == 1, before == 1)


def test_how_the_model_looks_is_folded_away_and_its_heading_tells_what_is_unusual(desk):
    look = desk.dock.image.look
    desk.shown()
    assert look.content.isHidden()
    assert look.fold.text() == "▸  Quality: automatic"
    look.fold.click()
    assert not look.content.isHidden()
    look.focus.click()
    look.qualities.setCurrentIndex(3)
    look.qualities.activated.emit(3)
    desk.shown()
    assert look.fold.text() == "▾  Quality: fast · whole frames"
