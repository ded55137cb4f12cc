"""The charts of a sweep hold the trials that were run, for any number of them."""

import json

import pytest
from sweeps import METRIC, MODELS, sweep

from automl_images.reporting.charts import PALETTE
from automl_images.reporting.learning import STOP_COLOUR, STOPPED
from automl_images.reporting.sweep_charts import interactive_page, sweep_figures

NAMES = {"parallel_coordinates", "scatter", "scatter_3d", "importance", "effort"}


@pytest.fixture(scope="module")
def table():
    return sweep(20)[0]


@pytest.fixture(scope="module")
def figures(table):
    return sweep_figures(table, METRIC)


def test_parallel_coordinates_have_a_line_a_trial_that_did_not_fail(table, figures):
    [drawn] = figures["parallel_coordinates"].data
    by_name = {d.label: d for d in drawn.dimensions}
    assert drawn.dimensions[0].label == "model"
    assert drawn.dimensions[-1].label == "mean average precision"
    assert list(by_name["mean average precision"].values) == table[METRIC].dropna().tolist()
    assert by_name["model"].ticktext == tuple(sorted(MODELS))
    size = by_name["image size"]
    assert size.ticktext == ("not set", "320", "480", "640")
    assert size.values[1] == size.tickvals[0] == size.range[0] < 320  # trial 1 is no yolov5
    assert len(drawn.line.color) == 19


def test_texts_of_parallel_axes_have_room_at_their_left(figures):
    first, *others = figures["parallel_coordinates"].data[0].dimensions
    assert "fasterrcnn_efficientnet_lite0_fpn" in first.ticktext
    assert [len(dimension.ticktext) for dimension in others if dimension.label == "advanced settings"] == [3]
    assert len({text for d in others if d.label == "advanced settings" for text in d.ticktext}) == 3
    assert max(len(text) for dimension in others for text in dimension.ticktext) <= 110 // len(others)


def test_the_menu_of_the_scatter_changes_axes_and_points(table, figures):
    figure = figures["scatter"]
    menu = figure.layout.updatemenus[0].buttons
    assert menu[0].label == "learning rate (log) × weight decay"
    assert len(menu) == 15  # pairs of six
    places, layout = menu[1].args
    assert layout["yaxis"]["title"]["text"] == menu[1].label.split(" × ")[1] == "model"
    assert list(layout["yaxis"]["ticktext"]) == sorted(MODELS)
    assert len(places["x"][0]) == len(places["y"][0]) == len(figure.data[0].x) == 19


def test_three_dimensions(figures):
    [points] = figures["scatter_3d"].data
    assert points.type == "scatter3d"
    assert len(points.z) == 19
    assert len(figures["scatter_3d"].layout.updatemenus[0].buttons) == 4  # triples of four
    assert "scene.zaxis" in figures["scatter_3d"].layout.updatemenus[0].buttons[0].args[1]


def test_importance_is_that_of_the_rule(figures):
    [bars] = figures["importance"].data
    assert set(bars.y[-2:]) == {"learning rate (log)", "model"}
    assert sum(bars.x) == pytest.approx(1)


def test_effort_of_every_trial_with_the_stopped_ones_outlined(table, figures):
    bars = [trace for trace in figures["effort"].data if trace.yaxis != "y2" and trace.showlegend is False]
    epochs = {trial: count for trace in bars for trial, count in zip(trace.x, trace.y, strict=True)}
    assert epochs == dict(zip(table["trial"], table["epochs"], strict=True))
    outlined = {t for trace in bars for t, c in zip(trace.x, trace.marker.line.color, strict=True) if c == STOP_COLOUR}
    assert outlined == set(table.loc[table["status"] == "Canceled", "trial"])


def test_marks_of_the_legend_have_the_colour_of_the_model_whether_or_not_its_first_trial_was_stopped(table):
    notes = ["stopped by bandit at epoch 1: 0.1 < 0.2"] * len(table)
    drawn = sweep_figures(table.assign(note=notes), METRIC)["effort"].data
    *marks, stopped = [trace for trace in drawn if trace.showlegend is not False]
    assert [mark.name for mark in marks] == sorted(MODELS)
    assert [mark.marker.color for mark in marks] == list(PALETTE[: len(MODELS)])
    assert [mark.marker.line.color for mark in marks] == [None] * len(MODELS)
    assert (stopped.name, stopped.marker.line.color) == (STOPPED, STOP_COLOUR)


@pytest.mark.parametrize("trials", [1, 2, 3, 50])
@pytest.mark.parametrize("models", [1, 3])
def test_any_number_of_trials(trials, models):
    table = sweep(trials, models)[0]
    figures = sweep_figures(table, METRIC)
    assert set(figures) == NAMES
    for name, figure in figures.items():
        assert bool(figure.data) != bool(figure.layout.annotations), name  # a chart, or a sentence
        json.loads(figure.to_json())
    assert bool(figures["parallel_coordinates"].data) == (trials > 1)
    assert bool(figures["importance"].data) == (trials > 9)


def test_one_hyperparameter_is_drawn_over_the_metric():
    table = sweep(12, 1)[0]
    alone = table[
        ["job", "trial", "status", "model_name", METRIC, "epochs", "best_epoch", "seconds", "note", "learning_rate"]
    ]
    figures = sweep_figures(alone, METRIC)
    assert figures["scatter"].layout.yaxis.title.text == "mean average precision"
    assert not figures["scatter"].layout.updatemenus
    assert figures["scatter_3d"].layout.annotations[0].text == "The trials differ in one hyper-parameter only."


def test_equal_trials_and_only_failed_ones():
    table = sweep(4)[0]
    equal = table[table["trial"] == 0]
    twice = equal.loc[equal.index.repeat(2)].assign(trial=[0, 1])
    assert "do not differ" in sweep_figures(twice, METRIC)["scatter"].layout.annotations[0].text
    failed = sweep_figures(table.assign(status="Failed"), METRIC)
    assert "nothing to compare" in failed["parallel_coordinates"].layout.annotations[0].text


def test_the_page_holds_everything_and_loads_nothing(figures):
    page = interactive_page(figures, "Sweep <calm> & fox")
    assert "<h1>Sweep &lt;calm&gt; &amp; fox</h1>" in page
    assert page.count("Plotly.newPlot") >= len(NAMES)
    assert "default-src 'none'" in page
    assert "<script src" not in page
    assert len(page) < 6_000_000


def test_the_page_of_a_single_trial_is_small():
    page = interactive_page(sweep_figures(sweep(1)[0], METRIC), "Sweep")
    assert len(page) < 3_000
    assert "there is nothing to compare" in page


def test_hostile_names_cannot_end_the_script(table):
    hostile = "</script><img src=x onerror=alert(1)>"
    figures = sweep_figures(table.assign(optimizer=[hostile, "sgd"] * 10), METRIC)
    assert hostile not in interactive_page(figures, hostile)
