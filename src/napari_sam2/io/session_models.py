"""What a session file (schemas 3 and 4) looks like: a strict model for each of its parts, and how large it may be."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, FiniteFloat, create_model, model_validator

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.log_lines import is_action
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.placement import Placement
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.sources import SourceKind
from napari_sam2.core.state import OverlapPolicy
from napari_sam2.core.validation import MAX_NAME
from napari_sam2.io.json_files import StrictModel
from napari_sam2.io.prompts import ObjectModel
from napari_sam2.io.runs import mask_of, runs_of

SCHEMA = 4
"""Of files that hold a whole session, as they are written. Files of schema 3 have no image path, masks and log; 1 and 2
are prompt files."""

MAX_SIDE = 1 << 20
MAX_FRAMES = 1 << 24
MAX_PIXELS = 1 << 30
"""Of a frame."""

Id = Annotated[int, Field(ge=1, lt=1 << 32)]
Frame = Annotated[int, Field(ge=0, lt=MAX_FRAMES)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Axis = Annotated[int, Field(ge=0, lt=32)]
Line = Annotated[str, Field(max_length=4 * MAX_NAME)]
LongLine = Annotated[str, Field(max_length=4096)]
Place = Annotated[int, Field(ge=0, le=MAX_SIDE)]
Point = tuple[FiniteFloat, FiniteFloat]
Pixel = Annotated[int, Field(ge=0, le=MAX_SIDE)]
Run = Annotated[int, Field(ge=0, le=MAX_PIXELS)]


class MaskModel(StrictModel):
    """A mask: its box (y0, x0, y1, x1), frame pixels, and the run lengths in it (see `runs`)."""

    box: tuple[Pixel, Pixel, Pixel, Pixel]
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, mask: PackedMask | None) -> MaskModel | None:
        """Return the model of a mask."""
        return None if mask is None else cls(box=mask.box, runs=tuple(runs_of(mask)))

    def to_mask(self, shape: tuple[int, int]) -> PackedMask:
        """Return the mask, in a frame of `shape` (Y, X); `ValueError` if it is none."""
        return mask_of(self.runs, self.box, shape)


class StepModel(StrictModel):
    """One interaction: `points` with `labels`, `box`, or `mask`; `candidate`: which answer was meant."""

    points: tuple[Point, ...] = ()
    labels: tuple[Annotated[int, Field(ge=0, le=1)], ...] = ()
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    mask: MaskModel | None = None
    candidate: Annotated[int, Field(ge=0, le=16)] = 0

    @model_validator(mode="after")
    def _is_one_interaction(self) -> StepModel:
        if len(self.points) != len(self.labels):
            raise ValueError(f"has {len(self.labels)} labels for {len(self.points)} points")
        kinds = sum([bool(self.points), self.box is not None, self.mask is not None])
        if kinds != 1:
            raise ValueError(f"says one of points, box and mask, got {kinds or 'none'} of them")
        return self

    @classmethod
    def of(cls, step: PromptStep) -> StepModel:
        """Return the model of an interaction."""
        return cls(
            points=step.points,
            labels=tuple(int(positive) for positive in step.positives),
            box=step.box,
            mask=MaskModel.of(step.mask),
            candidate=step.candidate,
        )

    def to_step(self, shape: tuple[int, int]) -> PromptStep:
        """Return the interaction, on a frame of `shape` (Y, X)."""
        mask = None if self.mask is None else self.mask.to_mask(shape)
        positives = tuple(label == 1 for label in self.labels)
        return PromptStep(self.points, positives, self.box, mask, self.candidate)


class PromptModel(StrictModel):
    """All that was said about an object on a frame, in order; `refines`: the mask that was shown before."""

    object: Id
    frame: Frame
    steps: Annotated[tuple[StepModel, ...], Field(min_length=1)]
    refines: MaskModel | None = None

    @classmethod
    def of(cls, object_id: ObjectId, said: FramePrompts) -> PromptModel:
        """Return the model of what was said."""
        steps = tuple(StepModel.of(step) for step in said.steps)
        refines = MaskModel.of(said.refines)
        return cls(object=object_id, frame=said.frame, steps=steps, refines=refines)

    def to_prompts(self, shape: tuple[int, int]) -> FramePrompts:
        """Return what was said, on a frame of `shape` (Y, X)."""
        steps = tuple(step.to_step(shape) for step in self.steps)
        refines = None if self.refines is None else self.refines.to_mask(shape)
        return FramePrompts(FrameIndex(self.frame), steps, refines)


class RankedObjectModel(ObjectModel):
    """Name and the like of an object; `rank`: the order of runs in which it competes for pixels."""

    rank: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None


class LockModel(StrictModel):
    """A frame that was found good; `tracked`: the lock made its tracked mask a prompt."""

    object: Id
    frame: Frame
    tracked: bool = False


class ImageModel(StrictModel):
    """What the session was made on: (T, Y, X), pixel type, colours or not."""

    shape: tuple[Annotated[int, Field(ge=1, le=MAX_FRAMES)], Side, Side]
    dtype: Annotated[str, Field(max_length=32)]
    rgb: bool = False

    @model_validator(mode="after")
    def _is_an_image(self) -> ImageModel:
        if self.shape[1] * self.shape[2] > MAX_PIXELS:
            raise ValueError(f"frames of {self.shape[1]} x {self.shape[2]} pixels are too large")
        return self


class ViewModel(StrictModel):
    """Which axes of the array are rows and columns, and where all others but the frame axis stand.

    `volumes`: in a row of volumes, the axis that counts them and the frames of one.
    """

    rows: Axis
    columns: Axis
    fixed: Annotated[
        tuple[tuple[Axis, Annotated[int, Field(ge=0)]], ...], Field(max_length=32)
    ] = ()
    volumes: tuple[Axis, Side] | None = None


class MappingModel(StrictModel):
    """Intensities that become black and white, and where they came from."""

    low: FiniteFloat
    high: FiniteFloat
    provenance: Line = "given"

    @model_validator(mode="after")
    def _is_in_order(self) -> MappingModel:
        self.to_mapping()
        return self

    def to_mapping(self) -> IntensityMapping:
        """Return the mapping."""
        return IntensityMapping(self.low, self.high, self.provenance)


_HINTS = get_type_hints(InferenceOptions)
_SWITCHES: dict[str, Any] = {
    item.name: (_HINTS[item.name], item.default) for item in fields(InferenceOptions)
}
OptionsModel: Any = create_model("OptionsModel", __base__=StrictModel, **_SWITCHES)
"""How the network was used: every switch of `InferenceOptions`."""


class WeightsModel(StrictModel):
    """The network: its name or file, and the SHA-256 of its weights."""

    name: Line
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class SourceModel(StrictModel):
    """Where the image is: its path from the session file and from the root, which part of it, and where it lies.

    `channels`: those that are seen as colours.
    """

    path: LongLine | None = None
    absolute: LongLine | None = None
    name: Line = ""
    kind: SourceKind = "array"
    part: Line | None = None
    level: Annotated[int, Field(ge=0, le=64)] = 0
    channels: Annotated[tuple[Place, ...], Field(max_length=3)] = ()
    matrix: Annotated[tuple[tuple[FiniteFloat, ...], ...], Field(max_length=33)] = ()
    units: Annotated[tuple[Line, ...], Field(max_length=32)] = ()
    labels: Annotated[tuple[Line, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _can_be_placed(self) -> SourceModel:
        if self.matrix:
            Placement(self.matrix, self.units, self.labels)
        return self


class FingerprintModel(StrictModel):
    """Hashes of some frames."""

    frames: Annotated[tuple[Frame, ...], Field(max_length=64)]
    hashes: Annotated[
        tuple[Annotated[str, Field(pattern="^[0-9a-f]{32}$")], ...], Field(max_length=64)
    ]

    @model_validator(mode="after")
    def _has_a_hash_a_frame(self) -> FingerprintModel:
        if len(self.frames) != len(self.hashes):
            raise ValueError(f"has {len(self.hashes)} hashes of {len(self.frames)} frames")
        return self


class MasksModel(StrictModel):
    """The file of masks beside the session file: its name, its SHA-256, the order of runs, and how many masks it has.

    `id`: of its header, by which it is known although some of its masks are damaged.
    """

    file: Annotated[str, Field(pattern=r"^[^/\\:\x00-\x1f]{1,255}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    ranks: tuple[tuple[Id, Annotated[int, Field(ge=0, lt=1 << 31)]], ...] = ()
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    count: Annotated[int, Field(ge=0)] | None = None


class ExistingModel(StrictModel):
    """Labels that were there before: each frame as zlib, base64; `protect`: no mask covers them."""

    dtype: Literal["|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8"]
    protect: bool = True
    frames: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_FRAMES)]


class SessionModel(StrictModel):
    """A whole session."""

    schema_: Annotated[Literal[3, 4], Field(alias="schema")]
    version: Line = ""
    image: ImageModel
    axis: Axis | None
    view: ViewModel
    mapping: MappingModel | None = None
    options: OptionsModel | None = None
    model: WeightsModel | None = None
    overlap: OverlapPolicy = "keep"
    highest_object: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    objects: tuple[RankedObjectModel, ...] = ()
    prompts: tuple[PromptModel, ...] = ()
    locks: tuple[LockModel, ...] = ()
    existing: ExistingModel | None = None
    source: SourceModel | None = None
    fingerprint: FingerprintModel | None = None
    masks: MasksModel | None = None
    log: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_log_of_actions(self) -> SessionModel:
        for number, line in enumerate(self.log):
            if not is_action(line):
                raise ValueError(f"log[{number}] is no action of a session")
        return self

    @model_validator(mode="after")
    def _names_everything_once(self) -> SessionModel:
        ids = [item.object for item in self.objects]
        said = [(item.object, item.frame) for item in self.prompts]
        locked = [(item.object, item.frame) for item in self.locks]
        for name, keys in (("objects", ids), ("prompts", said), ("locks", locked)):
            if len(keys) != len(set(keys)):
                raise ValueError(f"something occurs twice in {name}")
        if self.options is not None:
            InferenceOptions(**self.options.model_dump())  # refuses what cannot be
        return self


def options_model(options: InferenceOptions | None) -> Any:
    """Return the model of inference options."""
    return None if options is None else OptionsModel(**asdict(options))
