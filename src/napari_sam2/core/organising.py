"""Organising: what is done to whole objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from napari_sam2.core import edits, joining
from napari_sam2.core.errors import PromptError
from napari_sam2.core.extent import WHOLE, Extent
from napari_sam2.core.ids import FrameIndex, ObjectId, is_whole
from napari_sam2.core.masks import EMPTY_BOX
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.projection import check_label
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded
from napari_sam2.core.state import ObjectState, SessionState
from napari_sam2.core.validation import (
    check_frame,
    check_info,
    check_name,
    check_object_id,
)


class Organising(Reading):
    """Names, merging, splitting, trimming, divisions and removal of objects; one history entry each."""

    @recorded
    def remove_object(self, object: int) -> None:
        """Remove an object with its prompts, locks and results, also a daughter that was never prompted.

        Its daughters have no parent then.
        """
        self._act("remove object", self.state.without_object(self._listed(object)))

    @recorded
    def rename(self, object: int, name: str) -> None:
        """Call an object by a name; an empty one takes it back."""
        self._inform("rename", object, name=check_name(name))

    @recorded
    def classify(self, object: int, class_name: str) -> None:
        """Say which class an object belongs to; an empty one takes it back."""
        self._inform("classify", object, class_name=check_name(class_name))

    @recorded
    def describe(self, object: int, info: ObjectInfo) -> None:
        """Say everything about an object at once, also about one that is still to be prompted."""
        object_id = self._free(object)
        state = self._described(self.state, object_id, info)
        check_descent(state, [object_id])
        if state.info(object_id) != self.state.info(object_id):
            self._act("describe", state)

    @recorded
    def trim_before(self, object: int, frame: int) -> None:
        """Erase an object before a frame. Runs show nothing there until `untrim`, or a prompt there, asks for it.

        What was said there still counts for the frames that stay.
        """
        self._trim("trim before", object, frame, before=True)

    @recorded
    def trim_after(self, object: int, frame: int) -> None:
        """Erase an object after a frame; see `trim_before`."""
        self._trim("trim after", object, frame, before=False)

    @recorded
    def untrim(self, object: int) -> None:
        """Show an object on all frames again, as it was found there."""
        self._inform("untrim", object, extent=WHOLE)

    @recorded
    def divide(self, object: int, frame: int, daughters: int = 2) -> tuple[ObjectId, ...]:
        """Let a frame be the last one of a mother, and return the ids of her daughters.

        The daughters are there once they are prompted, from the next frame on.
        """
        mother, last = self._known(object), check_frame(frame, len(self.frames))
        if not is_whole(daughters) or daughters < 1:
            raise PromptError(
                f"the number of daughters must be a whole number from 1, got {daughters!r}",
                remedy="leave it out for two",
            )
        if last + 1 >= len(self.frames):
            raise PromptError(
                f"frame {last} is the last one", remedy="divide before the daughters appear"
            )
        info = self.state.info(mother)
        state = self.state.with_info(mother, replace(info, extent=self._cut(mother, stop=last + 1)))
        first = self.next_object_id
        check_label(first + int(daughters) - 1, self.labels_dtype)
        born = tuple(ObjectId(number) for number in range(first, first + int(daughters)))
        for daughter in born:
            is_from = ObjectInfo(class_name=info.class_name, parent=mother, extent=Extent(last + 1))
            state = state.with_info(daughter, is_from)
        self._act("divide", state)
        return born

    @recorded
    def split(self, object: int, frame: int) -> ObjectId:
        """Let an object be another one from a frame on, and return the new id.

        Prompts, locks, masks and daughters go with their frames. A part about which nothing was said rests on the mask
        that it shows next to the frame.

        Raises
        ------
        PromptError
            If one of the parts shows nothing.
        """
        object_id, first = self._answered(object), check_frame(frame, len(self.frames))
        new, run = self.next_object_id, self._new_standing
        known, info = self.state.objects[object_id], self.state.info(object_id)
        early = joining.part_of(known, lambda t: t < first, object_id, self._drafts, run)
        late = joining.part_of(known, lambda t: t >= first, new, self._drafts, run)
        early = self._rested(early, reversed(range(first)), Extent(info.extent.first, first))
        late = self._rested(late, range(first, len(self.frames)), Extent(first, info.extent.stop))
        state = self.state.with_object(early).with_object(late)
        state = state.with_info(object_id, replace(info, extent=self._cut(object_id, stop=first)))
        state = state.with_info(
            new, replace(info, name="", extent=self._cut(object_id, first=first))
        )
        state = state.with_daughters_moved(object_id, new, lambda info: info.extent.first >= first)
        self._act("split", state)
        return new

    @recorded
    def merge(self, object: int, other: int) -> None:
        """Let two objects be one, of the first id: on every frame it shows what both showed.

        Where both showed something on a frame about which a person spoke, their joint mask is what is said from now
        on; elsewhere all that was said stays. `propagate_changed` tracks the joint object.
        """
        object_id, gone = self._answered(object), self._answered(other)
        if object_id == gone:
            raise PromptError(
                f"object {object_id} cannot be merged with itself", remedy="choose two objects"
            )
        info, given = self.state.info(object_id), self.state.info(gone)
        extent = _hull(info.extent, given.extent)
        merged = joining.joined(
            self.state,
            object_id,
            gone,
            self._drafts,
            self.frames.shape,
            extent,
            self._new_standing,
        )
        merged = self._rested(merged, range(len(self.frames)), extent)
        both = self.state.objects[object_id], self.state.objects[gone]
        merged = joining.with_joint_locks(merged, both)
        parent = given.parent if info.parent == gone else info.parent
        state = self.state.with_daughters_moved(gone, object_id).without_object(gone)
        info = replace(
            info,
            name=info.name or given.name,
            class_name=info.class_name or given.class_name,
            parent=None if state.descends(parent, object_id) else parent,
            extent=extent,
        )
        self._act("merge", state.with_object(merged).with_info(object_id, info))

    # Small steps

    def _described(
        self, state: SessionState, object_id: ObjectId, info: ObjectInfo
    ) -> SessionState:
        """Return the state with all that is said about an object from outside, after the checks."""
        if info.parent is not None:
            check_object_id(info.parent, self.labels_dtype, self.next_object_id)
        return state.with_info(object_id, check_info(info, len(self.frames)))

    def _answered(self, object: int) -> ObjectId:
        object_id = self._known(object)
        if self.state.objects[object_id].pending:
            raise PromptError(
                f"an answer about object {object_id} is on its way", remedy="wait until it is there"
            )
        return object_id

    def _inform(self, action: str, object: int, **changes: object) -> None:
        object_id = self._listed(object)
        info = self.state.info(object_id)
        changed = replace(info, **changes)  # type: ignore[arg-type]
        if changed != info:
            self._act(action, self.state.with_info(object_id, changed))

    def _trim(self, action: str, object: int, frame: int, *, before: bool) -> None:
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        extent = (
            self._cut(object_id, first=frame_idx)
            if before
            else self._cut(object_id, stop=frame_idx + 1)
        )
        self._inform(action, object_id, extent=extent)

    def _cut(self, object_id: ObjectId, *, first: int = 0, stop: int | None = None) -> Extent:
        """Return the part of an object's extent from `first` to before `stop`."""
        extent = self.state.info(object_id).extent
        ends = [end for end in (extent.stop, stop) if end is not None]
        cut = Extent(max(extent.first, first), min(ends, default=None))
        if cut.stop is not None and cut.first >= cut.stop:
            raise PromptError(
                f"nothing would be left of object {object_id}", remedy="remove the object instead"
            )
        return cut

    def _rested(self, part: ObjectState, frames: object, extent: Extent) -> ObjectState:
        """Return a part of an object that rests on a prompt: on the nearest mask, if nothing was said about it."""
        if part.prompts:
            return part
        for t in frames:  # type: ignore[attr-defined]
            key = part.shown(FrameIndex(t)) if t in extent else None
            if key is not None and (record := self.store.get(key)).box != EMPTY_BOX:
                said = edits.with_mask(FrameIndex(t), record.to_packed(self.frames.shape))
                return part.prompted(
                    said, joining.person_answer(said, part.object_id, self._drafts)
                )
        raise PromptError(
            "one of the parts would show nothing", remedy="propagate first, or remove the object"
        )


def _hull(first: Extent, second: Extent) -> Extent:
    stops = (first.stop, second.stop)
    stop = None if None in stops else max(end for end in stops if end is not None)
    return Extent(min(first.first, second.first), stop)


def check_descent(state: SessionState, object_ids: Iterable[ObjectId]) -> None:
    """Refuse objects that come from themselves by divisions."""
    for object_id in object_ids:
        parent = state.info(object_id).parent
        if state.descends(parent, object_id):
            raise PromptError(
                f"object {object_id} cannot come from object {parent}, which comes from it",
                remedy="name the mother as the parent of her daughters, and nobody as hers",
            )
