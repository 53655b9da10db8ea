"""Simulated prompts."""

from __future__ import annotations

import torch

from napari_sam2.training.chance import Chance
from napari_sam2.training.sampling import (
    HAND_RADII,
    coverage,
    draw_boxes,
    draw_clicks,
    draw_corrections,
    hand_drawn,
    object_masks,
    pick_objects,
)


def chance(seed=0):
    return Chance(torch.Generator().manual_seed(seed))


def two_objects():
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[0, 8:24, 8:40] = 1
    labels[0, 40:60, 40:60] = 5
    labels[1, 20:30, 20:30] = 2
    labels[1, 0:2, 0:2] = 7  # too small to be prompted
    return labels


def test_visible_objects_are_picked_once_each():
    picked = pick_objects(two_objects(), 4, chance())
    assert sorted(zip(picked.rows.tolist(), picked.ids.tolist(), strict=True)) == [
        (0, 1),
        (0, 5),
        (1, 2),
    ]


def test_clicks_fall_on_their_object():
    labels = two_objects()
    picked = pick_objects(labels, 4, chance())
    masks = object_masks(labels, picked)
    hits = []
    for seed in range(40):
        points = draw_clicks(coverage(masks), chance(seed))[:, 0].round().long().clamp(0, 63)
        hits += [bool(mask[y, x]) for mask, (x, y) in zip(masks, points.tolist(), strict=True)]
    # People, too, miss the outline by a pixel now and then.
    assert sum(hits) / len(hits) > 0.93


def test_boxes_lie_loosely_around_their_object():
    mask = torch.zeros(1, 64, 64)
    mask[0, 10:30, 20:50] = 1
    boxes = torch.cat([draw_boxes(mask, chance(seed)) for seed in range(50)])
    exact = torch.tensor([[20.0, 10.0], [49.0, 29.0]])
    assert (boxes - exact).abs().max() <= 3.1
    assert torch.allclose(boxes.mean(0), exact, atol=0.7)


def test_corrections_click_the_error_and_say_what_is_there():
    truth = torch.zeros(2, 16, 16)
    truth[:, 4:12, 4:12] = 1
    logits = torch.full((2, 16, 16), -5.0)
    logits[0, 4:12, 4:8] = 5.0  # the right half is missing
    logits[1, 4:12, 4:16] = 5.0  # too much on the right
    for seed in range(10):
        points, kinds = draw_corrections(logits, truth, chance(seed))
        assert kinds[:, 0].tolist() == [1, 0]
        assert 8 * 4 - 0.5 <= points[0, 0, 0] <= 12 * 4
        assert points[1, 0, 0] >= 12 * 4 - 0.5


def test_a_perfect_mask_is_confirmed_inside():
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:12, 4:12] = 1
    points, kinds = draw_corrections(truth * 10 - 5, truth, chance())
    assert kinds.tolist() == [[1]]
    assert (points[0, 0] > 15).all()
    assert (points[0, 0] < 48).all()


def test_objects_that_are_gone_later_are_seldom_picked():
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    labels[0, 2:12, 2:12], labels[0, 20:30, 20:30] = 1, 2
    later = torch.where(labels == 1, 0, labels)
    source = chance()
    picked = [int(pick_objects(labels, 1, source, later=later).ids) for _ in range(100)]
    assert 70 < picked.count(2) < 100
    either = [int(pick_objects(labels, 1, source).ids) for _ in range(100)]
    assert 30 < either.count(2) < 70


def discs(*radii, side=96):
    """Return one disc a row, in the middle, float."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    squared = (y - side / 2) ** 2 + (x - side / 2) ** 2
    return torch.stack([(squared <= radius**2).float() for radius in radii])


def test_a_hand_draws_an_object_alike_on_all_frames():
    masks = discs(24, 24, 24, 24)
    moved = masks.roll(7, dims=-1)
    sizes = set()
    for seed in range(10):
        first, second = hand_drawn([masks, moved], 0.5, chance(seed))
        assert torch.equal(first.roll(7, dims=-1), second)
        is_drawn = (first != masks).flatten(1).any(1)
        assert set(first.unique().tolist()) <= {0.0, 1.0}
        ratio = (first.sum((1, 2)) / masks.sum((1, 2)))[is_drawn]
        assert torch.all((ratio > 0.6) & (ratio < 1.7))
        sizes.update("larger" if r > 1 else "smaller" for r in ratio.tolist())
    assert sizes == {"larger", "smaller"}


def test_a_hand_leaves_alone_what_it_would_wipe_out_and_whom_it_is_not_asked_to_draw():
    tiny = discs(1.5)
    assert all(torch.equal(hand_drawn([tiny], 1.0, chance(n))[0], tiny) for n in range(5))
    large = discs(30)
    assert torch.equal(hand_drawn([large], 0.0, chance())[0], large)
    # Large on the first frame, a thread on the second: the thread is kept, or drawn thicker.
    thread = torch.zeros_like(large)
    thread[:, 48, 20:70] = 1
    for seed in range(2 * len(HAND_RADII)):
        _, later = hand_drawn([large, thread], 1.0, chance(seed))
        assert later.sum() >= 0.5 * thread.sum()
