"""Several processes that train one network: gradients are averaged, everything else is repeated alike."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Team:
    """The process among those that `torchrun` started; alone when it was started otherwise.

    Parameters
    ----------
    device : str
        "cpu", or "cuda": then each process of a machine has its own.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.rank, self.size, self.device = 0, 1, torch.device(device)
        if dist.is_available() and dist.is_torchelastic_launched():
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            if not dist.is_initialized():
                dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            self.rank, self.size = dist.get_rank(), dist.get_world_size()

    @property
    def is_first(self) -> bool:
        """Whether this process writes the log and the checkpoints."""
        return self.rank == 0

    @torch.no_grad()
    def average(self, parameters: Iterable[nn.Parameter], number: float) -> float:
        """Average gradients over the team, in place, and return the average of `number`.

        A parameter without a gradient counts as zero as soon as one process has one.
        """
        if self.size == 1:
            return number
        kept = list(parameters)
        flat = [
            p.grad.flatten() if p.grad is not None else torch.zeros_like(p).flatten() for p in kept
        ]
        buffer = torch.cat([*flat, torch.tensor([number], device=self.device)])
        dist.all_reduce(buffer)
        buffer /= self.size
        for parameter, part in zip(kept, buffer[:-1].split([p.numel() for p in kept]), strict=True):
            parameter.grad = part.view_as(parameter)
        return float(buffer[-1])

    @torch.no_grad()
    def sum(self, parts: list[Tensor]) -> list[Tensor]:
        """Return the sums over the team of each of `parts`."""
        if self.size == 1:
            return parts
        buffer = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(buffer)
        pieces = buffer.split([part.numel() for part in parts])
        return [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]

    @torch.no_grad()
    def share(self, net: nn.Module) -> None:
        """Give all processes the first one's weights."""
        if self.size > 1:
            for value in net.state_dict().values():
                dist.broadcast(value, 0)
