"""Small stacks with prompts beside them, and a crew of this process that has no network."""

from __future__ import annotations

import json

import pytest
from tests.batch.fake_work import centre_of

from napari_sam2.io.masklets import write_labels
from napari_sam2.testing import moving_discs

NUM_FRAMES, SIZE = 5, 48


@pytest.fixture
def inputs(tmp_path):
    """A folder for images and what lies beside them."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def add_stack(inputs):
    """Add `NAME.tif`, and `NAME.json` or `NAME_labels.tif` that say where its discs are; return the labels."""

    def add_stack(name, seed=0, num_objects=2, prompts=True, labels=False):
        stack, truth = moving_discs(NUM_FRAMES, SIZE, num_objects, seed)
        write_labels(inputs / f"{name}.tif", stack)
        if prompts:
            entries = [
                {"object": n, "frame": 1, "points": [centre_of(truth[1] == n)]}
                for n in range(1, num_objects + 1)
            ]
            content = {"schema": 1, "prompts": entries}
            (inputs / f"{name}.json").write_text(json.dumps(content))
        if labels:
            write_labels(inputs / f"{name}_labels.tif", truth)
        return truth

    return add_stack
