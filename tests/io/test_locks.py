"""The lock file: one holder at a time, and no error where a file system has no locks."""

from __future__ import annotations

import errno
import sys

import pytest

from napari_sam2.io.locks import locked


class GivesUp(Exception):
    pass


def give_up():
    raise GivesUp


def test_a_second_holder_waits(tmp_path):
    path = tmp_path / "lock"
    with locked(path, give_up), pytest.raises(GivesUp), locked(path, give_up):
        pass
    with locked(path, give_up):
        assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks otherwise")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EIO])
def test_a_file_system_without_locks_lets_everybody_in_and_a_broken_one_is_an_error(
    tmp_path, monkeypatch, code
):
    def refuse(*args):
        raise OSError(code, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    if code == errno.EIO:
        with pytest.raises(OSError, match="no locks"), locked(tmp_path / "lock", give_up):
            pass
    else:
        with locked(tmp_path / "lock", give_up):
            assert (tmp_path / "lock").exists()
