"""How the network is used: one frozen value, two presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from napari_sam2.core.errors import OptionError

MemoryDtype = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Quality = Literal["auto", "full", "balanced", "fast"]


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Switches of the tracking semantics.

    Attributes
    ----------
    corrections_condition : bool
        A corrected frame becomes a conditioning frame; otherwise the next propagation overwrites it.
    history_dependent : bool
        Propagation sees the memories that earlier runs left, as in the official release.
    clicks_use_memory : bool
        A click on a tracked frame attends to memory; otherwise it refines the mask that was shown.
    anchor_clicks : bool
        Clicks that refine a mask are joined by a positive one deep inside of it.
    memory_dtype : {"float32", "bfloat16"}
        Rounding of stored spatial memory.
    fill_holes : int
        Holes of at most this many low-resolution pixels (8-connected) are filled; 0 leaves them.
    multimask : bool
        One click, or none, chooses the best of three candidates.
    stability_fallback : bool
        An unstable single mask is replaced by the best of the three candidates.
    binarise_prompted_memory : bool
        Memory of a prompted frame is built from its thresholded mask instead of its probabilities.
    max_conditioning_frames : int or None
        At most this many conditioning frames are attended to: the nearest on both sides, then the next nearest.
    memory_stride : int
        Recent memories beyond the neighbouring frame are taken at multiples of it.
    non_overlapping : bool
        Returned logits give each pixel to one object (reference tracker only; elsewhere the overlap policy decides).
    min_pointer_span : int
        The time code of object pointers treats the stack as at least this many frames long.
    focus : bool
        Small objects are looked at in a window that follows them, instead of in the whole frame.
    slots_per_step : int
        How many objects go through the network at once. 1 makes an object's result independent, bit for bit, of the
        other objects in the run.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of matrix products; "auto" takes what the device does fast and the model bears: see `inference.device`.
    quality : {"auto", "full", "balanced", "fast"}
        How closely the network looks and how much it remembers; "auto" goes by device and model: see
        `inference.quality`.
    skip_below : float
        A frame whose embedding differs less than this from the one that was last conditioned on memory, as a part of
        its size, takes over what was conditioned there; 0 conditions every frame.

    Raises
    ------
    OptionError
        If a number is below its smallest value, or a word is none of those to choose from.
    """

    corrections_condition: bool = True
    history_dependent: bool = False
    clicks_use_memory: bool = False
    anchor_clicks: bool = True
    memory_dtype: MemoryDtype = "float32"
    fill_holes: int = 8
    multimask: bool = True
    stability_fallback: bool = True
    binarise_prompted_memory: bool = True
    max_conditioning_frames: int | None = 4
    memory_stride: int = 1
    non_overlapping: bool = False
    min_pointer_span: int = 16
    focus: bool = True
    slots_per_step: int = 1
    precision: Precision = "auto"
    quality: Quality = "auto"
    skip_below: float = 0.0

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise OptionError(
                    f"{name} must be {' or '.join(words)}, got {getattr(self, name)!r}",
                    remedy="leave it out to take the default",
                )
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise OptionError(
                    f"{name} must be at least {smallest}, got {value}",
                    remedy="leave it out to take the default",
                )


# A limit of one conditioning frame would leave out a neighbour.
_SMALLEST = {
    "fill_holes": 0,
    "max_conditioning_frames": 2,
    "memory_stride": 1,
    "min_pointer_span": 0,
    "slots_per_step": 1,
    "skip_below": 0,
}
_WORDS = {
    "memory_dtype": get_args(MemoryDtype),
    "precision": get_args(Precision),
    "quality": get_args(Quality),
}

NATIVE = InferenceOptions()
"""The default: a pure function of frames, prompts and options."""

REFERENCE = InferenceOptions(
    corrections_condition=False,
    history_dependent=True,
    clicks_use_memory=True,
    anchor_clicks=False,
    memory_dtype="bfloat16",
    fill_holes=0,
    max_conditioning_frames=None,
    min_pointer_span=0,
    focus=False,
    precision="float32",
    quality="full",
)
"""The official release on a CPU, bit for bit as far as float32 allows (there, holes stay unfilled)."""
