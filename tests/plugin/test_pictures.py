"""Pictures of the whole window for the documentation, made by acting out the first minutes on the samples.

``NAPARI_SAM2_WRITE_IMAGES=1 python -m pytest -m canvas tests/plugin/test_pictures.py`` writes docs/images/*.png.
With the embedded weights in place the real model answers; without them, the fake one, and nothing is written.
"""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

from napari_sam2.io import weights
from napari_sam2.plugin import launch
from napari_sam2.plugin.controller import Controller
from napari_sam2.testing import FakeSegmenter

pytestmark = [pytest.mark.gui, pytest.mark.canvas]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = (1280, 860)


class Window:
    """A napari window of a fixed size with the dock, and what a person does in it."""

    def __init__(self, viewer, qtbot, folder, theme):
        self.viewer, self.qtbot, self.folder, self.theme = viewer, qtbot, folder, theme
        viewer.theme = theme
        viewer.window.resize(*SIZE)
        launch.open_dock(viewer)
        self.controller = launch.controller_of(viewer)
        qtbot.wait(300)

    def picture(self, name):
        self.qtbot.wait(400)
        self.dock.show_now()
        self.qtbot.wait(50)
        picture = self.viewer.window.screenshot(flash=False, canvas_only=False)
        iio.imwrite(self.folder / f"{name}.png", picture[..., :3])
        assert picture.shape[0] >= 800
        assert picture.shape[1] >= 1280
        assert picture[..., :3].std() > 10
        return picture

    def open_sample(self, name):
        self.viewer.open_sample("napari-sam2", name)
        self.qtbot.waitUntil(lambda: self.controller.session is not None)
        self.truth = self.viewer.layers[f"{name} truth"].data
        self.wait_for_answers()

    def go_to(self, frame):
        self.viewer.dims.set_current_step(0, frame)

    def click(self, object_id, frame, gesture="point"):
        """Click the innermost pixel of an object of the truth."""
        depth = ndimage.distance_transform_edt(self.truth[frame] == object_id)
        self.click_at(frame, *np.unravel_index(depth.argmax(), depth.shape), gesture=gesture)

    def click_at(self, *index, gesture="point"):
        image, shown = self.controller.binding.image, self.viewer.dims.units
        factors = [float((1 * a).to(b).magnitude) for a, b in zip(image.units, shown, strict=True)]
        self.controller.click(gesture, tuple(np.array(image.data_to_world(index)) * factors))
        self.wait_for_answers()

    @property
    def dock(self):
        return next(iter(self.viewer.window.dock_widgets.values()))

    def make_narrow(self):
        """Make the dock 300 pixels wide."""
        self.dock.setFixedWidth(300)

    def review_the_worst_frame(self, name):
        """Name the first object, find two of its frames good, and go to the frame most in doubt."""
        session, review = self.controller.session, self.controller.review
        first = session.objects[0]
        self.controller.shaping.rename(first, name)
        self.controller.activate(first)
        for frame in (3, 9):
            review.go_to(frame)
            review.lock()
        review.next_doubtful()

    def wait_for_answers(self):
        engine = self.controller.binding.engine
        self.qtbot.waitUntil(lambda: engine.num_waiting == 0, timeout=120_000)

    def wait_for_run(self, done=None):
        def is_there():
            run = self.controller.session.run
            return run is None or (done is not None and run.done >= done)

        self.qtbot.waitUntil(is_there, timeout=300_000)


@pytest.fixture
def open_window(make_napari_viewer, qtbot, tmp_path):
    opened = []
    is_real = weights.find(weights.EMBEDDED) is not None
    wanted = os.environ.get("NAPARI_SAM2_WRITE_IMAGES") and is_real
    folder = IMAGES if wanted else tmp_path
    folder.mkdir(parents=True, exist_ok=True)

    def open_one(theme="dark"):
        viewer = make_napari_viewer(show=True)
        if not is_real:
            controller = Controller(viewer, lambda r: FakeSegmenter(r.frames, delay=0.02))
            launch._controllers[viewer] = controller
        opened.append(Window(viewer, qtbot, folder, theme))
        return opened[-1]

    yield open_one
    for window in opened:
        window.controller.close()


def test_a_time_lapse_from_the_empty_window_to_the_last_frame(open_window):
    window = open_window()
    window.picture("dock_empty")
    window.open_sample("cells_timelapse")
    window.picture("dock_ready")
    window.go_to(0)
    for object_id in [item for item in np.unique(window.truth[0]) if item][:6]:
        window.controller.next_object()
        window.click(object_id, 0)
    window.picture("dock_clicks")
    window.controller.propagate()
    window.wait_for_run(done=10)
    window.go_to(7)
    window.picture("dock_propagating")
    window.wait_for_run()
    window.go_to(16)
    window.picture("dock_done")
    window.review_the_worst_frame("mother cell")
    window.picture("dock_quality")
    found = window.controller.binding.bridge.labels.data
    assert found[1:].any(axis=(1, 2)).all()


def test_a_ct_volume_in_the_light_theme(open_window):
    window = open_window("light")
    window.open_sample("ct_volume")
    middle = len(window.truth) // 2
    window.go_to(middle)
    for object_id in [item for item in np.unique(window.truth[middle]) if item][:4]:
        window.controller.next_object()
        window.click(object_id, middle)
    window.controller.propagate()
    window.wait_for_run()
    window.go_to(middle + 2)
    window.picture("dock_ct_light")
    window.make_narrow()
    window.review_the_worst_frame("liver")
    window.dock.log.fold.click()
    window.picture("dock_narrow")
