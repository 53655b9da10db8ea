"""How the worker makes its segmenter. Used on the worker's thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_sam2.core.errors import TorchUnavailableError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.intensity import IntensityMapping, sample_percentiles
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a segmenter is made from.

    `limits`: the contrast limits of the layer when the session began, or None; `options`: how the network is
    used; `depth`: frames of a volume, in a row of volumes.
    """

    model: str
    frames: FrameSource = field(hash=False)
    limits: tuple[float, float] | None = None
    device: str = "auto"
    options: InferenceOptions = NATIVE
    depth: int = 0


def make_segmenter(recipe: Recipe) -> Segmenter:
    """Load the model and bind it to the stack; the first call imports torch."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise TorchUnavailableError(
            f"PyTorch could not be loaded: {error}",
            remedy="close napari and start it with the command `napari-sam2`, which loads PyTorch first",
        ) from error
    from napari_sam2.api import make_segmenter as make

    mapping = mapping_for(recipe.frames, recipe.limits)
    return make(
        recipe.model,
        recipe.frames,
        mapping,
        device=recipe.device,
        options=recipe.options,
        depth=recipe.depth,
    )


def mapping_for(frames: FrameSource, limits: tuple[float, float] | None) -> IntensityMapping:
    """Return the mapping of a stack: the layer's contrast limits if they cut something off, else percentiles.

    napari sets the limits to the extremes of the data when nobody chooses any; these say nothing about the contrast.
    """
    robust = sample_percentiles(frames)
    if limits is None or frames.is_rgb:
        return robust
    extremes = sample_percentiles(frames, 0, 100)
    if limits[0] <= extremes.low and extremes.high <= limits[1]:
        return robust
    return IntensityMapping(float(limits[0]), float(limits[1]), "contrast limits of the layer")
