"""Contrasting: how the model sees an image; recorded, and changed only when a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.core.intensity import WINDOWS, IntensityMapping
from napari_sam2.plugin.state import Choice

if TYPE_CHECKING:
    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.controller import Controller

RECORDED, SHOWN = "recorded", "shown"
"""What can be chosen besides a window: what is used now, and the contrast that the layer has now."""

LAYER = "contrast limits of the layer"

_DARKEST_TISSUE = -200
"""An image that is shown from below this is in Hounsfield units, or near enough to be offered their windows."""


class Contrasting:
    """The part of a controller that lets the model see what a person sees.

    Parameters
    ----------
    controller : Controller
        Whose session is seen through it.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What is used now; the layer's contrast, if it is another one; and windows, where they make sense."""
        binding = self._controller.binding
        if binding is None or binding.image.rgb:
            return ()
        used, shown = mapping_of(binding), _shown(binding)
        lines = [Choice(RECORDED, _in_words(used), _why(used))]
        if used is not None and (used.low, used.high) != (shown.low, shown.high):
            tip = "Let the model see what is shown now; all objects are then to be tracked again"
            lines.append(Choice(SHOWN, f"As shown now: {_limits(shown)}", tip))
        if _has_windows(binding):
            lines += [
                Choice(
                    name, f"{name}: {_limits(window)}", "Show the image so, to you and the model"
                )
                for name, window in WINDOWS.items()
                if used is None or (window.low, window.high) != (used.low, used.high)
            ]
        return tuple(lines)

    def choose(self, value: str) -> None:
        """Let the model see the image as it is shown now, or through a window that the layer then shows, too."""
        binding = self._controller.binding
        if binding is None or value == RECORDED:
            return
        with self._controller.reporting():
            mapping = _shown(binding) if value == SHOWN else WINDOWS[value]
            binding.session.use_mapping(mapping)
            if value != SHOWN:
                show(binding, mapping)


def mapping_of(binding: Binding) -> IntensityMapping | None:
    """Return how the model sees an image; None while it is not loaded yet."""
    return binding.session.mapping or binding.engine.mapping


def show(binding: Binding, mapping: IntensityMapping) -> None:
    """Let the layer show what the model sees."""
    image = binding.image
    low, high = image.contrast_limits_range
    image.contrast_limits_range = min(low, mapping.low), max(high, mapping.high)
    image.contrast_limits = mapping.low, mapping.high


def _shown(binding: Binding) -> IntensityMapping:
    low, high = binding.image.contrast_limits
    return IntensityMapping(float(low), float(high), LAYER)


def _has_windows(binding: Binding) -> bool:
    return binding.image.contrast_limits_range[0] <= _DARKEST_TISSUE


def _in_words(mapping: IntensityMapping | None) -> str:
    if mapping is None:
        return "…"
    name = next((name for name, window in WINDOWS.items() if window == mapping), None)
    return _limits(mapping) if name is None else f"{name}: {_limits(mapping)}"


def _why(mapping: IntensityMapping | None) -> str:
    where = "" if mapping is None else f" ({mapping.provenance})"
    return f"What the model sees as black and white{where}; recorded in the session"


def _limits(mapping: IntensityMapping) -> str:
    return f"{mapping.low:,.5g} – {mapping.high:,.5g}".replace(",", "\u2009")
