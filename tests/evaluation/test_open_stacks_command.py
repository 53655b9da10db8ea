"""``benchmarks/open_stacks.py``: any model on generated sequences and on a folder of stacks."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "open_stacks.py"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"the fake model reads no weights")
    return path


@pytest.fixture
def opened():
    """Whether each session that was opened looks at small objects in a window."""
    return []


@pytest.fixture
def command(monkeypatch, weights, opened):
    spec = importlib.util.spec_from_file_location("open_stacks", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def open_session(image, axis, model, device, options):
        assert (axis, model, device) == (0, str(weights), "auto")
        opened.append(options.focus)
        frames = ArrayFrames(image, StackView.default(3, 0))
        return Session(frames, InlineEngine(FakeSegmenter(frames)))

    monkeypatch.setattr(script, "Session", open_session)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["open_stacks.py", "--model", str(weights), *arguments])
        script.main()

    return call


def test_a_quick_run_prints_means_of_groups_and_writes_every_object(
    command, weights, tmp_path, capsys
):
    video, labels = moving_discs(20, 64, 6)
    np.savez(tmp_path / "discs.npz", image=video, labels=labels)
    (tmp_path / "discs.json").write_text('{"kind": "ct"}')
    out = tmp_path / "out.json"
    command("--quick", "--generated", "2", "--stacks", str(tmp_path), "--json", str(out))
    printed = capsys.readouterr().out
    for word in (
        "generated_00",
        "generated_01",
        "discs",
        "mean: generated (2)",
        "mean: medical (1)",
    ):
        assert word in printed
    content = json.loads(out.read_text())
    assert content["model"] == str(weights)
    assert content["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert [stack["name"] for stack in content["stacks"]] == [
        "generated_00",
        "generated_01",
        "discs",
    ]
    assert [(stack["frames"], stack["objects"]) for stack in content["stacks"]] == [(8, 4)] * 3
    assert content["stacks"][2]["mean_J"] > 0.95


def test_without_the_folder_only_generated_sequences_are_run(command, tmp_path, capsys):
    command("--quick", "--generated", "1", "--stacks", str(tmp_path / "nowhere"))
    printed = capsys.readouterr().out
    assert "mean: generated (1)" in printed
    assert "medical" not in printed


def test_windows_around_small_objects_can_be_switched_off(command, opened, tmp_path):
    none = ("--quick", "--generated", "1", "--stacks", str(tmp_path / "nowhere"))
    command(*none)
    command(*none, "--no-focus")
    assert opened == [True, False]
