"""Seconds a tracked frame takes, encoding included, beside what the machine's matrix products give.

    python benchmarks/seconds_per_frame.py --json OUT.json [--models nano sam2.1_tiny] [--frames 10] [--objects 1]

Weights are random: they do not change the time. The first tracked frame is left out (it warms up), and the memory is
full (six recent frames) from the seventh on; the median of the frames with a full memory is reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2


def matmul_rate(side: int = 2048, repeats: int = 5) -> float:
    """Return the best of `repeats` float32 matrix products, GFLOP/s."""
    left, right = torch.randn(side, side), torch.randn(side, side)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9


def seconds_per_frame(name: str, num_frames: int, num_objects: int) -> list[float]:
    """Return the seconds of every tracked frame but the first."""
    torch.manual_seed(0)
    network = Sam2(preset(name))
    torch.nn.init.constant_(network.mask_decoder.object_head.layers[-1].bias, 10.0)
    side = network.config.image_size
    video = np.random.default_rng(0).integers(0, 255, (num_frames, side, side), np.uint8)
    segmenter = Sam2Segmenter(network, ArrayFrames(video), IntensityMapping(0, 255))
    centres = np.linspace(side * 0.2, side * 0.8, num_objects)
    objects = tuple(
        ObjectPrompts(n, (FramePrompts(0, (PromptStep(((c, c),), (True,)),)),))
        for n, c in enumerate(centres.tolist(), start=1)
    )
    request = PropagationRequest(1, objects, 0, num_frames, "forward")
    times, start = [], time.perf_counter()
    for _ in segmenter.propagate(request):
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return times[1:]


def main() -> None:
    """Measure and print, one row a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["nano", "sam2.1_tiny"])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_gflops": round(matmul_rate(), 1),
        "objects": args.objects,
        "seconds_per_frame": {},
    }
    for name in args.models:
        times = seconds_per_frame(name, args.frames, args.objects)
        full = times[6:] or times
        report["seconds_per_frame"][name] = round(statistics.median(full), 4)
        side = preset(name).image_size
        print(f"{name:>18} at {side:4d}: {statistics.median(full):.3f} s/frame")
    print(f"float32 matrix products: {report['matmul_gflops']} GFLOP/s")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
