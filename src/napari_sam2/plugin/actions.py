"""Commands and their keys, as one table; keys are bound on our layers and the viewer, and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class Action:
    """A command.

    `name`: a method of the controller or of one of its parts; `key`: in napari's spelling; `shown`: for people.
    """

    name: str
    key: str
    shown: str
    title: str
    tip: str


ACTIONS: tuple[Action, ...] = (
    Action(
        "running.propagate",
        "Shift-S",
        "Shift+S",
        "Propagate",
        "Carry what changed through the frames",
    ),
    Action(
        "running.propagate_forward",
        "Shift-F",
        "Shift+F",
        "Forward",
        "Propagate to later frames only",
    ),
    Action(
        "running.propagate_backward",
        "Shift-B",
        "Shift+B",
        "Backward",
        "Propagate to earlier frames only",
    ),
    Action("running.stop", "Escape", "Esc", "Stop", "Stop at once and keep what is done"),
    Action("next_object", "M", "M", "New object", "The next click starts another object"),
    Action("previous_object", "Shift-M", "Shift+M", "Previous object", "Go back to an object"),
    Action("toggle_sign", "T", "T", "Positive or negative", "Switch what a click means"),
    Action("undo", "Control-Z", "Ctrl+Z", "Undo", "Take back the last action"),
    Action("redo", "Control-Shift-Z", "Ctrl+Shift+Z", "Redo", "Do it again"),
    Action("toggle_hidden", "H", "H", "Hide", "Hide masks and prompts, or show them again"),
    Action("review.lock", "G", "G", "Good", "This frame is good: the object is never changed here"),
    Action("review.unlock", "Shift-G", "Shift+G", "Unlock", "Let this frame be changed again"),
    Action("review.next_doubtful", "N", "N", "Doubtful", "Go to the frame most likely wrong"),
    Action(
        "review.previous_doubtful",
        "Shift-N",
        "Shift+N",
        "Doubtful before",
        "Go back to a worse one",
    ),
    Action("review.next_prompted", "J", "J", "Prompted", "Go to the next frame with prompts"),
    Action(
        "review.previous_prompted",
        "Shift-J",
        "Shift+J",
        "Prompted before",
        "Go to the frame with prompts before this one",
    ),
    Action(
        "review.next_candidate", "K", "K", "Other mask", "Choose another answer to an unclear click"
    ),
    Action(
        "shaping.delete_prompt",
        "Delete",
        "Del",
        "Delete prompt",
        "Delete the point under the pointer, or else the last prompt on this frame",
    ),
    Action(
        "shaping.clear_frame",
        "Shift-C",
        "Shift+C",
        "Clear frame",
        "Remove its prompts on this frame",
    ),
    Action(
        "shaping.reset_object", "Shift-R", "Shift+R", "Reset object", "Remove all prompts and masks"
    ),
    # Not Shift+[ and Shift+]: napari drops keys that Shift turns into another character.
    Action(
        "shaping.trim_before", "Shift-Home", "Shift+Home", "Trim before", "It begins on this frame"
    ),
    Action("shaping.trim_after", "Shift-End", "Shift+End", "Trim after", "It ends on this frame"),
    Action(
        "shaping.divide",
        "Shift-D",
        "Shift+D",
        "Divide",
        "This frame is its last; the next clicks start its two daughters",
    ),
)
"""All commands with a key. Changing a key here changes it everywhere."""

BY_NAME: Mapping[str, Action] = {action.name: action for action in ACTIONS}


def labelled(name: str) -> str:
    """Return title, what it does and key of an action, for a tooltip."""
    action = BY_NAME[name]
    return f"{action.tip}  ({action.shown})"


def with_key(name: str, title: str = "") -> str:
    """Return title, its own or another one, and key of an action, for a button."""
    action = BY_NAME[name]
    return f"{title or action.title}   {action.shown}"


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


def commands_of(controller: Any) -> dict[str, Callable[[], object]]:
    """Return the method that each action of the table calls."""
    return {action.name: attrgetter(action.name)(controller) for action in ACTIONS}


def _handler(command: Callable[[], object]) -> Callable[[Any], None]:
    def pressed(_provider: Any) -> None:
        command()

    return pressed
