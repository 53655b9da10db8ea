"""Losses, against values worked out by hand."""

from __future__ import annotations

import math

import torch

from napari_sam2.model.mask_decoder import Decoded
from napari_sam2.training.losses import (
    ABSENT_WEIGHT,
    RIVAL_WEIGHT,
    candidate_iou,
    choose,
    decoder_loss,
    pixel_losses,
    presence_loss,
)


def decoded(logits, iou=None, score=3.0):
    rows, number = logits.shape[:2]
    iou = torch.full((rows, number), 0.5) if iou is None else iou
    return Decoded(logits, iou, torch.full((rows,), score), torch.zeros(rows, number, 4), iou)


def square():
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    return target


def test_perfect_masks_cost_nothing_and_empty_ones_more_than_one():
    target = square()
    good, bad = (target * 2 - 1) * 20, torch.full((1, 8, 8), -20.0)
    losses = pixel_losses(torch.stack([good, bad], 1), target)
    assert losses[0, 0] < 1e-3
    assert losses[0, 1] > 1


def test_uniform_logits_cost_the_logarithm_of_two_and_their_dice():
    losses = pixel_losses(torch.zeros(1, 1, 8, 8), square())
    dice = 1 - (2 * 8 + 1) / (32 + 16 + 1)
    assert torch.allclose(losses, torch.tensor(3 * math.log(2) + dice))


def test_iou_counts_cells():
    logits = torch.full((1, 1, 8, 8), -1.0)
    logits[..., 2:6, 4:8] = 1  # half of the square, and as much beside it
    assert torch.allclose(candidate_iou(logits, square()), torch.tensor([[8 / 24]]))


def test_the_best_of_three_candidates_is_pulled_hardest_to_an_ambiguous_click():
    logits = torch.zeros(1, 4, 8, 8)
    logits[:, 2] = (square() * 2 - 1) * 0.05
    logits.requires_grad_()
    decoder_loss(
        decoded(logits), square(), torch.tensor([True]), is_ambiguous=True
    ).total.backward()
    single, first, best, third = logits.grad.abs().sum((0, 2, 3)).tolist()
    assert best > single > first
    assert first == third > 0
    assert best > 10 * first


def test_absent_objects_teach_the_score_alone():
    logits = torch.zeros(1, 4, 8, 8, requires_grad=True)
    loss = decoder_loss(decoded(logits, score=0.0), square(), torch.tensor([False]), True)
    assert torch.allclose(loss.total, torch.tensor(ABSENT_WEIGHT * math.log(2)))
    loss.total.backward()
    assert not logits.grad.any()


def test_near_an_object_inside_and_outside_count_alike_and_neighbours_more():
    target, rivals = torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)
    target[:, 2:6, 2:6] = 1
    rivals[:, 2:6, 8:12] = 1  # the first two columns are near
    logits = torch.zeros(1, 1, 32, 32, requires_grad=True)
    pixel_losses(logits, target, rivals).sum().backward()
    plain = torch.zeros(1, 1, 32, 32, requires_grad=True)
    (dice,) = torch.autograd.grad(dice_of(plain, target), plain)
    slope = (logits.grad - dice)[0, 0]
    inside, rival, ground, far = slope[3, 3], slope[4, 9], slope[9, 4], slope[20, 20]
    gain = 0.15 / (100 / 32**2)
    near = torch.zeros(32, 32)
    near[:10, :10] = 1
    weights = (1 + near * (gain + RIVAL_WEIGHT * rivals[0])).sum()
    expected = 1.5 / weights * torch.tensor([-1 - gain, 1 + gain, 1 + gain + RIVAL_WEIGHT, 1])
    assert torch.allclose(torch.stack([inside, ground, rival, far]), expected, atol=1e-6)


def dice_of(logits, target):
    probability = logits.sigmoid()
    common = (probability * target).sum()
    return 1 - (2 * common + 1) / (probability.sum() + target.sum() + 1)


def test_absent_objects_count_as_a_group():
    for present in ([True, True, True, False], [True, True, False, False]):
        score = torch.zeros(4, requires_grad=True)
        loss = presence_loss(score, torch.tensor(present))
        assert torch.allclose(loss, torch.tensor((1 + ABSENT_WEIGHT) * math.log(2)))
        loss.backward()
        there = torch.tensor(present)
        assert torch.allclose(score.grad[there].sum(), torch.tensor(-0.5))
        assert torch.allclose(score.grad[~there].sum(), torch.tensor(0.5 * ABSENT_WEIGHT))


def test_one_click_takes_the_candidate_of_highest_predicted_quality():
    answer = decoded(torch.zeros(1, 4, 2, 2), torch.tensor([[0.9, 0.1, 0.8, 0.3]]))
    assert choose(answer, is_ambiguous=True).tolist() == [2]
    assert choose(answer, is_ambiguous=False).tolist() == [0]
