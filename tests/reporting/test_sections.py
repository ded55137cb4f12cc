"""Results become the rows and texts of the report's tables."""

import math

import pytest

from automl_images.reporting.sections import data_sides, duration, leaderboard, number, place, weights_source


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
