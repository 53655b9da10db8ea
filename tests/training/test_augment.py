"""Clips seen otherwise keep their labels on their objects."""

from __future__ import annotations

import torch

from napari_sam2.training.augment import enlarged, mosaic, turned
from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import NUM_LABELS, Clips
from napari_sam2.training.scene import MAX_OBJECTS


def one_square() -> Clips:
    """A bright square whose label is 3, in the upper left of the first of two frames."""
    labels = torch.zeros(1, 2, 16, 16, dtype=torch.int64)
    labels[0, 0, 2:6, 4:8] = 3
    images = (labels == 3).float()[:, :, None].expand(-1, -1, 3, -1, -1)
    return Clips(images.contiguous(), labels)


def test_turning_moves_pixels_and_labels_alike_and_changes_something():
    seen = set()
    for seed in range(200):
        clips = turned(one_square(), Chance(torch.Generator().manual_seed(seed)))
        assert torch.equal(clips.images[:, :, 0] > 0.5, clips.labels == 3)
        seen.add(tuple(clips.labels.flatten().tolist()))
    assert len(seen) == 14  # seven other ways to lay a square, forwards and backwards


def test_enlarging_keeps_labels_whole_and_on_their_pixels():
    clips = enlarged(one_square(), 64)
    assert clips.images.shape == (1, 2, 3, 64, 64)
    assert clips.labels.unique().tolist() == [0, 3]
    assert (clips.labels[0, 0] == 3).sum() == 16 * 16
    inside, light = clips.labels[0, 0] == 3, clips.images[0, 0, 0]
    assert not (inside & (light == 0)).any()
    assert not (~inside & (light == 1)).any()


def test_clips_of_the_right_size_are_left_alone():
    clips = one_square()
    assert enlarged(clips, 16) is clips


def test_a_mosaic_holds_four_copies_with_labels_of_their_own():
    clips = mosaic(one_square())
    assert clips.images.shape == (1, 2, 3, 32, 32)
    assert torch.equal(clips.images[:, :, 0] > 0.5, clips.labels > 0)
    ids = [3 + MAX_OBJECTS * n for n in range(4)]
    assert clips.labels.unique().tolist() == [0, *ids]
    assert [int((clips.labels == i).sum()) for i in ids] == [16] * 4
    assert max(ids) < NUM_LABELS
    assert clips.labels[0, 0, 16 + 3, 16 + 5] == ids[3]
