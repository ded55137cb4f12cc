"""Every model family learns: whole runs of `benchmarks/small_data.py` against their floors; and its bookkeeping."""

import json
from pathlib import Path

import pytest
import small_data

from automl_images.data.conversion import convert
from automl_images.data.mltable import class_names
from automl_images.data.sources import SourceOptions
from automl_images.data.splitting import given_sides
from automl_images.models.catalogue import MODELS, names
from automl_images.tasks import TASKS

DATA = small_data.PROJECT / "../shared/data"
ALL = (*small_data.CASES, *small_data.FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_no_family_falls_below_its_floor(case):
    if not case.is_there(DATA):
        pytest.skip(f"the data of {case.name} is not there")
    row = small_data.run(case, {"random_seed": 0}, DATA)
    assert row["metric"] >= case.floor, row


def test_every_family_of_the_catalogue_has_a_case():
    tried = {(case.task, "transformers" if case.kind else MODELS.get(case.model_name).family) for case in ALL}
    known = {(task, MODELS.get(name).family) for task in TASKS for name in names(task)}
    assert known - tried == {("image_classification_multilabel", "transformers")}  # the same networks, another loss


@pytest.mark.parametrize("task", ["image_classification", "object_detection"])
def test_few_images_are_both_sides_with_every_class_and_pass_the_split(task, tmp_path):
    case = next(case for case in small_data.FAMILIES if case.few and case.task == task)
    given = small_data.few_images(case, tmp_path)
    kind = TASKS.get(task).label_kind
    rows = [convert(SourceOptions(**given[side]), kind).rows for side in ("source", "validation_data")]
    sides = given_sides(*rows, kind)
    assert len(sides.training) == len(sides.validation) == case.few
    assert len(class_names(sides.training, kind)) == 4


def test_few_images_of_a_coco_file_keep_their_annotations(tmp_path):
    case = next(case for case in small_data.FAMILIES if case.few and case.task == "object_detection")
    given = small_data.few_images(case, tmp_path)
    few = json.loads(Path(given["source"]["path"]).read_text())
    assert given["source"] == given["validation_data"]
    assert len(few["images"]) == case.few
    assert {entry["category_id"] for entry in few["annotations"]} == {entry["id"] for entry in few["categories"]}
    assert {entry["image_id"] for entry in few["annotations"]} <= {image["id"] for image in few["images"]}
    assert (given["source"]["images"] / few["images"][0]["file_name"]).is_file()
