"""``benchmarks/average_weights.py``: what lies between two weights files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

COMMAND = Path(__file__).parents[2] / "benchmarks" / "average_weights.py"


def average(*arguments):
    return subprocess.run(
        [sys.executable, str(COMMAND), *map(str, arguments)], capture_output=True, text=True
    )


def write(path, **tensors):
    save_file({name: torch.tensor(value) for name, value in tensors.items()}, path, {"seed": "5"})
    return path


def test_a_share_of_the_earlier_weights_is_taken_and_noted(tmp_path):
    earlier = write(tmp_path / "a", w=[0.0, 8.0], half=1.0)
    later = write(tmp_path / "b", w=[4.0, 0.0], half=1.0)
    done = average(earlier, later, "--share", 0.25, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    with safe_open(tmp_path / "c", "pt") as file:
        assert file.get_tensor("w").tolist() == [3.0, 2.0]
        assert file.get_tensor("half") == 1.0
        assert file.metadata() == {
            "seed": "5",
            "averaged_with": hashlib.sha256(earlier.read_bytes()).hexdigest(),
            "averaged_share": "0.25",
        }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [("missing", "there are no weights"), ("shape", "one network"), ("share", "from 0 to 1")],
)
def test_what_cannot_be_averaged_is_refused_in_a_sentence(change, sentence, tmp_path):
    earlier = tmp_path / "a"
    if change != "missing":
        write(earlier, w=[0.0, 1.0, 2.0] if change == "shape" else [0.0, 1.0])
    later = write(tmp_path / "b", w=[1.0, 2.0])
    share = 3 if change == "share" else 0.5
    done = average(earlier, later, "--share", share, "--out", tmp_path / "c")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c").exists()
