"""Speed beside the reference implementation, in one run, in turn: the table of docs/performance.md.

    python benchmarks/propagation.py --json OUT.json [--quick] [--rows NAME ...]

The reference is the SAM 2 video model of the `transformers` package (`pip install "napari-sam2[bench]"`), with the same
procedural weights: they do not change the time, and nothing is downloaded. Frames are timed once the memory is full,
the median counts. A PNG with the growth curves lies beside the JSON. `--quick` runs everything on little, to see
that it runs; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import contenders
import numpy as np
import torch
from contenders import EXACT, Ours, Reference, alternating, clicks_of, network_of, timed, video_of
from PIL import Image

from napari_sam2 import __version__
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.options import NATIVE, Precision
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.evaluation.plot import draw_curves
from napari_sam2.inference.device import DevicePolicy, dtype_of
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.inference.speed import matmul_rate, speed_of

FULL_MEMORY = 7
"""Tracked frames after which the memory is full."""

TINY = "sam2.1_tiny"


@dataclass(frozen=True)
class Size:
    """How much is run. `side`: of the exact comparisons; `small_side`: where many frames are needed."""

    side: int = 1024
    small_side: int = 512
    steps: int = 2
    corrected_frames: int = 40
    memory: tuple[tuple[int, int], ...] = ((256, 500), (1024, 40))
    growth: tuple[int, ...] = (1, 2, 4, 8, 16)


QUICK = Size(128, 128, 1, 8, ((128, 30),), (1, 2))


@dataclass(frozen=True)
class Row:
    """One row of the table. `bar`: what the ratio, or the value, must reach at least."""

    name: str
    value: float
    unit: str
    bar: float
    aim: float | None
    detail: str

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached."""
        return self.value >= self.bar


def exact(size: Size) -> list[Row]:
    """Compare a tracked frame of one object in float32."""
    return [propagation(size, 1, "float32", 1.1, 1.3)]


def automatic(size: Size) -> list[Row]:
    """Compare a tracked frame of one object in the device's own precision."""
    return [propagation(size, 1, "auto", 2.3, 3.5)]


def five(size: Size) -> list[Row]:
    """Compare a tracked frame of five objects in float32."""
    return [propagation(size, 5, "float32", 1.2, 1.5)]


def propagation(size: Size, objects: int, precision: Precision, bar: float, aim: float) -> Row:
    """Compare a tracked frame with that of the reference, which is always float32."""
    network, count = network_of(TINY, size.side), FULL_MEMORY + size.steps + 1
    video, clicks = video_of(count, size.side), clicks_of(objects, size.side)
    ours = Ours(network, video, replace(EXACT, precision=precision))
    pair = (ours.track(clicks), Reference(network, video).track(clicks))
    own, others = (steady(times) for times in alternating(pair, count - 1))
    dtype = str(dtype_of(precision, torch.device("cpu"), True)).removeprefix("torch.")
    name = f"{objects} object{'s' * (objects > 1)}, precision {precision} ({dtype})"
    return Row(name, others / own, "x", bar, aim, f"{own:.3f} s, reference {others:.3f} s")


def steady(times: list[float]) -> float:
    """Return the median of the frames with a full memory."""
    return statistics.median(times[FULL_MEMORY:])


def fast(size: Size) -> list[Row]:
    """Compare fast quality in the device's own precision with full quality in float32 on one stack."""
    network, count = network_of(TINY, size.side), FULL_MEMORY + size.steps + 1
    video, clicks = video_of(count, size.side), clicks_of(1, size.side)
    quick = Ours(network, video, replace(EXACT, precision="auto", quality="fast"))
    full = Ours(network, video)
    own, others = (
        steady(t) for t in alternating((quick.track(clicks), full.track(clicks)), count - 1)
    )
    detail = f"{own:.3f} s, full in float32 {others:.3f} s"
    return [Row('quality "fast" against full', others / own, "x", 8, 20, detail)]


def correction(size: Size) -> list[Row]:
    """Compare the second propagation after a correction in the middle, between locks that were there before."""
    side, count = size.small_side, size.corrected_frames
    network, video = network_of(TINY, side), video_of(count, side)
    ((_, y, x),) = clicks_of(1, side)[0]
    ours, reference = Ours(network, video), Reference(network, video)
    session, middle, reach = ours.session, count // 2, min(5, count // 4)
    session.add_points(1, 0, [(y, x)])
    drained(session.propagate())
    for frame in (middle - reach, middle + reach):
        session.lock(1, frame)
    drained(session.propagate_changed())
    session.add_points(1, middle, [(y + side / 8, x)], [False])
    own = seconds(lambda: drained(session.propagate_changed()))
    drained(reference.track(clicks_of(1, side)))
    reference.click(1, middle, y + side / 8, x)
    others = seconds(lambda: drained(reference.again()))
    detail = f"{own:.2f} s, reference {others:.2f} s; {count} frames at {side}"
    return [Row("second propagation after a correction", others / own, "x", 8, 30, detail)]


