"""What clicks on tracked frames are worth: overlap before, and after one to three of them.

    python benchmarks/corrections.py [--model nano] [--stacks FOLDER] [--objects 6] [--json OUT.json]

Every stack's first objects are given by their reference on one frame and tracked; on five of their other frames the
simulated person then corrects them, with and without the click that joins those that refine a mask (`anchor_clicks`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam2 import Session
from napari_sam2.core.options import NATIVE
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.clicks import correction_click
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.stacks import first_prompts
from napari_sam2.io.references import find_references

CLICKS, FRAMES = 3, 5


def overlaps(
    stack: ReferenceStack, model: str, num_objects: int, *, is_anchored: bool
) -> np.ndarray:
    """Return the mean overlap of objects on corrected frames after 0, 1, … clicks, (CLICKS + 1,)."""
    options = replace(NATIVE, anchor_clicks=is_anchored)
    session = Session(stack.image, axis=0, model=model, options=options)
    prompted = dict(list(first_prompts(stack).items())[:num_objects])
    for object_id, t in prompted.items():
        session.add_mask(object_id, t, stack.labels[t] == object_id)
    for _ in session.propagate():
        pass
    rows = []
    for object_id, start in prompted.items():
        seen = np.flatnonzero((stack.labels == object_id).any((1, 2)))
        others = seen[seen != start]
        chosen = np.unique(np.linspace(0, len(others) - 1, min(FRAMES, len(others))).round())
        for t in others[chosen.astype(int)]:
            rows.append(corrected(session, object_id, int(t), stack.labels[t] == object_id))
    return np.mean(rows, axis=0)


def corrected(session: Session, object_id: int, t: int, truth: np.ndarray) -> list[float]:
    """Correct one object on one frame; return its overlap after every click."""
    scores = [region_similarity(session.mask(object_id, t), truth)]
    for _ in range(CLICKS):
        click = correction_click(session.mask(object_id, t), truth)
        if click is not None:
            session.add_points(object_id, t, [(click.y, click.x)], [click.positive])
        scores.append(region_similarity(session.mask(object_id, t), truth))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--objects", type=int, default=6, help="of each stack")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.stacks.is_dir():
        parser.error(f"there is no folder {options.stacks} with NAME.npz stacks")
    measured = {}
    for file in find_references(options.stacks):
        stack = file.read()
        for is_anchored in (False, True):
            means = overlaps(stack, options.model, options.objects, is_anchored=is_anchored)
            how = "anchored" if is_anchored else "alone"
            measured[f"{stack.name}, {how}"] = means.round(4).tolist()
            print(f"{stack.name:20s} {how:9s}", *(f"{mean:.3f}" for mean in means), flush=True)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
