"""Who gets a pixel that several claim, and labels that were there before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.core.discs import TRUTH, VIDEO, centre

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import LabelsError, OptionError, PromptError
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter


@pytest.fixture
def crowded(session):
    """Two objects on one disc, tracked one after the other; the second is the stronger on some frames."""
    for object_id in (1, 2):
        session.add_points(object_id, 2, [centre(1, 2)])
        list(session.propagate(objects=[object_id]))
    return session


def test_the_policy_can_be_changed_and_changed_back(crowded):
    labels = np.asarray(crowded.labels)
    crowded.frame_committed.connect(
        lambda t, box: labels[t].__setitem__(
            (slice(box[0], box[2]), slice(box[1], box[3])), crowded.project(t, box)
        )
    )
    assert set(np.unique(labels)) == {0, 1}
    crowded.set_overlap("overwrite")
    assert set(np.unique(labels)) == {0, 2}
    assert crowded.undo_action == "overlap"
    crowded.set_overlap("highest")
    strengths = [max(crowded.record(o, 0).unpacked_strength().max() for o in (1, 2))]
    winner = 1 if crowded.record(1, 0).unpacked_strength().max() == strengths[0] else 2
    assert set(np.unique(labels[0])) == {0, winner}
    crowded.undo()
    crowded.undo()
    assert set(np.unique(labels)) == {0, 1}
    crowded.clear()
    assert crowded.overlap == "keep"
    with pytest.raises(OptionError):
        crowded.set_overlap("newest")


def test_existing_labels_are_protected_unless_said_otherwise(session):
    there = np.zeros(VIDEO.shape, np.uint8)
    there[:, :, :16] = 40
    told = []
    session.frame_committed.connect(lambda t, box: told.append((t, box)))
    session.use_existing(there)
    assert told == [(t, (0, 0, 32, 32)) for t in range(6)]
    assert session.next_object_id == 41
    session.add_mask(41, 2, TRUTH[2] > 0)
    np.testing.assert_array_equal(
        session.labels[2], np.where(there[2], 40, np.where(TRUTH[2] > 0, 41, 0))
    )
    session.use_existing(there, protect=False)
    np.testing.assert_array_equal(session.labels[2], np.where(TRUTH[2] > 0, 41, there[2]))
    session.use_existing(None)
    np.testing.assert_array_equal(session.labels[2], np.where(TRUTH[2] > 0, 41, 0))
    session.undo()
    session.undo()
    assert session.labels[2][0, 0] == 40
    assert session.project(2, (0, 0, 3, 20))[0].tolist() == [40] * 16 + [0] * 4
    session.clear()
    assert session.labels[2][0, 0] == 40
    assert (there[:, :, :16] == 40).all()


@pytest.mark.parametrize(
    "labels", [np.zeros((6, 32, 31), int), np.zeros((6, 32, 32)), np.full((6, 32, 32), 70_000)]
)
def test_existing_labels_that_do_not_fit_are_refused(session, labels):
    with pytest.raises(LabelsError):
        session.use_existing(labels)
    assert session.state.existing is None


def test_existing_labels_that_are_negative_are_refused(session):
    labels = np.zeros(VIDEO.shape, np.int16)
    labels[3, 2, 2] = -1
    with pytest.raises(LabelsError, match="negative"):
        session.use_existing(labels)


def test_no_id_is_a_label_and_an_object(session):
    labels = np.zeros(VIDEO.shape, np.int16)
    labels[3, 2, 2] = 1
    session.add_mask(1, 2, TRUTH[2] > 0)
    with pytest.raises(LabelsError, match="same ids"):
        session.use_existing(labels)
    session.undo()
    session.use_existing(labels)
    with pytest.raises(PromptError, match="there before"):
        session.add_mask(1, 2, TRUTH[2] > 0)
    session.add_labels(2, (TRUTH[2] > 0).astype(int), as_new=True)
    assert session.objects == (2,)


def test_existing_labels_are_those_that_were_given(session):
    labels = np.zeros(VIDEO.shape, np.int16)
    labels[3, 2, 2] = 9
    session.use_existing(labels)
    labels[3, 2, 2] = 0
    assert session.labels[3][2, 2] == 9


def test_what_becomes_of_existing_labels_on_disk_changes_nothing(session, tmp_path):
    labels = np.memmap(tmp_path / "labels", np.uint16, "w+", shape=TRUTH.shape)
    labels[:, :4, :4] = 9
    session.use_existing(labels)
    before = np.asarray(session.labels)
    labels[:] = 0
    labels.flush()
    np.testing.assert_array_equal(np.asarray(session.labels), before)
    session.add_mask(1, 2, TRUTH[2] > -1)
    assert (session.project(2)[:4, :4] == 9).all()


@given(
    arrays(np.uint8, (6, 32, 32), elements=st.sampled_from([0, 0, 0, 7, 9])),
    st.permutations(["click", "mask", "run", "overwrite"]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_protected_labels_stay_to_the_pixel_whatever_they_are(there, steps):
    frames = ArrayFrames(VIDEO)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.use_existing(there)
    for step in steps:
        if step == "click":
            session.add_points(1, 2, [centre(1, 2)])
        elif step == "mask":
            session.add_mask(2, 3, np.ones((32, 32), bool))
        elif step == "overwrite":
            session.set_overlap("overwrite")
        elif session.objects:
            list(session.propagate())
        labels = np.asarray(session.labels)
        np.testing.assert_array_equal(labels[there > 0], there[there > 0])
    assert (labels[3][there[3] == 0] > 0).all(), "all other pixels of the whole mask are ours"
