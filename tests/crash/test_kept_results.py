"""Results in a file: a run that was cut off goes on to the bit, and nothing that was found is found again."""

from __future__ import annotations

import numpy as np
import pytest
from tests.crash.work import QUESTION, FakeCodec, Work, checksum_of, labels_of

from napari_sam2.core.errors import InferenceError
from napari_sam2.io import kept_results
from napari_sam2.io.kept_results import KeptEngine, ResultFile


class Stopped(BaseException):
    """Somebody pulled the plug."""


def stop_after(count):
    told = []

    def tell(frame):
        told.append(frame)
        if len(told) == count:
            raise Stopped

    return tell, told


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path, num_frames=14)


@pytest.fixture
def expected(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    session, _ = Work(tmp_path / "undisturbed", num_frames=14).run_into_zarr(lambda frame: None)
    return session


def zarr_of(work):
    import zarr

    return np.asarray(zarr.open_group(work.out, mode="r")["0"][...])


@pytest.mark.parametrize("count", [1, 5, 12])
def test_a_run_that_was_cut_off_goes_on_to_the_bit(work, expected, count):
    tell, told = stop_after(count)
    with pytest.raises(Stopped):
        work.run_into_zarr(tell)
    assert not work.out.exists()
    tell, again = stop_after(1000)
    session, engine = work.run_into_zarr(tell)
    assert engine.num_known == count
    assert again[:count] == told
    assert checksum_of(session) == checksum_of(expected)
    np.testing.assert_array_equal(zarr_of(work), labels_of(expected))
    assert [path.name for path in work.folder.iterdir() if path.is_file()] == []


class Counting:
    """An engine that counts the frames that are tracked."""

    def __init__(self, engine):
        self.engine, self.num_tracked = engine, 0

    def ask(self, request, deliver):
        self.engine.ask(request, deliver)

    def propagate(self, request, resume=None, cancellation=None):
        for result in self.engine.propagate(request, resume, cancellation):
            self.num_tracked += 1
            yield result


def tracked(work, codec, count=None, **asked):
    """Drive a run with kept results; return the session and how many frames the model tracked for it."""
    session = work.session()
    results = ResultFile(work.run_path, QUESTION, work.frames.shape)
    session.engine = counting = Counting(session.engine)
    session.engine = KeptEngine(counting, results, codec, state_every=0.0)
    work.say(session, 1, 2)
    session.propagate(**asked).drive(count)
    results.close()
    return session, counting.num_tracked


def test_with_its_state_a_run_goes_on_where_it_was_and_without_from_its_beginning(work):
    assert tracked(work, FakeCodec(), 6)[1] == 6
    assert tracked(work, FakeCodec(), 9)[1] == 3
    whole, num_tracked = tracked(work, None)
    assert num_tracked == 13
    assert tracked(work, None)[1] == 0
    fresh = work.session()
    work.say(fresh, 1, 2)
    list(fresh.propagate())
    assert checksum_of(whole) == checksum_of(fresh)


def test_another_question_is_answered_anew(work):
    tracked(work, FakeCodec())
    assert tracked(work, FakeCodec(), direction="forward")[1] == 11
    assert tracked(work, FakeCodec(), frames=(0, 6))[1] == 5


def test_results_of_another_stack_or_model_are_set_aside(work):
    tracked(work, FakeCodec(), 6)
    before = work.run_path.read_bytes()
    results = ResultFile(work.run_path, b"another question", work.frames.shape)
    assert len(results) == 0
    results.close()
    assert work.run_path.with_name("x.run.previous").read_bytes() == before


@pytest.mark.parametrize("what", ["state", "results"])
def test_damage_costs_time_and_no_bit(work, what):
    expected = tracked(work, None)[0]
    work.run_path.unlink()
    tracked(work, FakeCodec(), 8)
    path = work.run_path.with_name("x.run.state") if what == "state" else work.run_path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    session, num_tracked = tracked(work, FakeCodec())
    assert checksum_of(session) == checksum_of(expected)
    assert 5 < num_tracked <= 13


def test_a_record_that_verifies_and_is_no_result_is_found_again(work):
    tracked(work, FakeCodec(), 3)
    results = ResultFile(work.run_path, QUESTION, work.frames.shape)
    (request,) = results._known
    for text in (b"", b"x" * 3):
        whole = kept_results._FRAME.pack(b"F", request, 4, 13, 5, 2) + text
        results._note(request, 4, results._file.append(whole))
        assert [item.resume.done for item in results.results(request, 0)] == [1, 2, 3]
    results.close()
    assert tracked(work, FakeCodec())[1] == 10


def test_a_state_that_is_further_than_the_results_is_not_used(work):
    tracked(work, FakeCodec(), 3)
    left = work.run_path.read_bytes()
    tracked(work, FakeCodec(), 8)
    work.run_path.write_bytes(left)
    session, num_tracked = tracked(work, FakeCodec())
    assert num_tracked == 13
    assert session.record(1, 13) is not None


def test_a_run_that_is_continued_in_its_session_is_not_tracked_again(work):
    session = work.session()
    results = ResultFile(work.run_path, QUESTION, work.frames.shape)
    session.engine = counting = Counting(session.engine)
    session.engine = KeptEngine(counting, results, None)
    work.say(session, 1, 2)
    run = session.propagate()
    for number, _ in enumerate(run, start=1):
        if number == 4:
            run.cancel()
    list(session.propagate())
    assert counting.num_tracked == 13
    results.remove()
    assert list(work.folder.iterdir()) == []


def test_a_model_that_fails_keeps_what_it_found(work):
    session = work.session()
    results = ResultFile(work.run_path, QUESTION, work.frames.shape)
    segmenter = session.engine.segmenter
    session.engine = KeptEngine(session.engine, results, FakeCodec())
    work.say(session, 1, 2)
    segmenter.fail_next(after=5)
    with pytest.raises(InferenceError):
        list(session.propagate())
    assert len(results) == 5
    results.close()
