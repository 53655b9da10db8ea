"""DraftStore: a store as an action sees it; what a refused action appended is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_sam2.core.store import MaskRecord, MaskStore


class DraftStore:
    """Appends to a `MaskStore`, and takes back what an action appended before it failed.

    Used on the session's thread. What a run appends on its own thread meanwhile is none of it.
    """

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._is_acting = False
        self._drafts: set[int] = set()

    def append(self, record: MaskRecord) -> int:
        """Keep `record` and return its key."""
        key = self._store.append(record)
        if self._is_acting:
            self._drafts.add(key)
        return key

    def get(self, key: int) -> MaskRecord:
        """Return the record of `key`."""
        return self._store.get(key)

    def keep(self) -> None:
        """Let what was appended so far stay: the history leads to it now."""
        self._drafts.clear()

    @contextmanager
    def action(self) -> Iterator[None]:
        """Take back what is appended meanwhile and not kept, if there is an error; an action may call others."""
        if self._is_acting:
            yield
            return
        self._is_acting = True
        try:
            yield
        except BaseException:
            if self._drafts:
                self._store.discard(_AllBut(frozenset(self._drafts)))
            raise
        finally:
            self._is_acting = False
            self._drafts.clear()


class _AllBut:
    """All keys but some, also those that come while the others are looked through."""

    def __init__(self, keys: frozenset[int]) -> None:
        self._keys = keys

    def __contains__(self, key: object) -> bool:
        return key not in self._keys
