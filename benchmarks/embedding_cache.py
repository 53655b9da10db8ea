"""What a kept embedding saves, and what reading ahead saves.

    python benchmarks/embedding_cache.py --json OUT.json [--models nano sam2.1_tiny] [--side S] [--frames N]

For each model, milliseconds a frame: encoding; the key (a hash over the pixels); writing; reading, with the file in
memory and from the disk. And seconds for tracking one object through all frames: without a store, with an empty one,
and with a full one. Then the same over a source that takes 50 ms a frame, with reading ahead and without. Weights are
random: they do not change the time. Runs are repeated in turn, and the best of each counts: others on the machine only
make it slower.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.views import View
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.encoder import FrameEncoder
from napari_sam2.inference.kept import KeptEmbeddings
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.io.embedding_cache import DiskEmbeddings
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2

MAPPING = IntensityMapping(0, 65535)
QUOTA = 1 << 40
SLOW = 0.05


class SlowFrames(ArrayFrames):
    """A stack on a slow disk."""

    def _patiently(self, t: int) -> np.ndarray:
        time.sleep(SLOW)
        return super()._patiently(t)


def network_of(name: str) -> Sam2:
    """Return a network of random weights that sees objects everywhere."""
    torch.manual_seed(0)
    network = Sam2(preset(name)).eval()
    torch.nn.init.constant_(network.mask_decoder.object_head.layers[-1].bias, 10.0)
    return network


def best_ms(
    action: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> float:
    """Return the best of `repeats` calls after a first one, milliseconds."""
    times = []
    for _ in range(repeats + 1):
        before()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(1000 * min(times[1:]), 2)


def dropped(path: Path) -> None:
    """Have the system forget the content of a file, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def single(network: Sam2, video: np.ndarray, folder: Path, repeats: int) -> dict[str, float]:
    """Return what one frame costs, milliseconds."""
    policy, view = DevicePolicy.choose("cpu"), View.whole(video.shape[1:])
    encoder = FrameEncoder(network, ArrayFrames(video), MAPPING, policy.compute, 1)
    store = DiskEmbeddings(folder, QUOTA)
    kept, side = KeptEmbeddings(store, network, policy), network.config.image_size
    asked = video[0], view, MAPPING, side
    seen = encoder._encode(0, view)
    made = lambda: (seen.features, seen.is_blank)  # noqa: E731
    kept.get_or_make(*asked, made)
    (path,) = folder.iterdir()

    def read() -> None:
        kept.get_or_make(*asked, made)

    return {
        "encode": best_ms(lambda: encoder._encode(0, view), repeats),
        "key": best_ms(lambda: kept.key(*asked), repeats),
        "key and write": best_ms(read, repeats, before=path.unlink),
        "key and read": best_ms(read, repeats),
        "key and read from disk": best_ms(read, repeats, before=lambda: dropped(path)),
        "megabytes": round(path.stat().st_size / 1e6, 2),
    }


def run_seconds(
    network: Sam2,
    frames: ArrayFrames,
    store: DiskEmbeddings | None = None,
    read_ahead: bool = False,
) -> float:
    """Return the seconds for tracking one object through all frames."""
    segmenter = Sam2Segmenter(
        network,
        frames,
        MAPPING,
        policy=DevicePolicy.choose("cpu"),
        embeddings=store,
        read_ahead=read_ahead,
    )
    middle = frames.shape[0] / 2
    said = FramePrompts(0, (PromptStep(((middle, middle),), (True,)),))
    request = PropagationRequest(1, (ObjectPrompts(1, (said,)),), 0, len(frames), "forward")
    start = time.perf_counter()
    for _ in segmenter.propagate(request):
        pass
    return time.perf_counter() - start


def runs(network: Sam2, video: np.ndarray, folder: Path, repeats: int) -> dict[str, float]:
    """Return the seconds of whole runs, by what is switched on."""
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        store = DiskEmbeddings(folder, QUOTA)
        store.clear()
        frames, slow = ArrayFrames(video), SlowFrames(video)
        for name, given in {
            "no store": (frames,),
            "empty store": (frames, store),
            "full store": (frames, store),
            "slow source": (slow, None, False),
            "slow source, reading ahead": (slow, None, True),
            "slow source, full store": (slow, store, False),
            "slow source, full store, reading ahead": (slow, store, True),
        }.items():
            times.setdefault(name, []).append(run_seconds(network, *given))
    return {name: round(min(values), 3) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["nano", "sam2.1_tiny"])
    parser.add_argument("--side", type=int, default=1024, help="of the frames, uint16")
    parser.add_argument("--frames", type=int, default=12, help="1: without whole runs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    video = np.random.default_rng(0).integers(
        0, 65535, (args.frames, args.side, args.side), np.uint16
    )
    report = {
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "side": args.side,
        "frames": args.frames,
    }
    for name in args.models:
        network = network_of(name)
        with tempfile.TemporaryDirectory() as place, torch.inference_mode():
            folder = Path(place)
            figures = single(network, video, folder / "one", 5 * args.repeats)
        print(name)
        for label, value in figures.items():
            unit = "" if label == "megabytes" else " ms"
            print(f"  {label:<40} {value:9.2f}{unit}", flush=True)
        seconds = {}
        if args.frames > 1:
            with tempfile.TemporaryDirectory() as place:
                seconds = runs(network, video, Path(place) / "runs", args.repeats)
        report[name] = {"milliseconds": figures, "seconds": seconds}
        for label, value in seconds.items():
            print(f"  {label:<40} {value:9.3f} s")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
