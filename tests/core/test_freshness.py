"""How tracked frames stand: the one comparison behind `is_changed`, `stale_frames` and repairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sam2.core import freshness
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.bases import Basis
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.freshness import ObjectFreshness, freshness_of
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.core.state import Tracked
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=9, size=32, num_objects=2)
SAID = ObjectPrompts(1, (FramePrompts(0, (PromptStep(points=((1.0, 1.0),), positives=(True,)),)),))
BASIS = Basis(SAID, anchor=0, start=1, model=0)


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        (BASIS, "fresh"),
        (replace(BASIS, anchor=4), "moved"),
        (replace(BASIS, start=2), "moved"),
        (replace(BASIS, model=1), "outdated"),
        (replace(BASIS, mapping=IntensityMapping(0, 1)), "outdated"),
        (replace(BASIS, prompts=ObjectPrompts(1, ())), "outdated"),
        (None, "outdated"),
    ],
)
def test_a_frame_stands_as_what_it_rests_on_does(basis, expected):
    assert freshness_of(Tracked(7, basis, 2), BASIS) == expected


def test_a_frame_that_was_never_tracked_is_missing():
    assert freshness_of(None, BASIS) == "missing"


@pytest.fixture
def session():
    frames = ArrayFrames(VIDEO)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_mask(1, 0, TRUTH[0] == 1)
    return session


def of_object(session):
    return session._freshness.of_object(1, session.state, session._model)


def test_what_is_asked_of_an_object_agrees_with_what_a_repair_tracks(session):
    assert of_object(session) == ObjectFreshness((), is_untracked=True)
    assert session.is_changed(1)
    list(session.propagate())
    assert of_object(session) == ObjectFreshness((), is_untracked=False)
    assert not session.is_changed(1)
    session.add_mask(1, 4, TRUTH[4] == 1)
    assert session.stale_frames(1) == of_object(session).outdated == (1, 2, 3, 5, 6, 7, 8)
    run = session.propagate_changed()
    assert {t for _, anchor, _ in run.request.only for t in [anchor]} == {0, 4}
    list(run)
    assert session.stale_frames(1) == ()
    session.undo()
    assert session.stale_frames(1) == (1, 2, 3, 5, 6, 7, 8)
    session.undo()
    assert session.stale_frames(1) == ()


def test_an_object_is_looked_into_once_for_each_of_its_states(session, monkeypatch):
    looks = []
    real = freshness.freshness_of_object
    monkeypatch.setattr(
        freshness, "freshness_of_object", lambda *args: looks.append(1) or real(*args)
    )
    session.add_mask(2, 0, TRUTH[0] == 2)
    for _ in range(3):
        assert session.is_changed(1)
        assert session.stale_frames(1) == ()
    assert len(looks) == 1
    session.rename(2, "other")
    session.lock(1, 0)
    assert session.is_changed(1)
    assert len(looks) == 2
    session.engine = InlineEngine(FakeSegmenter(ArrayFrames(np.asarray(VIDEO))))
    assert session.is_changed(1)
    assert len(looks) == 3
