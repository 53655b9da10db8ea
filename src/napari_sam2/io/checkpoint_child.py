"""The program that converts a stranger's checkpoint: a process of its own that has nothing to give away.

`python -I checkpoint_child.py` with the checkpoint as standard input, the file to write as standard output, and the
report, one line of JSON, on standard error. It opens nothing else for writing, has no network where the system can take
it away, and limits to its memory, time and output. It looks at the file without loading it (`checkpoint_scan`) before
torch is imported; what torch then loads must be what was seen.

Nothing but `checkpoints.convert` starts it. It is the only module of `io` that uses torch, and never in the program's
own process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from napari_sam2.io.checkpoint_pickle import TensorFacts

OLDEST_TORCH = (2, 10)
"""Before it, `weights_only=True` has been passed by (CVE-2025-32434, CVE-2026-24747)."""

_SCAN_MEMORY = 1 << 30
_SECONDS = 120
_BYTES_A_SECOND = 20 << 20
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

FORBIDDEN = (
    "ctypes.",
    "ftplib.",
    "http.",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "pty.",
    "shutil.",
    "smtplib.",
    "socket.",
    "subprocess.",
    "tempfile.",
    "urllib.",
    "webbrowser.",
    "winreg.",
)
"""Beginnings of audit events that reading a file has no reason for."""


def is_forbidden(event: str, arguments: tuple[Any, ...]) -> bool:
    """Say whether an audit event is one that reading a file has no reason for: writing is one, too."""
    if event == "open":
        _, mode, flags = arguments
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & writes)
    return event.startswith(FORBIDDEN)


def main() -> int:
    """Convert; return the exit code: 0 done, 1 refused with a report."""
    # What torch or anybody else prints must end up neither in the output nor in the report.
    source = os.fdopen(os.dup(0), "rb")
    target, report = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(2), "w", encoding="utf-8")
    with open(os.devnull, "rb+", buffering=0) as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)
    _import_ours()
    from napari_sam2.core.errors import CheckpointError

    try:
        told: dict[str, Any] = {"tensors": _convert(source, target)}
    except CheckpointError as error:
        told = {"refused": error.what, "remedy": error.remedy}
    except MemoryError:
        told = {"refused": "reading it takes more memory than its size explains"}
    with report:
        json.dump(told, report)
    return int("refused" in told)


def _import_ours() -> None:
    """Make this package importable, and nothing else that lies beside it."""
    root = str(Path(__file__).resolve().parents[2])
    sys.path.insert(0, root)
    import napari_sam2  # noqa: F401

    sys.path.remove(root)


def _convert(source: BinaryIO, target: BinaryIO) -> int:
    from napari_sam2.io.checkpoint_scan import scan

    size = os.fstat(source.fileno()).st_size
    _leave_the_network()
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", size + (16 << 20))
    _limit("RLIMIT_CPU", _SECONDS + size // _BYTES_A_SECOND)
    _limit("RLIMIT_AS", _memory_in_use() + _SCAN_MEMORY, is_final=False)
    tensors = scan(source)
    _limit("RLIMIT_AS", None, is_final=False)
    _import_torch()
    _limit("RLIMIT_AS", _memory_in_use() + 4 * size + (512 << 20))
    sys.addaudithook(_refuse)
    content = _load(source, tensors)
    target.write(content)
    target.close()
    return len(tensors)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if is_forbidden(event, arguments):
        from napari_sam2.io.checkpoint_archive import refused

        raise refused(f"reading it tried what no table of tensors needs ({event})")


# Limits


def _limit(name: str, value: int | None, *, is_final: bool = True) -> None:
    """Set a limit where the system has it; a lower one that is there stays. None lifts one that is not final."""
    try:
        import resource
    except ImportError:  # Windows
        return
    kind = getattr(resource, name, None)
    if kind is None or (name == "RLIMIT_AS" and not sys.platform.startswith("linux")):
        return
    _, hard = resource.getrlimit(kind)
    wished = hard if value is None else value
    if hard != resource.RLIM_INFINITY:
        wished = min(wished, hard) if wished != resource.RLIM_INFINITY else hard
    resource.setrlimit(kind, (wished, wished if is_final else hard))


def _memory_in_use() -> int:
    """Return the address space that this process has, bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _leave_the_network() -> None:
    """Go where no network is; systems that do not allow that are none where it could be taken away."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    except (OSError, AttributeError):
        return


# torch


def _import_torch() -> None:
    from napari_sam2.io.checkpoint_archive import refused

    try:
        import safetensors.torch  # noqa: F401
        import torch
    except (ImportError, OSError) as error:
        raise refused(f"torch cannot be loaded in a process of its own: {error}") from error
    require_safe_torch(torch.__version__)
    torch.set_num_threads(1)


def require_safe_torch(version: str) -> None:
    """Refuse to load anything with a torch whose restricted unpickler is known to be unsafe."""
    from napari_sam2.io.checkpoint_archive import refused

    parts = version.split("+")[0].split(".")[:2]
    if tuple(int(part) for part in parts) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise refused(
            f"torch {version} cannot be trusted with files of others", f"install torch {oldest}"
        )


def _load(source: BinaryIO, seen: dict[str, TensorFacts]) -> bytes:
    """Return the tensors as safetensors, once torch has read what the scan has seen."""
    import pickle

    import safetensors.torch
    import torch

    from napari_sam2.io.checkpoint_archive import refused
    from napari_sam2.io.checkpoint_scan import choose_table

    source.seek(0)
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, TypeError) as error:
        if hasattr(error, "kept"):
            raise
        raise refused(f"torch cannot read it as tensors ({type(error).__name__})") from error
    table = choose_table(content, torch.Tensor) or {}
    names = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    names["F64"] = torch.float64
    told = {name: (tuple(value.shape), value.dtype) for name, value in table.items()}
    if told != {name: (facts.shape, names[facts.dtype]) for name, facts in seen.items()}:
        raise refused("torch reads other tensors in it than its description has")
    for name, value in table.items():
        if not bool(torch.isfinite(value).all()):
            raise refused(f"tensor {name[:80]!r} holds NaN or infinite numbers")
    # Copies: the library refuses tensors that share their numbers.
    return safetensors.torch.save({k: v.clone().contiguous() for k, v in table.items()})


if __name__ == "__main__":
    sys.exit(main())
