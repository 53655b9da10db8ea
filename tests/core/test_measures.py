"""Measurements agree with counting by hand, object by object."""

from __future__ import annotations

import numpy as np

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.measures import measure
from napari_sam2.core.placement import Placement
from napari_sam2.core.results import LabelResult
from napari_sam2.core.sources import ImageSource


def test_many_objects_are_measured_as_one_by_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, (3, 20, 30)).astype(np.uint32)
    labels[labels == 7] = 4_000_000_000
    labels[1] = 0
    pixels = rng.normal(size=labels.shape).astype(np.float32)
    view, place = StackView.default(3), Placement.from_scale((2, 0.5, 0.5), (1, 2, 3))
    result = LabelResult(labels, view, ImageSource("made", place), frames=ArrayFrames(pixels))
    found = {(item.frame, item.object_id): item for item in measure(result)}
    expected = {(t, int(value)) for t in range(3) for value in np.unique(labels[t]) if value}
    assert set(found) == expected
    for (t, object_id), item in found.items():
        mask = labels[t] == object_id
        y, x = np.nonzero(mask)
        assert item.pixels == mask.sum()
        np.testing.assert_allclose(item.centroid, (t, y.mean(), x.mean()))
        np.testing.assert_allclose(item.world, (1 + 2 * t, 2 + y.mean() / 2, 3 + x.mean() / 2))
        np.testing.assert_allclose(item.intensity, pixels[t][mask].mean(dtype=np.float64))
