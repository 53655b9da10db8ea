"""QualityWatch: how every frame of an object stands, looked into no more often than the interface can bear."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.quality import FrameQuality
from napari_sam2.core.session import Session
from napari_sam2.plugin.state import FrameKind, FrameMark

DOUBTFUL = 0.5
"""From this probability of a bad mask on, a frame is shown as doubtful."""

_LEAST_PAUSE, _SHARE = 0.5, 20.0
"""During a run: seconds between two looks, and how many times longer than a look itself the pause is."""


class _Look(NamedTuple):
    basis: tuple[object, ...]
    qualities: tuple[FrameQuality, ...]
    again_at: float


class QualityWatch:
    """Remembers what was found about every object of one session."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.perf_counter) -> None:
        self._session, self._clock = session, clock
        self._looks: dict[int, _Look] = {}

    def marks_of(self, object_id: int, stopped_run: int = 0) -> tuple[FrameMark, ...]:
        """Return how every frame of an object is to be shown; `stopped_run`: the run whose frames are hatched."""
        if object_id not in self._session.objects:
            return tuple(FrameMark("missing") for _ in range(len(self._session.frames)))
        qualities = self._qualities(object_id)
        return tuple(self._mark(object_id, item, stopped_run) for item in qualities)

    def lowest_of(self, object_id: int) -> float | None:
        """Return how sure the worst tracked frame of an object is, 0 to 1; None if nothing was tracked."""
        if object_id not in self._session.objects:
            return None
        doubts = [
            item.doubt for item in self._qualities(object_id) if item.kind in ("tracked", "absent")
        ]
        return 1.0 - max(doubts) if doubts else None

    def _qualities(self, object_id: int) -> tuple[FrameQuality, ...]:
        # Overlaps with objects that changed since are left as they were: looking at all objects after every click
        # would be felt.
        basis = (self._session.state.objects[ObjectId(object_id)], self._session.info(object_id))
        look, now = self._looks.get(object_id), self._clock()
        if look is not None and _is_same(look.basis, basis):
            return look.qualities
        if look is not None and self._session.run is not None and now < look.again_at:
            return look.qualities
        qualities = self._session.quality(object_id)
        took = self._clock() - now
        again_at = now + took + max(_LEAST_PAUSE, _SHARE * took)
        self._looks[object_id] = _Look(basis, qualities, again_at)
        return qualities

    def _mark(self, object_id: int, quality: FrameQuality, stopped_run: int) -> FrameMark:
        session, frame = self._session, FrameIndex(quality.frame)
        record = session.record(object_id, frame) if stopped_run else None
        is_stopped = record is not None and record.run == stopped_run
        if session.state.is_locked(ObjectId(object_id), frame):
            return FrameMark("locked")
        return FrameMark(_kind(quality), quality.doubt, is_stopped)


def _kind(quality: FrameQuality) -> FrameKind:
    if quality.kind in ("prompted", "missing"):
        return quality.kind
    if quality.doubt >= DOUBTFUL:
        return "doubtful"
    return "absent" if quality.kind == "absent" else "done"


def _is_same(old: tuple[object, ...], new: tuple[object, ...]) -> bool:
    return old[0] is new[0] and old[1] == new[1]
