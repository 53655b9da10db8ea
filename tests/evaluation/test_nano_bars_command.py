"""``benchmarks/nano_bars.py``: every bar in a table and in JSON, by the real command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.evaluation.bars import BARS
from napari_sam2.testing import moving_discs

ROOT = Path(__file__).parents[2]
OPEN_STACKS = ROOT.parent / "shared" / "data"
GENERATED = ["first-frame", "propagated", "presence"]


@pytest.fixture
def command(tmp_path):
    def command(*arguments):
        out = tmp_path / "bars.json"
        done = subprocess.run(
            [sys.executable, "benchmarks/nano_bars.py", "--json", str(out), *arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr, json.loads(out.read_text())

    return command


def write_discs(folder, name, kind):
    video, labels = moving_discs(5, 64, 2)
    np.savez(folder / f"{name}.npz", image=video, labels=labels, manual_frame0=labels[0] * 3)
    (folder / f"{name}.json").write_text(json.dumps({"kind": kind}))


@pytest.mark.slow
def test_a_quick_run_measures_every_bar_and_writes_it(command, tmp_path):
    write_discs(tmp_path, "cells", "microscopy-time")
    write_discs(tmp_path, "organ", "ct")
    printed, progress, content = command("--quick", "--stacks", str(tmp_path))
    assert [bar["bar"] for bar in content["bars"]] == list(BARS)
    assert (content["model"], content["quick"], len(content["sha256"])) == ("nano", True, 64)
    for item in content["bars"]:
        assert BARS[item["bar"]].title in printed
        assert item["met"] in (True, False, None)
    by_name = {item["bar"]: item for item in content["bars"]}
    assert 0.5 < by_name["propagated"]["value"] <= 1
    assert set(by_name["microscopy"]["parts"]) == {"cells"}
    assert set(by_name["medical"]["parts"]) == {"organ"}
    assert by_name["five-clicks"]["note"] == "1 sets, 2 objects"
    assert "cells, in large frames: done" in progress


@pytest.mark.slow
def test_bars_of_open_stacks_are_left_out_without_them(command, tmp_path):
    chosen = [*GENERATED, "microscopy", "large-frames"]
    printed, progress, content = command(
        "--quick", "--stacks", str(tmp_path / "nowhere"), "--only", *chosen
    )
    assert [bar["bar"] for bar in content["bars"]] == chosen
    assert [bar["value"] is None for bar in content["bars"][-2:]] == [True, True]
    assert printed.count("not measured") >= 2
    assert "their bars are left out" in progress


@pytest.mark.slow
def test_a_quick_run_on_the_open_stacks(command):
    if not OPEN_STACKS.is_dir():
        pytest.skip("the open stacks are not part of the repository")
    chosen = ["microscopy", "five-clicks", "medical"]
    _, _, content = command("--quick", "--stacks", str(OPEN_STACKS), "--only", *chosen)
    for item in content["bars"]:
        assert len(item["parts"]) == 3
        assert math.isfinite(item["value"])
        assert item["value"] > 0.3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nano_bars.py", "--model", "nope", "--only", "first-frame"], "called 'nope'"),
        (["training_curve.py", "nowhere.csv"], "there is no log nowhere.csv"),
        (["calibrate_presence.py", "nowhere", "--out", "x"], "there are no weights nowhere"),
    ],
)
def test_a_missing_file_or_model_is_said_in_a_sentence(arguments, sentence):
    name, *rest = arguments
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}", *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_corrections_are_measured_with_and_without_the_click_that_joins_them(tmp_path):
    write_discs(tmp_path, "cells", "microscopy-time")
    out = tmp_path / "out.json"
    done = subprocess.run(
        [
            sys.executable,
            "benchmarks/corrections.py",
            "--stacks",
            str(tmp_path),
            "--json",
            str(out),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.read_text())
    assert set(measured) == {"cells, alone", "cells, anchored"}
    for means in measured.values():
        assert len(means) == 4
        assert 0 < means[0] <= 1
    assert measured["cells, alone"][0] == measured["cells, anchored"][0]
