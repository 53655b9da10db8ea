"""Names, merging, splitting, trimming and divisions."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from tests.core.discs import centre_in

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import NapariSam2Error, PromptError
from napari_sam2.core.extent import Extent
from napari_sam2.core.masks import EMPTY_BOX
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

NUM_FRAMES = 10
VIDEO, TRUTH = moving_discs(NUM_FRAMES, 48, num_objects=2)
centre = centre_in(TRUTH)


def make(*clicks):
    frames = ArrayFrames(VIDEO)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    for object_id, t in clicks:
        session.add_points(object_id, t, [centre(object_id, t)])
    return session


@pytest.fixture
def session():
    session = make((1, 3), (2, 3))
    list(session.propagate())
    return session


def shown(session, object_id):
    """Return the frames on which an object shows something."""
    return [t for t in range(NUM_FRAMES) if session.mask(object_id, t).any()]


# Names


def test_objects_have_names_and_classes(session):
    told = []
    session.objects_changed.connect(lambda: told.append(session.info(1)))
    session.rename(1, " left cell ")
    session.classify(1, "neuron")
    assert session.info(1) == told[-1] == ObjectInfo("left cell", "neuron")
    assert session.info(2) == ObjectInfo()
    assert dict(session.infos) == {1: ObjectInfo("left cell", "neuron")}
    assert session.undo_action == "classify"
    session.undo()
    session.undo()
    assert session.info(1) == ObjectInfo()
    session.rename(1, "")
    assert session.undo_action == "propagate"


@pytest.mark.parametrize("name", [None, 3, "two\nlines", "x" * 500])
def test_a_name_is_one_line(session, name):
    with pytest.raises(NapariSam2Error, match="one line"):
        session.rename(1, name)


def test_a_removed_object_leaves_no_name_behind(session):
    session.rename(1, "cell")
    session.remove_object(1)
    assert not session.infos
    session.undo()
    assert session.info(1).name == "cell"


def test_everything_can_be_said_at_once_and_before_the_first_prompt(session):
    info = ObjectInfo("late", "cell", 1, Extent(5, 8))
    session.describe(9, info)
    assert session.info(9) == info
    assert session.next_object_id == 10
    session.add_points(9, 6, [centre(1, 6)])
    list(session.propagate(objects=[9]))
    assert shown(session, 9) == [5, 6, 7]
    with pytest.raises(PromptError, match="object id"):
        session.describe(0, info)


# Trimming


def test_a_trimmed_object_is_erased_there_also_by_later_runs(session):
    before = np.asarray(session.labels)
    session.trim_before(1, 2)
    session.trim_after(1, 6)
    assert shown(session, 1) == [2, 3, 4, 5, 6]
    assert session.record(1, 8) is None
    assert session.changed == ()
    list(session.propagate())
    assert shown(session, 1) == [2, 3, 4, 5, 6]
    assert shown(session, 2) == list(range(NUM_FRAMES))
    session.untrim(1)
    list(session.propagate_changed())
    np.testing.assert_array_equal(np.asarray(session.labels), before)


def test_trimming_is_told_frame_by_frame(session):
    labels = np.asarray(session.labels)

    def follow(t, box):
        labels[t, box[0] : box[2], box[1] : box[3]] = session.project(t, box)

    session.frame_committed.connect(follow)
    session.trim_after(1, 6)
    session.trim_before(1, 5)
    np.testing.assert_array_equal(labels, np.asarray(session.labels))
    assert session.undo()
    np.testing.assert_array_equal(labels, np.asarray(session.labels))


def test_what_was_said_in_the_trimmed_part_still_counts(session):
    session.trim_before(1, 6)
    masks = [session.mask(1, t) for t in range(6, NUM_FRAMES)]
    list(session.propagate())
    for t, mask in enumerate(masks, start=6):
        np.testing.assert_array_equal(session.mask(1, t), mask)
    assert not session.mask(1, 3).any()


def test_a_prompt_asks_for_a_trimmed_part_again(session):
    session.trim_before(1, 6)
    session.add_points(1, 4, [centre(1, 4)])
    assert session.info(1).extent == Extent(4)
    assert shown(session, 1) == list(range(4, NUM_FRAMES))


def test_a_run_stops_at_the_end_of_what_is_kept():
    session = make((1, 3))
    session.trim_after(1, 5)
    assert [result.frame for result in session.propagate()] == [4, 5, 2, 1, 0]


def test_nothing_left_is_refused(session):
    session.trim_after(1, 4)
    with pytest.raises(PromptError, match="nothing would be left"):
        session.trim_before(1, 5)


# Divisions


def test_a_mother_ends_where_she_divides_and_her_daughters_begin(session):
    session.classify(1, "cell")
    first, second = session.divide(1, 4)
    assert (first, second, session.next_object_id) == (3, 4, 5)
    assert shown(session, 1) == [0, 1, 2, 3, 4]
    assert session.objects == (1, 2)
    session.add_points(first, 5, [centre(1, 5)])
    session.add_points(second, 7, [centre(2, 7)])
    list(session.propagate())
    assert shown(session, first) == shown(session, second) == [5, 6, 7, 8, 9]
    assert session.info(first) == ObjectInfo("", "cell", 1, Extent(5))
    session.remove_prompts(first, 5)
    assert session.info(first).parent == 1
    with pytest.raises(PromptError, match="last one"):
        session.divide(2, NUM_FRAMES - 1)


def test_a_division_is_one_entry(session):
    labels = np.asarray(session.labels).tobytes()
    session.divide(1, 4)
    session.undo()
    assert not session.infos
    assert np.asarray(session.labels).tobytes() == labels
    assert session.next_object_id == 5, "ids are not handed out again"


# Splitting


def test_a_split_object_is_another_one_from_that_frame_on(session):
    before = np.asarray(session.labels)
    session.lock(1, 8)
    new = session.split(1, 6)
    assert new == 3
    expected = np.where((before == 1) & (np.arange(NUM_FRAMES) >= 6)[:, None, None], 3, before)
    np.testing.assert_array_equal(np.asarray(session.labels), expected)
    assert [item.frame_indices for item in session.prompts] == [(3,), (3,), (8,)]
    assert [(lock.object_id, lock.frame) for lock in session.locks] == [(3, 8)]
    list(session.propagate())
    np.testing.assert_array_equal(np.asarray(session.labels) > 0, before > 0)
    session.undo()
    session.undo()
    np.testing.assert_array_equal(np.asarray(session.labels), before)


def test_a_part_without_prompts_rests_on_its_nearest_mask(session):
    session.split(1, 6)
    assert session.prompts[2].frame_indices == (6,)
    session.split(2, 2)
    assert session.prompts[3].frame_indices == (3,)
    assert session.prompts[1].frame_indices == (1,)


def test_a_part_that_shows_nothing_is_refused():
    session = make((1, 3))
    with pytest.raises(PromptError, match="would show nothing"):
        session.split(1, 3)


@pytest.mark.parametrize("action", ["split", "merge"])
def test_an_object_that_changes_during_a_run_leaves_it(action):
    """What the run goes on finding is about the object as it was; shown as the new one's it would be wrong."""
    session = make((1, 3), (2, 3), (2, 6))
    list(session.propagate(objects=[1, 2]))
    before = [session.mask(1, t) for t in range(NUM_FRAMES)]
    session.add_points(3, 3, [centre(1, 3)])
    run = session.propagate().drive(3)
    result = session.split(1, 6) if action == "split" else session.merge(1, 2)
    changed = session.state.objects[1]
    run.drive()
    assert session.state.objects[1] is changed
    assert run.is_complete
    assert all(session.mask(3, t).any() for t in range(NUM_FRAMES))
    if action == "split":
        parts = [session.mask(1, t) | session.mask(result, t) for t in range(NUM_FRAMES)]
        np.testing.assert_array_equal(parts, before)
    assert session.is_changed(result if action == "split" else 1)
    list(session.propagate_changed())
    fresh = make()
    fresh.restore(session.prompts, session.locks, session.infos)
    list(fresh.propagate())
    for object_id in session.objects:
        for t in range(NUM_FRAMES):
            np.testing.assert_array_equal(session.mask(object_id, t), fresh.mask(object_id, t))


