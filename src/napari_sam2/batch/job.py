"""JobSpec: one stack and all that its labels depend on, read from a table of jobs or found in a folder."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from napari_sam2.batch.results import FORMATS
from napari_sam2.core.errors import FileFormatError, OptionError
from napari_sam2.core.options import Precision, Quality
from napari_sam2.io.failures import in_mib
from napari_sam2.io.json_files import StrictModel, parse
from napari_sam2.io.weights import resolve

Direction = Literal["both", "forward", "backward"]
Device = Literal["auto", "cpu", "cuda", "mps"]
PromptFrame = Literal["auto", "first", "largest"]

SOURCES = ("prompts", "session", "labels", "segmentation")
"""Where prompts may come from; a job names one of them."""

_PATHS = ("image", *SOURCES)
_MAX_BYTES = 16 << 20
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One stack, its prompts, and how they are carried along. Only texts and numbers, so that it may be sent.

    Attributes
    ----------
    name : str
        What its files in the output folder begin with.
    image : str
        Absolute path of the stack.
    prompts, session, labels, segmentation : str or None
        Absolute path of what the prompts come from; one of the four. `labels`: numbers are objects, and each is given
        by its mask on one frame; `segmentation`: one frame of it gives the objects.
    prompt_frame : {"auto", "first", "largest"}
        Which frame of `labels` or `segmentation` is taken; "auto" is the largest section along z, else the first.
    frame : int or None
        The frame that `segmentation` lies on or is taken from, from 0.
    axis : int or None
        The frame axis; None for that of the prompts, or 0.
    at : tuple of (axis, place)
        Where other axes of the image stand, by name or number.
    channel : int or None
        Of the axis called "c".
    volumes : str or None
        The axis that counts volumes; see `Session`.
    level : int
        Of a pyramid, 0 the full resolution.
    model : str or None
        Name or weights file; None for that of the session, or `nano`.
    limits : (low, high) or None
        Intensities that become black and white; None for those of the session, or percentiles.
    direction, device : str
        As for `Session`.
    focus : bool or None
        Small objects are looked at in a window; None for what the session says, or True.
    quality, precision : str or None
        See `InferenceOptions`; None for what the session says, or "auto".
    format : str
        Of the labels; see `results.FORMATS`.
    split_objects : int
        So many objects are tracked by one task; 0 for all.
    seed : int
        Of torch's random numbers; nothing draws any today, and the report says so.
    """

    name: str
    image: str
    prompts: str | None = None
    session: str | None = None
    labels: str | None = None
    segmentation: str | None = None
    prompt_frame: PromptFrame = "auto"
    frame: int | None = None
    axis: int | None = None
    at: tuple[tuple[str, int], ...] = ()
    channel: int | None = None
    volumes: str | None = None
    level: int = 0
    model: str | None = None
    limits: tuple[float, float] | None = None
    direction: Direction = "both"
    device: Device = "auto"
    focus: bool | None = None
    quality: Quality | None = None
    precision: Precision | None = None
    format: str = "tif"
    split_objects: int = 0
    seed: int = 0

    @property
    def source(self) -> Path:
        """Path of what the prompts come from."""
        return Path(next(given for given in map(self._get, SOURCES) if given is not None))

    def _get(self, name: str) -> str | None:
        value: str | None = getattr(self, name)
        return value

    def to_payload(self) -> dict[str, Any]:
        """Return the job as a dictionary of texts and numbers."""
        payload = asdict(self) | {"at": [list(place) for place in self.at]}
        return payload | {"limits": None if self.limits is None else list(self.limits)}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> JobSpec:
        """Return the job of `to_payload`."""
        limits = payload["limits"]
        at = tuple((axis, place) for axis, place in payload["at"])
        limited = None if limits is None else (limits[0], limits[1])
        return cls(**{**payload, "at": at, "limits": limited})


def read_jobs(path: str | Path) -> tuple[JobSpec, ...]:
    """Read a table of jobs; paths in it are relative to its folder.

    Raises
    ------
    FileFormatError
        It is not TOML, has an unknown key, or one with a wrong value; one line names the first one.
    """
    path = Path(path).expanduser()
    text = json.dumps(_read_toml(path), default=str).encode()
    table = parse(_TableModel, path, text, _remedy)
    jobs = tuple(_to_spec(job, table.defaults, path.parent.resolve()) for job in table.job)
    check_names(jobs, path)
    return jobs


def check_names(jobs: tuple[JobSpec, ...], where: Path) -> None:
    """Refuse jobs that would write the same files; names differ in more than upper and lower case."""
    counts = Counter(job.name.casefold() for job in jobs)
    twice = next((job.name for job in jobs if counts[job.name.casefold()] > 1), None)
    if twice is not None:
        raise FileFormatError(
            f"{where}: several jobs are called {twice!r}, and would write the same files",
            remedy="give each a name of its own",
            kept="nothing was started",
        )


