"""The attention kernel of ours beside PyTorch's, on the shapes of an official model; medians, in turn.

python benchmarks/attention_kernels.py [--repeats 5] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.attention import blocked_attention

CELLS = 64 * 64
# Heads, queries, keys, width of keys, width of values: ours mixes memories as they are, PyTorch's needs equal widths.
SHAPES = {
    "memory, full (7 frames, 16 pointers)": (1, CELLS, 7 * CELLS + 64, 256, 64),
    "memory, one frame": (1, CELLS, CELLS + 4, 256, 64),
    "memory, a frame with itself": (1, CELLS, CELLS, 256, 256),
    "trunk, whole map": (4, CELLS, CELLS, 96, 96),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the tokens")
    options = parser.parse_args()
    print("| | float32: PyTorch | ours | bfloat16: PyTorch | ours |\n|---|---|---|---|---|")
    for name, (heads, queries, keys, width, mixed) in SHAPES.items():
        if options.quick:
            queries, keys = queries // 16, keys // 16
        cells = []
        for dtype in (torch.float32, torch.bfloat16):
            query, key, value = (
                torch.randn(1, heads, count, channels).to(dtype)
                for count, channels in ((queries, width), (keys, width), (keys, mixed))
            )
            cells += compared(query, key, value, options.repeats)
        print(
            f"| {name} | " + " | ".join(f"{1e3 * cell:.0f} ms" for cell in cells) + " |", flush=True
        )


@torch.inference_mode()
def compared(query: Tensor, key: Tensor, value: Tensor, repeats: int) -> list[float]:
    """Return the median seconds of PyTorch's kernel, values as wide as keys, and of ours."""
    wide = key if value.shape[-1] != key.shape[-1] else value
    works: list[Callable[[], Tensor]] = [
        lambda: F.scaled_dot_product_attention(query, key, wide),
        lambda: blocked_attention(query, key, value),
    ]
    times: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for own, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in times]


if __name__ == "__main__":
    main()
