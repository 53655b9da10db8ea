"""``demo``: the main job on the bundled time-lapse."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2 import api
from napari_sam2.cli import demo
from napari_sam2.core.session import Session
from napari_sam2.io import weights
from napari_sam2.io.samples import load_sample
from napari_sam2.testing import FakeSegmenter


@pytest.fixture
def fake_model(monkeypatch):
    """Let any model name stand for the fake model."""
    monkeypatch.setattr(api, "resolve", lambda model: None)
    monkeypatch.setattr(
        api, "make_segmenter", lambda model, frames, *args, **kwargs: FakeSegmenter(frames)
    )


@pytest.fixture
def short_sample(monkeypatch):
    """Three frames of the time-lapse are enough to see every file written."""
    from dataclasses import replace

    whole = load_sample("cells_timelapse")
    short = replace(whole, image=whole.image[:3], labels=whole.labels[:3])
    monkeypatch.setattr("napari_sam2.io.samples.load_sample", lambda name: short)
    return short


def test_the_demo_writes_labels_picture_and_report(call, fake_model, short_sample, tmp_path):
    folder = tmp_path / "a" / "demo"
    code, out, err = call("demo", "--out", folder)
    assert (code, err) == (0, "")
    labels = tifffile.imread(folder / "labels.tif")
    assert labels.shape == short_sample.image.shape
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) - {0} <= set(range(1, 10))
    with Image.open(folder / "overlay.png") as picture:
        assert picture.size[0] > 900
    report = json.loads((folder / "report.json").read_text())
    assert report["model"] == "nano"
    assert report["objects"] == 9
    assert report["frames"] == 3
    assert 0 <= report["mean_J"] <= 1
    assert 0 <= report["mean_F"] <= 1
    assert report["seconds_per_frame"] > 0
    assert report["version"]
    assert set(report["floors"]) == {"copy", "otsu"}
    for file in ("labels.tif", "overlay.png", "report.json"):
        assert str(folder / file) in out
    for number in (report["mean_J"], report["mean_F"], *report["floors"].values()):
        assert f"{number:.3f}" in out


def test_the_demo_runs_again_over_its_own_files(call, fake_model, short_sample, tmp_path):
    assert call("demo", "--out", tmp_path)[0] == 0
    assert call("demo", "--out", tmp_path)[0] == 0


def test_a_missing_model_is_one_line_and_nothing_is_written(refuse, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "find", lambda name: None)
    assert "nano" in refuse("demo", "--out", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_file_in_the_way_is_refused_before_the_model_runs(refuse, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "segment", lambda *args: pytest.fail("the model ran"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "is not a folder" in refuse("demo", "--out", blocked / "demo")


def test_a_missing_model_is_refused_before_a_window_opens(refuse, monkeypatch):
    monkeypatch.setattr(weights, "find", lambda name: None)
    monkeypatch.setattr("napari_sam2.plugin.launch.main", lambda **kw: pytest.fail("it opened"))
    assert "nano" in refuse("demo", "--gui")


@pytest.mark.gui
def test_gui_makes_the_same_clicks_in_the_viewer_and_propagates(
    call, make_napari_viewer, monkeypatch, qtbot
):
    from napari_sam2.plugin import launch
    from napari_sam2.plugin.controller import Controller

    sample = load_sample(demo.SAMPLE)
    viewer = make_napari_viewer()
    viewer.add_image(sample.image[:3], name=demo.SAMPLE)
    controller = Controller(viewer, make=lambda recipe: FakeSegmenter(recipe.frames))
    monkeypatch.setitem(launch._controllers, viewer, controller)
    monkeypatch.setattr(weights, "resolve", lambda model: None)
    monkeypatch.setattr(launch, "main", lambda sample, start: start(viewer))
    assert call("demo", "--gui")[0] == 0
    session = controller.session
    assert isinstance(session, Session)
    assert tuple(session.objects) == tuple(range(1, 10))
    qtbot.waitUntil(
        lambda: session.run is None and np.asarray(session.labels)[2].any(), timeout=20_000
    )
    controller.close()
