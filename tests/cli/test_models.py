"""``models``: list, pull, path, verify; downloads come from a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading

import numpy as np
import pytest
from safetensors.numpy import save

from napari_sam2.io import weights
from napari_sam2.io.weights import REGISTRY, WeightsEntry

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 500


@pytest.fixture
def published(monkeypatch):
    """An official checkpoint that a server on this machine offers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    entry = WeightsEntry(
        "sam2.1_tiny",
        "sam2.1_hiera_tiny.pt",
        f"http://127.0.0.1:{server.server_port}/tiny.pt",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(REGISTRY, entry.name, entry)
    yield entry
    server.shutdown()
    server.server_close()
    thread.join()


def test_list_names_every_model_and_where_it_is(call, home, published):
    _, out, _ = call("models", "list")
    assert [line.split()[0] for line in out.splitlines()] == list(weights.model_names())
    assert "sam2_large          898.0 MB  not here" in out
    call("models", "pull", "tiny")
    _, out, _ = call("models", "list")
    assert str(home / "weights" / published.file_name) in out


def test_pull_fetches_to_the_cache_folder_and_path_finds_it(call, home, published):
    code, out, _ = call("models", "pull", "tiny")
    assert code == 0
    assert out.strip() == str(home / "weights" / published.file_name)
    assert (home / "weights" / published.file_name).read_bytes() == CONTENT
    assert call("models", "path", "tiny")[1] == out


def test_pull_to_a_folder_makes_one_that_a_computer_without_network_can_use(
    call, tmp_path, published, monkeypatch, refuse
):
    call("models", "pull", "tiny", "--to", tmp_path / "stick")
    assert "are not on this computer" in refuse("models", "path", "tiny")
    monkeypatch.setenv("NAPARI_SAM2_WEIGHTS", str(tmp_path / "stick"))
    assert call("models", "verify", "tiny")[1].startswith("tiny: ok")


def test_pulling_the_embedded_model_needs_no_network(call):
    assert call("models", "pull", "nano")[0] == 0


def test_verify_tells_a_damaged_file(call, refuse, home, published):
    call("models", "pull", "tiny")
    file = home / "weights" / published.file_name
    file.write_bytes(CONTENT[:-1] + b"?")
    assert published.sha256 in refuse("models", "verify", "tiny")
    assert call("models", "verify")[0] == 2
    call("models", "pull", "tiny")
    assert call("models", "verify", "tiny")[0] == 0


def test_verify_checks_the_structure_of_a_file(call, refuse, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(save({"a": np.ones(3, np.float32)}))
    assert "ok" in call("models", "verify", path)[1]
    path.write_bytes(path.read_bytes()[:-1])
    assert "the safetensors file" in refuse("models", "verify", path)


def test_a_pickle_of_a_stranger_is_not_verified(refuse, tmp_path):
    path = tmp_path / "stranger.pt"
    path.write_bytes(b"PK\x03\x04 something else")
    assert "could run code" in refuse("models", "verify", path)


@pytest.mark.parametrize("command", ["pull", "path"])
def test_an_unknown_model_lists_the_choices(refuse, command):
    assert "choose one of tiny, small" in refuse("models", command, "giant")


def test_pulling_the_embedded_model_says_that_it_is_here_already(call):
    code, out, err = call("models", "pull", "nano")
    assert (code, err) == (0, "")
    assert out.startswith("nano is built in: ")


@pytest.mark.slow
def test_an_own_checkpoint_is_converted_and_then_a_model(call, refuse, random_nano, tmp_path):
    import safetensors.torch
    import torch

    state = safetensors.torch.load_file(random_nano)
    torch.save({"model": state, "epoch": 3}, tmp_path / "own.pt")
    assert "napari-sam2 models convert own.pt" in refuse("models", "verify", tmp_path / "own.pt")
    code, out, _ = call("models", "convert", tmp_path / "own.pt")
    assert (code, out.strip()) == (0, f"nano: {tmp_path / 'own.safetensors'}")
    converted = safetensors.torch.load_file(tmp_path / "own.safetensors")
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], state[name]) for name in state)
    assert "exists already" in refuse("models", "convert", tmp_path / "own.pt")
    state.pop("no_mem_embed")
    torch.save(state, tmp_path / "less.pt")
    line = refuse("models", "convert", tmp_path / "less.pt", "-o", tmp_path / "x.safetensors")
    assert "1 missing: no_mem_embed" in line
    assert sorted(item.name for item in tmp_path.glob("*.safetensors")) == ["own.safetensors"]


def test_a_hostile_checkpoint_is_one_line(refuse, tmp_path):
    import pickle

    from tests.security.crafted import Run, archive

    (tmp_path / "evil.pt").write_bytes(archive(pickle.dumps(Run(), 2)))
    assert "which is no tensor" in refuse("models", "convert", tmp_path / "evil.pt")
    assert "there is no checkpoint" in refuse("models", "convert", tmp_path / "none.pt")
    assert [item.name for item in tmp_path.glob("*.*")] == ["evil.pt"]
