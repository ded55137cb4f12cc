"""Charts show the numbers that were measured, and leave out the undefined ones."""

import json

import pytest

from automl_images.reporting.charts import (
    MUTED,
    PALETTE,
    confusion_matrix,
    learning_curves,
    learning_panels,
    precision_recall,
    precision_recall_panel,
)

METRIC = "mean_average_precision"


def test_learning_curves_hold_metric_and_losses_of_every_trial(two_trials):
    figure = learning_curves(two_trials, METRIC)
    lines = [(t.name, list(t.x), list(t.y), t.line.dash) for t in figure.data]
    assert lines == [
        ("trial 0", [1, 2], [0.2, 0.4], "solid"),
        ("trial 1", [1, 2], [0.3, 0.7], "solid"),
        ("trial 0", [1, 2], [2.0, 1.0], "solid"),
        ("trial 1", [1, 2], [3.0, 2.0], "solid"),
        ("", [2], [1.5], "dash"),
    ]
    assert [a.text for a in figure.layout.annotations] == ["mean average precision", "loss (dashed: validation)"]
    json.loads(figure.to_json())


def test_the_trial_that_reached_most_is_strong(two_trials):
    metric, loss = learning_panels(two_trials, METRIC)
    assert [line.strong for line in metric.series] == [False, True]
    assert metric.series[1].hints == ("trial 1, epoch 1: 0.3", "trial 1, epoch 2: 0.7")
    assert [line.name for line in loss.series] == ["trial 0", "trial 1", ""]
    assert loss.series[2].colour == metric.series[1].colour  # only trial 1 has a validation loss


def test_a_single_trial_needs_no_name(two_trials):
    metric, loss = learning_panels(two_trials[two_trials["trial"] == 1], METRIC)
    assert [line.name for line in metric.series] == [""]
    assert [line.name for line in loss.series] == ["training", "validation"]


def test_no_curves_give_an_empty_figure(two_trials):
    assert len(learning_curves(two_trials[:0], METRIC).data) == 0


def test_precision_recall_of_every_class_without_undefined_points(measured):
    lines = {line.name: line for line in precision_recall(measured).data}
    assert set(lines) == {"can", "all classes"}  # nothing was called a milk bottle: its precision is undefined
    points = set(zip(lines["can"].x, lines["can"].y, strict=True))
    assert points == {(1.0, 0.66667), (0.5, 0.5), (0.5, 1.0)}
    assert all(0 <= value <= 1 for line in lines.values() for value in (*line.x, *line.y))


def test_of_many_classes_only_the_worst_have_colour():
    names = [f"class {i:02d}" for i in range(20)]
    curve = {"thresholds": [0.0, 0.5], "precision": [0.5, 1.0], "recall": [1.0, 0.5]}
    panel = precision_recall_panel(
        {
            "pr_curves": {f"pr_curve_{name}": curve for name in names},
            "per_label_metrics": [{"class_name": n, "average_precision": i / 20} for i, n in enumerate(names)],
        }
    )
    assert [line.name for line in panel.series if line.name] == names[:5]
    assert [line.colour for line in panel.series] == [MUTED] * 15 + list(PALETTE[:5])


@pytest.mark.parametrize("value", [{}, {"pr_curves": {}, "per_label_metrics": []}])
def test_an_evaluation_without_curves_gives_an_empty_panel(value):
    assert precision_recall_panel(value).series == ()


def test_confusion_matrix_holds_counts_and_shares_of_rows(measured):
    heat = confusion_matrix(measured).data[0]
    assert list(heat.x) == ["can", "milk_bottle", "Missed"]
    assert list(heat.y) == ["can", "milk_bottle", "background"]
    assert [list(row) for row in heat.text] == [["2", "0", "0"], ["1", "0", "0"], ["0", "0", ""]]
    assert [list(row) for row in heat.z] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
