"""``evaluate``: the simulated person, the floors, the table, the JSON and the curves."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.io import imread

import napari_sam2
from napari_sam2.cli import evaluate as command
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.options import NATIVE
from napari_sam2.core.session import Session
from napari_sam2.evaluation.overlay import PALETTE
from napari_sam2.evaluation.plot import place
from napari_sam2.io.masklets import write_labels
from napari_sam2.testing import FakeSegmenter, moving_discs

OPEN_STACKS = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def discs():
    return moving_discs(6, 48, 2)


@pytest.fixture
def files(tmp_path, discs):
    """An image and its labels as TIFF, and both in one archive."""
    write_labels(tmp_path / "image.tif", discs[0].astype(np.uint16), axes="TYX")
    write_labels(tmp_path / "labels.tif", discs[1], axes="TYX")
    np.savez(tmp_path / "both.npz", image=discs[0], labels=discs[1])
    return tmp_path / "image.tif", tmp_path / "labels.tif"


@pytest.fixture
def opened(monkeypatch):
    """Put the fake model in the place of every model, and note what was opened."""
    opened = []

    def open_session(image, model, device, options):
        opened.append((image.shape, model, device, options))
        frames = ArrayFrames(image, StackView.default(3, 0), rgb=image.ndim == 4)
        return Session(frames, InlineEngine(FakeSegmenter(frames)))

    monkeypatch.setattr(command, "open_session", open_session)
    return opened


@pytest.fixture
def evaluate(call, files, tmp_path, opened):
    """Evaluate the fake model and return the JSON and the lines that were printed."""

    def evaluate(*options, stack=files):
        out = tmp_path / "out.json"
        code, printed, err = call("evaluate", *stack, *options, "--json", out)
        assert code == 0, err
        return json.loads(out.read_text(), parse_constant=pytest.fail), printed.splitlines()

    return evaluate


def rows_of(content, object_id):
    return [row for row in content["rows"] if row["object"] == object_id]


# What the issue promises


def test_the_shipped_model_runs_and_its_report_has_every_key(call, files, tmp_path):
    out = tmp_path / "out.json"
    how = ("--model", "nano", "--protocol", "vos", "--prompt", "mask", "--json", out)
    code, printed, err = call("evaluate", *files, *how)
    assert (code, err) == (0, "")
    content = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert content["model"] == "nano"
    weights = Path(napari_sam2.__file__).parent / "weights" / "nano.safetensors"
    assert content["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["version"] == napari_sam2.__version__
    assert (content["objects"], content["frames"]) == (2, 6)
    assert content["seconds_per_frame"] > 0
    assert 0 <= content["mean_J"] <= 1
    assert content["mean_JF"] == pytest.approx((content["mean_J"] + content["mean_F"]) / 2)
    assert len(content["rows"]) == 2 * 6
    assert f"{content['mean_J']:.3f}" in printed


def test_weights_of_the_user_are_taken(call, files, tmp_path, random_nano):
    out = tmp_path / "out.json"
    code, _, err = call("evaluate", *files, "-m", random_nano, "--frames", 2, "--json", out)
    assert code == 0, err
    content = json.loads(out.read_text())
    assert content["model"] == str(random_nano)
    assert content["sha256"] == hashlib.sha256(random_nano.read_bytes()).hexdigest()


def test_rows_hold_every_object_on_every_frame_and_say_which_was_prompted(evaluate):
    content, _ = evaluate()
    assert [(row["object"], row["frame"]) for row in content["rows"]] == [
        (i, t) for i in (1, 2) for t in range(6)
    ]
    assert [row["prompted"] for row in rows_of(content, 1)] == [True] + [False] * 5
    assert [row["scored"] for row in rows_of(content, 1)] == [False] + [True] * 5
    scored = [row["J"] for row in content["rows"] if row["scored"]]
    assert content["mean_J"] == pytest.approx(np.mean(scored))


def test_the_same_seed_gives_the_same_report(evaluate):
    def noisy(seed):
        content, _ = evaluate("--noisy", "--seed", seed, "--protocol", "image", "--clicks", 3)
        del content["seconds_per_frame"], content["stacks"][0]["seconds_per_frame"]
        return content

    assert noisy(1) == noisy(1)
    assert noisy(1)["annotator"] == {"is_noisy": True, "seed": 1}


# Prompts and protocols


@pytest.mark.parametrize(
    ("prompt", "clicks", "seconds"),
    [
        ("click", 1, 2.5),
        ("3-clicks", 1, 2.5),
        ("5-clicks", 1, 2.5),
        ("box", 2, 4),
        ("mask", 0, None),
    ],
)
def test_every_prompt_is_carried_through(evaluate, prompt, clicks, seconds):
    content, _ = evaluate("--protocol", "vos", "--prompt", prompt)
    assert content["mean_J"] > 0.9
    assert content["protocol"]["prompt"] == content["prompt"] == prompt
    # The fake model is right after one click, so nobody clicks again.
    (point,) = content["curve"]
    assert (point["clicks"], point["annotator_seconds"]) == (clicks, seconds)


@pytest.fixture
def changing(tmp_path, discs):
    """An archive in which object 1 looks different on every second frame: the fake model loses it there."""
    image = discs[0].copy()
    image[1::2][discs[1][1::2] == 1] = 70
    np.savez(tmp_path / "changing.npz", image=image, labels=discs[1])
    return (tmp_path / "changing.npz",)


@pytest.mark.parametrize("protocol", ["offline", "online"])
def test_corrections_raise_the_scores_round_by_round(evaluate, changing, protocol):
    content, printed = evaluate("--protocol", protocol, stack=changing)
    scores = [point["mean_JF"] for point in content["curve"]]
    assert scores[0] < 0.8 < scores[-1]
    assert content["curve"][0]["prompted_frames"] == 1
    assert content["target"]["reached"] == 1.0
    assert any(line.split()[:2] == ["prompted", "frames"] for line in printed)
    assert any(line.startswith("J&F of 0.75: reached by 100%") for line in printed)


def test_the_number_of_prompted_frames_is_limited(evaluate, changing):
    content, _ = evaluate("--protocol", "offline", "--prompted-frames", 2, stack=changing)
    assert len(content["curve"]) == 2


def test_a_pause_below_zero_never_comes(evaluate, changing):
    content, _ = evaluate("--protocol", "online", "--pause", 0, stack=changing)
    assert len(content["curve"]) == 1


def test_clicks_on_a_corrected_frame_are_as_many_as_asked(evaluate, changing):
    content, _ = evaluate("--protocol", "offline", "--clicks", 2, stack=changing)
    assert content["protocol"]["clicks"] == 2
    assert evaluate("--protocol", "offline", stack=changing)[0]["protocol"]["clicks"] == 3


def test_a_single_frame_is_clicked_five_times_at_most_and_looked_at_after_each(evaluate):
    content, printed = evaluate("--protocol", "image")
    assert len(content["curve"]) == 5
    assert content["mean_iou"] > 0.9
    assert content["protocol"]["prompt"] == "click"
    assert any(line.startswith("IoU of 0.75") for line in printed)
    assert len(evaluate("--protocol", "image", "--clicks", 2)[0]["curve"]) == 2


def test_the_target_can_be_set(evaluate, changing):
    content, _ = evaluate("--target", 0.999, "--protocol", "offline", stack=changing)
    assert content["target"]["value"] == 0.999
    easy, _ = evaluate("--target", 0.01, "--protocol", "offline", stack=changing)
    assert (easy["target"]["reached"], easy["target"]["median_frames"]) == (1.0, 1)


def test_a_noisy_person_clicks_elsewhere(evaluate, monkeypatch):
    clicked = []
    add_points = Session.add_points

    def noting(self, object, frame, points, labels=None):
        clicked.append(points[0])
        add_points(self, object, frame, points, labels)

    monkeypatch.setattr(Session, "add_points", noting)
    for options in ((), ("--noisy",), ("--noisy", "--seed", 1)):
        evaluate("--prompt", "click", *options)
    exact, noisy, other = clicked[:2], clicked[2:4], clicked[4:]
    assert exact != noisy != other != exact


# Stacks


def test_a_volume_is_prompted_on_its_largest_sections_and_a_time_lapse_on_its_first(
    evaluate, tmp_path, discs
):
    sections = discs[1].copy()
    sections[0][np.cumsum(sections[0] == 1).reshape(48, 48) > 10] = 0  # smaller on the first frame
    path = tmp_path / "sections.npz"
    np.savez(path, image=discs[0], labels=sections)

    def prompted(*options):
        content, _ = evaluate(*options, stack=(path,))
        (row,) = [row for row in rows_of(content, 1) if row["prompted"]]
        return row["frame"] > 0, content["stacks"][0]["kind"]

    assert prompted() == (False, "time")
    assert prompted("--kind", "z") == (True, "z")
    path.with_suffix(".json").write_text('{"kind": "mr"}')
    assert prompted() == (True, "z")
    assert prompted("--kind", "time") == (False, "time")


def test_stacks_objects_and_frames_can_be_limited(evaluate, tmp_path, discs):
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name in "abc":
        np.savez(folder / f"{name}.npz", image=discs[0], labels=discs[1])
    content, _ = evaluate("--limit", 2, "--objects", 1, "--frames", 3, stack=(folder,))
    assert [stack["name"] for stack in content["stacks"]] == ["a", "b"]
    assert {(row["object"], row["frame"]) for row in content["rows"]} == {(1, 0), (1, 1), (1, 2)}
    assert (content["objects"], content["frames"]) == (2, 6)


def test_several_stacks_have_a_mean_line_and_groups_one_each(evaluate, tmp_path, discs):
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name, kind in (("a", "ct"), ("b", "microscopy-time"), ("c", "mr")):
        np.savez(folder / f"{name}.npz", image=discs[0], labels=discs[1])
        (folder / f"{name}.json").write_text(json.dumps({"kind": kind}))
    _, printed = evaluate(stack=(folder,))
    names = [line[:24].strip() for line in printed]
    means = ["mean: medical (2)", "mean: microscopy (1)", "mean (3)"]
    assert names[1:8] == ["stack", "a", "b", "c", *means]


def test_a_folder_in_davis_layout_is_taken(evaluate, opened, tmp_path, discs):
    for t, (frame, label) in enumerate(zip(*discs, strict=True)):
        for name, picture in (("JPEGImages", frame), ("Annotations", label)):
            place = tmp_path / "davis" / name / "480p" / "swan"
            place.mkdir(parents=True, exist_ok=True)
            array = np.asarray(picture, np.uint8)
            array = np.repeat(array[..., None], 3, axis=2) if name == "JPEGImages" else array
            Image.fromarray(array).save(place / f"{t:05}.{'jpg' if array.ndim == 3 else 'png'}")
    content, _ = evaluate(stack=(tmp_path / "davis",))
    assert [stack["name"] for stack in content["stacks"]] == ["480p/swan"]
    assert opened[0][0] == (6, 48, 48, 3)
    assert content["mean_J"] > 0.8


def test_frames_may_lie_along_another_axis(evaluate, opened, tmp_path, discs):
    paths = (tmp_path / "image.npy", tmp_path / "labels.npy")
    for path, array in zip(paths, discs, strict=True):
        np.save(path, np.moveaxis(array[:, :30], 0, 2))
    evaluate("--axis", 2, "--objects", 1, stack=paths)
    assert opened == [((6, 30, 48), "nano", "auto", NATIVE)]


def test_the_device_is_handed_on(evaluate, opened):
    evaluate("--device", "cpu")
    assert opened[0][1:3] == ("nano", "cpu")


def test_windows_around_small_objects_can_be_switched_off(evaluate, opened):
    assert evaluate()[0]["focus"] is True
    assert evaluate("--no-focus")[0]["focus"] is False
    assert [options.focus for *_, options in opened] == [True, False]
    assert evaluate("--method", "copy")[0]["focus"] is None


def test_quality_and_precision_are_handed_on_and_reported(evaluate, opened):
    content = evaluate("--quality", "fast", "--precision", "bfloat16")[0]
    assert (content["quality"], content["precision"]) == ("fast", "bfloat16")
    assert opened[0][3] == replace(NATIVE, quality="fast", precision="bfloat16")


def test_focus_reaches_the_model(random_nano, discs, monkeypatch):
    given = []
    monkeypatch.setattr("napari_sam2.api.Session", lambda image, **more: given.append(more))
    for focus in (True, False):
        options = replace(NATIVE, focus=focus)
        command.open_session(discs[0], str(random_nano), "cpu", options)
    assert [more["options"].focus for more in given] == [True, False]


def test_a_real_session_takes_grey_frames_and_colours(random_nano, discs):
    image = np.repeat(discs[0][..., None], 3, axis=3)
    for stack in (discs[0], image):
        session = command.open_session(stack, str(random_nano), "cpu", True)
        assert np.asarray(session.labels).shape == discs[0].shape


class Bar:
    """A progress bar that is only counted."""

    def __init__(self):
        self.pos = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, steps):
        assert steps >= 0
        self.pos += steps


@pytest.mark.parametrize("protocol", ["vos", "offline", "online", "image"])
def test_the_bar_of_each_stack_moves_forward(evaluate, changing, monkeypatch, protocol):
    shown = {}

    def progress_bar(total, label):
        shown[label] = total, Bar()
        return shown[label][1]

    monkeypatch.setattr(command, "progress_bar", progress_bar)
    evaluate("--protocol", protocol, "--prompted-frames", 2, stack=changing)
    total, bar = shown["changing"]
    assert bar.pos == total


# Several models, curves


def test_several_models_make_a_list_and_a_curve_each(evaluate, changing, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"the fake model reads no weights")
    plot = tmp_path / "curves.png"
    options = ("-m", "nano", "-m", other, "-m", "nano", "--protocol", "offline", "--plot", plot)
    content, printed = evaluate(*options, stack=changing)
    assert [item["model"] for item in content] == ["nano", str(other)]
    assert [line for line in printed if line in ("nano", str(other))] == ["nano", str(other)]
    curve = content[1]["curve"]
    picture = imread(plot)
    for point in curve:
        x, y = place((point["round"], point["mean_JF"]), len(curve))
        # The two models are the same fake one: the second curve covers the first.
        assert tuple(picture[round(y), round(x)]) == PALETTE[1]


def test_a_plot_of_one_round_is_a_point(evaluate, tmp_path):
    content, _ = evaluate("--plot", tmp_path / "p.png")
    x, y = place((1, content["mean_JF"]), 2)
    assert tuple(imread(tmp_path / "p.png")[round(y), round(x)]) == PALETTE[0]


# Floors


def test_copying_and_otsu_need_no_model(evaluate, opened):
    floor = evaluate()[0]["copy_J"]
    opened.clear()
    for method in ("copy", "otsu"):
        content, printed = evaluate("--method", method)
        assert (content["model"], content["method"], content["sha256"]) == (method, method, None)
        assert printed[0] == method
        assert 0 < content["mean_J"] < 1
    assert evaluate("--method", "copy")[0]["mean_J"] == pytest.approx(floor)
    assert opened == []


@pytest.mark.skipif(not OPEN_STACKS.is_dir(), reason="../shared/data is not here")
def test_copying_reaches_what_the_table_of_the_open_stacks_says(evaluate):
    content, printed = evaluate("--method", "copy", stack=(OPEN_STACKS,))
    floors = {stack["name"]: stack["mean_J"] for stack in content["stacks"]}
    published = published_floors((OPEN_STACKS / "README.md").read_text(encoding="utf-8"))
    assert len(published) == 6
    # The table gives two digits, so a correct value lies within half a digit of it.
    assert floors == pytest.approx(published, abs=0.005)
    shown = {line.split()[0]: float(line.split()[3]) for line in printed[2:8]}
    assert shown == pytest.approx(published, abs=0.005)


def published_floors(readme):
    """Read the last column of the table: copying the mask, mean J."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines()]
    table = [row for row in cells if len(row) == 6]
    assert "copying the mask" in table[0][-1]
    return {row[0]: float(row[-1]) for row in table[2:]}


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.tif", "labels.tif"), "there is no file or folder none.tif"),
        (("image.tif", "none.tif"), "there is no file or folder none.tif"),
        (("image.tif",), "comes without labels"),
        (("image.tif", "small.tif"), "differ in shape"),
        (("image.tif", "empty.tif"), "show no object"),
        (("image.tif", "real.npy"), "not labels"),
        (("both.npz", "both.npz:masks"), "none called 'masks'"),
        (("both.npz", "--model", "giant"), "choose one of nano"),
        (("both.npz", "--model", "nano", "--model", "sam2_large"), "models pull sam2_large"),
        (("both.npz", "--json", "out.txt"), "ends in .json"),
        (("both.npz", "--json", "none/out.json"), "in a folder that exists"),
        (("both.npz", "--plot", "out.jpg"), "ends in .png"),
        (("both.npz", "--protocol", "image", "--prompt", "box"), "protocol image starts with one"),
        (("both.npz", "--clicks", "3"), "--clicks is for offline, online and image"),
        (("both.npz", "--method", "copy", "--model", "nano"), "--method copy takes no --model"),
        (("both.npz", "--method", "otsu", "--noisy"), "no --noisy"),
        (("both.npz", "--method", "copy", "--protocol", "online"), "the protocol vos"),
        (("both.npz", "--method", "copy", "--prompt", "click"), "the prompt mask"),
        (("both.npz", "--method", "otsu", "--prompt", "mask"), "the prompt click"),
        (("both.npz", "--protocol", "guess"), "--help"),
        (("both.npz", "--prompt", "2-clicks"), "--help"),
        (("both.npz", "--frames", "0"), "--help"),
        (("both.npz", "--seed", "-1"), "--help"),
        (("both.npz", "--pause", "2"), "--help"),
        ((), "--help"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(
    refuse, files, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    write_labels("small.tif", np.ones((6, 9, 9), np.uint8))
    write_labels("empty.tif", np.zeros((6, 48, 48), np.uint8))
    np.save("real.npy", np.zeros((6, 48, 48)))
    assert message in refuse("evaluate", *arguments)
    assert not list(tmp_path.glob("out*"))
