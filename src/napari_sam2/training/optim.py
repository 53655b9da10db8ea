"""Optimisers: orthogonalised momentum (Muon, K. Jordan 2024) for matrices, AdamW for the rest; weight averaging."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from napari_sam2.training.team import Team

# Coefficients of the published quintic iteration: fast, to singular values of about 0.7 to 1.2, not exact.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values of `matrices` (n, rows, columns) near 1, keeping the singular vectors."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices.bfloat16()
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if is_tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum whose update of each weight matrix is made orthogonal.

    Parameters
    ----------
    params : iterable of nn.Parameter
        At least two-dimensional; further dimensions are flattened.
    lr : float
        Size of the update: about the spectral norm of one step.
    momentum : float
        Of the Nesterov average.
    weight_decay : float
        Decoupled, times `lr`.
    team : Team, optional
        Processes that share the work: each turns its part of the matrices.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        team: Team | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.team = team

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make one step; matrices of one shape are turned together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shape = (parameter.shape[0], parameter[0].numel())
                    by_shape.setdefault(shape, []).append(parameter)
            moves = [self._turned(same, group["momentum"]) for same in by_shape.values()]
            if self.team is not None:
                moves = self.team.sum(moves)
            for (rows, columns), move in zip(by_shape, moves, strict=True):
                gain = max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(by_shape[rows, columns], move, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * gain)

    def _turned(self, parameters: list[nn.Parameter], momentum: float) -> Tensor:
        """Return this process's part of the orthogonal updates, (n, rows, columns), zero elsewhere."""
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - momentum)
            updates.append(parameter.grad.lerp(state["momentum"], momentum).flatten(1))
        stack = torch.stack(updates)
        if self.team is None:
            return orthogonalise(stack)
        own = slice(self.team.rank, None, self.team.size)
        turned = torch.zeros_like(stack)
        if len(stack[own]):
            turned[own] = orthogonalise(stack[own])
        return turned


def make_optimisers(
    net: nn.Module,
    matrix_lr: float = 0.0,
    lr: float = 1.5e-3,
    weight_decay: float = 0.05,
    team: Team | None = None,
) -> list[torch.optim.Optimizer]:
    """Make AdamW for all parameters; where `matrix_lr` is not 0, `Muon` for the hidden matrices."""
    matrices, rest, neck = [], [], []
    for name, parameter in net.named_parameters():
        if ".neck." in name:
            neck.append(parameter)
            continue
        is_hidden = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= 16
        is_table = any(part in name for part in ("token", "position", "point", "no_m", "absent"))
        is_attention = "token_to_image" in name or "image_to_token" in name
        (matrices if is_hidden and (not is_table or is_attention) else rest).append(parameter)
    if matrix_lr:
        optimisers: list[torch.optim.Optimizer] = [Muon(matrices, lr=matrix_lr, team=team)]
        groups = [{"params": rest, "weight_decay": 0.0}]
    else:
        optimisers = []
        groups = [
            {"params": rest, "weight_decay": 0.0},
            {"params": matrices, "weight_decay": weight_decay},
        ]
    # Nothing normalises what leaves the neck: learning fast there inflates the features until content drowns place.
    groups.append({"params": neck, "lr": 0.2 * lr, "weight_decay": weight_decay})
    optimisers.append(torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak_lr"] = group["lr"]
    return optimisers


def set_rate(optimisers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times its peak."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = factor * group["peak_lr"]


class Average:
    """Exponential moving average of a network's weights.

    Parameters
    ----------
    net : nn.Module
        Its weights at the moment are the first average.
    decay : float
        Of one step; shorter at the start.
    """

    def __init__(self, net: nn.Module, decay: float = 0.997) -> None:
        self.decay, self.count = decay, 0
        self.state = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights of `net`."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        values = net.state_dict()
        names = [name for name, value in self.state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in names], [values[n] for n in names], 1 - decay)
