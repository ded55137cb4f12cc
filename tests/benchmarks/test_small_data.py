"""Every model family learns: whole runs of `benchmarks/small_data.py` against their floors; and its bookkeeping."""

import json
from pathlib import Path

import pytest
import small_data

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
    tried = {(case.task, MODELS.get(case.model_name).family) for case in ALL}
    known = {(task, MODELS.get(name).family) for task in TASKS for name in names(task)}
    hub = {("image_classification", "transformers"), ("image_classification_multilabel", "transformers")}
    assert known - tried - hub == set()


def test_few_images_are_both_sides_and_hold_every_class(tmp_path):
    case = next(case for case in small_data.FAMILIES if case.few)
    given = small_data.few_images(case, tmp_path)
    few = json.loads(Path(given["source"]["path"]).read_text())
    assert given["source"] == given["validation_data"]
    assert len(few["images"]) == case.few
    assert {entry["category_id"] for entry in few["annotations"]} == {entry["id"] for entry in few["categories"]}
    assert {entry["image_id"] for entry in few["annotations"]} <= {image["id"] for image in few["images"]}
    assert (given["source"]["images"] / few["images"][0]["file_name"]).is_file()