def with_model(jobs: tuple[JobSpec, ...], model: str | None) -> tuple[JobSpec, ...]:
    """Return the jobs with another model, if one is given: a name, or a weights file."""
    if model is None:
        return jobs
    found = _model(model, Path.cwd())
    return tuple(replace(job, model=found) for job in jobs)


def check_models(jobs: tuple[JobSpec, ...]) -> None:
    """Refuse jobs whose model is not on this computer with a `MissingWeightsError`, before any of them is begun."""
    for model in sorted({job.model for job in jobs if job.model is not None}):
        resolve(model)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise FileFormatError(
                f"{path} has more than {in_mib(_MAX_BYTES)}; it is no job table",
                remedy="give a TOML table of jobs",
            )
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be read: {error.strerror}", remedy="check the path and its permissions"
        ) from error
    except ValueError as error:  # of TOML and of UTF-8
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} is not TOML: {error}", remedy="it has [defaults] and a [[job]] for every stack"
        ) from error


class _OptionsModel(StrictModel):
    """What jobs have in common, or each for itself."""

    prompt_frame: PromptFrame = "auto"
    frame: Annotated[int, Field(ge=0)] | None = None
    axis: Annotated[int, Field(ge=0)] | None = None
    at: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    channel: Annotated[int, Field(ge=0)] | None = None
    volumes: Annotated[str, Field(min_length=1)] | None = None
    level: Annotated[int, Field(ge=0)] = 0
    model: Annotated[str, Field(min_length=1)] | None = None
    limits: tuple[FiniteFloat, FiniteFloat] | None = None
    direction: Direction = "both"
    device: Device = "auto"
    focus: bool | None = None
    quality: Quality | None = None
    precision: Precision | None = None
    format: str = "tif"
    split_objects: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if self.format not in FORMATS:
            raise ValueError(f"format is one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.limits is not None and self.limits[0] > self.limits[1]:
            raise ValueError("limits are (low, high), the darker one first")
        return self


class _JobModel(_OptionsModel):
    image: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1, max_length=_MAX_NAME)] | None = None
    prompts: Annotated[str, Field(min_length=1)] | None = None
    session: Annotated[str, Field(min_length=1)] | None = None
    labels: Annotated[str, Field(min_length=1)] | None = None
    segmentation: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _is_one_job(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs just one of {', '.join(SOURCES)}, got {' and '.join(given) or 'none'}"
            )
        if self.name is not None and not is_file_name(self.name):
            raise ValueError(f"a name begins file names, without folders, got {self.name!r}")
        return self


class _TableModel(StrictModel):
    defaults: _OptionsModel = _OptionsModel()
    job: Annotated[tuple[_JobModel, ...], Field(min_length=1)]


def is_file_name(name: str) -> bool:
    """Say whether a text may begin the names of files on every system."""
    return (
        name.isprintable()
        and name == name.strip()
        and not name.startswith(".")
        and not set(name) & set('/\\:*?"<>|')
    )


def _to_spec(job: _JobModel, defaults: _OptionsModel, folder: Path) -> JobSpec:
    options = {name: getattr(defaults, name) for name in _OptionsModel.model_fields}
    own = {name: getattr(job, name) for name in job.model_fields_set}
    values: dict[str, Any] = options | own
    for name in _PATHS:
        if values.get(name) is not None:
            values[name] = _absolute(values[name], folder)
    if values["model"] is not None:
        values["model"] = _model(values["model"], folder)
    if values["frame"] is not None and values.get("segmentation") is None and "frame" in own:
        raise OptionError(
            f"{job.image}: 'frame' says where a segmentation lies, and the job has none",
            remedy="leave it out; prompts and labels know their frames",
        )
    values["at"] = tuple(sorted(values["at"].items()))
    values["name"] = job.name or stem_of(Path(job.image))
    return JobSpec(**values)


def stem_of(image: Path) -> str:
    """Return the name of an image without what tells its format: `a` for `a.ome.tif` and `a.nii.gz`."""
    stem = image.name
    for ending in ("", ".ome", ".nii"):
        if stem.lower().endswith(ending) and not stem.lower() == ending:
            stem = Path(stem).stem if ending == "" else stem[: -len(ending)]
    return stem


def _absolute(name: str, folder: Path) -> str:
    return str((folder / Path(name).expanduser()).absolute())


def _model(model: str, folder: Path) -> str:
    """Return the absolute path of a weights file, or the name that it must be."""
    path = folder / Path(model).expanduser()
    return str(path.absolute()) if path.is_file() else model


def _remedy(error: ValidationError) -> str:
    if any(item["type"] == "extra_forbidden" for item in error.errors()):
        known = ", ".join(field.name for field in fields(JobSpec))
        return f"the keys of a job are {known}; [defaults] has those after segmentation"
    return "every [[job]] has an image, and one of " + ", ".join(SOURCES)
