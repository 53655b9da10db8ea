"""A dock over a fake model, a mouse that speaks napari's events, and a check that nothing stays behind."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_sam2.core.volume_segmenter import VolumeSegmenter
from napari_sam2.testing import FakeSegmenter, moving_discs


class Desk:
    """A viewer with one image, its open dock, and hands: everything a test of the dock needs."""

    def __init__(self, viewer, qtbot, controller, makers):
        self.viewer, self.qtbot, self.controller, self.makers = viewer, qtbot, controller, makers
        self.truth = None

    @property
    def session(self):
        return self.controller.session

    @property
    def bridge(self):
        return self.controller.binding.bridge

    @property
    def labels(self):
        return self.bridge.labels.data

    @property
    def dock(self):
        return next(iter(self.viewer.window.dock_widgets.values()))

    @property
    def fake(self):
        return self.makers[-1]

    # Where

    def centre(self, object_id, frame=0):
        """(y, x) of a disc, a whole pixel inside it."""
        return tuple(np.argwhere(self.truth[frame] == object_id).mean(axis=0).round())

    def world(self, *index):
        """World position of a data index of the image in the viewer's units."""
        image = self.controller.binding.image
        world = np.asarray(image.data_to_world(index), float)
        shown = self.viewer.dims.units
        if shown is None:
            return tuple(world)
        pairs = zip(image.units, shown[-image.ndim :], strict=True)
        return tuple(world * [float((1 * a).to(b).magnitude) for a, b in pairs])

    # Hands

    def click(self, object_id, frame=0, button=1, modifiers=(), wait=True):
        """Click a disc with the mouse and wait for its mask."""
        self.viewer.dims.set_current_step(0, frame)
        self.click_at(frame, *self.centre(object_id, frame), button=button, modifiers=modifiers)
        if wait:
            self.wait_for_answers()

    def click_at(self, *index, button=1, modifiers=()):
        self.drag([index], button=button, modifiers=modifiers)

    def drag(self, indices, button=1, modifiers=()):
        """Press at the first data index, move over the others, release at the last; 3 screen pixels a data pixel."""
        self.send("mouse_press", indices[0], button, modifiers)
        for index in indices[1:]:
            event = self.send("mouse_move", index, button, modifiers)
        released = self.send("mouse_release", indices[-1], button, modifiers)
        return event if len(indices) > 1 else released

    def hover(self, *index):
        """Move the mouse without a button."""
        self.send("mouse_move", index, button=None, is_dragging=False)

    def send(self, kind, index, button=1, modifiers=(), is_dragging=True):
        """Send one event of the mouse, as the canvas does: to the viewer, then to the active layer."""
        from napari.utils import interactions

        event = self.event(kind, index, button, modifiers, is_dragging)
        callbacks = getattr(interactions, f"{kind}_callbacks")
        callbacks(self.viewer, event)
        active = self.viewer.layers.selection.active
        if active is not None:
            callbacks(active, event)
        return event

    def event(self, kind, index, button=1, modifiers=(), is_dragging=True):
        from napari.utils._proxies import ReadOnlyWrapper

        event = SimpleNamespace(
            type=kind,
            button=button,
            modifiers=modifiers,
            position=self.world(*index),
            pos=np.array(index[-2:]) * 3,
            is_dragging=is_dragging and kind == "mouse_move",
            handled=False,
            dims_displayed=list(self.viewer.dims.displayed),
            view_direction=None,
        )
        return ReadOnlyWrapper(event, exceptions=("handled",))

    def press(self, key):
        """Press a key on the canvas, as napari resolves it: the active layer first, then the viewer."""
        from napari.utils.key_bindings import KeymapHandler

        handler = KeymapHandler()
        active = self.viewer.layers.selection.active
        handler.keymap_providers = [item for item in (active, self.viewer) if item is not None]
        return handler.press_key(key)

    # Patience

    def wait_for_answers(self):
        engine = self.controller.binding.engine
        self.qtbot.waitUntil(lambda: engine.num_waiting == 0, timeout=20_000)

    def propagate(self):
        self.press("Shift-S")
        self.wait_for_run()

    def wait_for_run(self):
        self.qtbot.waitUntil(lambda: self.session.run is None, timeout=60_000)

    def shown(self):
        """The dock's state, after it was drawn."""
        from napari_sam2.plugin.present import present

        self.dock.show_now()
        return present(self.controller)


@pytest.fixture
def open_desk(make_napari_viewer, qtbot):
    """Make desks; what they opened is closed afterwards, and no worker may be left."""
    from napari_sam2.plugin import launch
    from napari_sam2.plugin.controller import Controller
    from napari_sam2.plugin.recipe import make_segmenter

    desks = []

    def make(
        image=None, *, truth=None, fake=None, show=False, settings=None, is_real=False, **layer
    ):
        viewer = make_napari_viewer(show=show)
        makers = []

        def bind(frames):
            segmenter = FakeSegmenter(frames, **(fake or {}))
            makers.append(segmenter)
            return segmenter

        def make_fake(recipe):
            if recipe.depth:
                return VolumeSegmenter(recipe.frames, recipe.depth, bind)
            return bind(recipe.frames)

        if image is None:
            image, truth = moving_discs()
        controller = Controller(viewer, make_segmenter if is_real else make_fake, settings)
        launch._controllers[viewer] = controller
        desk = Desk(viewer, qtbot, controller, makers)
        desks.append(desk)
        desk.truth = truth
        if image is not False:
            viewer.add_image(image, **{"name": "discs", **layer})
        launch.open_dock(viewer)
        return desk

    yield make
    for desk in desks:
        desk.controller.close()
    assert not [item for item in threading.enumerate() if item.name == "napari-sam2 worker"]
    desks.clear()


@pytest.fixture
def desk(open_desk):
    """A desk over two moving discs, 12 frames of 64 x 64."""
    return open_desk()
