"""How long the parts of one frame take here, how many products they make, and how near the machine's limit that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from napari_sam2.core.options import NATIVE, Precision, Quality
from napari_sam2.inference.attending import Attender
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.memory import CONDITIONING_ROW, NUM_RECENT_POINTERS, Selection
from napari_sam2.inference.quality import economy_of, is_large, scaled
from napari_sam2.inference.step import decode, remember
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2

RATE_SIDE = 2048
"""Side of the square matrices whose product gives the machine's rate."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one frame's work.

    `gmac`: billions of multiplications with an addition; `seconds`: the fastest of several.
    """

    name: str
    gmac: float
    seconds: float

    @property
    def gflops(self) -> float:
        """Rate, 10^9 operations a second: a multiplication and an addition are two."""
        return 2 * self.gmac / self.seconds


@dataclass(frozen=True, slots=True)
class Speed:
    """What one object's frame takes with a full memory.

    `side`: of what the network looks at, pixels; `rate`: of large matrix products in this precision, GFLOP/s.
    """

    model: str
    device: str
    precision: str
    side: int
    rate: float
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """Of the whole frame, reading and drawing left out."""
        return sum(part.seconds for part in self.parts)


def matmul_rate(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """Return the best rate of large matrix products, GFLOP/s."""
    left, right = (torch.randn(RATE_SIDE, RATE_SIDE, device=device).to(dtype) for _ in range(2))
    return 2 * RATE_SIDE**3 / 1e9 / fastest(lambda: left @ right, device, repeats)


def fastest(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the seconds of the fastest of `repeats` runs, after one that is not timed."""
    work()
    best = float("inf")
    for _ in range(repeats):
        _wait_for(device)
        start = time.perf_counter()
        work()
        _wait_for(device)
        best = min(best, time.perf_counter() - start)
    return best


def speed_of(
    model: str,
    policy: DevicePolicy | None = None,
    *,
    precision: Precision = "auto",
    quality: Quality = "auto",
    repeats: int = 3,
) -> Speed:
    """Measure the parts of a frame of one object whose memory is full.

    Weights are random, since they do not change the time: no model need be on this computer.

    Parameters
    ----------
    model : str
        A preset: `nano`, `sam2.1_tiny`, …
    policy : DevicePolicy, optional
        Default: the best device there is.
    precision, quality : str
        See `InferenceOptions`.
    repeats : int
        Runs of which the fastest counts.
    """
    network = Sam2(preset(model)).eval()
    policy = policy or DevicePolicy.choose("auto", precision, is_large=is_large(network))
    device = policy.compute
    economy = economy_of(quality, network, device)
    network = scaled(network.to(device), economy.scale).requires_grad_(False)
    with torch.inference_mode(), policy.autocast():
        parts = tuple(
            Part(name, _gmac(work), fastest(work, device, repeats))
            for name, work in _parts(network, policy, economy.num_recent).items()
        )
    rate = matmul_rate(device, policy.dtype)
    name = str(policy.dtype).removeprefix("torch.")
    return Speed(model, device.type, name, network.config.image_size, rate, parts)


def _parts(network: Sam2, policy: DevicePolicy, num_recent: int) -> dict[str, Callable[[], object]]:
    config, device = network.config, policy.compute
    image = torch.randn(1, 3, config.image_size, config.image_size, device=device)
    features = network.encode_image(image)
    grid, width = config.grid, config.memory.width
    count = NUM_RECENT_POINTERS + 1
    selection = Selection(
        tuple(torch.randn(1, width, grid, grid, device=device) for _ in range(1 + num_recent)),
        (CONDITIONING_ROW, *range(num_recent)),
        tuple(torch.randn(1, config.width, device=device) for _ in range(count)),
        tuple(range(1, count + 1)),
    )

    def attend() -> torch.Tensor:
        # A new one each time: what is shared between objects belongs to the first one's time.
        return Attender(network, policy.shortcuts).condition(features, [selection], 1000)

    conditioned = attend()
    output = decode(network, features, conditioned, NATIVE)
    return {
        "trunk and neck": lambda: network.encode_image(image),
        "memory attention": attend,
        "mask decoder": lambda: decode(network, features, conditioned, NATIVE),
        "memory encoder": lambda: remember(network, features, output, NATIVE, is_prompted=False),
    }


def _gmac(work: Callable[[], object]) -> float:
    # PyTorch counts its attention kernels, but for the one of CPUs.
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={kernel: _sdpa_flops})
    with counter:
        work()
    return counter.get_total_flops() / 2e9


def _sdpa_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_args: object, **_kwargs: object
) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
