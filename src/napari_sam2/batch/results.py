"""The files of a batch: labels and a report beside them, which proves them; what lies there is the truth."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.io.atomic import replacing
from napari_sam2.io.failures import storing

if TYPE_CHECKING:
    from napari_sam2.api import Session
    from napari_sam2.batch.job import JobSpec

FORMATS = {
    "tif": ".tif",
    "ome-zarr": ".ome.zarr",
    "nifti": ".nii.gz",
    "dicom-seg": ".dcm",
    "coco": ".json",
    "csv": ".csv",
    "ctc": "_ctc",
    "davis": "_davis",
}
"""Kinds of result, and how the names of their files or folders end."""

_EXPORTS = {"tif": "tiff"}
"""Formats that `io.exports` knows by another name."""

WORK_FOLDER = ".batch"
"""In the output folder: locks, tries, and parts of jobs that are not joined yet."""

_CHUNK = 1 << 20


def result_path(out: Path, spec: JobSpec) -> Path:
    """Return where the labels of a job go."""
    return out / f"{spec.name}_labels{FORMATS[spec.format]}"


def report_path(out: Path, spec: JobSpec) -> Path:
    """Return where the report of a job goes; it is written after the labels, and names their checksum."""
    return out / f"{spec.name}_report.json"


def part_path(out: Path, spec: JobSpec, part: int, num_parts: int) -> Path:
    """Return where the masks of some objects of a job wait to be joined."""
    return out / WORK_FOLDER / f"{spec.name}.{part}-of-{num_parts}.npz"


def remove_parts(out: Path, spec: JobSpec) -> None:
    """Remove all parts of a job, also those of an earlier table that split it otherwise."""
    ends = re.compile(re.escape(spec.name) + r"\.\d+-of-\d+\.npz")
    for path in (out / WORK_FOLDER).iterdir():
        if ends.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_result(session: Session, path: Path, format: str) -> None:
    """Write what a session found in one of `FORMATS`, with the placement of its image; whole or not at all."""
    session.export(path, _EXPORTS.get(format, format), overwrite=True)


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed had begun to write in place of `path`; see `io.atomic.replacing`."""
    for left in path.parent.glob(f".????????*.{escape(path.name)}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a report or a summary, whole or not at all."""
    kept = "what is finished is in its folder, and --resume does the rest"
    with storing(path, kept), replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_report(path: Path) -> dict[str, Any] | None:
    """Return a report, or None if there is none that is whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_complete(out: Path, spec: JobSpec, key: str) -> bool:
    """Say whether the labels of exactly this job lie there undamaged, as their report says."""
    report = read_report(report_path(out, spec))
    if report is None or report.get("key") != key:
        return False
    path = result_path(out, spec)
    return path.exists() and report.get("sha256") == sha256_of(path)


def sha256_of(path: Path) -> str:
    """Return the checksum of a file, or of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for file in _files(path):
        if file != path:
            name = file.relative_to(path).as_posix().encode()
            digest.update(len(name).to_bytes(8, "little") + name)
            digest.update(file.stat().st_size.to_bytes(8, "little"))
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def job_key(spec: JobSpec) -> str:
    """Return what names a job and what it reads: the same key means the same labels.

    Files are known by their size and the time of their last change, so nothing large is read; folders by those of
    the files directly in them.
    """
    facts: dict[str, Any] = {"job": spec.to_payload()}
    facts |= {"image": _facts(Path(spec.image)), "source": _facts(spec.source)}
    if spec.model is not None:
        facts["model"] = _facts(Path(spec.model)) if Path(spec.model).is_absolute() else []
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(path: Path) -> list[Any]:
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files]
    except OSError:
        return []  # the job will say what is wrong with it


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    else:
        yield path