def clicks(size: Size) -> list[Row]:
    """Compare a further click on a tracked frame, and the time to the first mask."""
    side, count = size.side, FULL_MEMORY + 2
    network, video = network_of(TINY, side), video_of(count, side)
    ((_, y, x),) = clicks_of(1, side)[0]
    first = ([], [])
    for _ in range(2 * size.steps + 1):
        ours, reference = Ours(network, video), Reference(network, video)
        first[0].append(seconds(lambda own=ours: own.session.add_points(1, 0, [(y, x)])))
        first[1].append(seconds(lambda other=reference: other.click(1, 0, y, x)))
    opened = [statistics.median(times[1:]) for times in first]
    drained(ours.session.propagate())
    drained(reference.again())
    frame, further = count - 1, ([], [])
    for shift in (8, 16, 24):
        place = (y + side / shift, x)
        further[0].append(seconds(lambda p=place: ours.session.add_points(1, frame, [p])))
        further[1].append(seconds(lambda p=place: reference.click(1, frame, *p)))
    own, others = (statistics.median(times[1:]) for times in further)
    return [
        Row(
            "further click on a tracked frame",
            others / own,
            "x",
            30,
            100,
            f"{own:.3f} s, reference {others:.3f} s",
        ),
        Row(
            "first mask after opening",
            opened[1] / opened[0],
            "x",
            1,
            None,
            f"{opened[0]:.2f} s, reference {opened[1]:.2f} s, both float32",
        ),
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    contenders.wait_for_device()
    start = time.perf_counter()
    work()
    contenders.wait_for_device()
    return time.perf_counter() - start


def drained(results) -> int:
    """Take everything; return how many there were."""
    return sum(1 for _ in results)


def nano(size: Size) -> list[Row]:
    """Time the embedded model on a stack of 512 x 512."""
    from napari_sam2.api import load_model

    count = FULL_MEMORY + 10 * size.steps
    video = np.random.default_rng(0).integers(0, 255, (count, 512, 512), np.uint8)
    network, frames = load_model("nano").network, ArrayFrames(video)
    torch.nn.init.constant_(network.mask_decoder.object_head.layers[-1].bias, 10.0)
    segmenter = Sam2Segmenter(
        network, frames, IntensityMapping(0, 255), NATIVE, DevicePolicy.choose("cpu")
    )
    prompts = (FramePrompts(0, (PromptStep(box=(100.0, 100.0, 400.0, 400.0)),)),)
    request = PropagationRequest(1, (ObjectPrompts(1, prompts),), 0, count, "forward")
    results = segmenter.propagate(request)
    own = steady([timed(results) for _ in range(count - 1)])
    threads = torch.get_num_threads()
    return [Row(f"nano, 512 x 512, {threads} cores", 1 / own, "frames/s", 8, 25, f"{own:.4f} s")]


def memory(size: Size) -> list[Row]:
    """Compare what stays in memory: growth of the process after frame 20, and the run's part beside the reference's.

    Single frames say little: what is being computed when memory is looked at comes and goes.
    """
    rows = []
    for side, count in size.memory:
        (base, own), (_, others) = (resident(who, side, count) for who in ("ours", "reference"))
        middle = (20 + count) // 2
        first, second = (base + statistics.median(part) for part in (own[20:middle], own[middle:]))
        detail = f"side {side}, {count} frames: {first:.0f} MB, then {second:.0f} MB"
        name = "flat memory after frame 20: first half / second half"
        rows.append(Row(name, first / second, "", 0.98, None, detail))
        detail = f"side {side}, {count} frames: {max(own):.0f} MB, reference {max(others):.0f} MB"
        rows.append(Row("reference's memory / ours", max(others) / max(own), "x", 2, None, detail))
    return rows


def resident(who: str, side: int, count: int) -> tuple[float, list[float]]:
    """Return MB of a new process: with torch and the frames loaded, and above that after every tracked frame."""
    command = [sys.executable, __file__, "--resident", who, str(side), str(count)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def print_resident(who: str, side: int, count: int) -> None:
    """Track one object, keep two frames' features, and print the resident memory after every frame."""
    network, video = network_of(TINY, side), video_of(count, side)
    base, seen = _resident_mb(), []
    contender = (
        Ours(network, video, cache_bytes=2 * 16 * side**2)
        if who == "ours"
        else Reference(network, video)
    )
    for _ in contender.track(clicks_of(1, side)):
        seen.append(_resident_mb() - base)
    print(json.dumps([base, seen]))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def growth(size: Size) -> dict[str, dict[int, float]]:
    """Return the seconds of a tracked frame by number of objects and by number of prompted frames."""
    side, curves = size.small_side, {"objects": {}, "prompted frames": {}}
    network = network_of(TINY, side)
    for number in size.growth:
        for what, places in (
            ("objects", clicks_of(number, side)),
            ("prompted frames", clicks_of(1, side, range(number))),
        ):
            num_prompted = number if what == "prompted frames" else 1
            tracked = FULL_MEMORY + 3
            video = video_of(num_prompted + tracked, side)
            options = replace(EXACT, max_conditioning_frames=NATIVE.max_conditioning_frames)
            results = Ours(network, video, options).track(places)
            times = [timed(results) for _ in range(tracked)]
            curves[what][number] = statistics.median(times[-3:])
    return curves


def cuda(size: Size) -> list[Row]:
    """Compare frames per second on a GPU, with the reference and its compiled form."""
    if not torch.cuda.is_available():
        return []
    rows = []
    for preset in (TINY, "sam2.1_large"):
        network, count = network_of(preset, size.side), FULL_MEMORY + 8 * size.steps
        video = video_of(count, size.side)
        for objects, bar, aim in ((1, 1.2, 2), (8, 2, 5)):
            places = clicks_of(objects, size.side)
            options = replace(EXACT, precision="auto", slots_per_step=8)
            ours = Ours(network, video, options, "cuda").track(places)
            plain = Reference(network, video, "cuda")
            with torch.autocast("cuda", torch.bfloat16):
                own, others = (
                    steady(t) for t in alternating((ours, plain.track(places)), count - 1)
                )
            detail = f"{1 / own:.1f} frames/s, reference {1 / others:.1f} frames/s, bfloat16"
            rows.append(
                Row(f"CUDA, {preset}, {objects} objects", others / own, "x", bar, aim, detail)
            )
    return rows


ROWS: dict[str, Callable[[Size], list[Row]]] = {
    "exact": exact,
    "automatic": automatic,
    "fast": fast,
    "correction": correction,
    "clicks": clicks,
    "nano": nano,
    "five": five,
    "memory": memory,
    "cuda": cuda,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, "growth", "limit"], default=None)
    parser.add_argument("--resident", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        who, side, count = options.resident
        print_resident(who, int(side), int(count))
        return
    size, wanted = QUICK if options.quick else Size(), options.rows or [*ROWS, "growth", "limit"]
    report = run(size, wanted)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))
        if report["growth"]:
            draw(report["growth"], options.json.with_suffix(".png"))


