"""``python -m napari_sam2.training``: the run of ``napari-sam2 train``, also under torchrun."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from napari_sam2.training.loop import Trainer, Validation
from napari_sam2.training.options import TrainOptions
from napari_sam2.training.provenance import current_commit
from napari_sam2.training.validation import Validator

BATCH = {"cpu": 1, "cuda": 16}
"""How many times the amounts of one CPU core a device takes in one step."""


def check_device(device: str) -> None:
    """Refuse a device that training does not know, or that this machine has not."""
    if device not in BATCH:
        raise ValueError(f"training runs on {' or '.join(BATCH)}, not on {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch finds no cuda device here; train on the cpu")


def make_trainer(
    out: Path,
    *,
    steps: int = 0,
    minutes: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    resume: Path | None = None,
    init: Path | None = None,
    config: str = "nano",
    device: str = "cpu",
    batch: int | None = None,
    validate: Validation | None = None,
) -> Trainer:
    """Begin or continue a run; call `run` on the result.

    Parameters
    ----------
    out : Path
        Run folder.
    steps : int
        Length of the run; 0 means `minutes`.
    minutes : float
        Length in wall time.
    threads : int
        Threads of each process.
    seed : int
        Below one million: from there on seeds belong to validation.
    resume : Path, optional
        Run folder to continue; the other options but `threads` then come from it.
    init : Path, optional
        Weights to start from; the schedule is then `TrainOptions.refining`.
    config : str
        Preset of the network.
    device : str
        "cpu", or "cuda"; several of them through torchrun.
    batch : int, optional
        How many times the amounts of `TrainOptions` a step takes: 1 on a CPU, 16 on a GPU.
    validate : callable, optional
        Judges the network now and then; `Validator` by default.

    Raises
    ------
    ValueError
        If an option is out of range, or the device is not there.
    """
    check_device(device)
    torch.set_num_threads(threads)
    commit, validate = current_commit(), validate or Validator()
    if resume is not None:
        return Trainer.resume(resume, validate=validate, commit=commit, device=device)
    schedule = TrainOptions if init is None else TrainOptions.refining
    batch = BATCH[device] if batch is None else batch
    options = schedule(config=config, steps=steps, minutes=minutes, seed=seed, batch=batch)
    return Trainer(out, options, init=init, validate=validate, commit=commit, device=device)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--config", default="nano")
    parser.add_argument("--device", choices=list(BATCH), default="cpu")
    parser.add_argument("--batch", type=int)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make_trainer(**vars(parser.parse_args(arguments))).run()


if __name__ == "__main__":
    main()
