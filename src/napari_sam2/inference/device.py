"""Where and in which precision the network runs: the only autocast and the only choice of a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import torch

from napari_sam2.core.errors import OptionError
from napari_sam2.core.options import Precision

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """Ways to the same numbers with fewer operations; every one was kept because it was measured faster.

    Attributes
    ----------
    fold_values : bool
        Memory attention mixes memories as they are, a quarter as wide, and projects the mixture.
    share_first_layer : bool
        What memory attention does before it looks at any memory is done once a frame, for all objects.
    """

    fold_values: bool = True
    share_first_layer: bool = True


ALL_SHORTCUTS = Shortcuts()
NO_SHORTCUTS = Shortcuts(fold_values=False, share_first_layer=False)


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """Where and how the network runs.

    `compute`: where it runs; `storage`: where memories wait; `dtype`: precision of matrix products; `shortcuts`: which
    operations are saved.
    """

    compute: torch.device = field(default_factory=lambda: torch.device("cpu"))
    storage: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    shortcuts: Shortcuts = ALL_SHORTCUTS

    @classmethod
    def choose(
        cls, device: DeviceName = "auto", precision: Precision = "float32", *, is_large: bool = True
    ) -> DevicePolicy:
        """Take the named device, or the best one there is.

        Parameters
        ----------
        device : {"auto", "cpu", "cuda", "mps"}
            Where.
        precision : {"auto", "float32", "bfloat16", "float16"}
            Of matrix products. "auto": bfloat16 on CUDA, and for large models on CPUs that multiply it; float16 on MPS;
            else float32.
        is_large : bool
            Whether most of the time goes into large matrix products; `nano` gains little.

        Raises
        ------
        OptionError
            If the device is named and not there; nothing else is taken in its place.
        """
        available = available_devices()
        name = available[0] if device == "auto" else device
        if name not in available:
            raise OptionError(
                f"device {device!r} is not available here",
                remedy=f"choose one of {', '.join(available)} or 'auto'",
            )
        compute = torch.device(name)
        shortcuts = replace(ALL_SHORTCUTS, fold_values=name == "cpu")
        return cls(compute, compute, dtype_of(precision, compute, is_large), shortcuts)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network is called."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.compute.type, self.dtype)


def dtype_of(precision: Precision, device: torch.device, is_large: bool) -> torch.dtype:
    """Return the dtype that a precision means on a device; see `DevicePolicy.choose`."""
    if precision != "auto":
        named: torch.dtype = getattr(torch, precision)
        return named
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if is_large and multiplies_bfloat16() else torch.float32


@cache
def multiplies_bfloat16() -> bool:
    """Say whether this CPU has instructions for bfloat16 products; without, they are slower than float32's."""
    # Named by PyTorch, but not public: a version without them means float32.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)


def available_devices() -> tuple[str, ...]:
    """Return where a network can run on this computer, the fastest first."""
    names = []
    if torch.cuda.is_available():
        names.append("cuda")
    if torch.backends.mps.is_available():
        names.append("mps")
    return (*names, "cpu")
