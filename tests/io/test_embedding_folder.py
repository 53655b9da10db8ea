"""Which folder is meant, and when none is."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from napari_sam2.core.errors import OptionError
from napari_sam2.io import embedding_folder
from napari_sam2.io.embedding_folder import MAX_QUOTA, embeddings_for, store_of


def test_the_usual_folder_is_used_where_it_pays_and_nothing_is_made_yet(home):
    store = embeddings_for(None, pays=True)
    assert store is not None
    assert store.folder == home / "embeddings"
    assert not home.exists()
    assert embeddings_for(None, pays=False) is None


def test_true_means_in_any_case_and_false_never(home):
    assert embeddings_for(True, pays=False).folder == home / "embeddings"
    assert embeddings_for(False, pays=True) is None


def test_a_folder_is_used_in_any_case_and_made(tmp_path):
    store = embeddings_for(tmp_path / "mine", pays=False)
    assert store.folder == tmp_path / "mine"
    assert store.folder.is_dir()
    assert embeddings_for(str(tmp_path / "mine"), pays=True) is store, "one store a process"


def test_a_folder_that_cannot_be_used_is_an_error_if_it_was_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OptionError, match="cannot be kept in"):
        embeddings_for(tmp_path / "file", pays=True)
    if os.name != "nt":
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        with pytest.raises(OptionError, match="others may write"):
            embeddings_for(tmp_path / "shared", pays=True)


@pytest.mark.parametrize(("free", "quota"), [(10**13, MAX_QUOTA), (10**9, 10**8), (0, 0)])
def test_a_disk_that_is_nearly_full_gets_a_smaller_quota(tmp_path, monkeypatch, free, quota):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert store_of(tmp_path / "new" / "folder").quota == quota


def test_what_is_kept_counts_as_free(tmp_path, monkeypatch):
    store = embeddings_for(tmp_path / "mine", pays=True)
    store.put("one", {"a": np.zeros(100_000, np.uint8)})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert 10_000 <= embedding_folder.quota_of(store) < 11_000
