"""Commands and their keys, as one table; keys are bound on our layers and the viewer, and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Action:
    """A command. `name`: a method of the controller; `key`: in napari's spelling; `shown`: for people."""

    name: str
    key: str
    shown: str
    title: str
    tip: str


ACTIONS: tuple[Action, ...] = (
    Action("propagate", "Shift-S", "Shift+S", "Propagate", "Carry all objects through all frames"),
    Action("stop", "Escape", "Esc", "Stop", "Stop after this frame and keep what is done"),
    Action("next_object", "M", "M", "New object", "The next click starts another object"),
    Action("previous_object", "Shift-M", "Shift+M", "Previous object", "Go back to an object"),
    Action("toggle_sign", "T", "T", "Positive or negative", "Switch what a click means"),
    Action("undo", "Control-Z", "Ctrl+Z", "Undo", "Take back the last action"),
    Action("redo", "Control-Shift-Z", "Ctrl+Shift+Z", "Redo", "Do it again"),
)
"""All commands with a key. Changing a key here changes it everywhere."""

BY_NAME: Mapping[str, Action] = {action.name: action for action in ACTIONS}


def labelled(name: str) -> str:
    """Return title, what it does and key of an action, for a tooltip."""
    action = BY_NAME[name]
    return f"{action.tip}  ({action.shown})"


def with_key(name: str) -> str:
    """Return title and key of an action, for a button."""
    action = BY_NAME[name]
    return f"{action.title}   {action.shown}"


class KeyBindings:
    """The table's keys on some keymap providers (layers, the viewer); `release` gives back what was there."""

    def __init__(self, commands: Mapping[str, Callable[[], object]]) -> None:
        self._commands = commands
        self._replaced: list[tuple[Any, str, Any]] = []

    def bind(self, provider: Any) -> None:
        """Bind all keys on one instance, once; a layer's own keymap comes before the viewer's."""
        if any(bound is provider for bound, _, _ in self._replaced):
            return
        for action in ACTIONS:
            handler = _handler(self._commands[action.name])
            before = provider.bind_key(action.key, handler, overwrite=True)
            self._replaced.append((provider, action.key, before))

    def release(self, provider: Any = None) -> None:
        """Give the keys of one instance back, or of all."""
        for bound, key, before in list(reversed(self._replaced)):
            if provider is None or bound is provider:
                bound.bind_key(key, before, overwrite=True)
                self._replaced.remove((bound, key, before))


def _handler(command: Callable[[], object]) -> Callable[[Any], None]:
    def pressed(_provider: Any) -> None:
        command()

    return pressed
