"""What the shipped nano reaches on whole stacks: the numbers of docs/nano.md must not be lost unnoticed.

The same figures, with everything else, come from ``python benchmarks/open_stacks.py --model nano``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from napari_sam2 import Session
from napari_sam2.evaluation.clicks import correction_click
from napari_sam2.evaluation.protocols import Protocol
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.stacks import evaluate_stack, validation_stacks
from napari_sam2.io.references import find_references

OPEN_STACKS = Path(__file__).parents[3] / "shared" / "data"
MICROSCOPY = ("c2c12_phase", "ovule_confocal_z", "t98g_phase")

open_nano = partial(Session, axis=0, model="nano")

pytestmark = pytest.mark.slow


def test_one_click_on_generated_sequences_is_carried_through():
    every_other = range(0, 24, 2)  # of all kinds; all of them take minutes
    results = [
        evaluate_stack(stack, open_nano, Protocol("vos", "click"))
        for stack in validation_stacks(every_other)
    ]
    floors = [max(result.copy_J, result.otsu_J) for result in results]
    mean_j = np.mean([result.mean.J for result in results])
    assert mean_j >= 0.73
    assert np.mean(floors) < 0.45, "no floor comes near it"


def test_masks_on_open_microscopy_are_carried_further_than_copying_them():
    if not OPEN_STACKS.is_dir():
        pytest.skip("the open stacks are not part of the repository")
    stacks = [file.read() for file in find_references(OPEN_STACKS) if file.name in MICROSCOPY]
    assert len(stacks) == 3
    results = [evaluate_stack(stack, open_nano, Protocol("vos", "mask")) for stack in stacks]
    mean_j = np.mean([result.mean.J for result in results])
    assert mean_j >= 0.38
    assert mean_j > np.mean([result.copy_J for result in results])


def test_clicks_on_tracked_frames_make_masks_better():
    """A lone negative click once wiped out all of a large mask: it is joined by one inside (`anchor_clicks`)."""
    before, after = [], []
    for stack in validation_stacks((4, 10, 16, 19)):
        last = len(stack.labels) - 1
        objects = [int(i) for i in np.intersect1d(stack.labels[0], stack.labels[last])[1:4]]
        session = open_nano(stack.image)
        for object_id in objects:
            session.add_mask(object_id, 0, stack.labels[0] == object_id)
        for _ in session.propagate():
            pass
        for object_id in objects:
            truth = stack.labels[last] == object_id
            before.append(region_similarity(session.mask(object_id, last), truth))
            for _ in range(3):
                click = correction_click(session.mask(object_id, last), truth)
                if click is not None:
                    session.add_points(object_id, last, [(click.y, click.x)], [click.positive])
            after.append(region_similarity(session.mask(object_id, last), truth))
    assert len(before) >= 8
    assert np.mean(after) > np.mean(before) + 0.05
