"""What the disk says, as one of our errors: which file, how much was needed and is free, and what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sam2.core.errors import NapariSam2Error, StorageError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def storing(path: Path, kept: str, needed: int = 0) -> Iterator[None]:
    """Turn every `OSError` inside into a `StorageError` about `path`; `needed`: bytes that were to be written."""
    try:
        yield
    except NapariSam2Error:
        raise
    except OSError as error:
        raise storage_error(path, error, kept, needed) from error


def storage_error(path: Path, error: OSError, kept: str, needed: int = 0) -> StorageError:
    """Return what an `OSError` means for someone who wanted to write `path`."""
    what = f"{_shortened(path)} cannot be written: {error.strerror or error}"
    if error.errno in _FULL:
        what += _room(path, needed)
        remedy = "make room, or save to another disk"
    elif error.errno in _FORBIDDEN:
        remedy = "save to another folder, or get the right to write there"
    else:
        remedy = "see that the disk is there and well, or save to another folder"
    return StorageError(what, kept=kept, remedy=remedy)


def _shortened(path: Path) -> str:
    """Return a path for a message: of one that no file system takes, its end."""
    text = str(path)
    return text if len(text) <= 500 else f"...{text[-60:]}"


def _room(path: Path, needed: int) -> str:
    """Return how much is needed and free, as far as it is known."""
    known = [f"{in_mib(needed)} needed"] if needed else []
    try:
        known.append(f"{in_mib(shutil.disk_usage(path.parent).free)} free")
    except OSError:  # the disk does not even say this
        pass
    return f" ({', '.join(known)})" if known else ""


def in_mib(num_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{round(num_bytes / (1 << 20), 1):g} MiB"