def run(size: Size, wanted: list[str]) -> dict:
    """Run what is wanted and print it as Markdown."""
    report = {"machine": machine(), "rows": [], "growth": {}, "limit": []}
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    print("\n| what | bar | aim | measured | |\n|---|---|---|---|---|")
    for name in [name for name in ROWS if name in wanted]:
        for row in ROWS[name](size):
            report["rows"].append(asdict(row))
            aim = "" if row.aim is None else f"{row.aim:g}"
            value = f"**{row.value:.2f}**" if row.is_met else f"{row.value:.2f}"
            print(
                f"| {row.name} | {row.bar:g} | {aim} | {value} {row.unit} | {row.detail} |",
                flush=True,
            )
    if "growth" in wanted:
        report["growth"] = growth(size)
        for what, curve in report["growth"].items():
            print(
                f"\nseconds a frame by {what}: "
                + ", ".join(f"{n}: {s:.3f}" for n, s in curve.items())
            )
    if "limit" in wanted:
        report["limit"] = limit(size)
    return report


def limit(size: Size) -> list[dict]:
    """Print which part of the machine's matrix rate the parts of a frame reach."""
    facts = []
    for precision in ("float32", "auto"):
        policy = DevicePolicy.choose("cpu", precision)
        speed = speed_of(TINY, policy, quality="full", repeats=size.steps)
        print(f"\n{speed.precision}: matrix products {speed.rate:.0f} GFLOP/s")
        for part in speed.parts:
            share = part.gflops / speed.rate
            print(
                f"  {part.name:18s} {part.gmac:6.1f} GMAC {part.seconds:6.3f} s {share:4.0%}",
                flush=True,
            )
        facts.append(asdict(speed))
    return facts


def machine() -> dict[str, str]:
    """Return what the numbers depend on."""
    import transformers

    cpu = torch.device("cpu")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "napari-sam2": __version__,
        "float32 GFLOP/s": f"{matmul_rate(cpu, torch.float32):.0f}",
        "bfloat16 GFLOP/s": f"{matmul_rate(cpu, torch.bfloat16):.0f}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    """Draw seconds a frame against numbers, as a part of what the largest number would take in proportion."""
    most = max(max(curve) for curve in curves.values())
    lines = {f"by {what}": relative(curve, most) for what, curve in curves.items()}
    lines["in proportion"] = [(1, 1 / most), (most, 1.0)]
    title, side = "A tracked frame", "seconds, 1.0 is the largest number times the seconds of one"
    Image.fromarray(draw_curves(lines, title, "number", side)).save(path)


def relative(curve: dict[int, float], most: int) -> list[tuple[int, float]]:
    """Return seconds by number, divided by those of `most` times one."""
    return [(number, seconds / (most * curve[1])) for number, seconds in curve.items()]


if __name__ == "__main__":
    main()
