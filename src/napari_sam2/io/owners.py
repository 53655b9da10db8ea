"""Which program a file belongs to that is there while it works: told by host, process and when that began."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cache

import psutil

_TOLERANCE = 3.0
"""Seconds by which the start of a process may be told differently: it is counted from that of the computer."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process. `host`: name of its computer; `started`: seconds since 1970."""

    host: str
    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return _owner_of(os.getpid())

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this computer."""
        return self.host == socket.gethostname()

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended; of another computer that cannot be told. A number may be used again."""
        if not self.is_here:
            return False
        started = _started(self.pid)
        return started is None or abs(started - self.started) > _TOLERANCE

    @property
    def tag(self) -> str:
        """A short name, for names of files; `is_tag_gone` reads it."""
        return f"{_short(self.host)}-{self.pid:x}-{round(self.started):x}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def is_tag_gone(tag: str) -> bool:
    """Say whether the process of a tag ran on this computer and has ended."""
    try:
        host, pid, started = tag.split("-")
        owner = Owner(socket.gethostname(), int(pid, 16), float(int(started, 16)))
    except ValueError:
        return False
    return host == _short(owner.host) and owner.is_gone


@cache
def _owner_of(pid: int) -> Owner:
    return Owner(socket.gethostname(), pid, _started(pid) or 0.0)


def _started(pid: int) -> float | None:
    """Return when a process began; None if there is none, or only what is left of it."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:  # it is somebody else's: there, at least
        return 0.0


def _short(host: str) -> str:
    return hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:6]
