"""Chance on a device: all that is drawn follows from one `torch.Generator` and lies where it lies."""

from __future__ import annotations

import torch
from torch import Tensor


class Chance:
    """Draws tensors from a generator, on the generator's device.

    Parameters
    ----------
    generator : torch.Generator
        The same state on the same device gives the same numbers.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return numbers between `low` and `high`."""
        drawn = torch.rand(*shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def normal(self, *shape: int) -> Tensor:
        """Return numbers of mean 0 and standard deviation 1."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def happens(self, *shape: int, share: float | Tensor) -> Tensor:
        """Return what is true with probability `share`."""
        return self.uniform(*shape) < share

    def below(self, limit: int, *shape: int) -> Tensor:
        """Return whole numbers from 0 to `limit` - 1, int64."""
        return torch.randint(0, limit, shape, generator=self.generator, device=self.device)

    def kinds(self, weights: list[float], count: int) -> Tensor:
        """Return `count` positions in `weights`, each as often as its weight says, int64."""
        table = torch.tensor(weights, device=self.device)
        return torch.multinomial(table, count, True, generator=self.generator)
