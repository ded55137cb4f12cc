"""Results become the rows and texts of the report's tables."""

import math

import pytest

from automl_images.reporting.sections import (
    class_table,
    data_sides,
    duration,
    has_objects,
    leaderboard,
    number,
    parity_table,
    place,
    weights_source,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (None, "–"),
        (math.nan, "–"),
        (-1.0, "–"),
        (12345, "12,345"),
        (0.0, "0.000"),
        ("coco", "coco"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (90, "2 min"), (5340, "89 min"), (5400, "1 h 30 min"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_leaderboard_is_sorted_and_shows_only_what_differs(leaderboard_table):
    board = leaderboard(leaderboard_table, "mean_average_precision", best=1)
    assert board["columns"] == ["learning_rate"]
    assert [(row["trial"], row["metric"], row["values"]) for row in board["rows"]] == [
        (1, "0.700", ["0.02"]),
        (0, "0.400", ["0.01"]),
        (2, "–", ["0.5"]),
    ]
    assert [row["is_best"] for row in board["rows"]] == [True, False, False]
    assert board["rows"][2]["note"] == "diverged"


def test_a_leaderboard_read_from_csv_looks_the_same(leaderboard_table, tmp_path):
    import pandas as pd

    leaderboard_table.to_csv(tmp_path / "trials.csv", index=False)
    read = leaderboard(pd.read_csv(tmp_path / "trials.csv"), "mean_average_precision", best=1)
    assert read == leaderboard(leaderboard_table, "mean_average_precision", best=1)


def test_hyper_parameters_that_only_one_model_has_do_not_count_as_different(leaderboard_table):
    table = leaderboard_table.assign(model_name=["a", "b", "c"], image_size=[640, None, None])
    assert leaderboard(table, "mean_average_precision", best=1)["columns"] == []


def finding(code, severity="warning", **more):
    return {"code": code, "severity": severity, "action": "kept", "message": "m", "file": "/home/u/x/a.json", **more}


def test_findings_are_grouped_errors_first_with_few_examples():
    found = [*[finding("BOX_CLIPPED", line=i) for i in range(9)], finding("IMAGE_EMPTY", "error", item="4")]
    counts = {"IMAGE_TINY": {"severity": "warning", "action": "kept", "count": 70}}
    [side] = data_sides({"training": {"summary": {"findings": counts}, "findings": found}, "validation": None})
    assert [(g["code"], g["count"], len(g["examples"])) for g in side["findings"]] == [
        ("IMAGE_EMPTY", 1, 1),
        ("IMAGE_TINY", 70, 0),
        ("BOX_CLIPPED", 9, 3),
    ]
    assert side["findings"][0]["examples"][0]["where"] == "x/a.json, id 4"


def test_places_hide_the_folders_of_the_user():
    assert place(finding("A", line=3)) == "x/a.json, line 3"
    assert weights_source({"source": "file:/home/u/weights/best.pth"}) == "file: best.pth"
    assert weights_source({"source": "random"}) == "random"


def test_the_columns_of_the_class_table_are_those_that_were_measured(classify, measured):
    objects, single = class_table(measured), class_table(classify(["can", "carton", "cup", "jar"]))
    several = class_table(classify(["can", "carton", "cup", "jar"], multilabel=True))
    assert objects["columns"] == [
        "Average precision", "Precision", "Recall", "Best threshold", "F1 there", "Objects",
    ]  # fmt: skip
    assert single["columns"][:5] == ["F1", "Average precision", "Precision", "Recall", "AUC"]
    assert set(several["columns"]) - set(single["columns"]) == {"IoU", "Best threshold", "F1 there"}
    assert objects["averages"] == []
    assert [row["name"] for row in single["averages"]] == ["micro", "macro", "weighted"]


def test_the_class_table_has_the_weakest_first_and_dashes_where_undefined(classify):
    table = class_table(classify(["can", "carton", "cup", "jar", "pan"]))
    assert [row["name"] for row in table["rows"]] == ["cup", "can", "carton", "jar", "pan"]
    found = {row["name"]: dict(zip(table["columns"], row["values"], strict=True)) for row in table["rows"]}
    assert (found["can"]["F1"], found["can"]["Precision"], found["can"]["Recall"]) == ("0.667", "0.500", "1.000")
    assert (found["pan"]["F1"], found["pan"]["Images"]) == ("–", "0")
    assert [row["share"] for row in table["rows"]] == [0, pytest.approx(2 / 3, abs=1e-4), 1, 1, 0]
    averages = {row["name"]: dict(zip(table["columns"], row["values"], strict=True)) for row in table["averages"]}
    assert averages["micro"]["F1"] == "0.750"
    several = class_table(classify(["can", "carton", "cup", "jar"], multilabel=True))
    assert several["averages"][1]["values"][several["columns"].index("Best threshold")] == "–"


def test_parity_shows_only_what_was_compared():
    case = {"name": "all", "images": 4, "detections": 12, "passed": True, "largest_score_difference": 0.00000123}
    scores = parity_table({"cases": [{**case, "largest_box_difference": None}]})
    assert scores["columns"] == ["Images", "Compared", "Largest score difference"]
    assert scores["rows"] == [{"name": "all", "passed": True, "values": ["4", "12", "1.2e-06"]}]
    drawn = {**case, "largest_box_difference": 0.5, "largest_mask_difference": 0.0}
    masks = parity_table({"cases": [{**case, "largest_box_difference": None}, drawn]})
    assert [row["values"][2:4] for row in masks["rows"]] == [["–", "–"], ["0.5", "0"]]
    assert parity_table({}) == {"columns": [], "rows": []}


def test_objects_are_counted_where_there_are_objects(make_content, make_classification):
    assert has_objects(make_content().conversion)
    kinds = (make_content(), make_classification(), make_classification(multilabel=True))
    facts = [data_sides(content.conversion)[0]["facts"] for content in kinds]
    names = [{"objects", "labels", "empty images", "images without a class"} & set(found) for found in facts]
    assert names == [{"objects", "empty images"}, set(), {"labels", "images without a class"}]
    assert not any(has_objects(content.conversion) for content in kinds[1:])
