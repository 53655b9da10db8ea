"""Memory of a run on a stack far larger than memory: 2,000 frames of 2048 x 2048 uint16 in zarr.

    python benchmarks/large_stack.py --json OUT [--frames 2000] [--side 2048] [--model nano]

Makes the stack (one chunk a frame, a bright cell that wanders through noise), then runs ``napari-sam2 run`` on it into
an OME-Zarr in a process of its own and reports the most memory that it ever held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

BAR = 3 << 30
"""Bytes that the process must stay below at full size."""


CHILD = r"""
import re, sys
from napari_sam2.cli.main import main

where = sys.argv.pop(1)
try:
    main()
finally:
    with open("/proc/self/status") as status, open(where, "w") as file:
        file.write(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
"""
"""Runs the command line and writes the most memory that it held.

What the kernel tells of children is no good: a process that is forked begins with the maximum of its parent.
"""


def make_stack(path: Path, frames: int, side: int, seed: int = 0) -> tuple[int, int]:
    """Write the stack frame by frame, and return where the cell is on the first one, (y, x)."""
    rng = np.random.default_rng(seed)
    array = zarr.create_array(
        path, shape=(frames, side, side), chunks=(1, side, side), dtype=np.uint16
    )
    # A small tile of noise all over: real noise would take minutes to write and hours to compress.
    tile = rng.poisson(200, (128, 128)).astype(np.uint16)
    background = np.tile(tile, (side // 128 + 1, side // 128 + 1))[:side, :side]
    rows, columns = np.mgrid[-30:31, -30:31]
    cell = 900 * np.exp(-(((rows / 14) ** 2 + (columns / 18) ** 2) ** 2))
    start = side // 4, side // 4
    for t in range(frames):
        frame = background.copy()
        y = start[0] + round(side / 8 * np.sin(t / 180))
        x = start[1] + round(side / 2 * t / frames)
        frame[y - 30 : y + 31, x - 30 : x + 31] += cell.astype(np.uint16)
        array[t] = frame
    return start


def measure(folder: Path, frames: int, side: int, model: str) -> dict[str, object]:
    """Make a stack in `folder`, run on it, and return what was measured."""
    begin = time.perf_counter()
    y, x = make_stack(folder / "stack.zarr", frames, side)
    made = time.perf_counter() - begin
    prompts = {"schema": 1, "prompts": [{"object": 1, "frame": 0, "points": [[y, x]]}]}
    (folder / "p.json").write_text(json.dumps(prompts))
    command = [sys.executable, "-c", CHILD, str(folder / "peak"), "run", str(folder / "stack.zarr")]
    command += [
        "-p",
        str(folder / "p.json"),
        "-o",
        str(folder / "labels.zarr"),
        "-m",
        model,
        "--json",
    ]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begin
    report = json.loads(done.stdout)
    labels = zarr.open_group(folder / "labels.zarr", mode="r")["0"]
    some = [int((labels[t] == 1).sum()) for t in np.linspace(0, frames - 1, 8).astype(int)]
    peak = int((folder / "peak").read_text()) * 1024  # Linux counts kilobytes
    return {
        "frames": frames,
        "side": side,
        "model": model,
        "stack_bytes": frames * side * side * 2,
        "peak_bytes": peak,
        "bar_bytes": BAR,
        "seconds_to_make": round(made, 1),
        "seconds": round(seconds, 1),
        "seconds_per_frame": report["seconds_per_frame"],
        "pixels_on_some_frames": some,
    }


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.frames, arguments.side, arguments.model)
    arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    print(
        f"{found['frames']} frames of {found['side']} x {found['side']}, {found['stack_bytes'] / 2**30:.1f} GiB: "
        f"at most {found['peak_bytes'] / 2**30:.2f} GiB (bar {BAR / 2**30:g}), "
        f"{found['seconds_per_frame']} s a frame"
    )


if __name__ == "__main__":
    main()
