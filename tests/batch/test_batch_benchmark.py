"""The benchmark of batches runs as it stands, and its numbers fit together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "benchmarks" / "batch.py"


@pytest.mark.slow
def test_rows_of_no_and_one_process_come_from_one_run(tmp_path):
    pytest.importorskip("distributed")
    small = "--stacks 2 --frames 2 --size 32 --objects 1 --rounds 2 --workers 0 1".split()
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, str(COMMAND), *small, "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert [row["workers"] for row in content["rows"]] == [0, 1]
    first, second = content["rows"]
    assert first["ratio_to_first"] == 1
    assert second["ratio_to_first"] == pytest.approx(
        second["stacks_per_second"] / first["stacks_per_second"], abs=0.01
    )
    assert all(row["overhead_seconds_per_task"] > 0 for row in content["rows"])
    assert second["start_seconds"] > 0
