"""What every fault keeps to, whatever it is: the global contract of docs/reliability.md.

(a) the error is one of ours and says what happened, what was kept and what to do; (b) the session, or the folder, is
as it was before, plus the frames that were finished; (c) nothing is left at work and the window can be used; (d) the
same action succeeds once the fault is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_sam2.core.errors import NapariSam2Error

Action = Callable[[], object]


class FaultContract:
    """Does something that must fail, checks the contract, and does it again without the fault.

    In each method `faulty` must fail, and `then` is the same without the fault; `faulty` itself by default, for faults
    that come once.
    """

    def error(self, error: BaseException) -> NapariSam2Error:
        """Check (a)."""
        assert isinstance(error, NapariSam2Error)
        assert type(error) is not NapariSam2Error, "an error has a kind"
        assert error.code != NapariSam2Error.code
        assert not isinstance(error, (RuntimeError, StopIteration)), "napari would swallow it"
        for part in (error.what, error.kept, error.remedy):
            assert part.strip(), f"no part of an error is empty: {error!r}"
            assert len(part) < 1000, "a message is no dump"
        assert "Traceback" not in str(error)
        return error

    def call(self, faulty: Action, then: Action | None = None, kind=NapariSam2Error):
        """Check (a) and (d) of something that keeps no state; return the error."""
        with pytest.raises(kind) as caught:
            faulty()
        self.error(caught.value)
        (then or faulty)()
        return caught.value

    def session(self, session, faulty: Action, then: Action | None = None, kind=NapariSam2Error):
        """Check the whole contract of something done with a session; return the error."""
        before = SessionFacts.of(session)
        with pytest.raises(kind) as caught:
            faulty()
        self.error(caught.value)
        before.check(session)
        (then or faulty)()
        assert session.run is None
        return caught.value

    def folder(
        self, folder: Path, faulty: Action, then: Action | None = None, kind=NapariSam2Error
    ):
        """Check the whole contract of something done with the files of a folder; return the error."""
        before = contents_of(folder)
        with pytest.raises(kind) as caught:
            faulty()
        self.error(caught.value)
        assert contents_of(folder) == before, "files are as they were, and there is no litter"
        (then or faulty)()
        return caught.value

    def desk(self, desk, faulty: Action, then: Action | None = None):
        """Check the whole contract of something done in the window; return the error."""
        session, before = desk.session, SessionFacts.of(desk.session)
        failed: list[NapariSam2Error] = []
        desk.controller.failed.connect(failed.append)
        faulty()
        desk.controller.failed.disconnect(failed.append)
        assert len(failed) == 1, "one report for one error"
        self.error(failed[0])
        before.check(session)
        check_usable(desk)
        (then or faulty)()
        check_usable(desk)
        return failed[0]


@dataclass(frozen=True)
class SessionFacts:
    """What a session was before: everything that was said, and which record was shown where."""

    said: tuple[object, ...]
    shown: dict[tuple[int, int], int]
    state: object

    @classmethod
    def of(cls, session) -> SessionFacts:
        """Note how a session stands."""
        state = session.state
        said = (
            state.infos,
            state.overlap,
            state.existing,
            state.reserved,
            state.mapping,
            {key: (known.all_prompts, tuple(known.locks)) for key, known in state.objects.items()},
            {key: dict(known.answers.items()) for key, known in state.objects.items()},
            {key: known.pending for key, known in state.objects.items()},
        )
        return cls(said, _shown(session), state)

    def check(self, session) -> None:
        """Check (b), and (c) as far as a session goes."""
        now = SessionFacts.of(session)
        assert session.run is None, "nothing goes on"
        assert now.said == self.said, "nothing that was said is lost or made up"
        assert self.shown.keys() <= now.shown.keys(), "no finished frame is lost"
        for place, key in now.shown.items():
            record = session.store.get(key)
            assert (record.object_id, record.frame) == place, "what is shown is in the store"
            assert place not in self.shown or key >= self.shown[place]
        if now.shown == self.shown:
            assert session.state is self.state, "not even an undo level came of it"


def _shown(session) -> dict[tuple[int, int], int]:
    state, frames = session.state, range(len(session.frames))
    places = ((key, t) for key in state.objects for t in frames)
    keys = ((place, state.shown(*place)) for place in places)
    return {place: key for place, key in keys if key is not None}


def contents_of(folder: Path) -> dict[str, str]:
    """Return a checksum for every file below a folder, and "" for every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


def check_usable(desk) -> None:
    """Check (c): nothing waits, nothing is shown to be going on, and the buttons can be pressed."""
    import threading

    from napari.utils import progress

    state = desk.shown()
    assert state.progress is None
    assert not [bar for bar in progress._all_instances if "SAM 2" in bar.desc]
    assert not desk.viewer.window._task_status_manager.is_busy()
    if desk.session is not None:
        assert desk.session.run is None
        assert desk.controller.binding.engine.num_waiting == 0
        assert state.can_propagate == bool(desk.session.objects)
        assert desk.bridge.labels.editable
    workers = [item for item in threading.enumerate() if item.name == "napari-sam2 worker"]
    assert workers, "the thread survived"
