"""Where and in which precision the network runs: the only autocast and the only choice of a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch

from napari_sam2.core.errors import OptionError

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
    def choose(cls, device: DeviceName = "auto") -> DevicePolicy:
        """Take the named device, or the best one there is, in float32.

        Raises
        ------
        OptionError
            If the device is named and not there; nothing else is taken in its place.
        """
        available = _available()
        name = available[0] if device == "auto" else device
        if name not in available:
            raise OptionError(
                f"device {device!r} is not available here",
                remedy=f"choose one of {', '.join(available)} or 'auto'",
            )
        return cls(torch.device(name), torch.device(name))

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network is called."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.compute.type, self.dtype)


def _available() -> list[str]:
    names = []
    if torch.cuda.is_available():
        names.append("cuda")
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]
