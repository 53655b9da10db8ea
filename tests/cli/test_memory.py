"""A run holds frames one at a time: memory stays far below the size of the stack."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "large_stack.py"


@pytest.mark.slow
def test_a_stack_larger_than_the_memory_it_takes(tmp_path):
    spec = importlib.util.spec_from_file_location("large_stack", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.measure(tmp_path, frames=200, side=1792, model="nano")
    assert found["stack_bytes"] > 1.15 * 2**30
    assert found["peak_bytes"] < 1.15 * 2**30
    assert min(found["pixels_on_some_frames"]) > 300  # it was followed to the end
