"""Run: one propagation of a session, driven by its iterator or by a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from napari_sam2.core.bases import Bases
from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.engine import Engine
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import FrameResult, PropagationRequest, ResumePoint
from napari_sam2.core.plan import num_results, plan_of
from napari_sam2.core.state import RecordKey, SessionState, Tracked
from napari_sam2.core.store import MaskRecord, MaskStore
from napari_sam2.core.table import FrameTable
from napari_sam2.core.volumes import VolumePlan


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A result that stands in the store and is still to be committed: the keys of its records."""

    frame: FrameIndex
    keys: Mapping[ObjectId, RecordKey]
    resume: ResumePoint = field(repr=False)


class Journal(Protocol):
    """Where results are written before anybody else hears of them, so that they outlive the program."""

    def write(self, run: Run, result: FrameResult, records: Sequence[MaskRecord]) -> None:
        """Keep what `run` found on a frame; called on the thread that drives the run, before the store has it.

        If this raises, the frame does not count as found, and the run ends.
        """


class Run:
    """One propagation.

    Iterate it to drive it on this thread; every item is a `FrameResult` that the session already shows. Leaving the
    loop, or `cancel`, keeps what is done, and `Session.propagate` with the same arguments continues there.

    A worker drives it like this, the first three lines on its own thread and the last two on the session's::

        for result in engine.propagate(run.request, run.resume, run.cancellation):
            stored = run.store(result)
            if run.is_cancelled: break
        run.commit(stored)   # for each, in order
        run.finish()         # at the end, also after a cancellation or an error

    Attributes
    ----------
    request : PropagationRequest
        All that the result depends on.
    resume : ResumePoint or None
        Where the run continues an earlier one.
    number : int
        Grows from run to run of a session; a continued run keeps its number.
    total : int
        How many results the whole run gives, those of the run that it continues included.
    done : int
        How many of them are committed.
    standing : mapping of object id to run number
        Which runs had tracked the run's objects when it was asked for.
    bases : Bases
        What every result rests on.
    cancellation : Cancellation
        Asked by `cancel`; whoever tracks looks at it.
    """

    def __init__(
        self,
        request: PropagationRequest,
        number: int,
        resume: ResumePoint | None,
        *,
        standing: Mapping[ObjectId, int],
        model: int,
        engine: Engine,
        store: MaskStore,
        commit: Callable[[Run, StoredFrame], None],
        finish: Callable[[Run], None],
        journal: Journal | None = None,
    ) -> None:
        self.request, self.number, self.resume = request, number, resume
        self.total = VolumePlan(request).total if request.depth else num_results(request)
        self.done = 0 if resume is None else resume.done
        self._conditioning = {
            (item.object_id, frame) for item in request.objects for frame in item.frame_indices
        }
        self.standing = {item.object_id: standing[item.object_id] for item in request.objects}
        self.bases = Bases(request, model)
        self._engine, self._store = engine, store
        self._commit, self._finish, self._journal = commit, finish, journal
        self.cancellation = Cancellation()
        self.is_finished = False
        self._results: Iterator[FrameResult] | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was asked to stop; may be read on any thread."""
        return self.cancellation.is_asked

    @property
    def is_repair(self) -> bool:
        """Whether only those parts are tracked that something said since has changed."""
        return self.request.only is not None

    @property
    def is_complete(self) -> bool:
        """Whether every result is committed."""
        return self.done >= self.total

    def joins(self, object_id: ObjectId, state: SessionState) -> bool:
        """Say whether an object is still the one that was asked about, not a later one of the same id."""
        known = state.objects.get(object_id)
        return known is not None and known.run in (self.standing[object_id], self.number)

    def is_shown_in(self, state: SessionState) -> bool:
        """Say whether `state` has a place for the results of this run."""
        if self.done == 0:
            return any(self.joins(object_id, state) for object_id in self.standing)
        return any(
            object_id in state.objects and state.objects[object_id].run == self.number
            for object_id in self.standing
        )

    def cancel(self) -> None:
        """Ask the run to stop, also within the frame in work, which is not kept; may be called on any thread."""
        self.cancellation.ask()

    def store(self, result: FrameResult) -> StoredFrame:
        """Write a result to the journal, then append it to the store; may be called on any thread.

        Masks on frames that a person prompted or locked are dropped: a run never writes there.
        """
        records = [
            MaskRecord.from_mask(mask, result.frame, self.number, "tracked")
            for mask in result.objects
            if (mask.object_id, result.frame) not in self._conditioning
        ]
        if self._journal is not None:
            self._journal.write(self, result, records)
        keys = {record.object_id: self._store.append(record) for record in records}
        return StoredFrame(result.frame, keys, result.resume)

    def commit(self, stored: StoredFrame) -> None:
        """Show a stored result, on the session's thread; without effect once the run is finished."""
        if not self.is_finished:
            self._commit(self, stored)

    def finish(self) -> None:
        """End the run, on the session's thread; calling it again has no effect."""
        if not self.is_finished:
            self.is_finished = True
            self._finish(self)

    def drive(self, until: int | None = None) -> Run:
        """Drive the run on this thread until so many results are there, or to its end; `finish` ends it before.

        Unlike iterating it, this may be repeated, and goes on after a cancellation.
        """
        if self._results is None:
            self._results = self._engine.propagate(self.request, self.resume)
        target = self.total if until is None else until
        while self.done < target and not self.is_finished:
            result = next(self._results, None)
            if result is None:
                break
            self.commit(self.store(result))
        if self.is_complete:
            self.finish()
        return self

    def __iter__(self) -> Iterator[FrameResult]:
        if self.is_finished:
            return
        try:
            if not self.is_cancelled:
                yield from self._drive()
        finally:
            self.finish()

    def _drive(self) -> Iterator[FrameResult]:
        for result in self._engine.propagate(self.request, self.resume, self.cancellation):
            self.commit(self.store(result))
            yield result
            if self.is_cancelled:
                return


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is needed to continue a run that stopped, as long as its results are still what they were."""

    request: PropagationRequest
    number: int
    resume: ResumePoint
    tracks: Mapping[ObjectId, FrameTable[Tracked]]

    @classmethod
    def after(cls, run: Run, resume: ResumePoint, state: SessionState) -> Unfinished:
        """Note where `run` stands in `state`."""
        present = [
            item.object_id for item in run.request.objects if item.object_id in state.objects
        ]
        tracks = {object_id: state.objects[object_id].tracks for object_id in present}
        return cls(run.request, run.number, resume, tracks)

    def is_part_of(self, request: PropagationRequest, state: SessionState) -> bool:
        """Say whether `request` asks for what is left of this run, if this one only repairs."""
        mine = self.request
        if mine.depth or mine.only is None or request.only is None or not request.only <= mine.only:
            return False
        left = plan_of(mine)[self.resume.done :]
        if not {track.object_id for item in left for track in item.tracks} <= _ids(request):
            return False  # it would track objects that nobody asked for now
        asked = {
            item.object_id: state.asked(item.object_id)
            for item in mine.objects
            if item.object_id in state.objects
        }
        whole = replace(request, only=mine.only, objects=tuple(asked.values()))
        return self.fits(whole, state)

    def fits(self, request: PropagationRequest, state: SessionState) -> bool:
        """Say whether a run of `request` in `state` would do all this over again."""
        return _question(self.request) == _question(request) and all(
            # The very same table: nothing was tracked, undone or removed in between, or it was brought back by redo.
            item.object_id in self.tracks
            and item.object_id in state.objects
            and self.tracks[item.object_id] is state.objects[item.object_id].tracks
            for item in request.objects
        )


def _ids(request: PropagationRequest) -> set[ObjectId]:
    return {item.object_id for item in request.objects}


def _question(request: PropagationRequest) -> PropagationRequest:
    return replace(request, generation=0)
