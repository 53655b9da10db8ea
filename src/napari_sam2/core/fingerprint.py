"""Fingerprint: by what a stack is known again, without reading all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from napari_sam2.core.frames import FrameSource

NUM_SAMPLED = 5
"""Frames that are looked at."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hashes of some frames, evenly spread: `hashes` of `frames`, hexadecimal."""

    frames: tuple[int, ...]
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, source: FrameSource) -> Fingerprint:
        """Read the first, the last and some frames between."""
        count = min(len(source), NUM_SAMPLED)
        frames = sorted({round(t) for t in np.linspace(0, len(source) - 1, count).tolist()})
        return cls(tuple(frames), tuple(hash_of(source.read(t)) for t in frames))

    def differing(self, source: FrameSource) -> tuple[int, ...]:
        """Return the frames, of those that were looked at, that are others in `source` now."""
        pairs = zip(self.frames, self.hashes, strict=True)
        return tuple(
            t for t, known in pairs if t >= len(source) or hash_of(source.read(t)) != known
        )


def hash_of(frame: np.ndarray) -> str:
    """Return a hash of the type, shape and pixels of a frame."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{frame.dtype.str}{frame.shape}".encode())
    digest.update(np.ascontiguousarray(frame).tobytes())
    return digest.hexdigest()
