"""What happens around a run leaves it alone: other images, axes, models, viewers, warnings, and impatience."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_sam2.plugin import launch
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui


@pytest.fixture
def quiet(open_desk):
    """Labels of a run that nobody disturbed."""
    desk = open_desk()
    desk.click(1)
    desk.propagate()
    return desk.labels.copy()


def begin(desk, done=2):
    """Start a run and wait until it is under way."""
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= done, timeout=20_000)


def test_sliders_rolled_axes_and_three_dimensions_change_no_result(open_desk, quiet):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk)
    dims = desk.viewer.dims
    dims.set_current_step(0, 9)
    dims.roll()
    dims.set_current_step(dims.not_displayed[0], 3)
    dims.transpose()
    dims.ndisplay = 3
    dims.ndisplay = 2
    desk.wait_for_run()
    np.testing.assert_array_equal(desk.labels, quiet)
    assert desk.session.stack_view.frame_axis == 0
    shown = desk.bridge.labels._slice.image.raw
    np.testing.assert_array_equal(shown.shape, np.take(desk.labels, 3, axis=1).T.shape)
    desk.click_at(4, 20, 20)
    assert "Show Y/X" in desk.controller.message.text
    dims.order = (0, 1, 2)
    desk.click(2)
    assert desk.session.state.prompts_on(1, 0) is not None


def test_pixels_that_are_replaced_in_a_run_are_not_mixed_with_the_old_ones(open_desk, quiet):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk)
    desk.bridge.image.data = np.zeros_like(desk.bridge.image.data)
    desk.wait_for_run()
    np.testing.assert_array_equal(desk.labels, quiet)


def test_a_layer_of_the_same_name_is_another_layer(open_desk, quiet):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk)
    labels = desk.bridge.labels
    twin = desk.viewer.add_labels(np.zeros_like(desk.labels), name="twin")
    name, labels.name = labels.name, "mine"
    twin.name = name
    desk.viewer.layers.remove(twin)
    assert desk.session.run is not None
    desk.wait_for_run()
    np.testing.assert_array_equal(labels.data, quiet)


def test_another_way_of_looking_is_refused_in_a_run_and_chosen_after_it(open_desk, quiet):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk)
    desk.shown()
    assert not desk.dock.image.models.isEnabled()
    assert not desk.dock.image.look.focus.isEnabled()
    first = desk.fake
    desk.controller.choose_focus(False)
    assert "propagation is going on" in desk.controller.message.text
    assert desk.controller.settings.focus, "nothing was changed"
    desk.wait_for_run()
    np.testing.assert_array_equal(desk.labels, quiet)
    assert desk.fake is first
    desk.controller.choose_focus(False)
    desk.press("M")
    desk.click(2)
    assert desk.fake is not first
    assert desk.fake.num_calls == 1


def test_two_viewers_run_side_by_side(open_desk, quiet):
    first, second = open_desk(fake={"delay": 0.02}), open_desk(fake={"delay": 0.02})
    first.click(1)
    second.click(1)
    first.press("Shift-S")
    second.press("Shift-S")
    first.wait_for_run()
    second.wait_for_run()
    for desk in (first, second):
        np.testing.assert_array_equal(desk.labels, quiet)
    assert not {*first.viewer.layers} & {*second.viewer.layers}


@pytest.mark.parametrize("role", ["image", "labels"])
@pytest.mark.parametrize("done", [0, 10])
def test_a_layer_may_go_before_the_first_and_after_the_last_but_one_frame(open_desk, role, done):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk, done)
    session, bridge = desk.session, desk.bridge
    image, labels = bridge.image, bridge.labels
    before = list(desk.viewer.layers)
    desk.viewer.layers.remove(image if role == "image" else labels)
    assert session.run is None
    for frame in range(len(session.frames)):
        np.testing.assert_array_equal(labels.data[frame], session.project(frame))
    assert (labels.data == 1).any(axis=(1, 2)).sum() >= 1 + done
    desk.qtbot.wait(200)
    assert set(desk.viewer.layers) < set(before), "no layer comes back by itself"


@pytest.mark.parametrize("done", [0, 5, 10])
def test_stopping_anywhere_and_going_on_gives_the_same(open_desk, quiet, done):
    desk = open_desk(fake={"delay": 0.05})
    begin(desk, done)
    run = desk.session.run
    desk.press("Escape")
    desk.press("Escape")
    desk.wait_for_run()
    assert run.done <= done + 2
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, quiet)


def test_the_dock_is_opened_once(open_desk):
    desk = open_desk()
    desk.click(1)
    session, layers = desk.session, list(desk.viewer.layers)
    launch.open_dock(desk.viewer)
    assert len(desk.viewer.window.dock_widgets) == 1
    assert desk.session is session
    assert list(desk.viewer.layers) == layers


def test_warnings_on_the_worker_harm_nobody_and_leave_python_as_it_was(open_desk, monkeypatch):
    desks = [open_desk(), open_desk()]
    before = warnings.showwarning, list(warnings.filters)
    for desk in desks:
        desk.qtbot.waitUntil(lambda desk=desk: len(desk.makers) == 1, timeout=20_000)
        fake, image = desk.fake, desk.fake._image

        def warning(t, image=image):
            warnings.warn("of numpy, on the worker", RuntimeWarning, stacklevel=1)
            return image(t)

        monkeypatch.setattr(fake, "_image", warning)
        desk.click(1, wait=False)
    for desk in desks:
        desk.wait_for_answers()
        desk.press("Shift-S")
    for desk in desks:
        desk.wait_for_run()
        np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_an_image_that_comes_back_is_annotated_anew_and_what_was_found_stays(open_desk):
    desk = open_desk()
    desk.click(1)
    desk.propagate()
    image, labels, found = desk.bridge.image, desk.bridge.labels, desk.labels.copy()
    desk.viewer.layers.remove(image)
    assert "stays in its labels layer" in desk.controller.message.text
    desk.viewer.layers.append(image)
    desk.qtbot.waitUntil(lambda: desk.session is not None)
    assert desk.bridge.labels is not labels
    np.testing.assert_array_equal(labels.data, found)
    desk.click(2)
    assert desk.labels[0].any()
    np.testing.assert_array_equal(labels.data, found)


def test_without_any_layer_keys_and_buttons_say_what_to_do(open_desk):
    desk = open_desk(False)
    for key in ("Shift-S", "M", "Shift-M", "T", "N", "J", "G", "H", "Escape", "Control-Z", "K"):
        desk.press(key)
    assert desk.shown().message.text
    points = desk.viewer.add_points([[1, 1]])
    desk.qtbot.wait(50)
    assert desk.session is None, "not an image"
    desk.viewer.layers.remove(points)
    desk.viewer.add_image(moving_discs()[0])
    desk.qtbot.waitUntil(lambda: desk.session is not None)
