"""What tests/conftest.py promises of every run: audited skips, no network, nothing left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.fixture
def suite(tmp_path):
    """Run a small suite under our conftest; return exit code and output."""
    shutil.copy(CONFTEST, tmp_path)

    def suite(code, allowed="", *options):
        (tmp_path / "allowed_skips.txt").write_text(allowed)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    gui\n    canvas\n")
        (tmp_path / "test_it.py").write_text(code)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they take seconds
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    return suite


SKIPPING = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_skips(n):
    pytest.skip("no time")
"""


def test_a_skipped_test_that_is_not_listed_fails_the_run(suite):
    code, output = suite(SKIPPING, "test_it.py::test_skips[1]  known\n", "--audit-skips")
    assert code == 1
    assert "test_it.py::test_skips[2] was skipped (Skipped: no time)" in output
    assert "test_skips[1] was skipped" not in output


def test_a_listed_test_may_be_skipped_and_only_an_audit_asks(suite):
    assert (
        suite(SKIPPING, "# why\n\ntest_it.py::test_skips*  no time here\n", "--audit-skips")[0] == 0
    )
    assert suite(SKIPPING)[0] == 0


def test_a_module_that_skips_itself_is_audited_too(suite):
    code = "import pytest\npytest.importorskip('no_such_module')\ndef test(): pass\n"
    assert suite(code, "", "--audit-skips")[0] != 0


def test_a_listed_test_needs_a_reason(suite):
    code, output = suite(SKIPPING, "test_it.py::test_skips\n", "--audit-skips")
    assert code != 0
    assert "no reason given" in output


def test_tests_reach_this_machine_only(suite):
    code, output = suite(
        """
import socket, urllib.request
import pytest

@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_no_way_out(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as s, pytest.raises(PermissionError, match="no network"):
            s.connect(address)
    with pytest.raises(OSError, match="no network"):
        urllib.request.urlopen("http://example.org")

def test_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
"""
    )
    assert code == 0, output


def test_a_thread_left_behind_is_an_error(suite):
    code, output = suite(
        """
import threading
stop = threading.Event()

def test_leaks():
    threading.Thread(target=lambda: stop.wait(5), name="leaked").start()
"""
    )
    assert code == 1
    assert "threads left running: ['leaked']" in output


def test_each_test_has_a_cache_folder_of_its_own(suite):
    code, output = suite(
        """
import os
def test(tmp_path): assert os.environ["NAPARI_SAM2_HOME"].startswith(str(tmp_path))
"""
    )
    assert code == 0, output
