"""A session with a simple, known weakness, so that a simulated person has something to correct."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest


@dataclass(frozen=True)
class Tracked:
    frame: int


@dataclass
class Run:
    frames: list[int]

    @property
    def total(self):
        return len(self.frames)

    def __iter__(self):
        return (Tracked(t) for t in self.frames)


@dataclass
class NearSighted:
    """Right on prompted frames, after enough clicks, and `reach` frames away from the nearest of them; lost beyond."""

    truth: np.ndarray
    reach: int = 2
    clicks_needed: int = 1
    said: list = field(default_factory=list)

    def __post_init__(self):
        self.labels = np.zeros_like(self.truth)
        self.anchors = {}

    def mask(self, object, frame):
        assert object in self.anchors, "a session knows no object before its first prompt"
        return self.labels[frame] == object

    def add_points(self, object, frame, points, labels):
        self.said.append(("point", object, frame, *points[0], *labels))
        clicks = [item for item in self.said if item[:3] == ("point", object, frame)]
        self._anchor(object, frame, len(clicks) >= self.clicks_needed)

    def add_box(self, object, frame, box):
        self.said.append(("box", object, frame, box))
        self._anchor(object, frame, True)

    def add_mask(self, object, frame, mask):
        self.said.append(("mask", object, frame))
        assert np.array_equal(mask, self.truth[frame] == object)
        self._anchor(object, frame, True)

    def _anchor(self, object, frame, is_right):
        self.anchors.setdefault(object, set()).add(frame)
        self._show(object, frame, is_right)

    def propagate(self, direction="both", frames=None, objects=None):
        start, stop = frames or (0, len(self.truth))
        self.said.append(("propagate", direction, start, stop, objects))
        for i in objects or self.anchors:
            for t in set(range(start, stop)) - self.anchors[i]:
                self._show(i, t, min(abs(t - a) for a in self.anchors[i]) <= self.reach)
        return Run(list(range(start, stop)))

    def _show(self, object, frame, is_right):
        self.labels[frame][self.labels[frame] == object] = 0
        if is_right:
            self.labels[frame][self.truth[frame] == object] = object


@pytest.fixture
def near_sighted():
    return NearSighted


@pytest.fixture
def squares():
    """Two resting squares on ten frames; (T, Y, X) labels."""
    labels = np.zeros((10, 20, 40), np.uint16)
    labels[:, 5:14, 5:14] = 1
    labels[:, 5:14, 20:29] = 2
    return labels
