"""What is remembered of an object, and which of it a frame attends to: pure selection, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

NUM_RECENT = 6
"""Spatial memories of the most recent frames."""

NUM_RECENT_POINTERS = 15
"""Object pointers of the most recent frames."""

CONDITIONING_ROW = 6
"""Row of the temporal table for conditioning frames."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryEntry:
    """Memory of one frame for one slot.

    `spatial`: (1, Cm, h, w), storage dtype, or None once only the pointer can still be reached;
    `pointer`: (1, C), float32.
    """

    spatial: Tensor | None
    pointer: Tensor

    def without_spatial(self) -> MemoryEntry:
        """Keep the pointer only."""
        return MemoryEntry(None, self.pointer)


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What one slot attends to on one frame.

    `memories`, `rows`: spatial memories (1, Cm, h, w) and their rows of the temporal table;
    `pointers`, `offsets`: pointers (1, C) and their signed distances in frames, positive where the pass comes from.
    """

    memories: tuple[Tensor, ...]
    rows: tuple[int, ...]
    pointers: tuple[Tensor, ...]
    offsets: tuple[int, ...]

    @property
    def layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Slots of equal layout can be stepped together."""
        return self.rows, self.offsets


def nearest_conditioning(frame: int, candidates: list[int], limit: int | None) -> list[int]:
    """Choose at most `limit` conditioning frames: nearest before, nearest at or after, then by distance.

    Parameters
    ----------
    frame : int
        The frame that will attend.
    candidates : list of int
        Conditioning frames in the order in which they were prompted.
    limit : int or None
        At least 2; None takes all.

    Returns
    -------
    list of int
        In the order of `candidates` if all are taken, else nearest ones first.
    """
    if limit is None or len(candidates) <= limit:
        return candidates
    before = max((t for t in candidates if t < frame), default=None)
    after = min((t for t in candidates if t >= frame), default=None)
    chosen = [t for t in (before, after) if t is not None]
    others = sorted((t for t in candidates if t not in chosen), key=lambda t: abs(t - frame))
    return chosen + others[: limit - len(chosen)]


def select(
    frame: int,
    conditioning: Mapping[int, MemoryEntry],
    tracked: Mapping[int, MemoryEntry],
    *,
    num_frames: int,
    is_reverse: bool = False,
    max_conditioning: int | None = None,
    stride: int = 1,
    num_recent: int = NUM_RECENT,
) -> Selection:
    """Choose what a frame attends to (SAM 2 paper, Sec. 4, "Memory bank").

    Parameters
    ----------
    frame : int
        The frame that will attend.
    conditioning : mapping of int to MemoryEntry
        Prompted frames, past and future, in the order in which they were prompted.
    tracked : mapping of int to MemoryEntry
        Frames without prompts.
    num_frames : int
        Length of the stack; limits how far back pointers reach.
    is_reverse : bool
        Whether the pass goes towards frame 0: "recent" are then the later frames.
    max_conditioning : int or None
        See `nearest_conditioning`; conditioning frames left out may still count as recent ones.
    stride : int
        Recent memories beyond the neighbour are taken at multiples of it.
    num_recent : int
        At most so many spatial memories of recent frames.

    Returns
    -------
    Selection
        Conditioning frames first, then recent memories, oldest first; pointers likewise, newest first.
    """
    sign = -1 if is_reverse else 1
    chosen = nearest_conditioning(frame, list(conditioning), max_conditioning)
    left_out = conditioning.keys() - set(chosen)

    def recent(t: int) -> MemoryEntry | None:
        # Looked up one by one: a conditioning frame's memory may have to be made first.
        return tracked[t] if t in tracked else conditioning[t] if t in left_out else None

    memories, rows = [conditioning[t].spatial for t in chosen], [CONDITIONING_ROW] * len(chosen)
    for back in range(num_recent, 0, -1):
        entry = recent(_recent_frame(frame, back, sign, stride))
        if entry is not None and entry.spatial is not None:
            memories.append(entry.spatial)
            rows.append(back - 1)
    passed = [t for t in chosen if (frame - t) * sign >= 0]
    pointers = [conditioning[t].pointer for t in passed]
    offsets = [(frame - t) * sign for t in passed]
    for back in range(1, min(num_frames, NUM_RECENT_POINTERS + 1)):
        entry = recent(frame - sign * back)
        if entry is not None:
            pointers.append(entry.pointer)
            offsets.append(back)
    spatial = tuple(memory for memory in memories if memory is not None)
    return Selection(spatial, tuple(rows), tuple(pointers), tuple(offsets))


def _recent_frame(frame: int, back: int, sign: int, stride: int) -> int:
    """Return the frame `back` places behind in the pass; with a stride, places beyond the first are its multiples."""
    if back == 1:
        return frame - sign
    if sign > 0:
        return (frame - 2) // stride * stride - (back - 2) * stride
    return -(-(frame + 2) // stride) * stride + (back - 2) * stride


def window_of(
    entries: Mapping[int, MemoryEntry], frame: int, stride: int = 1
) -> dict[int, MemoryEntry]:
    """Keep what a pass that has just done `frame` can still reach by `select` with `stride`, in either direction."""
    kept = {}
    for t, entry in entries.items():
        distance = abs(frame - t)
        is_in_step = distance == 0 or t % stride == 0
        if is_in_step and distance <= (NUM_RECENT - 1) * stride:
            kept[t] = entry
        elif distance < NUM_RECENT_POINTERS:
            kept[t] = entry.without_spatial()
    return kept
