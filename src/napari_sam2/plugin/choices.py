"""What can be chosen: images, frame axes and models, as lines of drop-downs."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError
from napari_sam2.io import weights
from napari_sam2.plugin.positions import current_index, displayed_axes
from napari_sam2.plugin.state import Choice

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_AXIS_NAMES = {"t": "time", "z": "depth", "y": "height", "x": "width", "c": "channel"}
SIZES = ("tiny", "small", "base_plus", "large")

QUALITIES = (
    Choice("auto", "Automatic", "Full, but balanced where a frame would take seconds"),
    Choice("full", "Full", "All that the model was trained for: the most accurate, the slowest"),
    Choice(
        "balanced", "Balanced (approximate)", "Three quarters of the pixels, four recent frames"
    ),
    Choice("fast", "Fast (approximate)", "Half of the pixels, two recent frames"),
)

DEVICES = {"cuda": "Graphics card", "mps": "Apple's GPU", "cpu": "Processor"}

FrameAxis = int | tuple[int, int] | None
"""Along which axis frames are counted; two of them: through each volume first, then from volume to volume."""


def device_choices() -> tuple[Choice, ...]:
    """Return where the model can run, once that is known; nothing where there is only the processor.

    Only PyTorch knows, and its import would hold the window up: the worker has done it when its first job is done.
    """
    module = sys.modules.get("napari_sam2.inference.device")
    if module is None or getattr(module.__spec__, "_initializing", False):
        return ()
    names = module.available_devices()
    if len(names) < 2:
        return ()
    automatic = Choice("auto", "Automatic", f"The fastest: {DEVICES[names[0]].lower()}")
    return (automatic, *(Choice(name, DEVICES[name], f"device {name!r}") for name in names))


def images_of(viewer: ViewerModel) -> tuple[Image, ...]:
    """Return the image layers, top-most first."""
    from napari.layers import Image

    return tuple(layer for layer in reversed(viewer.layers) if isinstance(layer, Image))


def image_choices(viewer: ViewerModel) -> tuple[Choice, ...]:
    """Return the image layers as lines."""
    return tuple(
        Choice(layer, layer.name, str(layer.source.path or "")) for layer in images_of(viewer)
    )


def pixels_of(image: Image) -> Any:
    """Return the array that is shown, of the finest level."""
    return image.data[0] if image.multiscale else image.data


def shape_of(image: Image) -> tuple[int, ...]:
    """Return the shape that data indices count in: of the finest level, without colours."""
    return tuple(int(length) for length in pixels_of(image).shape[: image.ndim])


def default_axis(viewer: ViewerModel, image: Image) -> int | None:
    """Return the axis of the slider moved last, or else of the first one; None for a flat image."""
    if image.ndim < 3:
        return None
    extra = viewer.dims.ndim - image.ndim
    sliders = [axis for axis in range(image.ndim) if axis not in displayed_axes(image, viewer)]
    if not sliders:  # 3-D display: take what comes first
        return 0
    moved = viewer.dims.last_used - extra
    return moved if moved in sliders and shape_of(image)[moved] > 1 else sliders[0]


def axis_choices(image: Image) -> tuple[Choice, ...]:
    """Return the axes that frames can be counted along."""
    if image.ndim < 3:
        return (Choice(None, "single image"),)
    lengths = shape_of(image)
    lines = [
        Choice(axis, f"{_axis_name(image, axis)} · {length} frames")
        for axis, length in enumerate(lengths)
    ]
    for volume, axis in pairwise(range(image.ndim - 2)):
        through, then = _axis_name(image, axis), _axis_name(image, volume)
        lines.append(
            Choice(
                (axis, volume),
                f"{through}, then {then} · {lengths[axis]} × {lengths[volume]}",
                f"Follow objects through {through} where they are prompted, then along {then} at every place",
            )
        )
    return tuple(lines)


def axis_of(view: StackView) -> FrameAxis:
    """Return which line of `axis_choices` a view is."""
    if view.volume_axis is None:
        return view.frame_axis
    assert view.frame_axis is not None
    return view.frame_axis, view.volume_axis


def is_on_sliders(viewer: ViewerModel, image: Image, axis: FrameAxis) -> bool:
    """Say whether the viewer has sliders for an axis, or for both."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return not set(axes) & set(displayed_axes(image, viewer))


def _axis_name(image: Image, axis: int) -> str:
    label = str(image.axis_labels[axis])
    named = _AXIS_NAMES.get(label.lower(), label)
    return f"axis {axis}" if label.lstrip("-").isdigit() else named


def stack_view_of(viewer: ViewerModel, image: Image, axis: FrameAxis) -> StackView:
    """Return how the image is seen as frames along `axis`; other sliders stay where they stand."""
    if axis is None:
        return StackView(None, image.ndim - 2, image.ndim - 1, ())
    counted = axis if isinstance(axis, tuple) else (axis,)
    for number in counted:
        if not 0 <= number < image.ndim:
            raise ImageError(
                f"frame axis {number} is outside 0..{image.ndim - 1}",
                remedy="choose an axis of the image",
            )
    shown = [other for other in displayed_axes(image, viewer) if other not in counted]
    others = [other for other in range(image.ndim) if other not in counted]
    # The two displayed axes are the frame, unless the frame axis itself is displayed.
    rows_and_columns = sorted(shown) if len(shown) == 2 else others[-2:]
    index = current_index(image, viewer)
    fixed = tuple((other, round(index[other])) for other in others if other not in rows_and_columns)
    row, column = rows_and_columns
    if isinstance(axis, tuple):
        return StackView(axis[0], row, column, fixed, axis[1], shape_of(image)[axis[0]])
    return StackView(axis, row, column, fixed)


def model_choices() -> tuple[Choice, ...]:
    """Return the models: the embedded one, then the official sizes, newest version."""
    lines = [Choice(weights.EMBEDDED, "nano · built in", "Small and quick; comes with the plugin")]
    for size in SIZES:
        megabytes = round(weights.entry_of(size).size / 1e6)
        here = "on this computer" if weights.find(size) else f"{megabytes} MB download"
        lines.append(Choice(size, f"{size.replace('_', ' ')} · {here}", f"SAM 2.1 {size}"))
    return tuple(lines)


def download_size(model: str) -> int:
    """Return the size in MB of an official model that is not on this computer, else 0."""
    if model == weights.EMBEDDED or weights.find(model):
        return 0
    return round(weights.entry_of(model).size / 1e6)
