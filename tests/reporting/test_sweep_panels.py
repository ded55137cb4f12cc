"""The report's section about a sweep: where lines go, and what the tables say."""

import itertools

import pytest
from sweeps import METRIC, sweep

from automl_images.reporting import svg
from automl_images.reporting.sweep_panels import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    RIGHT,
    TOP,
    WIDTH,
    parallel,
    scatter_panels,
    shade,
    sweep_section,
)
from automl_images.reporting.trial_axes import compare


@pytest.fixture(scope="module")
def table():
    return sweep(20)[0]


@pytest.fixture(scope="module")
def comparison(table):
    return compare(table, METRIC)


def test_lines_go_through_the_places_of_their_values(table, comparison):
    drawn = parallel(comparison)
    assert drawn["axes"][0]["x"] == LEFT
    assert drawn["axes"][-1]["x"] == WIDTH - RIGHT
    assert drawn["axes"][-1]["title"] == ["mean average", "precision"]
    assert len(drawn["lines"]) == 19
    best, worst = drawn["lines"][-1], drawn["lines"][0]
    assert (best["strong"], worst["strong"]) == (True, False)
    assert best["path"].endswith(f"L{WIDTH - RIGHT} {TOP:.1f}")
    assert worst["path"].endswith(f"L{WIDTH - RIGHT} {HEIGHT - BOTTOM:.1f}")
    assert best["hint"].startswith(f"trial {table[METRIC].idxmax()}: ")
    size = next(axis for axis in drawn["axes"] if axis["title"] == ["image size"])
    assert size["ticks"][0] == {"y": HEIGHT - BOTTOM, "text": "not set"}
    assert size["ticks"][-1]["y"] == TOP
    assert drawn["left_out"] == ["advanced settings", "milestones"]


def test_ticks_of_parallel_axes_touch_neither_each_other_nor_the_axis_before(table):
    close = [0.0007979, 0.0011, 0.009756, 0.009971, 0.0442, 0.04664]
    few = table[table["status"] != "Failed"][:6]
    few = few.assign(learning_rate=close, optimizer=[f"an_optimizer_of_number_{n}" for n in range(6)])
    drawn = parallel(compare(few.assign(**{METRIC: [0.5, 0.501, 0.6, 0.62, 0.79, 0.8]}), METRIC))
    assert len(drawn["axes"]) == 8
    for axis in drawn["axes"]:
        assert all(a["y"] - b["y"] >= LINE for a, b in itertools.pairwise(axis["ticks"])), axis["title"]
    for axis, before in zip(drawn["axes"][1:], drawn["axes"], strict=False):
        assert max(len(tick["text"]) for tick in axis["ticks"]) * LETTER <= axis["x"] - before["x"]
    [texts] = [[tick["text"] for tick in axis["ticks"]] for axis in drawn["axes"] if axis["title"] == ["optimizer"]]
    assert len(texts) == 6
    assert texts[0] == "an_opt…ber_0"


def test_names_below_a_chart_have_room_each(table):
    names = [f"optimizer_of_number_{n % 5}" for n in range(len(table))]
    kept = ["job", "trial", "status", "model_name", METRIC, "epochs", "best_epoch", "seconds", "note", "learning_rate"]
    comparison = compare(table.assign(model_name="yolov5")[kept].assign(optimizer=names), METRIC)
    [drawn] = [svg.drawing(panel) for panel in scatter_panels(comparison)]
    assert len(drawn["x_ticks"]) == 5
    assert all(
        b["at"] - a["at"] > svg.LETTER * max(len(a["text"]), len(b["text"]))
        for a, b in itertools.pairwise(drawn["x_ticks"])
    )


def test_points_are_coloured_by_the_metric(comparison):
    panels = scatter_panels(comparison)
    assert [panel.title for panel in panels] == [
        "learning rate (log) over weight decay",
        "learning rate (log) over model",
    ]
    assert len(panels[0].series) == 19
    assert panels[0].series[-1].colour == shade(1.0)  # the best lies on top
    assert [text for _, text in panels[0].x_ticks] == ["0", "0.0001", "0.0005"]


def test_trials_without_a_setting_have_no_point(comparison):
    only = compare(
        comparison.trials.drop(columns=["learning_rate", "weight_decay", "optimizer", "ema", "min_size"]), METRIC
    )
    [first, *_] = scatter_panels(only)
    assert first.title == "model over image size"
    assert len(first.series) == sum(comparison.trials["image_size"].notna())


def test_shades_go_from_one_colour_to_the_other():
    assert [shade(0.0), shade(0.5), shade(1.0)] == ["#4c78c8", "#a65bb0", "#e0683c"]
    assert shade(0.25) == "#796abc"


def test_what_was_stopped_and_why(table):
    section = sweep_section(table, METRIC)
    failed, *stopped = section["stopped"]
    assert failed == {
        "trial": 3, "model": "yolov5", "status": "Failed", "epochs": 0, "metric": "–",
        "why": "out of memory: batch of 16 does not fit",
    }  # fmt: skip
    assert [row["trial"] for row in stopped] == table.loc[table["status"] == "Canceled", "trial"].tolist()
    assert all(row["why"].startswith("stopped by median_stopping at epoch 4: ") for row in stopped)
    assert section["totals"]["stopped"] == len(stopped)
    assert section["totals"]["epochs"] == str(table["epochs"].sum())


def test_effort_comes_by_falling_time_with_bars_of_the_most(table):
    section = sweep_section(table, METRIC)
    first = section["effort"][0]
    assert (first["trial"], first["time"], first["time_bar"], first["epochs_bar"]) == (2, "24 min", 1.0, 1.0)
    assert [row["time_bar"] for row in section["effort"]] == sorted(
        (r["time_bar"] for r in section["effort"]), reverse=True
    )
    assert len(section["effort"]) == 20
    many = sweep_section(sweep(50)[0], METRIC)
    assert (len(many["effort"]), many["effort_left_out"]) == (40, 10)


def test_importance_leaves_out_what_not_all_have(table):
    section = sweep_section(table, METRIC)
    assert section["importance"][0]["bar"] == 1.0
    assert section["left_out"] == ["image size", "min size", "advanced settings", "milestones"]
    assert sweep_section(table[:6], METRIC)["importance"] == []


def test_one_trial_has_no_section_and_two_have():
    assert sweep_section(sweep(1)[0], METRIC) is None
    assert len(sweep_section(sweep(2)[0], METRIC)["parallel"]["lines"]) == 2
    failed = sweep_section(sweep(4)[0].assign(status="Failed", note=None), METRIC)
    assert (failed["parallel"], failed["scatters"]) == (None, [])
    assert [row["why"] for row in failed["stopped"]] == ["–"] * 4
