"""Which tensors a stranger's checkpoint holds: found out from its archive and its pickle, without loading either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from napari_sam2.io.checkpoint_archive import Archive, read_archive, refused
from napari_sam2.io.checkpoint_pickle import Storage, TensorFacts, read_pickle

MODEL_KEYS = ("model", "state_dict")
"""Where the table of tensors may lie, if the file is not one itself."""

_FLOATS = ("F32", "F16", "BF16", "F64")


def scan(file: BinaryIO) -> dict[str, TensorFacts]:
    """Return the tensors of a checkpoint that `torch.save` wrote.

    Raises
    ------
    CheckpointError
        It holds anything but tables of tensors and plain values, or says what is not so.
    """
    archive = read_archive(file)
    file.seek(0)
    described = read_pickle(archive.pickle)
    _check_storages(described.storages, archive)
    tensors = _table_of(described.content)
    _check_total(tensors, archive)
    return tensors


def choose_table(content: Any, is_tensor: type) -> dict[str, Any] | None:
    """Return the table of tensors of a checkpoint: the content itself, or what it has under one of `MODEL_KEYS`."""
    if not isinstance(content, dict):
        return None
    for table in (content, *(content.get(key) for key in MODEL_KEYS)):
        if isinstance(table, dict) and table and _are_tensors(table, is_tensor):
            return dict(table)
    return None


def _are_tensors(table: dict[Any, Any], is_tensor: type) -> bool:
    return all(type(name) is str and isinstance(item, is_tensor) for name, item in table.items())


def _table_of(content: Any) -> dict[str, TensorFacts]:
    tensors = choose_table(content, TensorFacts)
    if tensors is None:
        raise refused(
            'it holds no table of tensors, neither as a whole nor under "model" or "state_dict"',
            "save the state_dict of the model with torch.save",
        )
    other = next((name for name, facts in tensors.items() if facts.dtype not in _FLOATS), None)
    if other is not None:
        raise refused(f"tensor {other[:80]!r} holds {tensors[other].dtype}, and no floating point")
    return tensors


def _check_storages(storages: Iterable[Storage], archive: Archive) -> None:
    """Refuse numbers that are not in the file, whichever table they are of."""
    for storage in storages:
        stored = archive.storages.get(storage.key, 0)
        if stored != storage.count * storage.type.item_size:
            raise refused(
                f"storage {storage.key[:80]!r} says that it has {storage.count} numbers of "
                f"{storage.type.item_size} bytes, but the file has {stored} bytes of it"
            )


def _check_total(tensors: dict[str, TensorFacts], archive: Archive) -> None:
    """Refuse a table that is larger when it is written than the file: tensors may share their numbers."""
    total = sum(facts.num_bytes for facts in tensors.values())
    if total > sum(archive.storages.values()):
        raise refused(f"its tensors would take {total} bytes, more than the file has")
