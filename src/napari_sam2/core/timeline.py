"""Timeline: the states of a session over time, and all that keeps them consistent with answers, runs and listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from psygnal import Signal

from napari_sam2.core.asks import Ask, Asks, Offers
from napari_sam2.core.drafting import DraftStore
from napari_sam2.core.engine import Engine
from napari_sam2.core.errors import PropagationError
from napari_sam2.core.history import Entry, History
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import EMPTY_BOX, Box, union_box
from napari_sam2.core.messages import PromptRequest, PromptResult, PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts
from napari_sam2.core.recording import ActionLog, recorded
from napari_sam2.core.run import Journal, Run, StoredFrame, Unfinished
from napari_sam2.core.state import LockOrigin, Made, ObjectState, SessionState, changed_frames
from napari_sam2.core.store import NO_RUN, MaskRecord, MaskStore
from napari_sam2.core.table import FrameTable, OrderedFrameTable

logger = logging.getLogger(__name__)

MEMORY_LIMIT = 512 << 20
"""Bytes of masks in memory from which on the oldest undo levels are given up."""


class Timeline:
    """History, questions on their way, the run that is going on, and events; the base of `Session`.

    Events are emitted when everything is in place, so a listener sees the session as it is from now on.

    Attributes
    ----------
    store : MaskStore
        Where results are.
    journal : Journal or None
        Where runs that start from now on write their results first, so that they outlive the program.
    """

    objects_changed = Signal(description="An object came, went, or is called otherwise.")
    prompts_changed = Signal(int, int, description="Prompts of (object, frame) changed.")
    locks_changed = Signal(int, int, description="The lock of (object, frame) came or went.")
    frame_committed = Signal(int, tuple, description="Labels of (frame, box) may have changed.")
    history_changed = Signal(description="Undo or redo lead elsewhere.")
    prompt_answered = Signal(object, description="A PromptResult came, with candidates.")
    run_started = Signal(object, description="A Run may be driven now.")
    run_finished = Signal(object, description="A Run ended: complete, cancelled or failed.")
    line_recorded = Signal(str, description="An action took place; the Python line that does it.")

    def __init__(self, engine: Engine, store: MaskStore, state: SessionState) -> None:
        self._engine, self.store = engine, store
        self.journal: Journal | None = None
        self._drafts = DraftStore(store)
        self._history = History(Entry("", state))
        self._asks, self._offers = Asks(), Offers()
        self._log = ActionLog(self.line_recorded.emit)
        self._held_answers: list[PromptResult] | None = None
        self._generation = self._clock = self._highest_id = self._model = 0
        self._memory_limit = self._memory_mark = MEMORY_LIMIT
        self._run: Run | None = None
        self._noted = 0
        self._unfinished: Unfinished | None = None

    @property
    def state(self) -> SessionState:
        """The present state, a frozen value."""
        return self._history.state

    @property
    def engine(self) -> Engine:
        """The way to the model. Another one may be set between runs; a run that it did not begin starts anew."""
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._refuse_while_running()
        self._engine, self._unfinished, self._offers = engine, None, Offers()
        self._model += 1

    @property
    def run(self) -> Run | None:
        """The run that is going on."""
        return self._run

    @property
    def _new_standing(self) -> int:
        """What a new object counts as: later than all runs so far (even numbers), earlier than the next one."""
        return self._clock + 1

    @property
    def memory_limit(self) -> int:
        """Bytes of masks in memory from which on the oldest undo levels are given up."""
        return self._memory_limit

    @memory_limit.setter
    def memory_limit(self, limit: int) -> None:
        self._memory_limit = self._memory_mark = limit
        self._save_memory()

    @property
    def log(self) -> tuple[str, ...]:
        """Every action so far as a line of Python; all of them give a new session on the stack the same labels.

        The names in them: `session`, and those of `napari_sam2.core.script`.
        """
        return self._log.lines

    # Undo and redo

    @property
    def undo_action(self) -> str:
        """What `undo` would take back, in words; empty if there is nothing."""
        return self._history.present.action if self._history.past else ""

    @property
    def redo_action(self) -> str:
        """What `redo` would do again, in words; empty if there is nothing."""
        return self._history.future[0].action if self._history.future else ""

    @recorded
    def undo(self) -> bool:
        """Go back one action; say whether there was one. Undoing a run that is going on cancels it."""
        return self._go(self._history.undone())

    @recorded
    def redo(self) -> bool:
        """Go forward one action again; say whether there was one."""
        return self._go(self._history.redone())

    def _go(self, history: History) -> bool:
        if history is self._history:
            return False
        self._change(history, is_move=True)
        return True

    # Actions and their answers

    def _act(self, action: str, state: SessionState) -> None:
        self._change(self._history.pushed(action, state))

    def _change(self, history: History, *, is_move: bool = False) -> None:
        """Take `history` as the present one and ask what it waits for; on an error, all is as it was.

        `is_move`: it is another place in the same history, so a question that fails later takes no action back.
        """
        self._log.prepare()
        self._note_progress()
        before, self._history = self._history, history
        self._held_answers = []
        try:
            self._ask_what_waits(None if is_move else before)
        except BaseException:
            self._history, self._held_answers = before, None
            raise
        answers, self._held_answers = self._held_answers, None
        self._drafts.keep()
        self._log.flush()
        self._highest_id = max(self._highest_id, self.state.highest_id)
        self._cancel_lost_run()
        self._announce(before)
        for answer in answers:
            self.prompt_answered.emit(answer)
        self._save_memory()

    def _ask_what_waits(self, before: History | None = None) -> None:
        """Ask what the present state waits for; `before`: the history without the action that is going on, if any."""
        history, open_before = self._history, self._asks.copy()
        try:
            for object_id, prompts in list(self._asks.unasked(history.state)):
                request = self._request(object_id, prompts)
                line, highest = self._log.next_number, self._highest_id
                self._asks.add(Ask(request, before, history, line, highest))
                self._engine.ask(request, self.accept)
        except BaseException:
            self._asks = open_before
            raise

    def _request(self, object_id: ObjectId, prompts: FramePrompts) -> PromptRequest:
        self._generation += 1
        known = self.state.objects[object_id].prompts
        others = tuple(said for frame, said in known.items() if frame != prompts.frame)
        history = ObjectPrompts(object_id, others)
        return PromptRequest(self._generation, object_id, prompts, history, self.state.mapping)

    def accept(self, result: PromptResult) -> None:
        """Take the answer to a prompt, on the session's thread.

        It goes into the history entry of its prompt and into all later ones that still have that prompt. If none has,
        the answer is stale and dropped.
        """
        ask = self._asks.take(result.generation)
        if ask is None:
            return
        object_id, prompts = ask.request.object_id, ask.request.prompts
        mapping = ask.request.mapping
        if not self._history.holds(lambda state: state.awaits(object_id, prompts, mapping)):
            return
        self._offers.keep(object_id, prompts, result)
        record = MaskRecord.from_mask(result.mask, prompts.frame, NO_RUN, "prompt")
        key = self._drafts.append(record)
        before = self._history
        self._history = before.amended(
            lambda state: state.with_answer(object_id, prompts, key, mapping)
        )
        if self._held_answers is None:
            self._announce(before)
            self.prompt_answered.emit(result)
        else:
            self._held_answers.append(result)

    def refuse(self, generation: int) -> None:
        """Take a prompt back that the model failed to answer, on the session's thread.

        `generation` is that of its `PromptRequest`. Nothing remains of the action; what was done after it stays.
        """
        ask = self._asks.take(generation)
        if ask is None:
            return
        before = self._history
        if before is ask.after and ask.before is not None and self._log.ends_with(ask.line):
            self._log.strike(ask.line)
            self._history, self._highest_id = ask.before, ask.highest_id
            self._announce(before)
        else:
            self.take_back(ask.request.object_id, ask.request.prompts)
        # The engine may have dropped the question that is the newest one now.
        self._ask_what_waits()

    @recorded
    def take_back(self, object: int, prompts: FramePrompts) -> None:
        """Let exactly these prompts never have been given, wherever undo leads; what was done after them stays.

        The log has this line for a prompt that the model failed to answer, if something else was done in between.
        """
        object_id, before = ObjectId(object), self._history
        if not before.holds(lambda state: state.prompts_on(object_id, prompts.frame) == prompts):
            return
        self._log.prepare()
        self._note_progress()
        self._history = before.without(object_id, prompts)
        self._log.flush()
        self._cancel_lost_run()
        self._announce(before)

    # Runs

    def _start_run(self, request: PropagationRequest) -> Run:
        self._refuse_while_running()
        self._log.prepare()
        unfinished = self._unfinished
        if unfinished is not None and unfinished.is_part_of(request, self.state):
            earlier = unfinished.request
            request = replace(request, objects=earlier.objects, only=earlier.only)
        if unfinished is not None and unfinished.fits(request, self.state):
            number, resume = unfinished.number, unfinished.resume
        else:
            self._clock += 2
            number, resume = self._clock, None
        self._run = Run(
            request,
            number,
            resume,
            standing={key: known.run for key, known in self.state.objects.items()},
            model=self._model,
            engine=self._engine,
            store=self.store,
            commit=self._commit,
            finish=self._finish,
            journal=self.journal,
        )
        self._log.flush("run = ")
        self._noted = self._run.done
        self.run_started.emit(self._run)
        return self._run

    def _refuse_while_running(self) -> None:
        if self._run is None:
            return
        if not self._run.is_cancelled:
            raise PropagationError(
                f"a propagation is going on ({self._run.done} of {self._run.total} frames)",
                remedy="let it finish, or cancel it",
            )
        self._run.finish()

    def _commit(self, run: Run, stored: StoredFrame) -> None:
        before = self._history
        is_first = run.done == 0
        if is_first:
            # The entry is made when there is something to undo, not when the run is asked for.
            joining = [key for key in run.standing if run.joins(key, self.state)]
            if not joining:
                return
            state = self.state.joining(run.number, joining, is_repair=run.is_repair)
            self._history = before.pushed("propagate", state)
        made = Made()
        self._history = self._history.amended(
            lambda state: state.with_tracks(run.number, stored.frame, stored.keys, run.bases, made)
        )
        run.done = stored.resume.done
        self._unfinished = Unfinished.after(run, stored.resume, self.state)
        if is_first:
            self._announce(before)
        else:
            self._announce_frame(before.state, stored.frame, stored.keys)

    def _save_memory(self) -> None:
        """Forget masks that no undo leads to any more, and the oldest undo levels if the rest is still too much."""
        is_busy = self._run is not None or not self._asks.is_empty
        if is_busy or self.store.num_bytes <= self._memory_mark:
            return
        limit = self.memory_limit
        history = self._history.shortened(lambda key: self.store.get(key).num_bytes, limit)
        if len(history.past) < len(self._history.past):
            lost = len(self._history.past) - len(history.past)
            logger.warning("the oldest %d undo levels were given up to save memory", lost)
        is_shorter, self._history = history is not self._history, history
        seen = set[int]()
        self.store.discard({key for state in history.states for key in state.records(seen)})
        # Not looked through again before a quarter more has come.
        self._memory_mark = max(limit, self.store.num_bytes) * 5 // 4
        if is_shorter:
            self.history_changed.emit()

    def _note_progress(self) -> None:
        """Record how far the run has come before something else is done."""
        if self._run is not None and self._run.done != self._noted:
            self._noted = self._run.done
            self._log.write(f"run.drive({self._noted})")

    def _finish(self, run: Run) -> None:
        self._note_progress()
        if not run.is_complete or run.total == 0:
            self._log.write("run.finish()")
        self._run = None
        if run.is_complete:
            self._unfinished = None
        self._save_memory()
        self.run_finished.emit(run)

    def _cancel_lost_run(self) -> None:
        """Cancel a run of which nothing is shown any more: it was undone, or its objects were removed."""
        run = self._run
        if run is not None and not run.is_shown_in(self.state):
            run.cancel()

    # Events

    def _announce(self, before: History) -> None:
        if before is self._history:
            return
        old, new = before.state, self.state
        if old.objects.keys() != new.objects.keys() or old.infos != new.infos:
            self.objects_changed.emit()
        for object_id, frame in _differing(old, new, lambda known: known.prompts):
            self.prompts_changed.emit(object_id, frame)
        for object_id, frame in _differing(old, new, lambda known: known.locked):
            self.locks_changed.emit(object_id, frame)
        boxes: dict[FrameIndex, Box] = dict(self._repainted(old))
        for object_id, frame in changed_frames(old, new):
            box = self._changed_box(old, object_id, frame)
            boxes[frame] = union_box(boxes.get(frame, EMPTY_BOX), box)
        for frame in sorted(boxes):
            self.frame_committed.emit(frame, boxes[frame])
        self.history_changed.emit()

    def _repainted(self, old: SessionState) -> Iterable[tuple[FrameIndex, Box]]:
        """Return the frames whose labels changed without any mask having changed."""
        return ()

    def _announce_frame(
        self, old: SessionState, frame: FrameIndex, object_ids: Iterable[ObjectId]
    ) -> None:
        box = EMPTY_BOX
        for object_id in object_ids:
            box = union_box(box, self._changed_box(old, object_id, frame))
        self.frame_committed.emit(frame, box)

    def _changed_box(self, old: SessionState, object_id: ObjectId, frame: FrameIndex) -> Box:
        keys = (old.shown(object_id, frame), self.state.shown(object_id, frame))
        first, second = (EMPTY_BOX if key is None else self.store.get(key).box for key in keys)
        return union_box(first, second)


Table = TypeVar("Table", FrameTable[LockOrigin], OrderedFrameTable[FramePrompts])


def _differing(
    old: SessionState, new: SessionState, table_of: Callable[[ObjectState], Table]
) -> Iterator[tuple[ObjectId, FrameIndex]]:
    """Yield, in ascending order, the objects and frames whose entry in a table of their object is another one."""
    for object_id in sorted(old.objects.keys() | new.objects.keys()):
        before, after = old.objects.get(object_id), new.objects.get(object_id)
        if before is not after:
            nothing = ObjectState(object_id, 0, 0)
            tables = table_of(before or nothing), table_of(after or nothing)
            yield from ((object_id, frame) for frame in sorted(tables[0].differing(tables[1])))
