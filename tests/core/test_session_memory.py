"""Undo goes far back, and takes no more memory than it may."""

from __future__ import annotations

import numpy as np
from tests.core.discs import TRUTH, centre


def noise(seed):
    return np.random.default_rng(seed).random((32, 32)) > 0.5


def labels(session):
    return np.asarray(session.labels).tobytes()


def test_twenty_undos_of_all_kinds_give_back_every_byte(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(2, 2, [centre(2, 2)])
    list(session.propagate())
    seen = [labels(session)]
    actions = [
        lambda: session.add_points(1, 4, [(0, 0)], [0]),
        lambda: list(session.propagate_changed()),
        lambda: session.add_mask(2, 5, noise(1), lock=True),
        lambda: session.lock(1, 1),
        lambda: session.trim_after(1, 3),
        lambda: session.set_overlap("overwrite"),
        lambda: session.split(2, 3),
        lambda: session.merge(1, 2),
        lambda: session.move_point(1, 4, (0, 0), (1, 1)),
        lambda: list(session.propagate()),
        lambda: session.add_labels(0, TRUTH[0].astype(int), as_new=True),
        lambda: session.divide(1, 2),
        lambda: session.remove_object(1),
        lambda: session.add_polygon(9, 0, [(2, 2), (2, 20), (20, 9)]),
        lambda: session.add_scribble(9, 1, [(2, 2), (9, 9)]),
        lambda: session.choose_candidate(9, 1, 1),
        lambda: list(session.propagate("forward", (0, 3))),
        lambda: session.use_existing(TRUTH.astype(int) * 30),
        lambda: session.unlock(session.locks[0].object_id, session.locks[0].frame),
        lambda: session.clear(),
    ]
    for action in actions:
        action()
        seen.append(labels(session))
    assert len(actions) == 20
    for expected in reversed(seen[:-1]):
        assert session.undo()
        assert labels(session) == expected
    for expected in seen[1:]:
        assert session.redo()
        assert labels(session) == expected


def test_what_no_undo_leads_to_is_forgotten_first(session):
    session.memory_limit = 40_000
    session.add_points(1, 2, [centre(1, 2)])
    for _ in range(40):
        list(session.propagate())
        session.undo()
    assert session.store.num_bytes <= 51_000
    assert session.undo_action == "add point"
    assert session.redo()
    np.testing.assert_array_equal(np.asarray(session.labels), np.where(TRUTH == 1, 1, 0))


def test_memory_is_bounded_and_the_levels_that_are_left_are_right(session, caplog):
    session.memory_limit = 30_000
    seen = []
    for number in range(120):
        session.add_mask(1 + number % 3, number % 6, noise(number))
        seen.append(labels(session))
        assert session.store.num_bytes < 45_000
    assert "undo levels were given up" in caplog.text
    depth = 0
    for expected in reversed(seen[:-1]):
        if not session.undo():
            break
        depth += 1
        assert labels(session) == expected
    assert 10 < depth < 119


def test_a_hundred_levels_fit_into_the_usual_limit(session):
    for number in range(120):
        session.add_mask(1, number % 6, noise(number))
    assert sum(session.undo() for _ in range(130)) == 120


def test_nothing_is_forgotten_while_a_run_goes_on(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.memory_limit = 1
    for _ in session.propagate():
        pass
    np.testing.assert_array_equal(np.asarray(session.labels), np.where(TRUTH == 1, 1, 0))


def test_states_share_what_a_run_finds_with_those_made_during_it(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(2, 2, [centre(2, 2)])
    for number, _ in enumerate(session.propagate()):
        if number < 3:
            session.rename(1, f"name {number}")
    for _ in range(2):
        found = session.state.objects
        session.undo()
        assert session.state.objects is found


def test_it_is_told_when_undo_levels_are_given_up(session):
    session.add_mask(1, 2, noise(1))
    told = []
    session.history_changed.connect(lambda: told.append(session.undo_action))
    session.memory_limit = 1
    assert told == [""]
