"""Another process that works on a file, for tests of what the second one is told."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held_by_another(path):
    """Let another process work on a session file; it is stopped in the end."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("holder.py"), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.communicate(timeout=60)
