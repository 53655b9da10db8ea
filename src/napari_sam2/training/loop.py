"""The training loop: stages, schedule, log, checkpoints, resume."""

from __future__ import annotations

import csv
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2
from napari_sam2.training.augment import enlarged, mosaic, turned
from napari_sam2.training.chance import Chance
from napari_sam2.training.export import export_weights, load_weights
from napari_sam2.training.generator import ClipGenerator, Clips
from napari_sam2.training.geometry import calibrate_memory, initialise
from napari_sam2.training.optim import Average, make_optimisers, set_rate
from napari_sam2.training.options import MAX_SEED, Looks, TrainOptions
from napari_sam2.training.steps import (
    Plan,
    SceneHead,
    StepResult,
    clip_step,
    image_step,
    normalise,
    window_of_frame,
)
from napari_sam2.training.team import Team

logger = logging.getLogger(__name__)

Validation = Callable[[Sam2], Mapping[str, float]]


class Trainer:
    """Trains one network; `run` goes on to the end, `resume` continues a run after a kill.

    Parameters
    ----------
    out : Path
        Run folder: log.csv, checkpoint.pt, options.json and weights.safetensors.
    options : TrainOptions
        The run.
    init : Path, optional
        Weights to start from instead of nothing.
    validate : callable, optional
        Takes the averaged network, returns numbers for the log.
    commit : str
        Recorded in the weights.
    device : str
        "cpu" or "cuda": images are drawn, and the network trained, there. Draws of two devices differ.
    """

    def __init__(
        self,
        out: Path,
        options: TrainOptions,
        init: Path | None = None,
        validate: Validation | None = None,
        commit: str = "unknown",
        device: str = "cpu",
    ) -> None:
        self.out, self.options, self.validate, self.commit = out, options, validate, commit
        self.team = Team(device)
        self.device = self.team.device
        self.net = Sam2(preset(options.config))
        initialise(self.net, options.seed)
        if init is not None:
            load_weights(self.net, init)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)  # the same on all processes
            self.head = SceneHead(self.net.config.width)
        self.clip_source = ClipGenerator(self.net.config.image_size, options.seed)
        self.both = torch.nn.ModuleList([self.net, self.head]).to(self.device)
        self.optimisers = make_optimisers(self.both, options.matrix_lr, options.lr, team=self.team)
        self.average = Average(self.net, options.average_decay)
        self.step, self.elapsed, self.is_calibrated = 0, 0.0, init is not None
        self._batch: tuple[tuple[int, ...], Clips] | None = None
        out.mkdir(parents=True, exist_ok=True)
        if self.team.is_first:
            (out / "options.json").write_text(json.dumps(asdict(options), indent=1))

    @classmethod
    def resume(
        cls,
        out: Path,
        validate: Validation | None = None,
        commit: str = "unknown",
        device: str = "cpu",
        **changes: float,
    ) -> Trainer:
        """Continue the run in the folder `out` from its last checkpoint; `changes` replace options."""
        checkpoint = torch.load(out / "checkpoint.pt", map_location="cpu", weights_only=True)
        options = replace(TrainOptions(**checkpoint["options"]), **changes)
        trainer = cls(out, options, validate=validate, commit=commit, device=device)
        trainer.both.load_state_dict(checkpoint["both"])
        for optimiser, state in zip(trainer.optimisers, checkpoint["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        for name, value in checkpoint["average"].items():
            trainer.average.state[name].copy_(value)
        trainer.average.count = checkpoint["average_count"]
        trainer.step, trainer.elapsed = checkpoint["step"], checkpoint["elapsed"]
        trainer.is_calibrated = checkpoint["is_calibrated"]
        trainer._cut_log()
        return trainer

    @property
    def progress(self) -> float:
        """Part of the run that is done, 0 to 1."""
        options = self.options
        if options.steps:
            return min(1.0, self.step / options.steps)
        return min(1.0, self.elapsed / (60 * options.minutes))

    def run(self, on_step: Callable[[Trainer], None] | None = None) -> Path:
        """Train to the end of the schedule and export the averaged weights; return their path."""
        options = self.options
        rows: list[dict[str, Tensor]] = []
        saved = validated = self.elapsed
        while self.progress < 1:
            started = time.monotonic()
            numbers = self._one_step(started)
            self.step += 1
            rows.append(numbers)
            if self.step % options.log_every == 0 or self.progress >= 1:
                if self.team.is_first:
                    self._log(rows)
                rows = []
            if on_step is not None:
                on_step(self)
            if not self.team.is_first:
                continue
            if self.elapsed - saved > 60 * options.checkpoint_minutes:
                saved = self.elapsed
                self.save()
            if self.validate and self.elapsed - validated > 60 * options.validate_minutes:
                validated = self.elapsed
                self._validate()
        if self.team.is_first:
            self.save()
            if self.validate:
                self._validate()
        return self.out / "weights.safetensors"

    def _rate(self) -> float:
        """Learning rate factor: warm-up, then straight down to zero."""
        return min(1.0, (self.step + 1) / self.options.warmup_steps) * (1 - self.progress)

    def _seed(self, step: int) -> int:
        """Return the seed of a step on this process.

        It depends on nothing else, so a resumed run repeats an uninterrupted one.
        """
        return self.options.seed + MAX_SEED * (1 + step * self.team.size + self.team.rank)

    def _chance(self, step: int) -> Chance:
        """Return the chance of a step on this process."""
        return Chance(torch.Generator(self.device).manual_seed(self._seed(step)))

    def _one_step(self, started: float) -> dict[str, Tensor]:
        options = self.options
        set_rate(self.optimisers, self._rate())
        shared = torch.Generator().manual_seed(options.seed + MAX_SEED * (self.step + 1))
        result = self._forward(Plan.draw(shared, self.progress), self._chance(self.step))
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        result.loss.backward()
        # All processes must agree on how much of a timed run is done.
        self.elapsed = self.team.average(
            self.both.parameters(), self.elapsed + time.monotonic() - started
        )
        norm = torch.nn.utils.clip_grad_norm_(self.both.parameters(), options.clip_norm)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
        else:
            logger.warning("step %d skipped: its gradient is not finite", self.step)
        self.average.update(self.net)
        return {"loss": result.loss.detach(), "norm": norm, **result.numbers}

    def _forward(self, plan: Plan, chance: Chance) -> StepResult:
        options = self.options
        is_window = self.progress < options.window_until
        is_image = self.progress < options.clips_from or self.step % options.image_every == 0
        frames = 1
        if not is_image:
            frames = options.long_frames if self._looks().is_long else options.frames
        number, prompts = self._amounts(is_window, frames)
        clips = self._clips(number, frames, chance, options.window if is_window else 0)
        if not is_image and not self.is_calibrated:
            calibrate_memory(self.net, normalise(clips.images[:, 0]))
            self.team.share(self.net)
            self.is_calibrated = True
        corner = plan.corner(self.net.config, options.window) if is_window else (0, 0)
        one_step = (
            image_step
            if is_image
            else partial(clip_step, gap=self._gap(frames), hand_share=options.hand_share)
        )
        kind = self.device.type
        with (
            # The fused attention kernel's backward pass is the slowest part of a step on a CPU.
            sdpa_kernel(SDPBackend.MATH) if kind == "cpu" else nullcontext(),
            torch.autocast(kind, torch.bfloat16, enabled=options.is_bfloat16),
            window_of_frame(self.net, corner) if is_window else nullcontext(),
        ):
            return one_step(self.net, self.head, clips, prompts, plan, chance, corner)

    def _amounts(self, is_window: bool, frames: int) -> tuple[int, int]:
        """Return how many clips of `frames` frames a process draws, and how many objects of each it prompts."""
        options = self.options
        if frames == 1:
            number, prompts = options.images, options.prompts_per_image
            if is_window:
                number, prompts = options.windows, options.prompts_per_window
            return number * options.batch, prompts
        number = options.batch * (options.window_clips if is_window else options.clips)
        return max(1, number * options.frames // frames), options.prompts_per_clip

    def _clips(self, number: int, frames: int, chance: Chance, window: int = 0) -> Clips:
        """Draw clips, or turn those of the step before: drawing costs as much as a third of a step."""
        options = self.options
        turn = self.step % options.reuse
        looks, gap = self._looks(), self._gap(frames)
        key = (self._seed(self.step - turn), number, frames, window)
        if self._batch is None or self._batch[0] != key:
            source = self._chance(self.step - turn).generator
            smallest = self._smallest()
            easy = 1 - self._part(options.easy_until)
            side = window or self.net.config.image_size
            shown = side // (2 if looks.is_mosaic else looks.zoom)
            drawn = self.clip_source.draw(number, frames, source, smallest, shown, easy, gap)
            drawn = mosaic(drawn) if looks.is_mosaic else enlarged(drawn, side)
            self._batch = key, drawn
        clips = self._batch[1]
        return turned(clips, chance, may_reverse=gap == 0) if turn else clips

    def _looks(self) -> Looks:
        """Return what the present clips are like; the same for all processes and as long as clips are used again."""
        first = self.step - self.step % self.options.reuse
        seed = self.options.seed + MAX_SEED * (first + 1) + 1
        return Looks.draw(torch.Generator().manual_seed(seed), self.options)

    def _gap(self, frames: int) -> int:
        return self._looks().gap if frames > 2 else 0

    def _smallest(self) -> float:
        """Smallest median radius, pixels: large objects first, then all sizes."""
        return self.options.large_radius * (1 - self._part(self.options.large_until))

    def _part(self, span: tuple[float, float]) -> float:
        """Return how much of a span of the run is over, 0 to 1."""
        start, end = span
        if start == end:
            return float(self.progress >= end)
        return min(1.0, max(0.0, (self.progress - start) / (end - start)))

    def _log(self, rows: Sequence[Mapping[str, Tensor | float]]) -> None:
        names = sorted({name for row in rows for name in row})
        means = {
            name: float(sum(row[name] for row in rows if name in row))
            / sum(name in row for row in rows)
            for name in names
        }
        stage = "window" if self.progress < self.options.window_until else "frame"
        entry = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "stage": stage}
        numbers = json.dumps({name: round(value, 4) for name, value in means.items()})
        path = self.out / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow([*entry, "loss", "numbers"])
            writer.writerow([*entry.values(), f"{means.get('loss', float('nan')):.6f}", numbers])
        logger.info("%s %s", entry, numbers)

    def _cut_log(self) -> None:
        """Drop log rows that are newer than the checkpoint."""
        path = self.out / "log.csv"
        if not path.exists():
            return
        with path.open(newline="") as file:
            head, *rows = list(csv.reader(file))
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([head, *(r for r in rows if int(r[0]) <= self.step)])

    def averaged(self) -> Sam2:
        """Return a network with the averaged weights, ready for inference."""
        net = Sam2(self.net.config)
        net.load_state_dict(self.average.state)
        return net.eval()

    def _validate(self) -> None:
        assert self.validate is not None
        numbers = {f"valid_{name}": value for name, value in self.validate(self.averaged()).items()}
        self._log([numbers])

    def save(self) -> None:
        """Write checkpoint and weights; a kill in between leaves the older ones whole."""
        state: dict[str, object] = {
            "options": asdict(self.options),
            "both": self.both.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "average": self.average.state,
            "average_count": self.average.count,
            "step": self.step,
            "elapsed": self.elapsed,
            "is_calibrated": self.is_calibrated,
        }
        path = self.out / "checkpoint.pt"
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, path)
        metadata = {
            "format": "napari-sam2",
            "config": self.options.config,
            "commit": self.commit,
            "seed": str(self.options.seed),
            "steps": str(self.step),
        }
        export_weights(self.average.state, self.out / "weights.safetensors", metadata)
