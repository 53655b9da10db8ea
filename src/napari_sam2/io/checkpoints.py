"""A person's own `.pt` becomes safetensors, in a process that is thrown away afterwards.

Only safetensors are read where the program runs. What `torch.save` wrote is a program in the language of pickles, and
each of the restrictions that were to make that harmless has been passed by at some time. So it is loaded where nothing
is to be had (`checkpoint_child`), and there is no way around that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from napari_sam2.core.errors import CheckpointError, MissingWeightsError, OptionError
from napari_sam2.io.atomic import replacing
from napari_sam2.io.plain_files import open_plain
from napari_sam2.io.safetensors_header import read_header

MAX_BYTES = 8 << 30
"""Of a checkpoint."""

_PATIENCE = 1800.0
"""Seconds that a conversion may take; its processor time is limited far below that."""

_LONGEST_REPORT = 1 << 16

Shapes = Mapping[str, tuple[int, ...]]


def convert(source: Path, target: Path, *, fits: Callable[[Shapes], object] | None = None) -> int:
    """Convert a checkpoint to safetensors, and return how many tensors it has.

    Parameters
    ----------
    source : Path
        Written by ``torch.save``: a table of tensors, or one with such a table under "model" or "state_dict".
    target : Path
        Ends in ``.safetensors``, and must not exist. It appears whole or not at all.
    fits : callable, optional
        Is given the shapes of the tensors, and raises if they fit no model.

    Raises
    ------
    MissingWeightsError
        There is no such checkpoint.
    CheckpointError
        It holds anything but tensors and plain values, or `target` cannot be written.
    OptionError
        `target` exists, or has another ending.
    """
    _check_target(target)
    with _open(source) as file:
        try:
            with replacing(target) as temporary:
                with temporary.open("xb") as output:
                    _run(file, output, source)
                shapes = _shapes_of(temporary)
                if fits is not None:
                    fits(shapes)
        except OSError as error:
            raise CheckpointError(
                f"{target} cannot be written: {error.strerror or error}",
                kept="nothing was written",
            ) from error
    return len(shapes)


def _check_target(target: Path) -> None:
    if target.suffix != ".safetensors":
        raise OptionError(f"{target.name} does not end in .safetensors", remedy="name it so")
    if target.exists():
        raise OptionError(
            f"{target} exists already", remedy="give another name with --out", kept="it was left"
        )


def _open(path: Path) -> BinaryIO:
    try:
        file = open_plain(path)
    except FileNotFoundError as error:
        raise MissingWeightsError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror}") from error
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        file.close()
        raise CheckpointError(
            f"{path} has {size / 2**30:.1f} GiB, and at most {MAX_BYTES >> 30} GiB are read",
            remedy="save the state_dict of the model alone",
        )
    return file


def _run(source: BinaryIO, target: BinaryIO, path: Path) -> None:
    """Let the child convert; every way in which it may end but the good one is a `CheckpointError`."""
    # Its report goes to a file, not into a pipe: whatever it says, nobody has to keep up with it.
    with tempfile.TemporaryFile() as report:
        try:
            code = subprocess.run(
                _command(),
                stdin=source,
                stdout=target,
                stderr=report,
                env=_environment(os.environ),
                cwd=os.path.abspath(os.sep),
                timeout=_PATIENCE,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise _failure(path, "reading it takes longer than its size explains") from error
        report.seek(0)
        told = _parsed(report.read(_LONGEST_REPORT))
    if code == 0 and "tensors" in told:
        return
    what = told.get("refused") or f"the process that read it ended with code {code}"
    raise _failure(path, str(what), str(told.get("remedy") or ""))


def _command() -> list[str]:
    child = Path(__file__).with_name("checkpoint_child.py")
    return [sys.executable, "-I", "-B", "-X", "utf8", str(child)]


def _environment(mine: Mapping[str, str]) -> dict[str, str]:
    """Return the little that a process needs to start: no switch that loosens torch, no token, no proxy."""
    needed = ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH", "TMPDIR", "TEMP")
    kept = {name: mine[name] for name in needed if name in mine}
    return {**kept, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def _parsed(report: bytes) -> dict[str, Any]:
    try:
        told = json.loads(report)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _shapes_of(path: Path) -> Shapes:
    with path.open("rb") as file:
        return {name: info.shape for name, info in read_header(file).tensors.items()}


def _failure(path: Path, what: str, remedy: str = "") -> CheckpointError:
    return CheckpointError(f"{path.name}: {what}", kept="nothing was written", remedy=remedy)
