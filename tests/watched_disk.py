"""Every call that changes files under a folder, seen on its way to the disk and after it."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import threading
from contextlib import ExitStack, contextmanager
from unittest import mock


class WatchedDisk:
    """Calls about files under `folder` are seen; what is elsewhere is nobody's business.

    Subclasses say what becomes of a call in `before`, and note in `after` what it did.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.lock = threading.RLock()  # zarr writes in several threads
        self._paths = {}  # of open descriptors

    def is_ours(self, path):
        if isinstance(path, int):
            return path in self._paths
        return str(path).startswith(self.folder)

    def before(self, name, path):
        """Something is about to be done: `name` is one of ``open``, ``write``, ``fsync``, ``replace`` and so on."""

    def after(self, name, path, *facts):
        """It was done. `facts`: of a write, (offset, bytes); of a truncation, (size,); of a renaming, (new path,)."""

    @contextmanager
    def watching(self):
        """See what is done inside."""
        with ExitStack() as stack:
            for name in ("replace", "rename", "link", "unlink", "mkdir", "rmdir"):
                stack.enter_context(mock.patch.object(os, name, self._by_path(name)))
            stack.enter_context(mock.patch.object(os, "fsync", self._fsync(os.fsync)))
            stack.enter_context(mock.patch.object(os, "open", self._open_folder(os.open)))
            stack.enter_context(mock.patch.object(os, "close", self._close(os.close)))
            # Else folders are removed by descriptors, and names say nothing.
            stack.enter_context(mock.patch.object(shutil, "_use_fd_functions", False))
            opened = self._open(io.open)
            stack.enter_context(mock.patch.object(io, "open", opened))
            stack.enter_context(mock.patch.object(builtins, "open", opened))
            yield self

    def _by_path(self, name):
        real = getattr(os, name)

        def call(path, *args, **kwargs):
            if not self.is_ours(path):
                return real(path, *args, **kwargs)
            with self.lock:
                self.before(name, path)
                result = real(path, *args, **kwargs)
                new = (os.fspath(args[0]),) if name in ("replace", "rename", "link") else ()
                self.after(name, os.fspath(path), *new)
                return result

        return call

    def _fsync(self, real):
        def fsync(descriptor):
            path = self._paths.get(descriptor)
            if path is None:
                return real(descriptor)
            with self.lock:
                name = "fsync folder" if os.path.isdir(path) else "fsync"
                self.before(name, path)
                real(descriptor)
                self.after(name, path)

        return fsync

    def _open_folder(self, real):
        def opened(path, flags, *args, **kwargs):
            descriptor = real(path, flags, *args, **kwargs)
            if not isinstance(path, int) and self.is_ours(path) and os.path.isdir(path):
                self._paths[descriptor] = os.fspath(path)
            return descriptor

        return opened

    def _close(self, real):
        def close(descriptor):
            self._paths.pop(descriptor, None)
            return real(descriptor)

        return close

    def _open(self, real):
        def opened(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *args, **kwargs
        ):
            if isinstance(file, int) or not self.is_ours(file):
                return real(file, mode, buffering, encoding, errors, newline, *args, **kwargs)
            raw = _WatchedFile(self, os.fspath(file), mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffer = _buffered(raw, mode)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        return opened


class _WatchedFile(io.FileIO):
    def __init__(self, disk, path, mode):
        with disk.lock:
            disk.before("open", path)
            is_new = not os.path.exists(path)
            super().__init__(path, mode)
            self._disk, self._path = disk, path
            disk._paths[self.fileno()] = path
            if is_new:
                disk.after("create", path)
            elif mode[0] == "w":
                disk.after("truncate", path, 0)

    def write(self, data):
        with self._disk.lock:
            self._disk.before("write", self._path)
            offset = os.fstat(self.fileno()).st_size if self.mode[0] == "a" else self.tell()
            count = super().write(data)
            self._disk.after("write", self._path, offset, bytes(data)[:count])
            return count

    def truncate(self, size=None):
        with self._disk.lock:
            self._disk.before("truncate", self._path)
            size = super().truncate(size)
            self._disk.after("truncate", self._path, size)
            return size

    def close(self):
        if not self.closed and hasattr(self, "_disk"):
            self._disk._paths.pop(self.fileno(), None)
        super().close()


def _buffered(raw, mode):
    if "+" in mode:
        return io.BufferedRandom(raw)
    return io.BufferedReader(raw) if mode[0] == "r" else io.BufferedWriter(raw)
