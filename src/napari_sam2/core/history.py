"""Undo and redo: whole states are remembered, so what comes back is what was there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from napari_sam2.core.ids import ObjectId
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.core.state import RecordKey, SessionState

MAX_LEVELS = 500
"""Undo levels that are kept; states share what did not change, so a level costs kilobytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A state and the action that led to it, in words ("add point", "propagate")."""

    action: str
    state: SessionState


@dataclass(frozen=True, slots=True)
class History:
    """A frozen line of entries and the place in it; keeping an old value is enough to go back to it."""

    present: Entry
    past: tuple[Entry, ...] = field(default=(), repr=False)
    future: tuple[Entry, ...] = field(default=(), repr=False)

    @property
    def state(self) -> SessionState:
        """The present state."""
        return self.present.state

    def pushed(self, action: str, state: SessionState) -> History:
        """Return the history with one more entry; what had been undone is given up."""
        return History(Entry(action, state), (*self.past, self.present)[-MAX_LEVELS:], ())

    @property
    def states(self) -> Iterator[SessionState]:
        """All states that undo and redo lead to, the present one first."""
        yield self.present.state
        yield from (entry.state for entry in (*self.future, *reversed(self.past)))

    def shortened(self, size_of: Callable[[RecordKey], int], limit: int) -> History:
        """Return the history without the oldest entries, as far as their masks take it beyond `limit` bytes."""
        seen, known, total = set[int](), set[RecordKey](), 0
        for number, state in enumerate(self.states):
            fresh = set(state.records(seen)) - known
            known |= fresh
            total += sum(map(size_of, fresh))
            if total > limit and number > len(self.future):
                count = len(self.past) - (number - len(self.future)) + 1
                return replace(self, past=self.past[count:])
        return self

    def undone(self) -> History:
        """Return the history one entry back, or this one at its beginning."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.present, *self.future))

    def redone(self) -> History:
        """Return the history one entry on, or this one at its end."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.present), self.future[1:])

    def amended(self, change: Callable[[SessionState], SessionState]) -> History:
        """Return the history with `change` applied to every state: what arrives late belongs where it was asked."""

        def amend(entry: Entry) -> Entry:
            state = change(entry.state)
            return entry if state is entry.state else replace(entry, state=state)

        return History(
            amend(self.present), tuple(map(amend, self.past)), tuple(map(amend, self.future))
        )

    def holds(self, condition: Callable[[SessionState], bool]) -> bool:
        """Say whether `condition` is true of any state."""
        return any(condition(entry.state) for entry in (*self.past, self.present, *self.future))

    def without(self, object_id: ObjectId, prompts: FramePrompts) -> History:
        """Return the history as if exactly these prompts had never been given; later ones stay."""
        line, present = (*self.past, self.present, *self.future), len(self.past)
        here = present
        good, kept = SessionState(), list[Entry]()
        for number, entry in enumerate(line):
            state = entry.state
            if state.prompts_on(object_id, prompts.frame) == prompts:
                state = state.with_frame_as_in(good, object_id, prompts.frame)
            else:
                good = state
            is_idle = bool(kept) and state == kept[-1].state and state is not entry.state
            if not is_idle:
                kept.append(replace(entry, state=state))
            elif number <= present:
                # One entry fewer up to the present.
                here -= 1
        return History(kept[here], tuple(kept[:here]), tuple(kept[here + 1 :]))
