"""Snapshot: a session at one moment, frozen, so that another thread can save it while people go on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from napari_sam2.core.bases import Bases
from napari_sam2.core.extent import WHOLE
from napari_sam2.core.freshness import freshness_of
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.saved import Kept, SavedSession
from napari_sam2.core.state import SessionState
from napari_sam2.core.store import MaskStore


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state and what it takes to say what it rests on. Making one costs nothing; any thread may ask it.

    `num_frames`, `depth`: of the stack, see `StackView`; `model`: number of the model; `highest_id`: of all objects
    that ever were; `log`: the lines that led to it.
    """

    state: SessionState
    store: MaskStore = field(repr=False)
    num_frames: int
    depth: int
    model: int
    highest_id: int
    log: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said yet."""
        state = self.state
        return not state.objects and not state.infos and state.existing is None

    @property
    def saved(self) -> SavedSession:
        """All that a person made."""
        return SavedSession.of(self.state, self.highest_id)

    @property
    def kept(self) -> Kept:
        """All masks of the model; `LookupError` if the store has forgotten some of them since."""
        bases = {
            object_id: bases_of(object_id, self.state, self.num_frames, self.depth, self.model)
            for object_id in self.state.objects
        }

        def is_good(object_id: ObjectId, frame: FrameIndex) -> bool:
            basis = bases[object_id].of(object_id, frame)
            tracked = self.state.objects[object_id].tracks.get(frame)
            return basis is not None and freshness_of(tracked, basis) in ("fresh", "moved")

        return Kept.of(self.state, self.store, is_good)


def bases_of(
    object_id: ObjectId, state: SessionState, num_frames: int, depth: int, model: int
) -> Bases:
    """Return what every frame of an object rests on, also those that are trimmed away now."""
    whole = PropagationRequest(
        0,
        (replace(state.asked(object_id), extent=WHOLE),),
        FrameIndex(0),
        FrameIndex(num_frames),
        mapping=state.mapping,
        depth=depth,
    )
    return Bases(whole, model)
