"""`kedro data check` in this process: what it says of a set as a whole, and its exit code."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from automl_images.cli.data import data_group
from automl_images.core.errors import DataError
from automl_images.data.dataset_checks import require_minimum
from automl_images.jobs.options import JobOptions
from automl_images.pipelines.data_conversion.nodes import convert_annotations


def table(folder, name, count):
    """Return a CSV of so many images, half of them of either class."""
    for number in range(count):
        pixels = np.random.default_rng([number, *name.encode()]).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{number:02d}.png")
    lines = [f"{name}{number:02d}.png,{('cat', 'dog')[number % 2]}" for number in range(count)]
    (folder / f"{name}.csv").write_text("\n".join(["image,label", *lines]))
    return str(folder / f"{name}.csv")


def check(source, *options):
    arguments = ["check", "--task", "image_classification", "--source", source, *options]
    return CliRunner().invoke(data_group, arguments)


def refusal(count):
    """Return what the pipeline says of so many training images."""
    with pytest.raises(DataError) as caught:
        require_minimum([{}] * count)
    return str(caught.value)


def test_too_few_training_images_are_not_usable_and_the_pipelines_error_says_so(tmp_path):
    result = check(table(tmp_path, "a", 9), "--validation", table(tmp_path, "b", 4), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["usable"] is False
    assert json.loads(result.stdout)["reason"] == refusal(9)
    assert result.stderr == f"Error: {refusal(9)}\n"


def test_class_names_of_two_types_are_a_finding_with_its_place(tmp_path):
    table(tmp_path, "a", 20)
    rows = [{"image_url": f"a{k:02d}.png", "label": k % 2 if k < 15 else "dog"} for k in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = check(str(tmp_path / "a.jsonl"), "--json")
    assert result.exit_code == 1
    [mixed] = [f for f in json.loads(result.stdout)["findings"] if f["code"] == "LABEL_TYPES_MIXED"]
    assert (mixed["line"], mixed["value"]) == (16, "dog")
    assert "partly numbers and partly text" in json.loads(result.stdout)["reason"]


def test_a_task_may_have_the_services_name(tmp_path):
    source = table(tmp_path, "a", 20)
    arguments = ["check", "--source", source, "--task"]
    assert (
        "image_instance_segmentatio"
        in CliRunner().invoke(data_group, [*arguments, "image_instance_segmentatio"]).stderr
    )
    known = CliRunner().invoke(data_group, [*arguments, "image_object_detection"])
    assert known.exit_code == 1
    assert "Unknown task" not in known.stderr


def test_images_that_a_run_holds_out_do_not_count(tmp_path):
    source = table(tmp_path, "a", 10)
    result = check(source)
    assert result.exit_code == 1
    assert "Expected at least 10 training images" in result.stderr
    assert "without those held out for validation" in result.stderr
    assert "Summary" in result.stdout
    given = check(source, "--validation", table(tmp_path, "b", 2), "--json")
    assert given.exit_code == 0, given.stderr
    assert json.loads(given.stdout)["usable"] is True
    assert check(table(tmp_path, "c", 16)).exit_code == 0


def test_one_image_cannot_be_split(tmp_path):
    result = check(table(tmp_path, "a", 1))
    assert result.exit_code == 1
    assert "at least two different images" in result.stderr


def test_what_was_wrong_before_is_said_first(tmp_path):
    source = table(tmp_path, "a", 4)
    (tmp_path / "a00.png").write_bytes(b"")
    result = check(source)
    assert result.exit_code == 1
    assert "max_invalid allows" in result.stderr


def test_urls_of_images_are_not_usable_and_a_run_says_the_same(tmp_path):
    rows = [{"image_url": f"https://photos.example/{k}.png", "label": ("cat", "dog")[k % 2]} for k in range(30)]
    source = tmp_path / "far.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    result = check(str(source), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["usable"] is False
    reason = json.loads(result.stdout)["reason"]
    assert "got 30 that are URLs, the first is https://photos.example/0.png. Download them" in reason
    with pytest.raises(DataError) as caught:
        convert_annotations(JobOptions(task="image_classification", source={"path": source}))
    assert str(caught.value) == reason
    near = check(table(tmp_path, "a", 20), "--validation", str(source))
    assert near.exit_code == 1
    assert "30 that are URLs" in near.stderr


def test_the_class_of_masks_can_be_given_and_stands_in_the_command_that_a_run_prints(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 5:25] = 1
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    options = ["--task", "instance_segmentation", "--source", str(tmp_path / "masks"), "--class-name", "a nucleus"]
    result = CliRunner().invoke(data_group, ["check", *options, "--json"])
    assert list(json.loads(result.stdout)["summary"]["classes"]) == ["a nucleus"]
    empty = CliRunner().invoke(data_group, ["check", *options[:-1], ""])
    assert (empty.exit_code, empty.stderr.startswith("Error: --class-name: ")) == (2, True)
    source = {"path": tmp_path / "masks", "class_name": "a nucleus"}
    with pytest.raises(DataError, match=r"kedro data check --task instance_segmentation .*--class-name 'a nucleus'"):
        convert_annotations(JobOptions(task="instance_segmentation", source=source, strict=True))
