"""A disk that fails: the Nth call that could fail does, once or from then on. Loop N until nothing fails any more."""

from __future__ import annotations

import builtins
import io
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

CALLS = ("open", "write", "truncate", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
"""What can fail."""


class FailingDisk:
    """Calls about files under `folder` are counted, and some of them fail.

    Parameters
    ----------
    folder : Path
        Everything elsewhere is well.
    code : int
        An errno.
    at : int
        Number of the call that fails, from 1.
    is_lasting : bool
        All later calls fail as well.

    Attributes
    ----------
    calls : list of (str, str)
        What was called, and on which file.
    num_failed : int
        How many of them failed.
    """

    def __init__(self, folder, code, at, *, is_lasting=False):
        self.folder, self.code, self.at, self.is_lasting = str(folder), code, at, is_lasting
        self.calls, self.num_failed = [], 0
        self._paths = {}

    def is_ours(self, path):
        if isinstance(path, int):
            return path in self._paths
        return str(path).startswith(self.folder)

    def count(self, name, path):
        """Count a call and let it fail, if it is its turn."""
        if not self.is_ours(path):
            return
        self.calls.append((name, str(path)))
        number = len(self.calls)
        if number == self.at or (self.is_lasting and number > self.at):
            self.num_failed += 1
            raise OSError(self.code, os.strerror(self.code), str(path))

    @contextmanager
    def failing(self):
        """Let calls fail inside."""
        with ExitStack() as stack:
            for name in ("replace", "rename", "unlink", "mkdir", "rmdir"):
                stack.enter_context(mock.patch.object(os, name, self._counted(name)))
            stack.enter_context(mock.patch.object(os, "fsync", self._fsync(os.fsync)))
            opened = self._open(io.open)
            stack.enter_context(mock.patch.object(io, "open", opened))
            stack.enter_context(mock.patch.object(builtins, "open", opened))
            yield self

    def _counted(self, name):
        real = getattr(os, name)

        def call(path, *args, **kwargs):
            self.count(name, path)
            return real(path, *args, **kwargs)

        return call

    def _fsync(self, real):
        def fsync(descriptor):
            self.count("fsync", self._paths.get(descriptor, ""))
            return real(descriptor)

        return fsync

    def _open(self, real):
        def opened(
            file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *args, **kwargs
        ):
            if isinstance(file, int) or not self.is_ours(file):
                return real(file, mode, buffering, encoding, errors, newline, *args, **kwargs)
            self.count("open", file)
            raw = _FailingFile(self, file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffer = _buffered(raw, mode)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        return opened


class _FailingFile(io.FileIO):
    def __init__(self, disk, path, mode):
        super().__init__(path, mode)
        self._disk, self._path = disk, os.fspath(path)
        disk._paths[self.fileno()] = self._path

    def write(self, data):
        self._disk.count("write", self._path)
        return super().write(data)

    def truncate(self, size=None):
        self._disk.count("truncate", self._path)
        return super().truncate(size)

    def close(self):
        if not self.closed and hasattr(self, "_disk"):
            self._disk._paths.pop(self.fileno(), None)
        super().close()


def _buffered(raw, mode):
    if "+" in mode:
        return io.BufferedRandom(raw)
    return io.BufferedReader(raw) if mode[0] == "r" else io.BufferedWriter(raw)


def sweep_faults(folder, codes, scenario, *, ways=("once", "from then on"), limit=2000):
    """Run `scenario(folder, disk)` with every call failing once, and from it on, until none is left to fail.

    Every round has a folder of its own. Return how many rounds there were.
    """
    rounds = 0
    for code in codes:
        for way in ways:
            for at in range(1, limit):
                own = Path(folder) / f"{code} {way} {at}"
                own.mkdir(parents=True)
                disk = FailingDisk(own, code, at, is_lasting=way != "once")
                scenario(own, disk)
                rounds += 1
                if not disk.num_failed:
                    break
            else:
                raise AssertionError(f"still failing at call {limit}")
    return rounds
