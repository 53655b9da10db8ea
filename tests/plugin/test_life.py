"""Opening, closing, removing, twice, in the middle of a run: nothing is left and nothing is lost."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import time
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_sam2.core.errors import ImageError, OptionError
from napari_sam2.plugin import launch
from napari_sam2.testing import FakeSegmenter, moving_discs

pytestmark = pytest.mark.gui


def callbacks_of(viewer):
    image = viewer.layers[0]
    return {
        "drag": list(viewer.mouse_drag_callbacks),
        "double": list(viewer.mouse_double_click_callbacks),
        "keys": dict(viewer.keymap),
        "layer keys": [dict(layer.keymap) for layer in viewer.layers],
        "inserted": len(viewer.layers.events.inserted.callbacks),
        "removed": len(viewer.layers.events.removed.callbacks),
        "image drag": list(image.mouse_drag_callbacks),
        "editable": [len(layer.events.editable.callbacks) for layer in viewer.layers],
        "theme": len(viewer.events.theme.callbacks),
    }


def remove_dock(desk):
    desk.viewer.window.remove_dock_widget("all")
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    gc.collect()


def test_closing_gives_everything_back_and_reopening_continues(open_desk):
    desk = open_desk()
    desk.click(1)
    desk.propagate()
    session, labels, state = desk.session, desk.bridge.labels, desk.session.state
    before, counted, num_layers = desk.labels.copy(), None, len(desk.viewer.layers)
    for _ in range(5):
        widget = weakref.ref(desk.dock)
        remove_dock(desk)
        assert widget() is None, "the widget is gone"
        assert not desk.controller.is_open
        counted = counted or callbacks_of(desk.viewer)
        assert callbacks_of(desk.viewer) == counted, "nothing adds up over the cycles"
        assert not any(counted["layer keys"])
        launch.open_dock(desk.viewer)
        assert desk.session is session
        assert desk.bridge.labels is labels
        assert session.state is state
        assert len(desk.viewer.layers) == num_layers
        assert desk.session.changed == (), "the same model answers: no mask is out of date"
    names = [getattr(item, "__name__", "") for item in counted["double"]]
    assert "double_click_to_zoom" in names
    np.testing.assert_array_equal(desk.labels, before)
    desk.press("M")
    desk.click(2)
    assert desk.session.objects == (1, 2)


def test_what_a_script_did_while_the_dock_was_closed_is_drawn_when_it_opens(open_desk):
    desk = open_desk()
    desk.click(1)
    session = desk.session
    remove_dock(desk)
    mask = np.zeros((64, 64), bool)
    mask[:5, :5] = True
    session.add_mask(7, 3, mask)
    session.remove_object(1)
    launch.open_dock(desk.viewer)
    assert (desk.labels[3, :5, :5] == 7).all()
    assert not (desk.labels == 1).any()


def test_closing_the_dock_in_a_run_keeps_the_finished_frames(open_desk):
    desk = open_desk(fake={"delay": 0.1})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 2)
    session, labels = desk.session, desk.labels
    before = time.perf_counter()
    desk.dock.shut_down()
    assert time.perf_counter() - before < 2.0 + 0.1
    remove_dock(desk)
    assert session.run is None
    assert labels[:3].any(axis=(1, 2)).all()
    launch.open_dock(desk.viewer)
    desk.propagate()
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)


@pytest.mark.parametrize("role", ["image", "labels", "points"])
def test_removing_a_layer_in_a_run_stops_it_and_says_so(open_desk, role):
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 2)
    session, bridge = desk.session, desk.bridge
    layers = {
        "image": bridge.image,
        "labels": bridge.labels,
        "points": bridge.prompts.points,
    }
    image, found = bridge.image, bridge.labels.data
    desk.viewer.layers.remove(layers[role])
    assert session.run is None
    assert "was removed" in desk.controller.message.text
    assert found[:3].any(axis=(1, 2)).all()
    desk.qtbot.wait(100)
    if role == "image":
        assert desk.session is None
        return
    assert layers[role] not in desk.viewer.layers, "no zombie layer"
    desk.controller.choose_image(image)
    assert desk.session is session
    np.testing.assert_array_equal(desk.labels, np.asarray(session.labels))
    desk.propagate()
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)


def test_renaming_hiding_and_moving_layers_changes_nothing(open_desk):
    desk = open_desk(fake={"delay": 0.02})
    desk.click(1)
    desk.press("Shift-S")
    desk.bridge.labels.name = "something else"
    desk.bridge.image.name = "something else"
    desk.viewer.layers.move(0, 2)
    desk.bridge.labels.visible = False
    desk.bridge.labels.visible = True
    desk.viewer.dims.ndisplay = 3
    desk.viewer.dims.ndisplay = 2
    assert not desk.bridge.labels.editable, "nobody paints during a run"
    desk.wait_for_run()
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)
    assert desk.bridge.labels.editable
    assert not desk.bridge.prompts.points.editable


@pytest.mark.parametrize("is_dock_open", [True, False])
def test_an_image_that_was_removed_is_let_go_of(open_desk, is_dock_open):
    desk = open_desk()
    desk.click(1)
    things = desk.session, desk.bridge.image, desk.bridge.labels
    references = [weakref.ref(thing) for thing in things]
    del things
    if not is_dock_open:
        remove_dock(desk)
    desk.viewer.layers.clear()  # the prompts first: by then the image is in use no more
    desk.qtbot.wait(20)
    desk.makers.clear()
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


def test_two_viewers_keep_to_themselves(open_desk):
    first, second = open_desk(), open_desk()
    first.click(1)
    second.click(2)
    assert first.session is not second.session
    assert first.labels[0][tuple(int(v) for v in first.centre(1))] == 1
    assert not first.labels[0][tuple(int(v) for v in first.centre(2))]
    assert second.labels[0][tuple(int(v) for v in second.centre(2))] == 1


def test_two_images_in_a_viewer_have_a_session_each(open_desk):
    desk = open_desk()
    desk.click(1)
    first, image = desk.session, desk.bridge.image
    other = desk.viewer.add_image(moving_discs(seed=1)[0], name="other")
    desk.controller.choose_image(other)
    assert desk.session is not first
    assert not desk.session.objects
    desk.controller.choose_image(image)
    assert desk.session is first
    desk.propagate()
    np.testing.assert_array_equal(desk.labels == 1, desk.truth == 1)


def test_napari_has_nothing_to_undo_after_strokes_and_runs(open_desk):
    desk = open_desk()
    desk.click(1)
    labels = desk.bridge.labels
    labels.data_setitem((np.array([0]), np.array([0]), np.array([0])), 5)
    desk.qtbot.wait(1)
    desk.propagate()
    labels.undo()
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    assert desk.labels[0, 0, 0] == 5


def test_attach_returns_the_session_that_the_dock_drives(open_desk):
    desk = open_desk()
    session = launch.attach(desk.viewer, desk.bridge.image)
    assert session is desk.session
    assert launch.current_session() is session
    y, x = desk.centre(2)
    session.add_points(3, 0, [(y, x)], labels=[1])
    desk.wait_for_answers()
    assert desk.labels[0, int(y), int(x)] == 3
    assert [row.object_id for row in desk.shown().objects] == [1, 3]
    for result in session.propagate():
        assert desk.labels[result.frame].any()
    np.testing.assert_array_equal(desk.labels, np.asarray(session.labels))
    with pytest.raises(ImageError):
        launch.attach(desk.viewer, desk.bridge.labels)


def test_attach_opens_the_dock(make_napari_viewer, monkeypatch):
    monkeypatch.setattr(
        "napari_sam2.plugin.controller.make_segmenter",
        lambda recipe: FakeSegmenter(recipe.frames),
    )
    viewer = make_napari_viewer()
    image = viewer.add_image(moving_discs()[0])
    with pytest.raises(OptionError, match="no image is being annotated"):
        launch.current_session()
    session = launch.attach(viewer, image)
    assert len(viewer.window.dock_widgets) == 1
    assert launch.current_session() is session
    launch.controller_of(viewer).close()


def test_closing_the_window_lets_go_of_everything(qtbot, open_desk):
    desk = open_desk()
    desk.click(1)
    controller, session = weakref.ref(desk.controller), weakref.ref(desk.session)
    desk.viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.wait(50)
    assert not controller().is_open
    assert session() is None or session().run is None


def test_a_timer_that_qt_has_deleted_already_does_not_keep_the_worker(open_desk):
    from napari_sam2.plugin.widget import _let_go

    class Deleted:
        def stop(self):
            raise RuntimeError("wrapped C/C++ object of type QTimer has been deleted")

    desk = open_desk()
    desk.click(1)
    worker, bridge = desk.controller._workspace.worker, desk.bridge
    # Not by monkeypatch: it would hold the viewer beyond the check for leaks.
    timer, bridge._timer = bridge._timer, Deleted()
    _let_go(desk.controller)
    bridge._timer = timer
    bridge.close()
    assert not worker.is_alive
    assert not desk.controller.is_open


IN_A_RUN = """
    import faulthandler, sys
    faulthandler.enable()
    import napari
    from qtpy.QtCore import QTimer
    import napari._qt.qt_main_window, napari._vispy.utils.gl
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("napari."):
            if hasattr(module, "get_gl_extensions"): module.get_gl_extensions = lambda: "texture_float"
            if hasattr(module, "get_max_texture_sizes"): module.get_max_texture_sizes = lambda: (16384, 2048)
    from napari_sam2.plugin import launch
    from napari_sam2.plugin.controller import Controller
    from napari_sam2.testing import FakeSegmenter, moving_discs
    from qtpy.QtWidgets import QApplication
    viewer = napari.Viewer(show=False)
    app = QApplication.instance()
    video, truth = moving_discs(num_frames=200)
    viewer.add_image(video)
    controller = Controller(viewer, lambda recipe: FakeSegmenter(recipe.frames, delay=0.05))
    launch._controllers[viewer] = controller
    launch.open_dock(viewer)
    y, x = (truth[0] == 1).nonzero()
    controller.session.add_points(1, 0, [(int(y.mean()), int(x.mean()))])
    QTimer.singleShot(300, controller.propagate)
    def leave():
        run = controller.session.run
        if run is None or run.done < 2:  # a slow machine has not come so far yet
            QTimer.singleShot(50, leave)
            return
        assert "torch" not in sys.modules
        {leave}
    QTimer.singleShot(900, leave)
    napari.run(force=True)
    print("left")
"""


@pytest.mark.parametrize("leave", ["viewer.close(); app.quit()", "sys.exit(0)", "app.quit()"])
def test_leaving_in_the_middle_of_a_run_ends_the_program_cleanly(leave):
    code = textwrap.dedent(IN_A_RUN).replace("{leave}", leave)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "QThread" not in done.stderr
