"""Generated clips: what they must contain, and that they are the same everywhere and each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import ClipGenerator
from napari_sam2.training.scene import MAX_OBJECTS, Scene
from napari_sam2.training.styles import STYLES, WEIGHTS, draw_styles
from napari_sam2.training.textures import TEXTURE_SIZE, look_up, make_bank


def draw(number=4, frames=3, seed=0, **more):
    return ClipGenerator(128).draw(number, frames, torch.Generator().manual_seed(seed), **more)


def test_the_same_seed_gives_the_same_clips_and_another_seed_others():
    first, again, other = draw(), draw(), draw(seed=1)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)


def test_images_fill_the_range_and_labels_name_objects():
    clips = draw(8, 2)
    assert clips.images.shape == (8, 2, 3, 128, 128)
    assert clips.labels.shape == (8, 2, 128, 128)
    assert clips.images.min() >= 0
    assert clips.images.max() <= 1
    assert torch.isfinite(clips.images).all()
    assert (clips.images.flatten(1).std(1) > 0.01).all()
    assert clips.labels.min() == 0
    assert clips.labels.max() <= MAX_OBJECTS


def test_objects_move_but_keep_their_label():
    clips = draw(12, 4)
    overlaps = []
    for clip in clips.labels:
        for object_id in clip[0].unique():
            first, second = clip[0] == object_id, clip[1] == object_id
            if object_id and first.sum() > 60 and second.any():
                overlaps.append(float((first & second).sum() / (first | second).sum()))
    assert len(overlaps) > 20
    assert 0.4 < sum(overlaps) / len(overlaps) < 0.98


def test_neighbours_touch():
    labels = draw(12, 1).labels[:, 0]
    left, right = labels[:, :, 1:], labels[:, :, :-1]
    touching = ((left != right) & (left > 0) & (right > 0)).flatten(1).sum(1)
    assert (touching > 20).float().mean() > 0.4


def test_some_objects_disappear_and_some_appear():
    clips = draw(16, 6)
    gone = come = 0
    for clip in clips.labels:
        first, last = set(clip[0].unique().tolist()), set(clip[-1].unique().tolist())
        gone += len(first - last)
        come += len(last - first)
    assert gone > 5
    assert come > 5


def test_a_window_shows_objects_at_the_scale_of_the_frame():
    generator = ClipGenerator(128)
    window = generator.draw(8, 1, torch.Generator().manual_seed(3), smallest=30, window=64)
    assert window.labels.shape == (8, 1, 64, 64)
    # A radius of 30 of 256 pixels is 15 of 128: most objects are cut by a window of 64 or fill much of it.
    areas = [int(c) for lab in window.labels for c in torch.bincount(lab.flatten())[1:] if c > 50]
    assert sum(areas) / len(areas) > 300


def test_styles_are_drawn_from_their_ranges():
    style = draw_styles(400, Chance(torch.Generator().manual_seed(0)), smallest=12.0)
    assert style["kind"].unique().numel() == len(STYLES)
    names = list(STYLES)
    for name in ("fill", "rim", "halo", "cover", "section"):
        low = torch.tensor([getattr(STYLES[n], name)[0] for n in names])[style["kind"]]
        high = torch.tensor([getattr(STYLES[n], name)[1] for n in names])[style["kind"]]
        assert (style[name] >= low - 1e-6).all()
        assert (style[name] <= high + 1e-6).all()
    assert style["radius"].min() >= 12


def test_textures_repeat_without_a_seam_and_are_read_at_their_pixels():
    bank = make_bank(6, torch.Generator().manual_seed(0))
    index = torch.tensor([4])
    x, y = torch.tensor([7.0]), torch.tensor([100.0])
    assert look_up(bank, index, x, y) == bank[4, 100, 7]
    assert torch.allclose(look_up(bank, index, x + TEXTURE_SIZE, y - TEXTURE_SIZE), bank[4, 100, 7])
    middle = look_up(bank, index, x + 0.5, y)
    assert torch.allclose(middle, (bank[4, 100, 7] + bank[4, 100, 8]) / 2)


def only(monkeypatch, name):
    """Let clips be of one style alone."""
    for style in WEIGHTS:
        monkeypatch.setitem(WEIGHTS, style, float(style == name))


def areas_of(labels):
    return [
        int(count) for frame in labels for count in torch.bincount(frame.flatten())[1:] if count
    ]


@pytest.mark.parametrize("name", list(STYLES))
def test_every_style_shows_objects(name, monkeypatch):
    only(monkeypatch, name)
    clips = draw(4, 2, seed=4)
    assert torch.isfinite(clips.images).all()
    assert len(areas_of(clips.labels[:, 0])) >= 4
    assert (clips.images.flatten(1).std(1) > 0.01).all()


def test_organs_reach_half_of_the_frame(monkeypatch):
    only(monkeypatch, "organs")
    areas = areas_of(draw(24, 1, seed=5).labels[:, 0])
    assert max(areas) > 0.3 * 128**2
    assert min(areas) < 0.01 * 128**2


def test_a_torso_has_air_around(monkeypatch):
    only(monkeypatch, "organs")
    monkeypatch.setitem(STYLES, "organs", replace(STYLES["organs"], torso=(1, 1)))
    clips = draw(16, 1, seed=6)
    light = clips.images[:, 0, 0]
    corners = torch.stack([light[:, y, x] for y in (1, -2) for x in (1, -2)]).amin(0)
    assert (corners < light[:, 44:84, 44:84].mean((1, 2))).float().mean() > 0.8
    assert (clips.labels[:, 0, 0, 0] > 0).float().mean() < 0.2


def elongation(mask):
    y, x = torch.nonzero(mask).double().unbind(1)
    values = torch.linalg.eigvalsh(torch.cov(torch.stack([y, x])))
    return float((values[1] / values[0].clamp(min=1e-3)).sqrt())


def test_rods_are_long(monkeypatch):
    def median(name):
        only(monkeypatch, name)
        labels = draw(12, 1, seed=7).labels[:, 0]
        long = [
            elongation(frame == i)
            for frame in labels
            for i in frame.unique()[1:]
            if (frame == i).sum() > 60
        ]
        return sorted(long)[len(long) // 2]

    assert median("rods") > 1.5 * median("nuclei")


def overlap_of_frames(clips):
    first, last = clips.labels[:, 0], clips.labels[:, -1]
    same = ((first == last) & (first > 0)).sum()
    return float(same / ((first > 0) | (last > 0)).sum())


def test_in_calm_clips_little_changes(monkeypatch):
    only(monkeypatch, "lesions")

    def overlap(calm):
        style = replace(STYLES["lesions"], calm=(calm, calm), section=(0, 0))
        monkeypatch.setitem(STYLES, "lesions", style)
        return overlap_of_frames(draw(12, 5, seed=8))

    assert overlap(1) > 0.6
    assert overlap(0) < overlap(1) - 0.15


def test_sections_end_though_they_lie_calmly(monkeypatch):
    style = replace(STYLES["organs"], calm=(1, 1), section=(1, 1), depth=(0, 0))
    monkeypatch.setitem(STYLES, "organs", style)
    only(monkeypatch, "organs")
    clips = draw(16, 3, seed=10, gap=8)
    ratios = []
    for clip in clips.labels:
        for object_id in clip[0].unique()[1:]:
            first, later = ((clip[t] == object_id).sum() for t in (0, 2))
            if first > 80:
                ratios.append(float(later / first))
    ratios = torch.tensor(ratios)
    assert (ratios < 0.5).float().mean() > 0.2
    assert ((ratios > 0.8) & (ratios < 1.25)).float().mean() > 0.1


def test_objects_stretch_along_themselves_and_keep_their_size(monkeypatch):
    only(monkeypatch, "nuclei")
    chance = Chance(torch.Generator().manual_seed(3))
    style = draw_styles(2, chance)
    style["radius"][:], style["cover"][:], style["section"][:] = 20.0, 0.02, 0.0
    style["depth"][:] = 0.0
    scene = Scene(style, 8, 128, 0, 4, chance)
    # One object in the middle of each frame, and space as it is.
    scene.bodies.centre[:, 0], scene.bodies.first[:, 0], scene.bodies.last[:, 0] = 0.0, 0, 99
    scene.bodies.last[:, 1:] = -1
    scene.wave_move[:] = 0
    shapes = {}
    for stretch in (0.0, 0.15):
        scene.stretch[:] = stretch
        masks = scene.surface(6).label.view(2, 128, 128) == 1
        shapes[stretch] = [(int(mask.sum()), elongation(mask)) for mask in masks]
    for (area, _), (stretched_area, long) in zip(*shapes.values(), strict=True):
        assert abs(stretched_area - area) < 0.15 * area
        assert long > 1.5
    assert shapes[0.0] != shapes[0.15]


def test_some_objects_come_back():
    clips = draw(24, 12, seed=9)
    returned = 0
    for clip in clips.labels:
        for i in clip[0].unique()[1:]:
            seen = (clip == i).flatten(1).any(1)
            gone = (~seen).nonzero()
            returned += bool(len(gone)) and bool(seen[int(gone[0]) :].any())
    assert returned > 5


def test_frames_of_a_gap_pass_unseen():
    seen = draw(6, 3, seed=2)
    gap = draw(6, 3, seed=2, gap=8)
    assert gap.labels.shape == seen.labels.shape

    def mean_overlap(clips, one, other):
        scores = []
        for clip in clips.labels:
            for object_id in clip[one].unique()[1:]:
                first, second = clip[one] == object_id, clip[other] == object_id
                if first.sum() > 60 and second.any():
                    scores.append(float((first & second).sum() / (first | second).sum()))
        return sum(scores) / len(scores)

    assert mean_overlap(gap, 0, 1) < mean_overlap(seen, 0, 1) - 0.15
    assert mean_overlap(gap, 1, 2) > mean_overlap(gap, 0, 1) + 0.15
