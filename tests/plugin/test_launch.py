"""The doors: manifest, samples, command, and what they load."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from napari_sam2.core.errors import TorchUnavailableError
from napari_sam2.io import samples
from napari_sam2.plugin import launch
from napari_sam2.plugin.recipe import Recipe, make_segmenter
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

OPEN_THE_DOCK = """
import sys, threading
import napari, napari._qt.qt_main_window, napari._vispy.utils.gl
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("napari."):
        if hasattr(module, "get_gl_extensions"): module.get_gl_extensions = lambda: "texture_float"
        if hasattr(module, "get_max_texture_sizes"): module.get_max_texture_sizes = lambda: (16384, 2048)
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch": print("torch on", threading.current_thread().name)
sys.meta_path.insert(0, Watch())
from napari_sam2.plugin import launch
viewer = napari.Viewer(show=False)
launch.open_dock(viewer)
assert "torch" not in sys.modules
viewer.open_sample("napari-sam2", "cells_timelapse")
napari._qt.qt_event_loop.QApplication.processEvents()
controller = launch.controller_of(viewer)
assert controller.session is not None
controller.close()
"""


def test_opening_the_dock_loads_torch_on_the_worker_only():
    done = subprocess.run(
        [sys.executable, "-c", OPEN_THE_DOCK],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "torch on MainThread" not in done.stdout
    assert "torch on napari-sam2 worker" in done.stdout


@pytest.mark.parametrize("name", samples.SAMPLE_NAMES)
def test_samples_open_with_their_truth_hidden_and_begin_a_session(open_desk, name):
    desk = open_desk(False)
    sample = samples.load_sample(name)
    desk.viewer.open_sample(launch.PLUGIN, name)
    desk.qtbot.waitUntil(lambda: desk.session is not None)
    image, truth = desk.viewer.layers[name], desk.viewer.layers[f"{name} truth"]
    np.testing.assert_array_equal(image.data, sample.image)
    assert not truth.visible
    assert tuple(image.scale) == sample.scale
    assert [str(unit) for unit in image.units] == list(sample.units)
    assert desk.viewer.layers.selection.active is desk.bridge.prompts.points
    desk.truth = sample.labels
    desk.click(int(sample.labels[0].max()) or 1, frame=int(np.argmax(sample.labels.any((1, 2)))))
    assert desk.labels.any()


def test_the_dock_of_the_manifest_is_the_widget(open_desk):
    from napari_sam2.plugin.widget import SamWidget

    assert isinstance(open_desk(False).dock, SamWidget)


def test_when_torch_cannot_be_loaded_the_error_says_how_to_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TorchUnavailableError, match="napari-sam2"):
        make_segmenter(Recipe("nano", None))


@pytest.mark.parametrize("does_it_pay", [True, False])
def test_the_dock_keeps_encoded_frames_as_a_script_does(home, monkeypatch, does_it_pay):
    from napari_sam2.core.arrays import ArrayFrames
    from napari_sam2.inference import kept

    monkeypatch.setattr(kept, "pays", lambda config, device: does_it_pay)
    frames = ArrayFrames(moving_discs(num_frames=2, size=48)[0])
    assert make_segmenter(Recipe("nano", frames)).prepare(0)
    assert len(list(home.glob("embeddings/*.emb"))) == does_it_pay


def test_a_dialog_says_so_too(open_desk):
    from qtpy.QtWidgets import QMessageBox

    desk = open_desk()
    desk.controller.fail(
        TorchUnavailableError("PyTorch could not be loaded", remedy="start with `napari-sam2`")
    )
    (box,) = desk.dock.findChildren(QMessageBox)
    assert "napari-sam2" in box.text()
    box.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a screen")
def test_without_a_screen_the_command_says_so_in_one_line():
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in screens}
    done = subprocess.run(
        [sys.executable, "-m", "napari_sam2"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("napari-sam2: there is no screen to open napari on")
    assert "napari-sam2 run" in line


def test_the_command_loads_torch_before_qt():
    code = (
        "import sys\n"
        "order = []\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'napari', 'PyQt6', 'qtpy'): order.append(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from napari_sam2.plugin import launch\n"
        "import types\n"
        "launch.open_dock = lambda viewer: (_ for _ in ()).throw(SystemExit(0))\n"
        "try: launch.main()\n"
        "finally: print(order)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip().splitlines()[-1].startswith("['torch'"), done.stderr[-2000:]
