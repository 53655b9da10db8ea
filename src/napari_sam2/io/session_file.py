"""SessionFile: what a session file says, as a value; how it is written is no concern of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.saved import Kept, SavedSession
from napari_sam2.io.session_parts import ImagePlace


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """By what an image is known again: `shape` (T, Y, X), pixel type, colours or not."""

    shape: tuple[int, int, int]
    dtype: str
    is_rgb: bool = False

    @classmethod
    def of(cls, frames: FrameSource) -> ImageFacts:
        """Return the facts of a stack."""
        return cls((len(frames), *frames.shape), frames.dtype.name, frames.is_rgb)

    def check(self, frames: FrameSource) -> None:
        """Refuse a stack of another shape or type with an `ImageError`."""
        if self != ImageFacts.of(frames):
            raise ImageError(
                f"the session was made on an image of {self}, and this one is {ImageFacts.of(frames)}",
                remedy="open the image that it was made on",
            )

    def __str__(self) -> str:
        colours = ", RGB" if self.is_rgb else ""
        return f"{' x '.join(map(str, self.shape))} {self.dtype}{colours}"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The network that was used: its name or file, and the SHA-256 of its weights, if it is known."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SessionFile:
    """What a session file says.

    `saved`: what a person made, for `Session.reopen`; `axis`: the frame axis, None for a single image. All that the
    masks depend on besides is None where the file does not say it, as in prompt files. `place`: the image;
    `kept`: the masks, where they are known; `log`: the actions so far; `notice`: what a person should know of the file;
    `num_regained`: frames whose masks a program that died had found since it was written, and which are in `kept`.
    """

    saved: SavedSession
    axis: int | None
    image: ImageFacts | None = None
    stack_view: StackView | None = None
    mapping: IntensityMapping | None = None
    options: InferenceOptions | None = None
    model: ModelFacts | None = None
    place: ImagePlace | None = None
    fingerprint: Fingerprint | None = None
    kept: Kept | None = field(default=None, repr=False)
    log: tuple[str, ...] = field(default=(), repr=False)
    notice: str = ""
    num_regained: int = 0
