"""How much comes out of packed bytes, found out without making room for it: a bomb is known by its first megabytes."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

_STEP = 1 << 20

UNPACKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zlib": zlib.decompressobj,
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}
"""What unpacks step by step, by the names of zarr."""


def unpacked_size(data: bytes, kind: str, allowed: int) -> int:
    """Count the bytes that come out of packed ones, member after member, up to a little more than `allowed`.

    Where they are damaged the count ends: whoever unpacks them says so. `kind`: one of `UNPACKERS`.
    """
    size = 0
    while data and size <= allowed:
        unpacker = UNPACKERS[kind]()
        try:
            while not unpacker.eof and size <= allowed:
                part = unpacker.decompress(data, _STEP)
                data = getattr(unpacker, "unconsumed_tail", b"")
                size += len(part)
                if not part and not data:
                    return size
            data = unpacker.unused_data
        except (zlib.error, OSError, lzma.LZMAError, EOFError):
            return size
    return size