def test_a_run_of_objects_that_were_all_joined_is_cancelled_and_undo_lets_it_go_on():
    session = make((1, 3), (2, 3))
    run = session.propagate().drive(2)
    session.merge(1, 2)
    assert run.is_cancelled
    session.undo()
    run.drive()
    fresh = make((1, 3), (2, 3))
    fresh.propagate().drive()
    np.testing.assert_array_equal(np.asarray(session.labels), np.asarray(fresh.labels))


# Merging


def test_merged_objects_show_what_both_showed(session):
    before = np.asarray(session.labels)
    session.add_points(2, 6, [centre(2, 6)])
    session.rename(2, "kept name")
    session.merge(1, 2)
    assert session.objects == (1,)
    assert session.info(1).name == "kept name"
    np.testing.assert_array_equal(np.asarray(session.labels), before > 0)
    assert session.prompts[0].frame_indices == (3, 6)
    assert session.changed == (1,)
    session.undo()
    np.testing.assert_array_equal(np.asarray(session.labels), before)


def test_merging_the_parts_of_a_split_gives_the_object_back(session):
    before = np.asarray(session.labels)
    session.merge(1, session.split(1, 6))
    np.testing.assert_array_equal(np.asarray(session.labels), before)
    assert session.info(1).extent == Extent()


def test_where_only_one_was_seen_its_prompts_stay():
    session = make((1, 2), (2, 7))
    said = session.prompts[1].frames
    session.merge(1, 2)
    assert session.prompts[0].frames[1:] == said
    np.testing.assert_array_equal(session.mask(1, 7), TRUTH[7] == 2)


def test_daughters_follow_a_merged_mother(session):
    daughter, _ = session.divide(2, 6)
    session.merge(1, 2)
    assert session.info(daughter).parent == 1
    with pytest.raises(PromptError, match="with itself"):
        session.merge(1, 1)


