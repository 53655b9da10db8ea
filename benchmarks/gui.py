"""What the window is like to use, beside its bars: stalls, throughput, latencies, actions and leaks.

    python benchmarks/gui.py --json OUT.json [--quick] [--only NAME ...] [--threads N] [--frames 200]

The names: stall, throughput, cancel, cancel-tiny, click, refresh, actions, life. A real napari viewer with the dock on
generated stacks; `nano`, and for cancel-tiny the official tiny network at 1024 under random weights, which change no
times. Shown on the display there is, else on Qt's offscreen platform, where OpenGL draws nothing. "CPU": the time that
the program computed, of all threads (own: of the main thread), which other programs do not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gui_gauges as gauges
from gui_desk import use_the_display_there_is
from gui_gauges import Bench, Measured

from napari_sam2 import __version__

GAUGES: dict[str, Callable[[Bench], Measured]] = {
    "stall": gauges.stall,
    "throughput": gauges.throughput,
    "cancel": gauges.cancel,
    "cancel-tiny": gauges.cancel_tiny,
    "click": gauges.click,
    "refresh": gauges.refresh,
    "actions": gauges.actions,
    "life": gauges.life,
}


def machine(qt_platform: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    packages = ("torch", "napari", "numpy", "qtpy")
    return {
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "qt_platform": qt_platform,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "napari-sam2": __version__,
        **{name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--only", nargs="+", choices=tuple(GAUGES), metavar="NAME")
    parser.add_argument("--threads", type=int, help="of torch; by default as many as it takes")
    parser.add_argument("--frames", type=int, default=200, help="of the stack that is propagated")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    facts = machine(use_the_display_there_is())
    print(f"{facts['cpus']} CPUs, {facts['torch_threads']} threads of torch, load {facts['load']}")
    bench, rows = Bench(options.quick, options.frames), {}
    print(f"{'what':<46} {'bar':<36} {'measured':<36} met")
    for name in options.only or GAUGES:
        began, cpu = time.perf_counter(), time.process_time()
        row = GAUGES[name](bench)
        spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        rows[name] = asdict(row) | spent
        print(
            f"{row.what:<46} {row.bar:<36} {row.value:<36} {'yes' if row.is_met else 'NO'}",
            flush=True,
        )
    if options.json:
        content = {"quick": options.quick, "machine": facts, "rows": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
