"""A zarr store that is read with care: plain files only, and no chunk that unpacks to more than the metadata say."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore, WrapperStore

from napari_sam2.io.images.zarr_metadata import ArrayFacts
from napari_sam2.io.unpacking import UNPACKERS, unpacked_size

_HARMLESS = 1 << 16
"""Bytes of a chunk of gzip or zlib that are unpacked without a look: at most 1032 times as many come out."""


class CarefulStore(WrapperStore[LocalStore]):
    """A folder on this computer, for reading.

    Parameters
    ----------
    store : LocalStore
        The folder.
    arrays : mapping of str to ArrayFacts
        What is known of its arrays, by their path in it; "" for the folder itself.
    """

    def __init__(self, store: LocalStore, arrays: Mapping[str, ArrayFacts] | None = None) -> None:
        super().__init__(store)
        self._arrays = dict(arrays or {})

    def _with_store(self, store: LocalStore) -> CarefulStore:
        return CarefulStore(store, self._arrays)

    def add(self, name: str, facts: ArrayFacts | None) -> None:
        """Take note of an array deeper in the folder, if it is one."""
        if facts is not None:
            self._arrays[name] = facts

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what lies under a key; see `zarr.abc.store.Store`."""
        _require_plain(Path(self._store.root) / key)
        found = await self._store.get(key, prototype, byte_range)
        facts = self._facts_of(key)
        if found is None or facts is None or facts.is_sharded or byte_range is not None:
            return found
        if len(found) > _HARMLESS or facts.compressor not in ("gzip", "zlib"):
            await asyncio.to_thread(require_size, found.to_bytes(), facts)
        return found

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Any]:
        """Return parts of what lies under keys; see `zarr.abc.store.Store`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def _facts_of(self, key: str) -> ArrayFacts | None:
        """Return what is known of the array that a chunk is of; None for metadata."""
        if key.rpartition("/")[2] in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"):
            return None
        at = key
        while at:
            at = at.rpartition("/")[0]
            if at in self._arrays:
                return self._arrays[at]
        return None


def _require_plain(path: Path) -> None:
    """Refuse a pipe or a device under a name of the zarr: reading it would never end."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise ValueError(f"{path.name} is a pipe or a device, and no file")


def require_size(data: bytes, facts: ArrayFacts) -> None:
    """Refuse a chunk that unpacks to more than a chunk has; no more than that is unpacked to find out.

    Raises
    ------
    ValueError
        It does.
    """
    allowed = facts.num_bytes + 1024  # checksums
    size = _told_size(data, facts.compressor)
    if size is None and facts.compressor in UNPACKERS:
        size = unpacked_size(data, facts.compressor, allowed)
    if size is not None and size > allowed:
        raise ValueError(
            f"a chunk unpacks to more than the {facts.num_bytes} bytes that a chunk has"
        )


def _told_size(data: bytes, compressor: str) -> int | None:
    """Return the size that the head of a chunk tells; the codec makes room for exactly so much."""
    if compressor == "blosc" and len(data) >= 16:
        return int.from_bytes(data[4:8], "little")
    if compressor == "lz4" and len(data) >= 4:
        return int.from_bytes(data[:4], "little")
    if compressor == "zstd" and data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5:
        head = data[4]
        is_single = bool(head & 0x20)
        at = 5 + (not is_single) + (0, 1, 2, 4)[head & 3]
        length = (int(is_single), 2, 4, 8)[head >> 6]
        told = int.from_bytes(data[at : at + length], "little") + (256 if length == 2 else 0)
        return told if length else None
    return None
