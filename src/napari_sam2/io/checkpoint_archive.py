"""A stranger's `.pt` as an archive: the parts that `torch.save` writes, where it writes them, and nothing else.

Two readers of one zip file may see two contents, and scanners of pickles have been passed by with that: a flag that one
of them minds, a name that occurs twice, a local header that tells another story than the directory. So an archive is
taken only if it is as `torch.save` writes it, in every respect that readers differ in.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from napari_sam2.core.errors import CheckpointError

MAX_PARTS = 20_000
MAX_PICKLE = 32 << 20
"""Bytes; that of the official large model has 0.2 MB."""

_SMALL = 4096
_DAMAGES = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What the library raises on archives that are cut, damaged or of other kinds."""

_ALLOWED_FLAGS = 0x808  # names in UTF-8; sizes behind the data
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_FOLDER = re.compile(r"[^/\\\x00]{1,255}")
_STORAGE = re.compile(r"data/([0-9]{1,9})")
_OTHERS = {
    "data.pkl",
    "version",
    "byteorder",
    ".format_version",
    ".storage_alignment",
    ".data/serialization_id",
}
_TORCHSCRIPT = ("code/", "constants.pkl", "constants/", "attributes.pkl", "extra/")

_OTHER_KINDS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"Rar!", "a rar archive"),
    (b"\x80", "of the old kind that torch wrote before 1.6, a bare pickle"),
)


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive holds: the pickle, and the bytes of every storage by its key."""

    pickle: bytes
    storages: dict[str, int]


def read_archive(file: BinaryIO) -> Archive:
    """Return the parts of an archive that stands at its start; no part but the pickle is kept.

    Raises
    ------
    CheckpointError
        It is no archive of `torch.save`, or is damaged.
    """
    _require_zip(file)
    try:
        with zipfile.ZipFile(file) as archive:
            names = _checked_names(archive, file)
            for name, info in names.items():
                if not name.startswith("data/"):
                    continue
                _verify(archive, info)
            _require_little_endian(archive, names)
            data = archive.read(names["data.pkl"])
    except _DAMAGES as error:
        if isinstance(error, CheckpointError):
            raise
        raise refused(f"its archive is damaged or crafted ({error})") from error
    storages = {name[5:]: info.file_size for name, info in names.items() if name[:5] == "data/"}
    return Archive(data, storages)


def refused(what: str, remedy: str = "") -> CheckpointError:
    """Return the error of a checkpoint that is not taken; whoever knows its name puts it in front."""
    return CheckpointError(what, kept="nothing was loaded and nothing was written", remedy=remedy)


def _require_zip(file: BinaryIO) -> None:
    file.seek(0)
    start = file.read(512)
    file.seek(0)
    if start[:4] == b"PK\x03\x04":
        return
    again = "load it where you trust it and save it again with torch.save"
    for magic, kind in _OTHER_KINDS:
        if start.startswith(magic):
            raise refused(f"it is {kind}", again)
    if start[257:262] == b"ustar":
        raise refused("it is a tar archive, of the oldest kind of checkpoints", again)
    raise refused("it is no checkpoint that torch.save has written")


def _checked_names(archive: zipfile.ZipFile, file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """Return the parts by their names below the one folder, once every one of them is as it should be."""
    infos = archive.infolist()
    if not 0 < len(infos) <= MAX_PARTS:
        raise refused(f"its archive has {len(infos)} parts; 1 to {MAX_PARTS} are accepted")
    _require_end(archive, file)
    folder = infos[0].filename.partition("/")[0]
    if not _FOLDER.fullmatch(folder) or folder in (".", ".."):
        raise refused("its archive has no folder that holds all parts")
    names: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        top, _, name = info.orig_filename.partition("/")
        if top != folder:
            raise refused(f"part {info.orig_filename[:80]!r} of its archive is in another folder")
        _require_known(name)
        if name in names:
            raise refused(f"part {name!r} of its archive is there twice")
        names[name] = info
    if "data.pkl" not in names:
        raise refused("its archive has no data.pkl")
    for name, info in names.items():
        _require_plain(name, info)
    _require_apart(infos, archive.start_dir)
    for info in infos:
        _require_same_local_header(info, file)
    return names


def _require_known(name: str) -> None:
    if name.startswith(_TORCHSCRIPT):
        raise refused(
            f"it is a TorchScript program (it has {name[:80]!r}), and no table of tensors",
            "save the state_dict of the model with torch.save",
        )
    if name not in _OTHERS and not _STORAGE.fullmatch(name):
        raise refused(f"part {name[:80]!r} of its archive is none that torch.save writes")


def _require_plain(name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ~_ALLOWED_FLAGS:
        raise refused(f"part {name!r} of its archive has flags {info.flag_bits:#x}")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise refused(f"part {name!r} of its archive is compressed, which torch.save never does")
    limit = MAX_PICKLE if name == "data.pkl" else _SMALL
    if name in _OTHERS and info.file_size > limit:
        raise refused(f"part {name!r} of its archive has {info.file_size} bytes")


def _require_end(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Refuse anything behind the directory: readers that search for its end may find another one."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    is_end = len(end) == _END.size and _END.unpack(end)[0] == b"PK\x05\x06"
    if archive.comment or not is_end:
        raise refused("there is something behind the end of its archive")


def _require_apart(infos: list[zipfile.ZipInfo], directory: int) -> None:
    """Refuse parts that share bytes, or lie before the file or in the directory."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise refused(f"part {info.orig_filename[:80]!r} of its archive overlaps another one")
        end = info.header_offset + _LOCAL.size + len(info.orig_filename) + info.file_size
    if end > directory or infos[0].header_offset != 0:
        raise refused("the parts of its archive do not fill the file that has them")


def _require_same_local_header(info: zipfile.ZipInfo, file: BinaryIO) -> None:
    file.seek(info.header_offset)
    magic, _, flags, method, _, _, crc, packed, size, num_name, _ = _LOCAL.unpack(
        file.read(_LOCAL.size)
    )
    name = file.read(num_name)
    is_same = magic == b"PK\x03\x04" and method == info.compress_type and flags == info.flag_bits
    is_same = is_same and name == info.orig_filename.encode("utf-8")
    told = (crc, packed, size)
    is_behind = bool(flags & 0x8) and told == (0, 0, 0)
    is_large = packed == size == 0xFFFFFFFF and crc == info.CRC  # the sizes are in the extra field
    if not is_same or not (
        is_behind or is_large or told == (info.CRC, info.file_size, info.file_size)
    ):
        raise refused(f"part {info.orig_filename[:80]!r} of its archive is told of in two ways")


def _verify(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Read a part to its end; the library compares its checksum there."""
    with archive.open(info) as part:
        while part.read(1 << 20):
            pass


def _require_little_endian(archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo]) -> None:
    if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
        raise refused("its numbers are not in little-endian order")
