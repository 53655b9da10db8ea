"""Which tool is in hand: napari knows, by the selected layer and its mode; here it is asked for and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.controller import Controller

Tool = Literal["point", "polygon", "lasso", "paint", "other"]
"""What the mouse does on the canvas. "other": a tool that the dock has no button for, or a layer of somebody else."""

_OUTLINES: dict[Tool, str] = {"polygon": "add_polygon", "lasso": "add_polygon_lasso"}
_TOOLS: dict[str, Tool] = {
    "pan_zoom": "point",
    "paint": "paint",
    **{mode: tool for tool, mode in _OUTLINES.items()},
}


class Tools:
    """The part of a controller that hands out tools.

    Parameters
    ----------
    controller : Controller
        Whose layers the tools work on.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    @property
    def current(self) -> Tool:
        """The tool in hand."""
        binding = self._controller.binding
        active = None if binding is None else self._controller.viewer.layers.selection.active
        if active is None:
            return "point"
        if active not in (binding.image, *binding.bridge.layers):
            return "other"
        return _TOOLS.get(str(active.mode), "other")

    def is_clicking(self) -> bool:
        """Say whether clicks are prompts: the image or a layer of ours is selected, and no tool of napari in hand."""
        return self._controller.binding is not None and self.current == "point"

    def choose(self, tool: Tool) -> None:
        """Take a tool: select the layer that it works on, in its mode."""
        with self._controller.reporting():
            self._controller.require_session()
            self._controller.follow_display()
            self._put_down()
            layer, mode = self._place_of(tool)
            self._controller.viewer.layers.selection.active = layer
            layer.visible = True
            layer.mode = mode

    def _place_of(self, tool: Tool) -> tuple[Layer, str]:
        bridge = self._controller.binding.bridge
        if tool == "paint":
            bridge.brush.check()
            bridge.mark_active(self._controller.active_object)
            return bridge.labels, "paint"
        if tool in _OUTLINES:
            self._controller.binding.check_shown()
            layer = bridge.prompts.sketch.require()
            self._controller.bind_keys()  # Esc would finish an outline, if napari's were pressed
            return layer, _OUTLINES[tool]
        return bridge.prompts.points, "pan_zoom"

    def put_down(self) -> None:
        """Throw away what is being drawn; if nothing is, go back to clicking."""
        binding = self._controller.binding
        if binding is None or binding.bridge.prompts.sketch.cancel():
            return
        if self.current != "point" and self._is_ours(binding):
            self.choose("point")

    def _is_ours(self, binding: Binding) -> bool:
        return self._controller.viewer.layers.selection.active in binding.bridge.layers

    def _put_down(self) -> None:
        bridge = self._controller.binding.bridge
        bridge.brush.drop()
        for layer in bridge.layers:
            if str(layer.mode) != "pan_zoom":
                layer.mode = "pan_zoom"

    def show(self, _event: Any = None) -> None:
        """Let the dock show the tool in hand."""
        self._controller.tell()
