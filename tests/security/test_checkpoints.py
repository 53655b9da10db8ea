"""Hostile checkpoints: every one refused, none of them run, in a process whose every step is watched."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.security import crafted

from napari_sam2.core.errors import CheckpointError
from napari_sam2.io.checkpoint_scan import scan

WATCHED = Path(__file__).with_name("watched.py")
CHECKPOINTS = dict(crafted.checkpoints())


def watched(kind, folder, cwd, *honest):
    """Return what became of each file of a folder, by its name; `honest`: a folder of files to begin with."""
    done = subprocess.run(
        [sys.executable, str(WATCHED), kind, *map(str, (folder, *honest))],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {item["name"]: item for item in told}


def test_the_corpus_has_the_size_that_is_promised():
    assert len(CHECKPOINTS) >= 150


def test_an_honest_checkpoint_is_described():
    tensors = scan(io.BytesIO(crafted.archive()))
    assert {name: (facts.shape, facts.dtype) for name, facts in tensors.items()} == {
        "weight": ((2, 3), "F32"),
        "bias": ((2,), "F32"),
    }


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_the_table_may_lie_under_a_name_beside_plain_values(key):
    state = b"}" + crafted.text("_metadata") + b"}sb"
    body = b"}" + crafted.MARK + crafted.text(key) + crafted.table({"a": crafted.tensor()}) + state
    body += crafted.text("epoch") + crafted.number(70_000) + crafted.text("best") + b"G" + bytes(8)
    body += crafted.text("names") + b"](" + crafted.text("x") + b"N\x88e" + b"u"
    assert set(scan(io.BytesIO(crafted.archive(crafted.program(body))))) == {"a"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder, place = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("place")
    for name, content in CHECKPOINTS.items():
        (folder / name).write_bytes(content)
    return watched("checkpoints", folder, place), place


def test_every_hostile_checkpoint_is_refused_and_none_is_run(outcomes):
    told, place = outcomes
    assert set(told) == set(CHECKPOINTS)
    assert {
        name: item["outcome"] for name, item in told.items() if item["outcome"] != "refused"
    } == {}
    assert {name: item["events"] for name, item in told.items() if item["events"]} == {}
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_to_look_at_it_is_enough(name):
    with pytest.raises(CheckpointError) as failure:
        scan(io.BytesIO(CHECKPOINTS[name]))
    assert failure.value.what
    assert "nothing was loaded" in failure.value.kept


def test_a_hostile_checkpoint_is_refused_at_once(outcomes):
    told, _ = outcomes
    slow = {"two million steps.pt"}  # as many as are followed
    assert {n: i["seconds"] for n, i in told.items() if i["seconds"] > 1 and n not in slow} == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("of the old kind.pt", "a bare pickle"),
        ("a tar archive.pt", "a tar archive"),
        ("TorchScript.pt", "a TorchScript program"),
        ("calls builtins.eval.pt", "builtins.eval"),
        ("opcode NEWOBJ.pt", "NEWOBJ"),
        ("compressed.pt", "compressed"),
        ("one number shown a million times.pt", "beyond its storage"),
        ("a storage larger than its part.pt", "1099511627776 numbers"),
        ("another pickle that is named twice.pt", "twice"),
        ("overlapping parts.pt", "overlaps"),
        ("two million steps.pt", "2000000 steps"),
        ("whole numbers.pt", "I32, and no floating point"),
        ("behind the end.pt", "behind the end of its pickle"),
    ],
)
def test_the_reason_is_a_sentence(name, said):
    with pytest.raises(CheckpointError, match=said):
        scan(io.BytesIO(CHECKPOINTS[name]))
