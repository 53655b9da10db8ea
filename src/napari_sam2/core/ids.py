"""Identifiers as their own types: an object id is not an index, a frame index is not a coordinate."""

from __future__ import annotations

from typing import NewType, TypeGuard

import numpy as np

ObjectId = NewType("ObjectId", int)
"""What the user tracks: >= 1, stable, never reused, equals the label value."""

FrameIndex = NewType("FrameIndex", int)
"""Position of a frame along the propagated axis, counted from 0."""


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether `value` is a whole number of Python or numpy; a boolean is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
