"""EmbeddingStore: where encoded frames outlive a process; a fake in tests, a folder in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class EmbeddingStore(Protocol):
    """Keeps named arrays under a key. It may forget anything at any time, and never fails.

    The key says all that the arrays depend on, so what is found is what would be computed. May be used on any thread.
    """

    def get(self, key: str) -> Mapping[str, np.ndarray] | None:
        """Return what was kept under `key`, or None; the arrays are the caller's, to write to as well.

        Each has the type, the shape, the strides and, to the bit, the values that it had: how an array lies in memory
        decides which kernels read it, and so the last bits of what follows.
        """

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep `arrays`, if that is possible, in place of what was kept under `key`."""
