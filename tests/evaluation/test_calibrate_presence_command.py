"""``benchmarks/calibrate_presence.py``: a shift of the object score, and what it is chosen by."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from napari_sam2.io.weights import resolve

COMMAND = Path(__file__).parents[2] / "benchmarks" / "calibrate_presence.py"
NANO = resolve("nano")


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("calibrate_presence", COMMAND)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path):
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def test_a_shift_changes_one_number_and_is_written_down(command, tmp_path):
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    command.write_shifted(NANO, once, 1.5)
    command.write_shifted(once, twice, 0.5)
    (before, said), (after, says) = read(NANO), read(twice)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == [command.SCORE_BIAS]
    assert after[command.SCORE_BIAS] - before[command.SCORE_BIAS] == pytest.approx(2, abs=0.05)
    start = float(said.get("object_score_shift", 0))
    assert float(says["object_score_shift"]) == pytest.approx(start + 2)
    assert says["commit"] == said["commit"]


def test_frames_without_the_object_count_too(command):
    nothing, square = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    square[:2, :2] = True
    wide = np.zeros((4, 4), bool)
    wide[:2] = True
    assert command.judge(nothing, nothing) == 1
    assert command.judge(square, nothing) == 0
    assert command.judge(nothing, square) == 0
    assert command.judge(wide, square) == 0.5


def test_the_command_writes_the_best_shift(tmp_path):
    out = tmp_path / "out.safetensors"
    arguments = [str(NANO), "--out", str(out), "--shifts", "-60", "0", "--clips", "1"]
    done = subprocess.run(
        [sys.executable, str(COMMAND), *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("shift") == 3
    assert done.stdout.rstrip().endswith("shift 0")
    assert read(out)[0].keys() == read(NANO)[0].keys()
