"""Choose from which object score on an object counts as there, and write weights that say so at 0.

    python benchmarks/calibrate_presence.py WEIGHTS --out OUT [--shifts 0 1 2 3] [--clips 8]

Training weighs absent objects up; how far depends on a constant nobody knows beforehand. Here the score is shifted so
that a user has least to mend on clips of the training generator (seeds of validation, never trained on): on a frame
that has the object its J counts, on one that has not, 1 for an empty mask and 0 for any other. The frozen sequences
and the open stacks are not looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_sam2 import Session
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.scores import mean_of
from napari_sam2.evaluation.stacks import first_prompts
from napari_sam2.training.generator import ClipGenerator

SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
FIRST_SEED = 2 * 10**6
FRAMES, OBJECTS, SIDE = 16, 6, 256


def stack_of(seed: int) -> ReferenceStack:
    """Draw one clip as a stack with reference masks."""
    clip = ClipGenerator(SIDE, seed).draw(1, FRAMES, torch.Generator().manual_seed(seed))
    image = (clip.images[0, :, 0].numpy() * 255).astype(np.uint8)
    labels = clip.labels[0].numpy().astype(np.uint16)
    return ReferenceStack(f"clip {seed}", image, labels, "time", "generated").limited(None, OBJECTS)


def usefulness(weights: Path, stack: ReferenceStack) -> float:
    """Return how much of the work is done after one mask an object: 1 nothing to mend, 0 everything."""
    session, prompted = Session(stack.image, axis=0, model=str(weights)), first_prompts(stack)
    for object_id, t in prompted.items():
        session.add_mask(object_id, t, stack.labels[t] == object_id)
    for _ in session.propagate():
        pass
    return mean_of(
        judge(session.mask(object_id, t), stack.labels[t] == object_id)
        for object_id, start in prompted.items()
        for t in range(len(stack.labels))
        if t != start
    )


def judge(found: np.ndarray, truth: np.ndarray) -> float:
    """Score one object on one frame, 0 to 1."""
    return region_similarity(found, truth) if truth.any() else float(not found.any())


def write_shifted(weights: Path, out: Path, shift: float) -> None:
    """Write weights whose object score is higher by `shift`; the metadata says by how much in all."""
    with safe_open(weights, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    tensors[SCORE_BIAS] = tensors[SCORE_BIAS] + shift
    before = float(metadata.get("object_score_shift", 0))
    save_file(tensors, out, metadata | {"object_score_shift": f"{before + shift:g}"})
    out.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shifts", type=float, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--clips", type=int, default=8)
    options = parser.parse_args()
    if not options.weights.is_file():
        parser.error(f"there are no weights {options.weights}; a run writes weights.safetensors")
    stacks = [stack_of(FIRST_SEED + index) for index in range(options.clips)]
    reached = {}
    with tempfile.TemporaryDirectory() as folder:
        for shift in options.shifts:
            trial = Path(folder, f"{shift}.safetensors")
            write_shifted(options.weights, trial, shift)
            reached[shift] = mean_of(map(partial(usefulness, trial), stacks))
            print(f"shift {shift:g}: {reached[shift]:.3f}", flush=True)
    best = max(reached, key=lambda shift: (reached[shift], -abs(shift)))
    write_shifted(options.weights, options.out, best)
    print(f"{options.out}: shift {best:g}")


if __name__ == "__main__":
    main()
