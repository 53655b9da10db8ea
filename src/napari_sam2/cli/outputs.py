"""What a command writes: checked before any work, written when it is done, or frame by frame meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.core.errors import FileFormatError, OptionError

if TYPE_CHECKING:
    from napari_sam2.api import Session


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go.

    `targets`: pairs of a path and the format that was asked for, None for that of its ending; `overlay`: a picture.
    """

    targets: tuple[tuple[Path, str | None], ...]
    overlay: Path | None
    overwrite: bool

    @classmethod
    def checked(
        cls,
        out: Sequence[Path],
        format: str | None,
        overlay: Path | None,
        overwrite: bool,
        inputs: tuple[Path, ...],
    ) -> Outputs:
        """Refuse what cannot be written before hours are spent on it."""
        from napari_sam2.io.exports import check_target

        if format is not None and len(out) > 1:
            raise OptionError(
                f"--format is about one --out, got {len(out)}",
                remedy="names with an ending say their format themselves",
                kept="no file was written",
            )
        for path in out:
            check_target(path, format, overwrite=overwrite, inputs=inputs)
        if len({path.expanduser().resolve() for path in out}) < len(out):
            raise OptionError(
                "two results have the same name",
                kept="no file was written",
                remedy="give each --out a name of its own",
            )
        if overlay is not None:
            _check_picture(overlay, overwrite, inputs)
        return cls(tuple((path, format) for path in out), overlay, overwrite)

    def check(self, session: Session) -> None:
        """Refuse formats that cannot hold what `session` is about, before anything is kept of it."""
        from napari_sam2.io.exports import check_suits

        for path, format in self.targets:
            check_suits(path, format, session.source)

    @contextmanager
    def open(self, session: Session) -> Iterator[None]:
        """Write meanwhile what can be, and everything else once the work inside is done."""
        from napari_sam2.io.exports import export, format_of
        from napari_sam2.io.exports.live import live_labels

        later = []
        with ExitStack() as stack:
            for path, format in self.targets:
                if format_of(path, format) == "ome-zarr":
                    stack.enter_context(
                        live_labels(session, lambda: session.result(session.source), path)
                    )
                else:
                    later.append((path, format))
            yield
        result = session.result(session.source) if later else None
        for path, format in later:
            assert result is not None
            export(result, path, format, overwrite=self.overwrite)


def _check_picture(path: Path, overwrite: bool, inputs: tuple[Path, ...]) -> None:
    from napari_sam2.io.exports.targets import check_apart

    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise FileFormatError(
            f"a picture cannot be written to {path}",
            remedy="give a name that ends in .png, in a folder that exists",
            kept="no file was written",
        )
    if path.exists() and not overwrite:
        raise FileFormatError(
            f"{path} exists", remedy="give another name, or --overwrite", kept="it was left alone"
        )
    for given in inputs:
        check_apart(path, given)
