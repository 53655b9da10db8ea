"""Muon and weight averaging."""

from __future__ import annotations

import torch

from napari_sam2.training.optim import Average, Muon, make_optimisers, orthogonalise, set_rate


def test_orthogonalised_matrices_keep_directions_and_lose_lengths():
    torch.manual_seed(0)
    matrix = torch.randn(2, 12, 20)
    turned = orthogonalise(matrix)
    singular = torch.linalg.svdvals(turned)
    assert singular.min() > 0.5
    assert singular.max() < 1.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert (
        torch.nn.functional.cosine_similarity(turned.flatten(1), (left @ right).flatten(1)).min()
        > 0.95
    )


def test_muon_solves_a_linear_problem():
    torch.manual_seed(0)
    wanted, weight = torch.randn(8, 8), torch.nn.Parameter(torch.zeros(8, 8))
    optimiser = Muon([weight], lr=0.1, weight_decay=0.0)
    for step in range(120):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 120)
        weight.grad = weight.detach() - wanted
        optimiser.step()
    assert float((weight - wanted).norm() / wanted.norm()) < 0.1


def test_every_parameter_is_trained_once_and_rates_follow_the_schedule():
    net = torch.nn.ModuleDict({"a": torch.nn.Linear(32, 32), "point": torch.nn.Embedding(1, 32)})
    for matrix_lr in (0.0, 0.02):
        optimisers = make_optimisers(net, matrix_lr=matrix_lr)
        seen = [p for o in optimisers for g in o.param_groups for p in g["params"]]
        assert len(seen) == len(set(map(id, seen))) == 3
        set_rate(optimisers, 0.5)
        assert all(g["lr"] == g["peak_lr"] / 2 for o in optimisers for g in o.param_groups)


def test_the_average_follows_the_weights():
    net = torch.nn.Linear(2, 2)
    average = Average(net, decay=0.5)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for _ in range(40):
        average.update(net)
    assert torch.allclose(average.state["weight"], torch.ones(2, 2), atol=1e-3)
