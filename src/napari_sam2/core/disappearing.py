"""Disappearing: how an object went out of sight, from the masks alone. Some ways are natural, others are losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from napari_sam2.core.masks import Box

_BEFORE = 3
"""Frames before the last sight with which it is compared: what fades does so over a few frames."""

_FADED = 0.25
"""Share of its area that an object must have lost by then for its disappearance to be a natural one."""

_BORDER = 0.25
"""Lengths of the object from which on it is not near the border."""


class Sight(NamedTuple):
    """A frame on which an object is seen: its area, pixels, and box."""

    frame: int
    area: int
    box: Box


class Disappearance(NamedTuple):
    """How an object that is absent on a frame went out of sight, on the way from the prompt that it is tracked from.

    `absent_for`: frames since it was seen; `vanished`: 1 if all of it was there, away from the border, when it was
    seen last; 0 if it was leaving over the border, or was fading. Both 0 if it never was seen.
    """

    absent_for: int = 0
    vanished: float = 0.0


VISIBLE = Disappearance()
"""It has not gone."""


def disappearances(
    sights: Iterable[Sight | None], anchors: Sequence[int | None], shape: tuple[int, int]
) -> list[Disappearance]:
    """Return how an object disappeared, for every frame; `VISIBLE` where it is seen.

    Parameters
    ----------
    sights : iterable of Sight or None
        Where the object is seen, frame by frame.
    anchors : sequence of int or None
        The frame that each frame is tracked from.
    shape : (Y, X)
        Of the frames, pixels.
    """
    seen = list(sights)
    before = list(accumulate(seen, _latest))
    after = list(accumulate(reversed(seen), _latest))[::-1]
    return [
        _disappearance(t, anchor, before[t] if anchor < t else after[t], seen, shape)
        if anchor is not None and seen[t] is None
        else VISIBLE
        for t, anchor in enumerate(anchors)
    ]


def _latest(known: Sight | None, sight: Sight | None) -> Sight | None:
    return known if sight is None else sight


def _disappearance(
    t: int,
    anchor: int,
    last: Sight | None,
    seen: Sequence[Sight | None],
    shape: tuple[int, int],
) -> Disappearance:
    if last is None or not min(anchor, t) <= last.frame <= max(anchor, t):
        return VISIBLE
    way = 1 if anchor > t else -1  # back to the prompt
    frames = range(last.frame, anchor + way, way)[: 1 + _BEFORE]
    whole = max(sight.area for s in frames if (sight := seen[s]) is not None)
    kept = max(0.0, 1.0 - (1.0 - last.area / whole) / _FADED)
    gap = min(last.box[0], last.box[1], shape[0] - last.box[2], shape[1] - last.box[3])
    inside = min(1.0, gap / (_BORDER * math.sqrt(last.area)))
    return Disappearance(abs(t - last.frame), kept * inside)
