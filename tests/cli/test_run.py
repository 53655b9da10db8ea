"""``run``: prompts from a file through a stack to labels, with a network of random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from skimage.io import imread

from napari_sam2.io.masklets import Spacing, read_labels, read_spacing, write_labels
from napari_sam2.testing import moving_discs


@pytest.fixture
def stack():
    return moving_discs(num_frames=4, size=48, num_objects=2, seed=0)[0]


@pytest.fixture
def files(tmp_path, stack):
    """Image and prompt file; `prompts(...)` rewrites the latter."""
    image = tmp_path / "image.tif"
    write_labels(image, stack.astype(np.uint16), spacing=Spacing((2.0, 0.5, 0.5), "um"), axes="ZYX")
    path = tmp_path / "prompts.json"

    def prompts(*entries, **keys):
        path.write_text(json.dumps({"schema": 1, "prompts": entries, **keys}))
        return path

    prompts({"object": 1, "frame": 1, "points": [[20, 20]]})
    return image, path, prompts


@pytest.fixture
def run(call, files, tmp_path, random_nano):
    image, path, _ = files

    def run(*more, image=image, out=tmp_path / "labels.tif"):
        return call("run", image, "-p", path, "-o", out, "-m", random_nano, *more)

    return run


def test_labels_have_the_shape_and_spacing_of_the_image(run, files, tmp_path, stack):
    files[2](
        {"object": 1, "frame": 1, "points": [[20, 20], [1, 1]], "labels": [1, 0]},
        {"object": 7, "frame": 2, "box": [10, 10, 30, 30]},
    )
    code, out, err = run()
    assert code == 0, err
    labels = read_labels(tmp_path / "labels.tif")
    assert (labels.shape, labels.dtype) == (stack.shape[:3], np.uint16)
    assert set(np.unique(labels)) <= {0, 1, 7}
    assert read_spacing(tmp_path / "labels.tif") == read_spacing(files[0])
    assert "2 objects on 4 frames" in out


def test_a_mask_prompt_is_kept_on_its_frame(run, files, tmp_path):
    mask = np.zeros((48, 48), np.uint8)
    mask[10:20, 5:9] = 1
    write_labels(tmp_path / "mask.tif", mask)
    files[2]({"object": 3, "frame": 2, "mask": "mask.tif"})
    assert run()[0] == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.tif")[2], mask * 3)


def test_an_object_is_tracked_within_the_extent_that_the_file_gives_it(run, files, tmp_path):
    mask = np.zeros((48, 48), np.uint8)
    mask[10:20, 5:9] = 1
    write_labels(tmp_path / "mask.tif", mask)
    files[2](
        {"object": 3, "frame": 2, "mask": "mask.tif"},
        schema=2,
        objects=[{"object": 3, "name": "cell", "first": 2, "stop": 3}],
    )
    code, _, err = run()
    assert code == 0, err
    shown = read_labels(tmp_path / "labels.tif").any(axis=(1, 2))
    assert shown.tolist() == [False, False, True, False]


@pytest.mark.parametrize("spacing", [None, Spacing((0.5, 0.5), "um"), Spacing((3.0, 3.0), "mm")])
def test_a_mask_whose_scale_is_that_of_the_image_or_unknown_is_taken(run, files, tmp_path, spacing):
    write_labels(tmp_path / "mask.tif", np.eye(48, dtype=np.uint8), spacing=spacing)
    files[2]({"object": 3, "frame": 2, "mask": "mask.tif"})
    code, _, err = run()
    assert code == 0, err


def test_the_report_lists_what_is_odd_about_the_frames(run, files, tmp_path, stack):
    odd = stack.astype(np.float32)
    odd[0], odd[3] = np.nan, 40
    odd[2, :2, 0] = np.inf
    np.save(tmp_path / "odd.npy", odd)
    code, out, err = run("--json", image=tmp_path / "odd.npy")
    assert code == 0, err
    report = json.loads(out)
    assert report["blank_frames"] == [0, 3]
    assert report["nonfinite_pixels"] == {"0": 48 * 48, "2": 2}
    code, out, err = run("--overwrite", image=tmp_path / "odd.npy")
    assert "nothing to see: 0, 3" in out


def test_pixels_of_several_objects_are_counted(run, files, tmp_path, stack):
    np.save(tmp_path / "one.npy", stack[0])
    for name, rows in (("a", slice(0, 20)), ("b", slice(15, 30))):
        mask = np.zeros((48, 48), np.uint8)
        mask[rows] = 1
        write_labels(tmp_path / f"{name}.tif", mask)
    files[2](*({"object": n, "frame": 0, "mask": f"{m}.tif"} for n, m in ((1, "a"), (2, "b"))))
    code, out, err = run("--json", image=tmp_path / "one.npy")
    assert code == 0, err
    assert json.loads(out)["contested_pixels"] == 5 * 48
    assert "240 pixels in several objects" in run("--overwrite", image=tmp_path / "one.npy")[1]


@pytest.mark.parametrize("axis", [1, 2])
def test_labels_keep_the_order_of_the_axes_along_another_frame_axis(run, files, tmp_path, axis):
    stack = np.zeros((40, 44, 48), np.uint16)
    np.save(tmp_path / "image.npy", stack)
    shape = tuple(np.delete(stack.shape, axis))
    mask = np.zeros(shape, np.uint8)
    mask[3:20, 4:9] = 1
    write_labels(tmp_path / "mask.tif", mask)
    files[2]({"object": 1, "frame": 5, "mask": "mask.tif"}, axis=axis)
    code, _, err = run("--direction", "forward", image=tmp_path / "image.npy")
    assert code == 0, err
    labels = read_labels(tmp_path / "labels.tif")
    assert labels.shape == stack.shape
    np.testing.assert_array_equal(labels.take(5, axis), mask)


def test_a_single_picture_needs_no_propagation(run, files, tmp_path, stack):
    np.save(tmp_path / "one.npy", stack[0])
    files[2]({"object": 1, "frame": 0, "points": [[20, 20]]})
    code, _, err = run(image=tmp_path / "one.npy")
    assert code == 0, err
    assert read_labels(tmp_path / "labels.tif").shape == stack.shape[1:3]


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 1, 1), (3, 3, 5), (2, 1, 2000), (2, 2000, 1), (1, 9, 9)]
)
def test_tiny_and_narrow_stacks_get_labels_of_their_shape(run, files, tmp_path, shape):
    np.save(tmp_path / "odd.npy", np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    files[2]({"object": 1, "frame": 0, "points": [[0, 0]]})
    code, _, err = run(image=tmp_path / "odd.npy")
    assert code == 0, err
    assert read_labels(tmp_path / "labels.tif").shape == shape


def test_where_nothing_is_left_to_propagate_the_run_says_so_and_succeeds(run, files, tmp_path):
    files[2]({"object": 1, "frame": 0, "points": [[20, 20]]})
    code, out, err = run("--direction", "backward")
    assert code == 0, err
    assert "1 object on 4 frames" in out
    assert "nothing to propagate" in out
    assert "nothing to propagate" not in run("--overwrite")[1]


def test_direction_says_which_frames_are_answered(run, tmp_path, files):
    mask = np.ones((48, 48), np.uint8)
    write_labels(tmp_path / "mask.tif", mask)
    files[2]({"object": 1, "frame": 2, "mask": "mask.tif"})
    run("--direction", "backward")
    assert not read_labels(tmp_path / "labels.tif")[3].any()
    run("--direction", "forward", "--overwrite")
    assert not read_labels(tmp_path / "labels.tif")[:2].any()


def test_overlay_and_report_are_made_on_request(run, tmp_path):
    code, out, err = run("--overlay", tmp_path / "o.png", "--json", "--limits", "0", "200")
    assert code == 0, err
    report = json.loads(out)
    assert report["objects"] == [1]
    assert report["frames"] == 4
    assert report["limits"] == [0, 200]
    assert report["seconds_per_frame"] > 0
    assert imread(tmp_path / "o.png").shape[2] == 3


@pytest.mark.parametrize(
    ("limits", "shades"),
    [
        (("0", "510"), {0: 0, 51: 26, 204: 102}),
        (("51", "153"), {0: 0, 51: 0, 204: 255}),
        (("1000", "2000"), {0: 0, 51: 0, 204: 0}),
    ],
)
def test_the_overlay_shows_frames_as_the_model_sees_them(
    run, files, tmp_path, monkeypatch, limits, shades
):
    drawn = {}
    monkeypatch.setattr(
        "napari_sam2.evaluation.overlay.contact_sheet",
        lambda image, *args, **kwargs: drawn.update(image=image) or np.zeros((8, 8, 3), np.uint8),
    )
    columns = np.repeat(np.array([0, 51, 204], np.uint16), 16)
    np.save(tmp_path / "image.npy", np.broadcast_to(columns, (4, 48, 48)).copy())
    options = ("--overlay", tmp_path / "o.png", "--limits", *limits)
    code, _, err = run(*options, image=tmp_path / "image.npy")
    assert code == 0, err
    seen = drawn["image"]
    assert (len(seen), seen.shape, seen.ndim, seen.dtype) == (4, (4, 48, 48, 3), 4, np.uint8)
    for column, value in ((0, 0), (20, 51), (40, 204)):
        assert (seen[2][:, column] == shades[value]).all()


def test_the_same_run_twice_writes_the_same_labels(run, tmp_path):
    run()
    run(out=tmp_path / "again.tif")
    first, second = (read_labels(tmp_path / name) for name in ("labels.tif", "again.tif"))
    np.testing.assert_array_equal(first, second)


BAD_PROMPTS = {
    "outside": ({"object": 1, "frame": 0, "points": [[-3, 700]]}, r"prompts[0]: point"),
    "second entry": (
        [
            {"object": 1, "frame": 0, "points": [[1, 1]]},
            {"object": 1, "frame": 9, "points": [[1, 1]]},
        ],
        "prompts[1]: frame must be a whole number from 0 to 3, got 9",
    ),
    "both signs": (
        {"object": 1, "frame": 0, "points": [[5, 5], [5, 5]], "labels": [1, 0]},
        "prompts[0]: ",
    ),
    "no area": ({"object": 1, "frame": 0, "box": [5, 5, 5, 9]}, "prompts[0]: "),
    "id beyond the labels": ({"object": 70_000, "frame": 0, "points": [[5, 5]]}, "prompts[0]: "),
    "mask of another shape": (
        {"object": 1, "frame": 0, "mask": "small.tif"},
        "prompts[0]: mask has shape (4, 4), the frame has (48, 48)",
    ),
    "mask of another scale": (
        {"object": 1, "frame": 0, "mask": "coarse.tif"},
        "prompts[0]: mask has pixels of 1x1 um, the frame of 0.5x0.5 um; draw it on this image",
    ),
    "mask of nothing": (
        {"object": 1, "frame": 0, "mask": "empty.tif"},
        "prompts[0]: mask is empty",
    ),
    "mask of two objects": (
        {"object": 1, "frame": 0, "mask": "two.tif"},
        "prompts[0]: mask holds 2 different values",
    ),
    "only negative": (
        {"object": 1, "frame": 0, "points": [[5, 5]], "labels": [0]},
        "prompts[0]: only negative points",
    ),
    "box outside": ({"object": 1, "frame": 0, "box": [60, 60, 70, 70]}, "is outside 48x48"),
    "no such object": ({"object": 0, "frame": 0, "points": [[5, 5]]}, "prompts[0].object"),
    "frame before the first": ({"object": 1, "frame": -1, "points": [[5, 5]]}, "prompts[0].frame"),
    "label of a corner": (
        {"object": 1, "frame": 0, "points": [[5, 5]], "labels": [2]},
        "prompts[0].labels[0]",
    ),
}


@pytest.mark.parametrize(("entries", "message"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_a_bad_prompt_is_named_and_nothing_is_written(
    refuse, files, tmp_path, random_nano, entries, message
):
    write_labels(tmp_path / "small.tif", np.ones((4, 4), np.uint8))
    whole = np.ones((48, 48), np.uint8)
    write_labels(tmp_path / "coarse.tif", whole, spacing=Spacing((1.0, 1.0), "um"))
    write_labels(tmp_path / "empty.tif", whole * 0)
    write_labels(tmp_path / "two.tif", np.triu(whole) + 1)
    image, path, prompts = files
    prompts(*(entries if isinstance(entries, list) else [entries]))
    out = tmp_path / "labels.tif"
    assert message in refuse("run", image, "-p", path, "-o", out, "-m", random_nano, "--json")
    assert not out.exists()


def wrong(**changes):
    return changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "none.tif"}, "there is no file or folder"),
        ({"image": "prompts.json"}, "cannot be opened"),
        ({"prompts": "none.json"}, "cannot be read"),
        ({"prompts": "image.tif"}, "is not JSON"),
        ({"out": "none/labels.tif"}, "there is no folder"),
        ({"out": "labels.png"}, "end it in .tif"),
        ({"out": "image.tif"}, "image.tif is what is read from"),
        ({"out": "kept.tif"}, "exists; give another name, or --overwrite"),
        ({"overlay": "o.tif"}, "ends in .png"),
        ({"overlay": "none/o.png"}, "in a folder that exists"),
        ({"model": "giant"}, "choose one of nano"),
        ({"model": "sam2_large"}, "napari-sam2 models pull sam2_large"),
        ({"model": "image.tif"}, "is not one of the official checkpoints"),
        ({"limits": "5 1"}, "low <= high"),
        ({"limits": "nan 1"}, "low <= high"),
    ],
)
def test_other_wrong_input_is_told_before_any_work(
    refuse, files, tmp_path, random_nano, monkeypatch, changes, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.tif").write_bytes(b"kept")
    given = {
        "image": "image.tif",
        "prompts": "prompts.json",
        "out": "labels.tif",
        "model": random_nano,
    }
    given |= changes
    options = [
        part for name, value in given.items() if name != "image" for part in option(name, value)
    ]
    assert message in refuse("run", given["image"], *options)
    assert not (tmp_path / "labels.tif").exists()


def option(name, value):
    return (f"--{name}", *str(value).split()) if name == "limits" else (f"--{name}", value)


def test_the_axis_may_be_given_where_the_prompt_file_names_none(run, files, tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((40, 6, 48), np.uint16))
    entry = {"object": 1, "frame": 5, "points": [[39, 47]]}
    files[2](entry)
    code, out, err = run("--axis", "1", "--json", image=tmp_path / "image.npy")
    assert code == 0, err
    assert (json.loads(out)["axis"], json.loads(out)["frames"]) == (1, 6)
    files[2](entry, axis=0)
    code, _, err = run("--axis", "1", "--overwrite", image=tmp_path / "image.npy")
    assert code == 2
    assert "--axis is 1, but the prompt file counts frames along axis 0" in err


def test_what_is_read_from_is_never_written_over(refuse, files, tmp_path, random_nano):
    image, path, _ = files
    before = image.read_bytes()
    linked = tmp_path / "link.tif"
    linked.symlink_to(image)
    for out in (image, linked):
        line = refuse("run", image, "-p", path, "-o", out, "-m", random_nano, "--overwrite")
        assert "is what is read from; give another name" in line
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"a picture")
    common = ("-p", path, "-o", tmp_path / "l.tif", "-m", random_nano, "--overwrite")
    line = refuse("run", folder, *common, "--overlay", folder / "1.png")
    assert "is what is read from" in line
    assert image.read_bytes() == before


def test_an_image_without_frames_is_refused(refuse, files, tmp_path, random_nano):
    np.save(tmp_path / "empty.npy", np.zeros((0, 8, 8), np.uint8))
    line = refuse(
        "run", tmp_path / "empty.npy", "-p", files[1], "-o", tmp_path / "l.tif", "-m", random_nano
    )
    assert "axis 0 is empty" in line


@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((10**9, 10**6), (1024, 1024), "1000000000x1000000 pixels, 1.86e+06 GiB (budget 4 GiB)"),
        (
            (1000, 5000, 2000),
            (1000, 5000, 2000),
            "reading frame 0 of 'a.zarr' would decode 18.6 GiB",
        ),
    ],
)
def test_an_image_beyond_memory_is_refused_before_any_pixel_is_read(
    refuse, files, tmp_path, random_nano, shape, chunks, message
):
    import zarr

    zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=chunks, dtype="uint16")
    line = refuse(
        "run", tmp_path / "a.zarr", "-p", files[1], "-o", tmp_path / "l.tif", "-m", random_nano
    )
    assert message in line


def test_frames_too_narrow_for_an_overlay_are_refused_before_any_work(
    refuse, files, tmp_path, random_nano
):
    np.save(tmp_path / "line.npy", np.zeros((2, 1, 2000), np.uint8))
    files[2]({"object": 1, "frame": 0, "points": [[0, 0]]})
    common = ("-p", files[1], "-o", tmp_path / "l.tif", "-m", random_nano)
    line = refuse("run", tmp_path / "line.npy", *common, "--overlay", tmp_path / "o.png")
    assert "too narrow for a picture; leave the picture out" in line
    assert not (tmp_path / "l.tif").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT and no pty")
def test_ctrl_c_ends_with_130_and_leaves_no_labels(files, tmp_path, random_nano):
    stack = np.zeros((5000, 48, 48), np.uint8)
    tifffile.imwrite(tmp_path / "long.tif", stack, photometric="minisblack")
    command = [sys.executable, "-m", "napari_sam2", "run", tmp_path / "long.tif", "-p", files[1]]
    ours, theirs = os.openpty()  # the progress bar is shown on a terminal only
    process = subprocess.Popen(
        [*command, "-o", tmp_path / "labels.tif", "-m", random_nano],
        stderr=theirs,
        # A suite that runs in the background of a shell ignores SIGINT, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    terminal = os.fdopen(ours, "rb", buffering=0)
    seen = b""
    while b"frames" not in seen or b"10/4999" not in seen:
        seen += terminal.read(1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert terminal.read(100_000).endswith(b"napari-sam2: interrupted\r\n")
    terminal.close()
    assert not (tmp_path / "labels.tif").exists()


def test_quality_and_precision_are_used_and_reported(files, tmp_path, call):
    found = {}
    for quality in ("full", "fast"):
        out = tmp_path / f"{quality}.tif"
        arguments = ("--quality", quality, "--precision", "bfloat16", "--json")
        code, text, err = call("run", files[0], "-p", files[1], "-o", out, *arguments)
        assert code == 0, err
        report = json.loads(text)
        assert (report["quality"], report["precision"]) == (quality, "bfloat16")
        found[quality] = read_labels(out)
    assert (found["full"] != found["fast"]).any()


def test_focus_can_be_switched_off(files, tmp_path, call):
    """With nano, a disc of ten pixels in a frame of 400 is only found in a window."""
    rows, columns = np.mgrid[:400, :400]
    disc = (rows - 200) ** 2 + (columns - 130) ** 2 <= 25
    stack = np.random.default_rng(0).normal(1000, 40, (2, 400, 400)) + 600 * disc
    image, out = tmp_path / "small.npy", tmp_path / "small.tif"
    np.save(image, stack.astype(np.uint16))
    files[2]({"object": 1, "frame": 0, "box": [194, 124, 206, 136]})
    found = {}
    for switch in ("--focus", "--no-focus"):
        code, text, err = call(
            "run", image, "-p", files[1], "-o", out, "--overwrite", "--json", switch
        )
        assert code == 0, err
        assert json.loads(text)["focus"] == (switch == "--focus")
        mask = read_labels(out)[1] == 1
        found[switch] = (mask & disc).sum() / (mask | disc).sum()
    assert found["--focus"] > max(0.5, found["--no-focus"])


@pytest.mark.parametrize("is_session", [False, True])
def test_encoded_frames_are_kept_unless_that_is_switched_off(
    run, call, files, home, tmp_path, monkeypatch, random_nano, stack, is_session
):
    from napari_sam2.api import Session
    from napari_sam2.inference import kept

    monkeypatch.setattr(kept, "pays", lambda config, device: True)
    if is_session:
        session = Session(files[0], model=random_nano, embedding_cache=False)
        session.add_points(1, 1, [(20, 20)], labels=[1])
        session.save(tmp_path / "s.sam2.json")

        def run(*more, out):
            return call("run", tmp_path / "s.sam2.json", "-o", out, *more)

    assert run("--no-embedding-cache", out=tmp_path / "off.tif")[0] == 0
    assert not home.exists()
    for name in ("cold.tif", "warm.tif"):
        assert run(out=tmp_path / name)[0] == 0
        assert len(list((home / "embeddings").glob("*.emb"))) >= len(stack)
        expected = read_labels(tmp_path / "off.tif")
        np.testing.assert_array_equal(read_labels(tmp_path / name), expected)
