"""What the dock can be set to: one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from napari_sam2.core.errors import OptionError
from napari_sam2.core.options import NATIVE, InferenceOptions, Quality


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """Settings of the dock.

    `model`: name in the weights registry; `device`: where the network runs; `quality`, `focus`: see `InferenceOptions`;
    `ahead`: frames are encoded before anybody asks, while nothing else is to be done;
    `point_size`: of prompts, screen pixels;
    `labels_opacity`: 0 to 1; `refresh_per_second`: at most so often is the shown frame redrawn during a run.
    """

    model: str = "nano"
    device: str = "auto"
    quality: Quality = "auto"
    focus: bool = True
    ahead: bool = True
    point_size: int = 14
    labels_opacity: float = 0.5
    refresh_per_second: float = 10.0

    def __post_init__(self) -> None:
        if self.point_size < 1 or not 0 <= self.labels_opacity <= 1 or self.refresh_per_second <= 0:
            raise OptionError(
                f"settings are out of range: {self.to_dict()}",
                remedy="leave them out to take the defaults",
            )

    @property
    def options(self) -> InferenceOptions:
        """How the network is used."""
        return replace(NATIVE, quality=self.quality, focus=self.focus)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PluginSettings:
        """Return settings from plain values; names that are not known are refused."""
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(
                f"there is no setting called {', '.join(unknown)}",
                remedy="see PluginSettings for those that there are",
            )
        return cls(**values)
