"""Opening what is said to be a file: a pipe or a device would keep the program waiting, or never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    OSError
        It cannot be opened, or is no file but a pipe, a device or a folder. Nobody waits to find out.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "it is a pipe or a device, and no file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, max_bytes: int) -> bytes | None:
    """Return what a file holds; None if that is more than `max_bytes`. `OSError` as `open_plain`."""
    with open_plain(path) as file:
        data = file.read(max_bytes + 1)
    return data if len(data) <= max_bytes else None
