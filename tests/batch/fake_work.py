"""What workers do in tests: whole jobs, with `FakeSegmenter` instead of a network, and some that go wrong.

In a module of its own, without pytest or torch, because the processes of a cluster import it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from napari_sam2.batch import runtime
from napari_sam2.batch.tasks import run_task
from napari_sam2.testing import FakeSegmenter


def fake_segmenter(model, frames, mapping, **options):
    return FakeSegmenter(frames)


def fake_work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Do a task without torch."""
    with (
        patch("napari_sam2.api.make_segmenter", fake_segmenter),
        patch.object(runtime, "prepare", lambda seed, threads: None),
        patch.object(runtime, "facts", lambda device: {"torch": "none"}),
    ):
        return run_task(payload)


def troubled_work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Do a task; what its name says goes wrong when its labels are about to be written."""
    from napari_sam2.batch import run

    write, name, out = run.write_result, payload["spec"]["name"], Path(payload["out"])

    def trouble(session, path, format):
        if name.startswith("abort"):
            os.abort()
        if name.startswith("killed") and _is_first(out / "killed.marker"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("torn") and _is_first(out / "torn.marker"):
            path.with_name(f".0123abcd.{path.name}").write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("slow"):
            time.sleep(0.5)
        if name.startswith("flaky") and _is_first(out / "flaky.marker"):
            raise OSError("the share went away")
        write(session, path, format)

    with patch.object(run, "write_result", trouble):
        return fake_work(payload)


def refusing_work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Raise instead of returning, as a worker without this package does."""
    raise ModuleNotFoundError("No module named 'napari_sam2'")


def _is_first(marker: Path) -> bool:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def centre_of(mask):
    """Return the middle of a mask, (y, x)."""
    rows, columns = np.nonzero(mask)
    return [float(rows.mean().round()), float(columns.mean().round())]


def contents(folder):
    """Return names and bytes of all labels; reports have timings."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*_labels.tif"))}