def test_a_removed_mother_leaves_no_parent_behind(session):
    daughter, _ = session.divide(1, 4)
    session.add_points(daughter, 6, [centre(1, 6)])
    session.remove_object(1)
    assert session.info(daughter).parent is None
    assert {info.parent for info in session.infos.values()} == {None}
    session.undo()
    assert session.info(daughter).parent == 1


def test_daughters_of_a_split_mother_are_those_of_her_late_half(session):
    daughter, _ = session.divide(1, 7)
    late = session.split(1, 5)
    assert session.info(daughter).parent == late
    assert session.info(late).parent is None


def test_nobody_becomes_a_parent_of_itself_by_merging(session):
    daughter, other = session.divide(1, 4)
    session.add_points(daughter, 6, [centre(1, 6)])
    session.add_points(other, 6, [centre(2, 6)])
    session.merge(daughter, 1)
    assert session.info(daughter).parent is None
    assert session.info(other).parent == daughter


def test_merging_over_a_generation_closes_no_circle(session):
    session.describe(2, ObjectInfo(parent=1))
    session.describe(3, ObjectInfo(parent=2))
    session.add_points(3, 6, [centre(1, 6)])
    session.merge(3, 1)
    assert session.info(3).parent is None
    assert session.info(2).parent == 3


def union(session, *objects):
    return [sum(session.mask(item, t) for item in objects) > 0 for t in range(NUM_FRAMES)]


def test_merging_shows_what_was_shown_not_what_was_trimmed_away():
    session = make((1, 0), (1, 7), (2, 6))
    session.trim_after(1, 4)
    list(session.propagate())
    before = union(session, 1, 2)
    session.merge(1, 2)
    np.testing.assert_array_equal(union(session, 1), before)
    assert session.prompts[0].frame_indices == (0, 6)


def test_merging_shows_a_tracked_mask_where_the_other_ones_answer_is_empty(session):
    session.add_points(1, 5, [centre(1, 5)])
    empty = session.state.objects[1].answers[5]
    record = session.store.get(empty)
    session.store._records[empty] = replace(
        record, box=EMPTY_BOX, bits=b"", strength=zlib.compress(b"")
    )
    before = union(session, 1, 2)
    session.merge(1, 2)
    np.testing.assert_array_equal(union(session, 1), before)


def test_unlocking_a_merged_frame_leaves_its_mask(session):
    session.lock(1, 6)
    session.lock(2, 7)
    before = union(session, 1, 2)
    session.merge(1, 2)
    session.unlock(1, 6)
    session.unlock(1, 7)
    np.testing.assert_array_equal(union(session, 1), before)


def test_merging_objects_whose_prompts_were_trimmed_away_rests_on_a_mask(session):
    session.trim_before(1, 4)
    session.trim_before(2, 5)
    session.trim_after(2, 8)
    session.describe(2, replace(session.info(2), extent=Extent(0, 2)))
    before = union(session, 1, 2)
    session.merge(1, 2)
    np.testing.assert_array_equal(union(session, 1), before)
    assert session.prompts[0].frame_indices == (0,)
    list(session.propagate())


@pytest.mark.parametrize("daughters", [0, -3, 2.0, True, 70_000])
def test_only_a_number_of_daughters_that_can_be_there_is_taken(session, daughters):
    with pytest.raises(NapariSam2Error, match=r"daughters|does not fit"):
        session.divide(1, 4, daughters)
    assert not session.infos
    assert session.next_object_id == 3


def test_a_daughter_that_was_never_prompted_can_be_removed(session):
    first, second = session.divide(1, 4)
    session.remove_object(first)
    assert list(session.infos) == [1, second]
    session.remove_object(1)
    session.remove_object(2)
    session.clear()
    assert not session.infos
    session.undo()
    assert list(session.infos) == [second]


@pytest.mark.parametrize("extent", [(500,), (5, 2), (3, 3), (-1,), (0, 11), (1.5,)])
def test_an_extent_outside_the_stack_is_refused(session, extent):
    info = ObjectInfo(extent=Extent(*extent))
    with pytest.raises(PromptError, match="nowhere"):
        session.describe(1, info)
    before = session.state
    with pytest.raises(PromptError, match="nowhere"):
        session.restore(session.prompts, infos={1: info})
    assert session.state is before


def test_nobody_is_described_as_its_own_ancestor(session):
    with pytest.raises(PromptError, match="comes from it"):
        session.describe(1, ObjectInfo(parent=1))
    session.describe(1, ObjectInfo(parent=2))
    with pytest.raises(PromptError, match="comes from it"):
        session.describe(2, ObjectInfo(parent=1))
    with pytest.raises(PromptError, match="comes from it"):
        session.restore((), infos={1: ObjectInfo(parent=2), 2: ObjectInfo(parent=1)})


def test_a_daughter_without_prompts_stays_the_mother_of_her_own(session):
    first, _ = session.divide(1, 2)
    session.add_points(first, 4, [centre(1, 4)])
    grandchild, _ = session.divide(first, 6)
    session.remove_prompts(first, 4)
    assert session.info(first).parent == 1
    assert session.info(grandchild).parent == first
