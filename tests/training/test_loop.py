"""Whole runs at toy size."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import to_official
from napari_sam2.training.chance import Chance
from napari_sam2.training.export import load_weights
from napari_sam2.training.generator import Clips
from napari_sam2.training.geometry import initialise
from napari_sam2.training.loop import Trainer
from napari_sam2.training.options import Looks, TrainOptions
from napari_sam2.training.scene import MAX_OBJECTS
from napari_sam2.training.steps import Plan, SceneHead, clip_step, image_step


def losses(folder):
    with (folder / "log.csv").open(newline="") as file:
        return {int(row["step"]): row["loss"] for row in csv.DictReader(file)}


class Killed(Exception):
    """Stands for the end of a process."""


def kill_after(step):
    def on_step(trainer):
        if trainer.step == step:
            raise Killed

    return on_step


def test_a_killed_and_resumed_run_has_the_loss_curve_of_an_uninterrupted_one(toy_options, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    Trainer(whole, toy_options).run()
    trainer = Trainer(broken, toy_options)
    with pytest.raises(Killed):
        trainer.run(lambda it: it.save() if it.step == 3 else kill_after(6)(it))
    assert max(losses(broken)) == 6
    Trainer.resume(broken).run()
    assert losses(broken) == losses(whole)
    assert len(losses(whole)) == toy_options.steps
    one = torch.load(whole / "checkpoint.pt", weights_only=True)["average"]
    other = torch.load(broken / "checkpoint.pt", weights_only=True)["average"]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_have_official_names_half_precision_and_an_origin(
    toy_options, toy_config, run_folder
):
    path = Trainer(run_folder, toy_options, commit="abc").run()
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "format": "napari-sam2",
            "config": "toy",
            "commit": "abc",
            "seed": "0",
            "steps": "8",
        }
        names = set(file.keys())
        assert all(file.get_tensor(name).dtype == torch.float16 for name in names)
    net = Sam2(toy_config)
    assert names == set(to_official(net.state_dict()))
    load_weights(net, path)


def test_a_run_can_start_from_weights(toy_options, run_folder, tmp_path):
    path = Trainer(run_folder, toy_options).run()
    again = Trainer(tmp_path / "again", toy_options, init=path)
    trained = load_weights(Sam2(again.net.config), path)
    for one, other in zip(
        again.net.state_dict().values(), trained.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_validation_is_called_with_the_averaged_network(toy_options, run_folder):
    seen = []

    def validate(net):
        seen.append(net.training)
        return {"score": 0.5}

    Trainer(run_folder, toy_options, validate=validate).run()
    assert seen == [False]
    assert "valid_score" in (run_folder / "log.csv").read_text()


@pytest.mark.parametrize("seed", [-1, 10**6])
def test_seeds_of_validation_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        TrainOptions(seed=seed)


def test_a_toy_network_learns(toy_options, run_folder):
    options = replace(toy_options, steps=60, clips_from=1.0, window_until=1.0, lr=3e-3)
    Trainer(run_folder, options).run()
    curve = [float(value) for value in losses(run_folder).values()]
    assert sum(curve[-10:]) < 0.9 * sum(curve[:10])


_TWO = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from napari_sam2.model import config
from conftest import TOY
from napari_sam2.training.generator import Clips
from napari_sam2.training.geometry import initialise
from napari_sam2.training.loop import Trainer
from napari_sam2.training.options import TrainOptions
from napari_sam2.training.steps import Plan, SceneHead, clip_step, image_step
config.PRESETS["toy"] = TOY
trainer = Trainer(Path({out!r}), TrainOptions(**{options!r}))
trainer.run()
total = sum(float(value.double().abs().sum()) for value in trainer.both.state_dict().values())
Path({out!r}, f"rank{{trainer.team.rank}}").write_text(repr(total))
"""


def test_two_processes_train_one_network(toy_options, tmp_path):
    out, script = tmp_path / "run", tmp_path / "two.py"
    options = asdict(replace(toy_options, steps=4, matrix_lr=0.02))
    tests = str(Path(__file__).parent)
    script.write_text(_TWO.format(tests=tests, out=str(out), options=options))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--standalone", str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (out / "rank0").read_text() == (out / "rank1").read_text()
    assert len(losses(out)) == 4


def test_a_refining_run_shows_enlarged_clips_and_everything_from_the_first_step(tmp_path):
    options = TrainOptions.refining(steps=4, seed=3)
    assert options.clips_from == 0
    trainer = Trainer(tmp_path, replace(options, config="nano", zooms=((4, 1.0),)))
    assert trainer._smallest() == 0
    assert trainer._part(options.easy_until) == 1
    clips = trainer._clips(1, 1, Chance(torch.Generator()), 64)
    assert clips.labels.shape[-1] == 64
    # Drawn at a quarter of the size: labels come in blocks of 4 by 4 pixels.
    blocks = clips.labels.unflatten(-1, (16, 4)).unflatten(-3, (16, 4))
    assert (blocks == blocks[..., :1, :, :1]).all()


def test_looks_are_as_frequent_as_the_options_say():
    options = TrainOptions(steps=1, zooms=((1, 0.5), (2, 0.5)), long_share=0.2, mosaics=0.1)
    drawn = [Looks.draw(torch.Generator().manual_seed(seed), options) for seed in range(400)]
    for share, wanted in (
        (sum(looks.zoom == 2 for looks in drawn), 0.5),
        (sum(looks.is_long for looks in drawn), 0.2),
        (sum(looks.is_mosaic for looks in drawn), 0.1),
    ):
        assert abs(share / 400 - wanted) < 0.08
    assert {looks.gap for looks in drawn} == {0}


