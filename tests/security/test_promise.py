"""What holds of the whole source: nothing of it can run what a file says, and what it writes tells no name."""

from __future__ import annotations

import ast
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import napari_sam2
from napari_sam2.io.sessions import read_session
from napari_sam2.testing import moving_discs

SOURCE = Path(napari_sam2.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

LOADERS = {"io/checkpoint_child.py", "inference/loading.py", "training/loop.py"}
"""Who may call `torch.load`: the isolated process; for files of known hash; for the training's own checkpoints."""

FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "marshal.loads", "shelve.open", "dill.loads", "joblib.load", "torch.jit.load", "torch.hub.load",
    "runpy.run_path", "ssl._create_unverified_context",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "add_safe_globals", "__reduce__"}


def calls_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def test_no_module_calls_what_runs_the_content_of_files():
    found = [
        (name_of(path), called)
        for path in FILES
        for call in calls_of(path)
        if (called := ast.unparse(call.func)) in FORBIDDEN_CALLS
        or called.rpartition(".")[2] in FORBIDDEN_METHODS
    ]
    assert found == []


def test_torch_loads_in_three_places_and_only_tensors():
    found = [
        (name_of(path), keyword_of(call, "weights_only"))
        for path in FILES
        for call in calls_of(path)
        if ast.unparse(call.func) == "torch.load"
    ]
    assert {name for name, _ in found} == LOADERS
    assert {said for _, said in found} == {"True"}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("shell", "True"),
        ("allow_pickle", "True"),
        ("verify", "False"),
        ("trust_remote_code", "True"),
    ],
)
def test_no_switch_is_set_that_gives_up_a_check(keyword, value):
    found = [
        name_of(path)
        for path in FILES
        for call in calls_of(path)
        if keyword_of(call, keyword) == value
    ]
    assert found == []


def test_what_numpy_loads_is_never_a_pickle():
    loads = [
        call for path in FILES for call in calls_of(path) if ast.unparse(call.func) == "np.load"
    ]
    assert loads
    assert {keyword_of(call, "allow_pickle") for call in loads} == {"False"}


def keyword_of(call, name):
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


def test_there_is_no_way_around_the_isolated_process():
    """Neither an option nor a variable of the environment: whatever is set, the same file is refused."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    for name in (
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD",
        "NUMCODECS_ALLOW",
    ):
        assert name not in text


def test_every_threat_of_the_page_names_tests_that_are_there():
    root = Path(__file__).parents[2]
    rows = [
        line
        for line in (root / "SECURITY.md").read_text("utf-8").splitlines()
        if line.startswith("| T")
    ]
    assert [row.split()[1] for row in rows] == [f"T{number}" for number in range(1, 12)]
    for row in rows:
        tests = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", row.rpartition(" | ")[2])
        assert tests, row
        for name, function in tests:
            assert (root / name).exists(), name
            assert not function or f"def {function}(" in (root / name).read_text("utf-8"), function


# Who one is


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A home folder with a name."""
    folder = tmp_path / "home" / "jane-doe"
    folder.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def saved(person, image, session):
    """Save a session on an image of a person's; return the text and the session file."""
    video, truth = moving_discs(num_frames=3, size=32)
    image.parent.mkdir(parents=True, exist_ok=True)
    session.parent.mkdir(parents=True, exist_ok=True)
    np.save(image, video)
    made = napari_sam2.Session(image)
    made.add_points(1, 0, [tuple(np.argwhere(truth[0] == 1).mean(0))])
    made.save(session)
    return session.read_text(encoding="utf-8"), session


def test_a_session_beside_its_image_tells_no_folder_at_all(person):
    text, path = saved(person, person / "study" / "a.npy", person / "study" / "a.sam2.json")
    source = json.loads(text)["source"]
    assert source["path"] == "a.npy"
    assert "absolute" not in source
    assert "jane-doe" not in text
    assert read_session(path).place.path == str(person / "study" / "a.npy")


def test_a_session_elsewhere_finds_its_image_without_telling_the_home_folder(person):
    text, path = saved(person, person / "study" / "a.npy", person / "sessions" / "a.sam2.json")
    assert json.loads(text)["source"]["absolute"] == "~/study/a.npy"
    assert "jane-doe" not in text
    (person / "far" / "away").mkdir(parents=True)
    moved = path.rename(person / "far" / "away" / path.name)
    assert read_session(moved).place.path == str(person / "study" / "a.npy")


def test_the_model_of_a_session_is_told_without_the_home_folder(person, monkeypatch):
    from dataclasses import replace

    from napari_sam2.io.sessions import ModelFacts, write_session

    _, path = saved(person, person / "a.npy", person / "a.sam2.json")
    own = person / "models" / "own.safetensors"
    own.parent.mkdir()
    own.write_bytes(save({"a": np.ones(2, np.float32)}))
    write_session(path, replace(read_session(path), model=ModelFacts(str(own))))
    assert "jane-doe" not in path.read_text(encoding="utf-8")
    assert read_session(path).model.name == str(own)


def test_log_records_of_a_whole_session_tell_no_folder(person, caplog):
    caplog.set_level(logging.DEBUG, "napari_sam2")
    _, path = saved(person, person / "study" / "a.npy", person / "sessions" / "a.sam2.json")
    image = person / "study" / "a.npy"
    changed = np.load(image)
    changed[0] += 1
    np.save(image, changed)
    next(path.parent.glob("*.masks")).write_bytes(b"damaged")
    opened = napari_sam2.Session.open(path)
    list(opened.propagate())
    opened.export(person / "labels.tif")
    messages = [
        record.getMessage() for record in caplog.records if record.name.startswith("napari_sam2")
    ]
    assert messages, "the damaged masks are told of"
    told = [line for line in messages if "jane-doe" in line]
    assert told == []
