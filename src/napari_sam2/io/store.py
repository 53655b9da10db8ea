"""MaskStore on disk: a file that is only appended to. A record that verifies proves its frame; nothing else does."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.saved import KeptMask
from napari_sam2.core.store import MaskRecord
from napari_sam2.io.failures import in_mib
from napari_sam2.io.mask_records import pack_mask, unpack_mask
from napari_sam2.io.record_file import RecordFile
from napari_sam2.io.record_format import MAX_RECORD, Kind

KIND = Kind(b"SAM2mask", "file of masks")

_ANY_FRAME = 1 << 20, 1 << 20  # (Y, X): the store does not know the stack


class DiskMaskStore:
    """A `MaskStore` in a file; keys count from 0, and are the same when it is opened again.

    Parameters
    ----------
    path : str or Path
        The file; it is made if there is none. One process at a time.
    durable : bool
        Whether `append` returns only when the record would survive a loss of power; else, one of the program.

    Raises
    ------
    FileFormatError
        If the file is of another kind or of another version.
    StorageError
        If it cannot be opened or made.
    """

    def __init__(self, path: str | Path, *, durable: bool = False) -> None:
        self.path = Path(path)
        self._records = RecordFile(self.path, KIND, durable=durable)

    @property
    def num_damaged(self) -> int:
        """Places in which the file was found damaged when it was opened."""
        return self._records.num_damaged

    def append(self, record: MaskRecord) -> int:
        """Write `record` and return its key; if that fails, the file is as it was."""
        content = pack_mask(KeptMask(record))
        if len(content) > MAX_RECORD:
            raise FileFormatError(
                f"the mask of object {record.object_id} on frame {record.frame} takes "
                f"{in_mib(len(content))}, more than {in_mib(MAX_RECORD)}"
            )
        return self._records.append(content)

    def get(self, key: int) -> MaskRecord:
        """Return the record of `key`.

        Raises
        ------
        IndexError
            If there is none.
        FileFormatError
            If it is not any more what was written.
        """
        content = self._records.get(key)
        mask = None if content is None else unpack_mask(content, _ANY_FRAME)
        if mask is None:
            raise FileFormatError(
                f"{self.path}: mask record {key} is damaged", remedy="track its frame again"
            )
        return mask.record

    def discard(self, kept: Container[int]) -> None:
        """Forget the records of all other keys; `compact` gives their room back."""
        self._records.discard(kept)

    @property
    def num_bytes(self) -> int:
        """Nothing is kept in memory."""
        return 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[MaskRecord]:
        return (self.get(key) for key in self._records.keys())

    def compact(self) -> None:
        """Leave out of the file what was forgotten; it is replaced whole or not at all."""
        self._records.compact()

    def close(self) -> None:
        """Let go of the file."""
        self._records.close()

    def __enter__(self) -> DiskMaskStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