def test_a_run_of_mosaics_and_long_clips_trains(toy_options, run_folder):
    options = replace(toy_options, steps=2, clips_from=0.0, mosaics=1.0, long_share=1.0, batch=2)
    trainer = Trainer(run_folder, replace(options, image_every=100))
    trainer.run()
    assert trainer._batch[1].labels.shape[1] == options.long_frames
    assert trainer._batch[1].labels.max() > MAX_OBJECTS
    assert len(losses(run_folder)) == 2


@pytest.mark.parametrize("step", [image_step, clip_step])
def test_clips_without_objects_teach_the_scene_only(step, toy_config):
    net, chance = Sam2(toy_config), Chance(torch.Generator().manual_seed(0))
    side = toy_config.image_size
    clips = Clips(torch.rand(2, 3, 3, side, side), torch.zeros(2, 3, side, side, dtype=torch.int64))
    plan = Plan(is_box=False, corrections=1, stride=1, is_corrected=True, place=(0, 0))
    result = step(net, SceneHead(toy_config.width), clips, 4, plan, chance)
    result.loss.backward()
    assert set(result.numbers) == {"scene"}
    assert torch.isfinite(result.loss)


def test_after_a_gap_the_second_frame_is_remembered_as_it_is_and_the_third_is_tracked(toy_config):
    net = initialise(Sam2(toy_config), 0)
    side = toy_config.image_size
    labels = torch.zeros(1, 3, side, side, dtype=torch.int64)
    for t, x in enumerate((4, 40, 42)):
        labels[0, t, 10:26, x : x + 16] = 5
    images = (labels == 5).float()[:, :, None].expand(-1, -1, 3, -1, -1).contiguous()
    plan = Plan(is_box=False, corrections=0, stride=1, is_corrected=False, place=(0, 0))
    numbers = {}
    for gap in (0, 6):
        chance = Chance(torch.Generator().manual_seed(0))
        result = clip_step(
            net, SceneHead(toy_config.width), Clips(images, labels), 2, plan, chance, gap=gap
        )
        result.loss.backward()
        numbers[gap] = result.numbers
    assert "tracked_iou" in numbers[0]
    assert "gap_iou" in numbers[6]
    # With a gap, the second frame is given and only the third one counts.
    assert numbers[6]["gap_iou"] == numbers[6]["last_iou"]


@pytest.mark.parametrize("gap", [0, 6])
def test_a_second_prompted_frame_is_attended_to_as_one(toy_config, monkeypatch, gap):
    net, side = initialise(Sam2(toy_config), 0), toy_config.image_size
    labels = torch.zeros(1, 5, side, side, dtype=torch.int64)
    labels[:, :, 8:40, 8:40] = 1
    clips = Clips((labels > 0).float()[:, :, None].expand(-1, -1, 3, -1, -1).contiguous(), labels)
    seen, condition = [], net.condition

    def spy(stride16, maps, rows, pointers, offsets):
        seen.append((rows.tolist(), offsets.shape[0]))
        return condition(stride16, maps, rows, pointers, offsets)

    monkeypatch.setattr(net, "condition", spy)
    for has_second in (False, True):
        seen.clear()
        plan = Plan(False, 0, 1, False, (0, 0), has_second)
        chance = Chance(torch.Generator().manual_seed(0))
        clip_step(net, SceneHead(toy_config.width), clips, 2, plan, chance, gap=gap)
        last_row = toy_config.memory.num_frames - 1
        assert all(rows.count(last_row) >= (2 if has_second else 1) for rows, _ in seen)
        assert all(rows[: 1 + has_second] == [last_row] * (1 + has_second) for rows, _ in seen)
        # With a gap the second frame is given; without one, the last frame is the second prompted one.
        assert len(seen) == (3 if gap or has_second else 4)
        assert [number for _, number in seen] == ([2, 3, 4] if gap else [1, 2, 3, 4])[: len(seen)]


def test_masks_drawn_by_hand_change_what_is_asked_for_of_objects_prompted_by_mask(toy_config):
    net, side = initialise(Sam2(toy_config), 0), toy_config.image_size
    labels = torch.zeros(1, 2, side, side, dtype=torch.int64)
    labels[:, :, 8:40, 8:40], labels[:, :, 8:40, 44:60] = 1, 2
    clips = Clips((labels > 0).float()[:, :, None].expand(-1, -1, 3, -1, -1).contiguous(), labels)
    plan = Plan(is_box=False, corrections=0, stride=1, is_corrected=False, place=(0, 0))
    losses = set()
    for share in (0.0, 1.0):
        chance = Chance(torch.Generator().manual_seed(0))
        head = SceneHead(toy_config.width)
        torch.manual_seed(0)
        head.conv.reset_parameters()
        result = clip_step(net, head, clips, 2, plan, chance, hand_share=share)
        losses.add(float(result.numbers["scene"]))
        losses.add(round(float(result.loss.detach()), 5))
    assert len(losses) == 3, "the same scene, another loss"


def test_looks_are_the_same_while_clips_are_used_again(tmp_path):
    options = TrainOptions.refining(steps=400)
    trainer = Trainer(tmp_path, replace(options, config="nano"))
    drawn = []
    for trainer.step in range(300):
        drawn.append(trainer._looks())
    groups = [drawn[n : n + options.reuse] for n in range(0, 300, options.reuse)]
    assert all(len(set(group)) == 1 for group in groups)
    assert {looks.zoom for looks in drawn} == {1, 2, 4}
    assert {looks.gap for looks in drawn} == {0, 3, 6, 10}
    assert trainer._gap(1) == 0, "single images have no gap"
