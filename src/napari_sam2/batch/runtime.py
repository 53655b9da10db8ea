"""What a process of a batch sets and says of torch; the only module here that loads it by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.batch.job import Device


def prepare(seed: int, threads: int | None) -> None:
    """Set torch's random numbers, though nothing draws any today, and on how many threads of the CPU it computes."""
    import torch

    torch.manual_seed(seed)
    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def facts(device: Device) -> dict[str, Any]:
    """Return the version of torch, its threads, and the device that `device` means here."""
    import torch

    from napari_sam2.inference.device import DevicePolicy

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": DevicePolicy.choose(device).compute.type,
    }
