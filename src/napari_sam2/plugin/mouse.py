"""MouseTool: what the mouse does on the canvas while a session is open, turned into intents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel

Gesture = Literal["point", "negative", "pick", "box", "scribble", "move"]

World = tuple[float, ...]
"""A world position of the viewer."""

DRAG_PIXELS = 5.0
"""Below this distance on the screen a press and a release are a click."""

_GESTURES: dict[tuple[int, tuple[str, ...]], Gesture] = {
    (1, ()): "point",
    (2, ()): "negative",
    (1, ("Alt",)): "negative",
    (1, ("Shift",)): "box",
    (2, ("Shift",)): "scribble",
    (1, ("Control",)): "pick",
}


def gesture_of(button: int, modifiers: tuple[str, ...]) -> Gesture | None:
    """Return what a press begins; None leaves it to the viewer."""
    return _GESTURES.get((button, tuple(modifiers)))


@dataclass(frozen=True, slots=True)
class MouseIntents:
    """Where gestures go.

    `is_listening`: whether the mouse means prompts now; `clicked`: with a gesture and where; `grabs`: whether a press
    there takes hold of something that can be moved; `drawing`, `drawn`: with a gesture and the way of the pointer so
    far, or in full; `dropped`: what was being drawn is given up.
    """

    is_listening: Callable[[], bool]
    clicked: Callable[[Gesture, World], None]
    grabs: Callable[[World], bool]
    drawing: Callable[[Gesture, Sequence[World]], None]
    drawn: Callable[[Gesture, Sequence[World]], None]
    dropped: Callable[[], None]


class MouseTool:
    """Listens to a viewer's mouse. Plain drags stay pan and zoom; `release` gives everything back."""

    def __init__(self, viewer: ViewerModel, intents: MouseIntents) -> None:
        self._viewer, self._intents = viewer, intents
        self._is_drawing = False
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

    def drop(self) -> bool:
        """Give up what is being drawn, button held or not; say whether anything was."""
        was_drawing, self._is_drawing = self._is_drawing, False
        if was_drawing:
            self._intents.dropped()
        return was_drawing

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        gesture = gesture_of(event.button, event.modifiers)
        if gesture is None or not self._intents.is_listening():
            return
        if gesture == "point" and self._intents.grabs(tuple(event.position)):
            gesture = "move"
        yield from self._draw(event, gesture) if gesture in _DRAWN else self._click(event, gesture)

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

    def _draw(self, event: Any, gesture: Gesture) -> Iterator[None]:
        pressed_at, way = np.array(event.pos), [tuple(event.position)]
        self._is_drawing, is_click = True, True
        yield
        while event.type == "mouse_move":
            event.handled = True
            is_click = is_click and _distance(event, pressed_at) < DRAG_PIXELS
            way.append(tuple(event.position))
            if self._is_drawing and not (is_click and gesture == "move"):
                self._intents.drawing(gesture, way)
            yield
        was_drawing, self._is_drawing = self._is_drawing, False
        if not was_drawing:
            return
        is_click = is_click and _distance(event, pressed_at) < DRAG_PIXELS
        if is_click and gesture == "move":
            self._intents.clicked("point", way[0])
        else:
            self._intents.drawn(gesture, way[:1] if is_click else [*way, tuple(event.position)])


_DRAWN = ("box", "scribble", "move")


def _distance(event: Any, pressed_at: np.ndarray) -> float:
    return float(np.linalg.norm(np.array(event.pos) - pressed_at))
