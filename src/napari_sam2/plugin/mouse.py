"""MouseTool: what the mouse does on the canvas while a session is open, turned into intents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel

Gesture = Literal["point", "negative", "box", "pick"]

DRAG_PIXELS = 5.0
"""Below this distance on the screen a press and a release are a click."""

_GESTURES: dict[tuple[int, tuple[str, ...]], Gesture] = {
    (1, ()): "point",
    (2, ()): "negative",
    (1, ("Alt",)): "negative",
    (1, ("Shift",)): "box",
    (1, ("Control",)): "pick",
}


def gesture_of(button: int, modifiers: tuple[str, ...]) -> Gesture | None:
    """Return what a press begins; None leaves it to the viewer."""
    return _GESTURES.get((button, tuple(modifiers)))


@dataclass(frozen=True, slots=True)
class MouseIntents:
    """Where gestures go. Positions are world positions of the viewer."""

    is_listening: Callable[[], bool]
    clicked: Callable[[Gesture, tuple[float, ...]], None]
    box_moved: Callable[[tuple[float, ...], tuple[float, ...]], None]
    box_drawn: Callable[[tuple[float, ...], tuple[float, ...]], None]


class MouseTool:
    """Listens to a viewer's mouse. Plain drags stay pan and zoom; `release` gives everything back."""

    def __init__(self, viewer: ViewerModel, intents: MouseIntents) -> None:
        self._viewer, self._intents = viewer, intents
        self._set_aside = [
            callback
            for callback in viewer.mouse_double_click_callbacks
            if getattr(callback, "__name__", "") == "double_click_to_zoom"
        ]
        for callback in self._set_aside:
            # Two quick clicks are two prompts, not a zoom.
            viewer.mouse_double_click_callbacks.remove(callback)
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.mouse_double_click_callbacks.append(self._on_double_click)

    def release(self) -> None:
        """Stop listening and put back what was set aside."""
        for callbacks, ours in (
            (self._viewer.mouse_drag_callbacks, self._on_press),
            (self._viewer.mouse_double_click_callbacks, self._on_double_click),
        ):
            if ours in callbacks:
                callbacks.remove(ours)
        self._viewer.mouse_double_click_callbacks.extend(self._set_aside)
        self._set_aside = []

    def _on_double_click(self, _viewer: Any, event: Any) -> None:
        gesture = gesture_of(event.button, event.modifiers)
        if gesture in ("point", "negative") and self._intents.is_listening():
            event.handled = True
            self._intents.clicked(gesture, tuple(event.position))

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        gesture = gesture_of(event.button, event.modifiers)
        if gesture is None or not self._intents.is_listening():
            return
        yield from self._box(event) if gesture == "box" else self._click(event, gesture)

    def _click(self, event: Any, gesture: Gesture) -> Iterator[None]:
        pressed_at, position = np.array(event.pos), tuple(event.position)
        is_click = True
        yield
        while event.type == "mouse_move":
            is_click = is_click and _distance(event, pressed_at) < DRAG_PIXELS
            # Until it is a drag, the camera must not move under the pointer.
            event.handled = is_click
            yield
        if is_click and _distance(event, pressed_at) < DRAG_PIXELS:
            self._intents.clicked(gesture, position)

    def _box(self, event: Any) -> Iterator[None]:
        pressed_at, start = np.array(event.pos), tuple(event.position)
        yield
        while event.type == "mouse_move":
            event.handled = True
            self._intents.box_moved(start, tuple(event.position))
            yield
        if _distance(event, pressed_at) >= DRAG_PIXELS:
            self._intents.box_drawn(start, tuple(event.position))
        else:
            self._intents.box_drawn(start, start)


def _distance(event: Any, pressed_at: np.ndarray) -> float:
    return float(np.linalg.norm(np.array(event.pos) - pressed_at))
