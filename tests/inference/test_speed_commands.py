"""``benchmarks/propagation.py`` and ``accuracy.py``: the tables of docs/performance.md by the real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def command(tmp_path):
    def command(name, *arguments):
        out = tmp_path / "out.json"
        done = subprocess.run(
            [sys.executable, f"benchmarks/{name}.py", "--quick", "--json", str(out), *arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, json.loads(out.read_text())

    return command


def test_the_table_is_printed_with_the_machine_and_drawn(command, tmp_path):
    text, report = command("propagation", "--rows", "clicks", "correction", "nano", "growth")
    assert "| what | bar | aim | measured | |" in text
    names = [row["name"] for row in report["rows"]]
    assert names[:3] == [
        "second propagation after a correction",
        "further click on a tracked frame",
        "first mask after opening",
    ]
    assert all(row["value"] > 0 for row in report["rows"])
    for fact in ("date", "torch", "transformers", "float32 GFLOP/s"):
        assert report["machine"][fact]
    assert set(report["growth"]) == {"objects", "prompted frames"}
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_resident_memory_is_that_of_each_in_its_own_process(command):
    flat, part = command("propagation", "--rows", "memory")[1]["rows"]
    assert 0.5 < flat["value"] <= 1
    assert part["value"] > 1, "ours needs less"


def test_every_way_is_compared_with_full_quality_in_float32(command, tmp_path):
    text, rows = command(
        "accuracy", "--stacks", str(tmp_path / "none"), "--ways", "full, float32", "fast, bfloat16"
    )
    assert "| way | mean J | agreement | time |" in text
    assert [row["agreement"] for row in rows if row["way"] == "full, float32"] == [1.0]
    (fast,) = (row for row in rows if row["way"] == "fast, bfloat16")
    assert 0 < fast["agreement"] < 1
