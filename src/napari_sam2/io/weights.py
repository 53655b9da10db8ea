"""Which weights there are, where they lie on this computer, and how they are opened without trusting a name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO, Literal

from napari_sam2.core.errors import (
    CheckpointError,
    DownloadError,
    HashMismatchError,
    MissingWeightsError,
    OptionError,
    UnsafeFolderError,
)
from napari_sam2.io.download import Progress, RemoteFile, download, sha256_of
from napari_sam2.io.folders import offline_folder, weights_folder
from napari_sam2.io.plain_files import open_plain
from napari_sam2.io.private_folders import private_folder
from napari_sam2.io.safetensors_header import read_header

EMBEDDED = "nano"
"""The model that the package carries."""

_FOLDERS = {
    "sam2": "https://dl.fbaipublicfiles.com/segment_anything_2/072824/",
    "sam2.1": "https://dl.fbaipublicfiles.com/segment_anything_2/092824/",
}


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """One official checkpoint, as it was published.

    `name`: of the network preset; `file_name`: in the weights folder; `size`: bytes; `sha256`: hexadecimal.
    """

    name: str
    file_name: str
    url: str
    size: int
    sha256: str


# fmt: off
_PUBLISHED = (
    ("sam2.1", "tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    ("sam2.1", "small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    ("sam2.1", "base_plus", 323_606_802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    ("sam2.1", "large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
    ("sam2", "tiny", 155_906_050, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
    ("sam2", "small", 184_309_650, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
    ("sam2", "base_plus", 323_493_298, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
    ("sam2", "large", 897_952_466, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
)
# fmt: on


def _entry(version: str, model: str, size: int, sha256: str) -> WeightsEntry:
    file_name = f"{version}_hiera_{model}.pt"
    return WeightsEntry(
        f"{version}_{model}", file_name, _FOLDERS[version] + file_name, size, sha256
    )


REGISTRY: dict[str, WeightsEntry] = {
    entry.name: entry for entry in (_entry(*row) for row in _PUBLISHED)
}
"""The eight official checkpoints, newest version first. Nothing else that needs unpickling is ever opened."""

ALIASES = {size: f"sam2.1_{size}" for size in ("tiny", "small", "base_plus", "large")}
"""A size alone means the newest version."""


def model_names() -> tuple[str, ...]:
    """Return the names that `find` knows, the embedded model first."""
    return (EMBEDDED, *REGISTRY)


def entry_of(name: str) -> WeightsEntry:
    """Return the registry's entry for an official model.

    Raises
    ------
    OptionError
        There is no official model of this name.
    """
    full = ALIASES.get(name, name)
    if full not in REGISTRY:
        raise OptionError(
            f"there is no official model called {name!r}",
            remedy=f"choose one of {', '.join((*ALIASES, *REGISTRY))}",
        )
    return REGISTRY[full]


def find(name: str) -> Path | None:
    """Return where the weights of a model lie on this computer, or None; the content is not checked here."""
    if name == EMBEDDED:
        candidates = [_embedded_path()]
    else:
        file_name = entry_of(name).file_name
        folders = [offline_folder(), weights_folder()]
        candidates = [folder / file_name for folder in folders if folder is not None]
    return next((path for path in candidates if path.is_file()), None)


def local_path(name: str) -> Path:
    """Return where the weights of a model lie on this computer.

    Raises
    ------
    MissingWeightsError
        They are not here; the message says how to get them. Nothing is fetched unasked.
    """
    path = find(name)
    if path is not None:
        return path
    if name == EMBEDDED:
        raise MissingWeightsError(
            f"this installation lacks the embedded model {name!r} ({_embedded_path()})",
            remedy="reinstall napari-sam2, or train it from the repository with 'napari-sam2 train'",
        )
    entry = entry_of(name)
    raise MissingWeightsError(
        f"the weights of {entry.name} are not on this computer",
        remedy=(
            f"fetch them ({entry.size / 1e6:.0f} MB) with 'napari-sam2 models pull {entry.name}', "
            f"or place {entry.file_name} in {weights_folder()}"
        ),
    )


def resolve(model: str | Path) -> Path:
    """Return the weights file meant by `model`: a name that `model_names` lists, a size, or a path.

    Raises
    ------
    OptionError
        It is neither a known name nor a file.
    MissingWeightsError
        It is a known name whose weights are not on this computer.
    """
    if str(model) in (*model_names(), *ALIASES):
        return local_path(str(model))
    try:
        path = Path(model).expanduser()
    except TypeError:
        path = Path()
    if path.is_file():
        return path
    raise OptionError(
        f"there is no model and no weights file called {str(model)!r}",
        remedy=f"choose one of {', '.join((EMBEDDED, *ALIASES, *REGISTRY))}, or give a file",
    )


def fetch(
    name: str,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Download the weights of an official model to `folder` (the weights folder if None), checked by their hash."""
    entry = entry_of(name)
    try:
        place = folder or private_folder(weights_folder())
    except UnsafeFolderError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{weights_folder()} cannot be made: {error.strerror}",
            remedy="name another folder with NAPARI_SAM2_HOME",
        ) from error
    target = place / entry.file_name
    remote = RemoteFile(entry.url, entry.size, entry.sha256)
    return download(remote, target, progress=progress, is_cancelled=is_cancelled)


