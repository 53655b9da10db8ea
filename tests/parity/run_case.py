"""Run one parity case: `python tests/parity/run_case.py CASE.json OUT.npz`.

The formats of a case and of an answer, and the tolerance, are described in `cases/README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_sam2.core.options import REFERENCE, InferenceOptions
from napari_sam2.inference.device import ALL_SHORTCUTS, Shortcuts
from napari_sam2.inference.reference import ReferenceTracker
from napari_sam2.inference.step import ModelPoints
from napari_sam2.inference.transforms import to_model_input
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import ImageFeatures, Sam2
from napari_sam2.model.state_dict import to_official, to_ours

sys.path.insert(0, str(Path(__file__).parent / "cases"))
import procedural

SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
OBJECT_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"

# Official switch -> our option, and how its value is read.
OVERRIDES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "add_all_frames_to_correct_as_cond": ("corrections_condition", lambda v: v == "true"),
    "binarize_mask_from_pts_for_mem_enc": ("binarise_prompted_memory", lambda v: v == "true"),
    "max_cond_frames_in_attn": ("max_conditioning_frames", lambda v: None if v == "-1" else int(v)),
    "memory_temporal_stride_for_eval": ("memory_stride", int),
    "multimask_output_in_sam": ("multimask", lambda v: v == "true"),
    "non_overlap_masks": ("non_overlapping", lambda v: v == "true"),
    "sam_mask_decoder_extra_args.dynamic_multimask_via_stability": (
        "stability_fallback",
        lambda v: v == "true",
    ),
}


def procedural_network(name: str, image_size: int, object_bias: float | None = None) -> Sam2:
    """Return a network whose weights are computed from the official tensor names."""
    with torch.device("meta"):
        network = Sam2(replace(preset(name), image_size=image_size))
    shapes = {k: tuple(v.shape) for k, v in to_official(network.state_dict()).items()}
    state = {k: torch.from_numpy(v) for k, v in procedural.fill(shapes).items()}
    if object_bias is not None:
        state[OBJECT_BIAS] = torch.full_like(state[OBJECT_BIAS], object_bias)
    network.load_state_dict(to_ours(state), strict=True, assign=True)
    return network.eval()


def options_of(case: dict[str, Any]) -> InferenceOptions:
    """Translate the official switches of a case."""
    changes: dict[str, Any] = {"memory_dtype": case["memory_dtype"]}
    for override in case.get("overrides", ()):
        name, value = override.removeprefix("++model.").split("=", 1)
        if name not in OVERRIDES:
            raise SystemExit(f"unknown override {name!r}; expected one of {', '.join(OVERRIDES)}")
        option, read = OVERRIDES[name]
        changes[option] = read(value.lower())
    return replace(REFERENCE, **changes)


def embedder(network: Sam2, video: np.ndarray) -> Callable[[int], ImageFeatures]:
    """Return a function that encodes a frame of `video` once and remembers it."""
    cache: dict[int, ImageFeatures] = {}

    def embed(frame: int) -> ImageFeatures:
        if frame not in cache:
            image = video[frame].astype(np.float32) / 255
            side = network.config.image_size
            with torch.inference_mode():
                cache[frame] = network.encode_image(
                    to_model_input(image, side, torch.device("cpu"))
                )
        return cache[frame]

    return embed


def run_step(
    tracker: ReferenceTracker, step: dict[str, Any], index: int, side: int
) -> dict[str, np.ndarray]:
    """Run one step of a case and return its part of the answer."""
    if step["op"] == "propagate":
        return _propagate(tracker, step, index)
    if step["op"] == "mask":
        logits = tracker.add_mask(step["frame"], step["object"], _disc(step["disc"], side))
        return _answer(f"{index}_mask", logits)
    box, points = step.get("box"), step.get("points", [])
    corners = [box[:2], box[2:]] if box is not None else []
    labels = [2, 3] * (box is not None) + list(step.get("labels", []))
    given = ModelPoints(
        torch.tensor([[*corners, *points]], dtype=torch.float32), torch.tensor([labels])
    )
    is_appended = not step.get("clear", True)
    return _answer(
        f"{index}_prompt", tracker.add_points(step["frame"], step["object"], given, is_appended)
    )


def _disc(disc: list[float], side: int) -> torch.Tensor:
    y, x = np.mgrid[:side, :side]
    mask = (y - disc[0]) ** 2 + (x - disc[1]) ** 2 <= disc[2] ** 2
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def _answer(key: str, logits: torch.Tensor) -> dict[str, np.ndarray]:
    return {
        key: logits[:, 0, ::4, ::4].numpy(),
        f"{key}_area": (logits[:, 0] > 0).sum((1, 2)).numpy(),
    }


def _propagate(
    tracker: ReferenceTracker, step: dict[str, Any], index: int
) -> dict[str, np.ndarray]:
    run = tracker.propagate(step.get("start"), step.get("max"), step.get("reverse", False))
    results = list(run)
    count = len(tracker.object_ids)
    logits = [result.logits[:, 0, ::4, ::4].numpy() for result in results]
    areas = [(result.logits[:, 0] > 0).sum((1, 2)).numpy() for result in results]
    scores = [result.object_scores.numpy() for result in results]
    return {
        f"{index}_frames": np.array([result.frame for result in results], dtype=np.int64),
        f"{index}_logits": np.stack(logits) if logits else np.zeros((0, count, 0, 0), np.float32),
        f"{index}_logits_area": np.stack(areas) if areas else np.zeros((0, count), np.int64),
        f"{index}_object_scores": np.stack(scores) if scores else np.zeros((0, count), np.float32),
    }


def run_case(case: dict[str, Any], shortcuts: Shortcuts = ALL_SHORTCUTS) -> dict[str, np.ndarray]:
    """Run all steps of a case on one tracker."""
    version = "sam2.1" if case["version"] == "2.1" else "sam2"
    side = case["image_size"]
    network = procedural_network(
        f"{version}_{SIZES[case['size']]}", side, case.get("object_score_bias")
    )
    video = procedural.frames(case["num_frames"], side, case["seed"])
    tracker = ReferenceTracker(
        network, embedder(network, video), len(video), (side, side), options_of(case), shortcuts
    )
    answer: dict[str, np.ndarray] = {}
    for index, step in enumerate(case["steps"]):
        answer |= run_step(tracker, step, index, side)
    return answer


def main() -> None:
    """Read the arguments, run the case, write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    np.savez_compressed(args.out, **run_case(json.loads(args.case.read_text())))


if __name__ == "__main__":
    main()
