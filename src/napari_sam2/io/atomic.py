"""Files that appear whole or not at all; what a dead program left unfinished is swept away."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_sam2.io.owners import Owner, is_tag_gone

_UNFINISHED = re.compile(r"\.(?P<tag>[0-9a-f]+-[0-9a-f]+-[0-9a-f]+)-[0-9a-f]{8}(?P<old>-old)?\.")

_TRIES = 5
"""How often a file is put in its place while another program looks at it."""


def unfinished(path: Path, *, is_old: bool = False) -> Path:
    """Return a new name beside `path` that says whose it is; see `sweep`."""
    # The whole name at the end: writers choose the format by it, ".nii.gz" too.
    mark = "-old" if is_old else ""
    return path.with_name(f".{Owner.me().tag}-{secrets.token_hex(4)}{mark}.{path.name}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it takes the place of `path`, else it is removed."""
    temporary = unfinished(path)
    try:
        yield temporary
        _sync_file(temporary)
        put_in_place(temporary, path)
    finally:
        # What is in the way is swept later; that must not hide why the file could not be written.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename; tried again for a moment where another program has the file open, and remembered by the disk."""
    for number in range(_TRIES):
        try:
            os.replace(temporary, path)
            break
        except OSError as error:
            if not _is_passing(error) or number == _TRIES - 1:
                raise
            time.sleep(0.02 * 2**number)
    # The new file is in its place, whatever the disk says now: telling of a failure would be wrong.
    with suppress(OSError):
        sync_folder(path.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_tree(folder: Path) -> None:
    """Have everything in a folder on the disk: once its name stands, whoever made it may let the sources go."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_file(Path(parent, name))
        sync_folder(Path(parent))


def _is_passing(error: OSError) -> bool:
    # Windows: access denied, or a sharing violation, while a virus scanner or an indexer has it open.
    return error.errno in (errno.EAGAIN, errno.EBUSY, errno.EINTR) or getattr(
        error, "winerror", None
    ) in (5, 32)


def sync_folder(folder: Path) -> None:
    """Have the disk remember what names are in a folder; some systems know no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; on success it takes the place of `path`, else it is removed."""
    temporary, old = unfinished(path), unfinished(path, is_old=True)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        if path.exists():
            os.replace(path, old)
        put_in_place(temporary, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what programs that ended left unfinished, of the file or folder `name`, or of all; nothing else.

    Where one ended while it exchanged a folder, the earlier folder gets its name back. What is of another computer,
    or of a program that is still at work, stays. Nothing is said about what cannot be removed.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _UNFINISHED.match(path.name)
            if match is None or (name and path.name[match.end() :] != name):
                continue
            if is_tag_gone(match["tag"]):
                with suppress(OSError):
                    _clear(path, folder / path.name[match.end() :], is_old=bool(match["old"]))


def _clear(path: Path, final: Path, *, is_old: bool) -> None:
    if is_old and not final.exists():
        os.replace(path, final)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