def open_verified(path: Path, entry: WeightsEntry) -> BinaryIO:
    """Open `path`, hash what was opened and return the same descriptor, at its start.

    Whoever exchanges the file afterwards changes nothing: the bytes that are parsed are the bytes that were hashed.

    Raises
    ------
    HashMismatchError
        The content is not the published one.
    """
    file = _open(path)
    try:
        found = sha256_of(file)
        if found != entry.sha256:
            raise HashMismatchError(
                f"{path} has SHA-256 {found}, but {entry.name} was published with {entry.sha256}",
                remedy=f"fetch it again with 'napari-sam2 models pull {entry.name}'",
                kept="nothing was loaded",
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


@dataclass(frozen=True, slots=True)
class OpenedWeights:
    """A weights file that may be parsed. `entry`: which official checkpoint it is, if it is one."""

    path: Path
    file: BinaryIO
    kind: Literal["safetensors", "official"]
    entry: WeightsEntry | None = None

    def __enter__(self) -> OpenedWeights:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def open_weights(path: Path) -> OpenedWeights:
    """Open a weights file of any origin, if it can be parsed without running what it says.

    A safetensors file is data and needs only a sound header. Anything else must be, byte for byte, one of the
    official checkpoints, whatever its name.

    Raises
    ------
    CheckpointError
        It is neither.
    """
    file = _open(path)
    try:
        if path.suffix == ".safetensors" or _looks_like_safetensors(file):
            read_header(file)
            return OpenedWeights(path, file, "safetensors")
        entry = _entry_with_content(file, path)
    except BaseException:
        file.close()
        raise
    return OpenedWeights(path, file, "official", entry)


def weights_sha256(model: str | Path) -> str:
    """Return the SHA-256, hexadecimal, of the weights file meant by `model`; see `resolve`."""
    with _open(resolve(model)) as file:
        return sha256_of(file)


def _looks_like_safetensors(file: BinaryIO) -> bool:
    start = file.read(9)
    file.seek(0)
    return start[8:] == b"{"


def _entry_with_content(file: BinaryIO, path: Path) -> WeightsEntry:
    """Return the official checkpoint that `file` is; its size tells most strangers without hashing them."""
    size = os.fstat(file.fileno()).st_size
    candidates = [entry for entry in REGISTRY.values() if entry.size == size]
    if candidates:
        found = sha256_of(file)
        file.seek(0)
        for entry in candidates:
            if entry.sha256 == found:
                return entry
    raise CheckpointError(
        f"{path} is not one of the official checkpoints, and reading it could run code",
        remedy=f"convert it with 'napari-sam2 models convert {path.name}', and use what that writes",
        kept="nothing was loaded",
    )


def _open(path: Path) -> BinaryIO:
    try:
        return open_plain(path)
    except FileNotFoundError as error:
        raise MissingWeightsError(f"there is no weights file {path}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror}") from error


def _embedded_path() -> Path:
    return Path(str(resources.files("napari_sam2"))) / "weights" / f"{EMBEDDED}.safetensors"
