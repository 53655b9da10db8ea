"""Options that several commands have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import typer

from napari_sam2.core.errors import OptionError

Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the network runs.")
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option("--precision", help="Of matrix products; auto takes what the device does fast."),
]
QualityOption = Annotated[
    Literal["auto", "full", "balanced", "fast"],
    typer.Option(
        "--quality",
        help="Balanced and fast look less closely and remember less; auto: balanced for official models on CPUs.",
    ),
]
Focus = Annotated[bool, typer.Option(help="Look at small objects in a window that follows them.")]
NoEmbeddingCache = Annotated[
    bool,
    typer.Option("--no-embedding-cache", help="Neither use nor keep encoded frames on this disk."),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=PLACE",
        help="Where another axis stands, such as c=1 or 0=3; may be repeated.",
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N[,N]]", help="One channel, or two or three to be seen as red, green and blue."
    ),
]
Volumes = Annotated[
    str | None,
    typer.Option(
        metavar="AXIS",
        help="The axis that counts volumes, such as t: through each volume, then from one to the next.",
    ),
]
Level = Annotated[int, typer.Option(help="Of a pyramid; 0 is the full resolution.", min=0)]
Series = Annotated[
    str | None,
    typer.Option(help="Of a DICOM folder with several: SeriesInstanceUID, or its beginning."),
]
Window = Annotated[
    str | None,
    typer.Option(help="A window of CT: soft-tissue, lung, bone or brain; or mr for 1-99 %."),
]


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Which frames of an image are meant, as `Session` takes it."""

    at: dict[int | str, int] = field(default_factory=dict)
    channel: int | tuple[int, ...] | None = None
    volumes: str | None = None
    level: int = 0
    series: str | None = None

    @classmethod
    def parse(
        cls,
        at: list[str] | None,
        channel: str | None,
        volumes: str | None,
        level: int,
        series: str | None,
    ) -> StackOptions:
        """Return what was typed; `OptionError` if it cannot be understood."""
        return cls(dict(map(_place, at or ())), _channels(channel), volumes, level, series)

    def as_arguments(self) -> dict[str, Any]:
        """Return keyword arguments of `Session`."""
        return {
            "at": self.at,
            "channel": self.channel,
            "volumes": self.volumes,
            "level": self.level,
            "series": self.series,
        }


def _place(text: str) -> tuple[int | str, int]:
    axis, _, place = text.partition("=")
    if not axis or not place.isdecimal():
        raise OptionError(
            f"--at takes an axis and a place, such as c=1, got '{text}'",
            remedy="places count from 0",
        )
    return (int(axis) if axis.isdecimal() else axis), int(place)


def _channels(text: str | None) -> int | tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(parts) > 3:
        raise OptionError(
            f"--channel takes one to three numbers, such as 1 or 2,0, got '{text}'",
            remedy="channels count from 0",
        )
    numbers = tuple(map(int, parts))
    return numbers[0] if len(numbers) == 1 else numbers
