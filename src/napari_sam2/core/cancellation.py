"""Cancellation: a wish to stop, said on one thread and looked at on another."""

from __future__ import annotations

import threading


class Cancellation:
    """Whether somebody wants work that is going on to stop; once said, it stays said."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_asked(self) -> bool:
        """Whether the work should stop; may be read on any thread."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the work to stop; may be called on any thread, and again."""
        self._asked.set()
