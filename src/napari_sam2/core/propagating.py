"""Propagating: which runs a session may start, and what has changed since the last one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from napari_sam2.core.errors import OptionError, PropagationError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import Direction, PassId, PropagationRequest
from napari_sam2.core.plan import Bases, Basis, Span
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded
from napari_sam2.core.run import Run
from napari_sam2.core.state import Verdict
from napari_sam2.core.validation import check_frame_range


class Propagating(Reading):
    """Runs, whole ones and those that only repair what a correction has changed."""

    @recorded
    def propagate(
        self,
        direction: Direction = "both",
        frames: range | tuple[int, int] | None = None,
        objects: Iterable[int] | None = None,
    ) -> Run:
        """Carry objects along the frames.

        Every unprompted frame is tracked from the nearest conditioning frame of the object; prompted and locked
        frames are never written. The whole run is one history entry. After a cancelled or failed run, the same call
        continues it, and gives the same result as if nothing had happened.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}
            Where to go from the conditioning frames.
        frames : range or (start, stop), optional
            Which frames are tracked; all by default.
        objects : iterable of int, optional
            Which objects; all by default.

        Returns
        -------
        Run
            Iterate it to drive it. If there is nothing to track its `total` is 0, and that is no error.

        Raises
        ------
        PropagationError
            If no object has a prompt, the range is wrong, or another run is going on.
        """
        return self._start_run(self._asked(direction, frames, objects))

    @recorded
    def propagate_changed(
        self,
        direction: Direction = "both",
        frames: range | tuple[int, int] | None = None,
        objects: Iterable[int] | None = None,
    ) -> Run:
        """Carry along only what is missing, or rests on something else than what is said now.

        After a correction that is the span between the neighbouring locked frames of the object: all other masks stay
        as they are. The object keeps its place among overlapping objects. Parameters as in `propagate`.

        Returns
        -------
        Run
            If nothing is left to track its `total` is 0, and that is no error.
        """
        request = self._asked(direction, frames, objects)
        needed = {
            item.object_id: self._stale_passes(item.object_id, request) for item in request.objects
        }
        only = frozenset(name for names in needed.values() for name in names)
        asked = tuple(item for item in request.objects if needed[item.object_id])
        return self._start_run(replace(request, objects=asked, only=only))

    def is_changed(self, object: int) -> bool:
        """Say whether an object was never tracked, or something said since has made its tracked masks out of date."""
        object_id = self._known(object)
        known, asked = self.state.objects[object_id], self.state.asked(object_id)
        verdict = self._verdicts.get(object_id)
        if verdict is None or verdict.known is not known or verdict.rest != (asked, self._model):
            answer = self._is_changed(object_id)
            verdict = self._verdicts[object_id] = Verdict(known, (asked, self._model), answer)
        return verdict.is_changed

    def _is_changed(self, object_id: ObjectId) -> bool:
        tracks = self.state.objects[object_id].tracks
        passes = self._passes(object_id, self._whole(object_id))
        found = [(tracks.get(t), basis) for span, basis in passes for t in span.frames]
        known = [(old.basis, new) for old, new in found if old is not None]
        return any(_is_outdated(old, new) for old, new in known) or (bool(found) and not known)

    @property
    def changed(self) -> tuple[ObjectId, ...]:
        """The objects of which `is_changed` is true."""
        return tuple(object_id for object_id in self.objects if self.is_changed(object_id))

    def stale_frames(self, object: int) -> tuple[FrameIndex, ...]:
        """Return the frames of an object whose tracked mask is out of date."""
        object_id = self._known(object)
        tracks = self.state.objects[object_id].tracks
        return tuple(
            sorted(
                t
                for span, basis in self._passes(object_id, self._whole(object_id))
                for t in span.frames
                if (known := tracks.get(t)) is not None and _is_outdated(known.basis, basis)
            )
        )

    def _asked(
        self,
        direction: Direction,
        frames: range | tuple[int, int] | None,
        objects: Iterable[int] | None,
    ) -> PropagationRequest:
        if direction not in ("both", "forward", "backward"):
            raise OptionError(
                f"direction must be 'both', 'forward' or 'backward', got {direction!r}"
            )
        start, stop = check_frame_range(frames, len(self.frames))
        chosen = self.objects if objects is None else self._chosen(objects)
        if not chosen:
            raise PropagationError("no object has a prompt yet", remedy="click one first")
        asked = tuple(self.state.asked(object_id) for object_id in chosen)
        self._generation += 1
        return PropagationRequest(self._generation, asked, start, stop, direction)

    def _whole(self, object_id: ObjectId) -> PropagationRequest:
        return PropagationRequest(
            0, (self.state.asked(object_id),), FrameIndex(0), FrameIndex(len(self.frames))
        )

    def _passes(
        self, object_id: ObjectId, request: PropagationRequest
    ) -> tuple[tuple[Span, Basis], ...]:
        return Bases(request, self._model).passes[object_id]

    def _stale_passes(self, object_id: ObjectId, request: PropagationRequest) -> list[PassId]:
        """Return the passes of which a frame is missing or out of date.

        On the whole stack and both ways a frame must also come from where such a run would track it from; otherwise
        that would have good masks tracked again from further away.
        """
        is_whole = request.direction == "both" and (request.start, request.stop) == (
            0,
            len(self.frames),
        )
        tracks = self.state.objects[object_id].tracks

        def is_stale(frame: FrameIndex, basis: Basis) -> bool:
            known = tracks.get(frame)
            if known is None:
                return True
            return known.basis != basis if is_whole else _is_outdated(known.basis, basis)

        return [
            PassId(object_id, span.anchor, span.is_reverse)
            for span, basis in self._passes(object_id, request)
            if any(is_stale(frame, basis) for frame in span.frames)
        ]

    def _chosen(self, objects: Iterable[int]) -> tuple[ObjectId, ...]:
        try:
            given = list(objects)
        except TypeError as error:
            raise PropagationError(
                f"objects must be a sequence of ids, got {objects!r}",
                remedy="give a list, also of one id",
            ) from error
        return tuple(sorted({self._known(item) for item in given}))


def _is_outdated(old: Basis | None, new: Basis) -> bool:
    return old is None or (old.prompts, old.model) != (new.prompts, new.model)
