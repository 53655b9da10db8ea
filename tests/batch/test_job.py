"""Job tables: what they may say, and one line about what they may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_sam2.batch.job import JobSpec, read_jobs, stem_of, with_model
from napari_sam2.core.errors import FileFormatError, NapariSam2Error

JOB = '[[job]]\nimage = "a.tif"\nprompts = "a.json"\n'


@pytest.fixture
def table(tmp_path):
    def table(text):
        path = tmp_path / "JOBS.toml"
        path.write_text(text)
        return path

    return table


def test_a_job_takes_what_it_does_not_say_from_the_defaults(table, tmp_path):
    jobs = read_jobs(
        table(
            '[defaults]\nmodel = "tiny"\naxis = 1\nlimits = [0, 4095]\ndirection = "forward"\n'
            'split_objects = 50\nseed = 7\nfocus = false\ndevice = "cpu"\nprompt_frame = "largest"\n'
            '[[job]]\nimage = "a.ome.tif"\nlabels = "seg/a.tif"\n'
            '[[job]]\nimage = "/data/b.npy"\nsession = "b.sam2.json"\nname = "second"\naxis = 0\nfocus = true\n'
        )
    )
    assert jobs[0] == JobSpec(
        name="a",
        image=str(tmp_path / "a.ome.tif"),
        labels=str(tmp_path / "seg" / "a.tif"),
        prompt_frame="largest",
        axis=1,
        model="tiny",
        limits=(0.0, 4095.0),
        direction="forward",
        device="cpu",
        focus=False,
        split_objects=50,
        seed=7,
    )
    assert (jobs[1].name, jobs[1].image, jobs[1].axis) == ("second", "/data/b.npy", 0)
    assert (jobs[1].focus, jobs[1].model) == (True, "tiny")


def test_a_job_survives_being_sent_as_texts_and_numbers(table):
    (job,) = read_jobs(table(JOB + "limits = [0.5, 2]\n"))
    assert JobSpec.from_payload(json.loads(json.dumps(job.to_payload()))) == job


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (JOB + 'modle = "nano"\n', "job[0].modle"),
        ('[defaults]\nmodle = "nano"\n' + JOB, "defaults.modle"),
        ('[defaults]\nimage = "a.tif"\n' + JOB, "defaults.image"),
        ("colour = 1\n" + JOB, "colour"),
        ("", "job: field required"),
        ('[[job]]\nimage = "a.tif"\n', "just one of prompts, session, labels, segmentation"),
        (JOB + 'labels = "b.tif"\n', "prompts and labels"),
        ('[[job]]\nprompts = "a.json"\n', "job[0].image"),
        (JOB + "axis = -1\n", "job[0].axis"),
        (JOB + "axis = 1.5\n", "job[0].axis"),
        (JOB + "limits = [3, 1]\n", "the darker one first"),
        (JOB + "limits = [0, nan]\n", "job[0].limits[1]"),
        (JOB + "limits = 1979-05-27\n", "job[0].limits"),
        (JOB + 'direction = "up"\n', "job[0].direction"),
        (JOB + 'format = "gif"\n', "format is one of tif"),
        (JOB + "split_objects = -1\n", "job[0].split_objects"),
        (JOB + 'name = "../a"\n', "without folders"),
        (JOB + 'name = ""\n', "job[0].name"),
        (JOB + "frame = 3\n", "where a segmentation lies"),
        (JOB + JOB, "several jobs are called 'a'"),
        (JOB + '[[job]]\nimage = "b.tif"\nname = "A"\nprompts = "b.json"\n', "called 'a'"),
        ("[[job]\n", "is not TOML"),
    ],
)
def test_a_wrong_table_is_refused_and_the_place_named(table, text, complaint):
    with pytest.raises(NapariSam2Error) as caught:
        read_jobs(table(text))
    assert complaint in str(caught.value)
    assert "\n" not in caught.value.what.strip() or "TOML" in complaint


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("binary.toml", "nothing.toml"):
        with pytest.raises(FileFormatError, match=name):
            read_jobs(tmp_path / name)


def test_a_model_that_is_a_file_beside_the_table_is_found_from_everywhere(table, tmp_path):
    (tmp_path / "own.safetensors").touch()
    (job,) = read_jobs(table(JOB + 'model = "own.safetensors"\n'))
    assert job.model == str(tmp_path / "own.safetensors")
    (other,) = with_model((job,), "small")
    assert other.model == "small"
    assert with_model((job,), None) == (job,)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.tif", "a"),
        ("a.ome.tif", "a"),
        ("a.ome.zarr", "a"),
        ("a.nii.gz", "a"),
        ("a.b.npy", "a.b"),
    ],
)
def test_a_job_is_called_like_its_image_without_its_format(name, stem):
    assert stem_of(Path("/data") / name) == stem
