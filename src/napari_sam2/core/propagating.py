"""Propagating: which runs a session may start, and what has changed since the last one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from napari_sam2.core.errors import OptionError, PropagationError
from napari_sam2.core.freshness import FreshnessBook, ObjectFreshness
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import Direction, PropagationRequest
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded
from napari_sam2.core.run import Run
from napari_sam2.core.validation import check_frame_range
from napari_sam2.core.volumes import check_volume_range


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
            Which frames are tracked; all by default. In a row of volumes (`StackView.volume_axis`) all, or some of one
            volume; `direction` is then that from volume to volume, or within that one.
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
        only = self._freshness.to_track(request, self.state, self._model)
        needed = {name.object_id for name in only}
        asked = tuple(item for item in request.objects if item.object_id in needed)
        return self._start_run(replace(request, objects=asked, only=only))

    def is_changed(self, object: int) -> bool:
        """Say whether an object was never tracked, or something said since has made its tracked masks out of date."""
        return self._freshness_of(object).is_changed

    @property
    def changed(self) -> tuple[ObjectId, ...]:
        """The objects of which `is_changed` is true."""
        return tuple(object_id for object_id in self.objects if self.is_changed(object_id))

    def stale_frames(self, object: int) -> tuple[FrameIndex, ...]:
        """Return the frames of an object whose tracked mask is out of date."""
        return self._freshness_of(object).outdated

    @cached_property
    def _freshness(self) -> FreshnessBook:
        return FreshnessBook(len(self.frames), self.stack_view.depth)

    def _freshness_of(self, object: int) -> ObjectFreshness:
        return self._freshness.of_object(self._known(object), self.state, self._model)

    def _asked(
        self,
        direction: Direction,
        frames: range | tuple[int, int] | None,
        objects: Iterable[int] | None,
    ) -> PropagationRequest:
        if direction not in ("both", "forward", "backward"):
            raise OptionError(
                f"direction must be 'both', 'forward' or 'backward', got {direction!r}",
                remedy="take 'both' to track everything",
            )
        start, stop = check_frame_range(frames, len(self.frames))
        depth = self.stack_view.depth
        if depth:
            check_volume_range(start, stop, depth, len(self.frames))
        chosen = self.objects if objects is None else self._chosen(objects)
        if not chosen:
            raise PropagationError("no object has a prompt yet", remedy="click one first")
        asked = tuple(self.state.asked(object_id) for object_id in chosen)
        self._generation += 1
        return PropagationRequest(
            self._generation, asked, start, stop, direction, mapping=self.mapping, depth=depth
        )

    def _chosen(self, objects: Iterable[int]) -> tuple[ObjectId, ...]:
        try:
            given = list(objects)
        except TypeError as error:
            raise PropagationError(
                f"objects must be a sequence of ids, got {objects!r}",
                remedy="give a list, also of one id",
            ) from error
        return tuple(sorted({self._known(item) for item in given}))
