"""Recording: every action of a session as the line of Python that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

from napari_sam2.core.script import call_text

Method = TypeVar("Method", bound=Callable[..., Any])


class ActionLog:
    """The lines so far.

    A line is written when its action has taken place and before anybody is told, so that what listeners do comes
    after it. An action that changes nothing, or is part of another one, writes none.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._lines: dict[int, str] = {}
        self._count = 0
        self._pending: Callable[[], str] | None = None
        self._text = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines, oldest first."""
        return tuple(self._lines.values())

    @property
    def next_number(self) -> int:
        """The number that the next line will have."""
        return self._count

    def write(self, line: str) -> None:
        """Add a line."""
        self._lines[self._count] = line
        self._count += 1
        self._tell(line)

    def begin(self, lines: Iterable[str]) -> None:
        """Go on with the lines of another log, instead of those so far; nobody is told."""
        self._lines = dict(enumerate(lines))
        self._count = len(self._lines)

    def prepare(self) -> None:
        """Make the line of the action that is going on before it changes anything: a value may have no text."""
        if self._pending is not None:
            self._text = self._pending()

    def flush(self, prefix: str = "") -> None:
        """Add the prepared line of the action that is going on, unless it is there already."""
        if self._pending is not None:
            line, self._pending, self._text = self._text, None, ""
            self.write(prefix + line)

    def ends_with(self, number: int) -> bool:
        """Say whether the line of this number is the last one that was written."""
        return number in self._lines and number == self._count - 1

    def strike(self, number: int) -> None:
        """Take a line out: its action was taken back because the model failed."""
        self._lines.pop(number, None)

    def act(self, line: Callable[[], str], method: Callable[[], Any]) -> Any:
        """Call `method`, whose line is written as soon as it has changed something."""
        if self._pending is not None:
            return method()
        self._pending = line
        try:
            return method()
        finally:
            self._pending = None


def recorded(method: Method) -> Method:
    """Let calls of a public method of the session be recorded, and leave no masks behind if they fail."""

    @wraps(method)
    def act(self: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(list(item) if isinstance(item, Iterator) else item for item in args)
        kwargs = {
            key: list(item) if isinstance(item, Iterator) else item for key, item in kwargs.items()
        }
        with self._drafts.action():
            return self._log.act(
                lambda: call_text(method.__name__, args, kwargs),
                lambda: method(self, *args, **kwargs),
            )

    return cast(Method, act)
