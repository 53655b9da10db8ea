"""One lock file, held by one process at a time; the system lets go of it when a process dies."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_LOCKED_BYTE = 1 << 20
"""Where Windows locks: others may not read a byte that is locked, and what is written in the file stays readable."""

if sys.platform == "win32":
    import msvcrt

    def try_lock(file: BinaryIO) -> bool:
        """Lock an open file if nobody else has; say whether it is ours now, or the system knows no locks."""
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    _NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
    """What file systems say that have no locks: some mounts of Lustre and NFS."""

    def try_lock(file: BinaryIO) -> bool:
        """Lock an open file if nobody else has; say whether it is ours now, or the system knows no locks."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True


@contextmanager
def locked(path: Path, keep_waiting: Callable[[], None], poll: float = 0.05) -> Iterator[None]:
    """Hold the lock file `path`; while another process does, call `keep_waiting` every `poll` seconds.

    `keep_waiting` gives up by raising. The file stays: removing it would let two processes hold "the" lock.
    Whoever uses this must stay correct where the file system ignores locks (some network shares do).
    """
    with path.open("ab") as file:
        while not try_lock(file):
            keep_waiting()
            time.sleep(poll)
        yield
