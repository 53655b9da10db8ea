"""Every bar that nano has to clear, for any model: what is asked for, what is reached, met or missed.

    python benchmarks/nano_bars.py --model nano --json BARS.json [--quick] [--only NAME ...] [--full]
                                   [--device NAME] [--stacks FOLDER] [--parts]

The names: first-frame, propagated, microscopy, one-click, five-clicks, medical, clicks, presence, focus, large-frames.
Bars on open stacks are measured on every NAME.npz of FOLDER (default ../shared/data) and are left out without it.
`--full` sets all objects and frames into large frames, not six objects on eight frames of each stack. `--quick` only
shows that everything runs. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_sam2 import Session, __version__
from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.options import NATIVE
from napari_sam2.evaluation.bars import (
    BARS,
    HEAD,
    MEASURES,
    Measurement,
    measurement_line,
    part_lines,
)
from napari_sam2.evaluation.bench import QUICK, Bench, Extent, OpenModel, OpenStack
from napari_sam2.io.references import find_references
from napari_sam2.io.weights import weights_sha256


def opener(model: str, device: str) -> OpenModel:
    """Return what opens sessions of a model."""

    def open_model(image, *, focus=True, limits=None):
        options = replace(NATIVE, focus=focus)
        return Session(image, axis=0, model=model, limits=limits, device=device, options=options)

    return open_model


def open_stacks(folder: Path) -> tuple[OpenStack, ...]:
    """Read the open stacks, with the manual masks of a first frame where an archive has them."""
    if not folder.is_dir():
        return ()
    return tuple(OpenStack(file.read(), file.read_manual()) for file in find_references(folder))


def show(name: str, done: float) -> None:
    """Write progress to stderr: all of it on a terminal, else a line when something is done."""
    if sys.stderr.isatty():
        print(f"\r\033[K{name}: {done:.0%}", end="", file=sys.stderr, flush=True)
    elif done >= 1.0:
        print(f"{name}: done", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> tuple[Measurement, ...]:
    """Measure what was asked for and print each bar as it is there."""
    extent = QUICK if options.quick else Extent()
    if options.full:
        extent = replace(extent, large_frames=None, large_objects=None)
    stacks = open_stacks(options.stacks)
    if not stacks:
        print(f"no open stacks in {options.stacks}: their bars are left out", file=sys.stderr)
    bench = Bench(opener(options.model, options.device), stacks, extent, show)
    print(HEAD)
    measured = []
    for name in options.only or BARS:
        measured.append(MEASURES[name](bench))
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(measurement_line(measured[-1]), flush=True)
        if options.parts:
            print("\n".join(part_lines(measured[-1])), flush=True)
    return tuple(measured)


def report(
    options: argparse.Namespace, measured: tuple[Measurement, ...], seconds: float
) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "model": options.model,
        "sha256": weights_sha256(options.model),
        "version": __version__,
        "quick": options.quick,
        "seconds": round(seconds, 1),
        "bars": [measurement.to_dict() for measurement in measured],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--only", nargs="+", choices=tuple(BARS), metavar="NAME", help="these bars")
    parser.add_argument("--parts", action="store_true", help="print what values are made of")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="a few objects and frames")
    extent.add_argument("--full", action="store_true", help="everything into large frames")
    options = parser.parse_args()
    start = time.perf_counter()
    try:
        measured = run(options)
    except NapariSam2Error as error:
        parser.exit(1, f"{error}\n")
    met = sum(bool(item.is_met) for item in measured)
    print(f"{met} of {len(measured)} bars met in {time.perf_counter() - start:.0f} s")
    if options.json:
        content = report(options, measured, time.perf_counter() - start)
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
