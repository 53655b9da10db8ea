"""A disk that fails: the Nth call that could fail does, once or from then on. Loop N until nothing fails any more."""

from __future__ import annotations

import os
from pathlib import Path

from tests.watched_disk import WatchedDisk


class FailingDisk(WatchedDisk):
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
        super().__init__(folder)
        self.code, self.at, self.is_lasting = code, at, is_lasting
        self.calls, self.num_failed = [], 0

    failing = WatchedDisk.watching

    def before(self, name, path):
        """Count a call and let it fail, if it is its turn."""
        self.calls.append((name, str(path)))
        number = len(self.calls)
        if number == self.at or (self.is_lasting and number > self.at):
            self.num_failed += 1
            raise OSError(self.code, os.strerror(self.code), str(path))


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
