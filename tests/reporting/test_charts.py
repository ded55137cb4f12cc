"""Charts show the numbers that were measured, and leave out the undefined ones."""

import json

import pytest

from automl_images.reporting.charts import (
    MUTED,
    PALETTE,
    evaluation_curves,
    evaluation_panels,
    precision_recall_panel,
    weakest_first,
    words,
)


def test_precision_recall_of_every_class_without_undefined_points(measured):
    lines = {line.name: line for line in evaluation_curves(measured).data}
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


def panels_by_title(evaluation):
    return {panel.title: panel for panel in evaluation_panels(evaluation)}


@pytest.mark.parametrize("multilabel", [False, True])
def test_every_curve_of_a_classifier_has_its_panel(classify, multilabel):
    panels = panels_by_title(classify(["can", "carton", "cup", "jar"], multilabel))
    assert {title: panel.series[-1].name for title, panel in panels.items()} == {
        "precision over recall": "all classes",
        "ROC: true positive rate": "chance",
        "cumulative gains: share found": "random order",
        "lift": "random order",
        "calibration: observed share": "perfect",
    }
    for panel in panels.values():
        assert [line.name for line in panel.series[:5]] == ["can", "carton", "cup", "jar", "all classes"]
        colours = {line.name: line.colour for line in panel.series}
        assert len(set(colours.values())) == len(colours)
        assert colours["cup"] == PALETTE[2]


def test_curves_hold_the_measured_points(classify):
    evaluation = classify(["can", "carton", "cup", "jar"])
    panels = panels_by_title(evaluation)
    lift = next(line for line in panels["lift"].series if line.name == "carton")
    assert (lift.x[0], lift.y[0]) == (0.01, 4.0)  # a quarter of the images are cartons, and they come first
    assert lift.hints[0] == "carton: share of images, most likely first 0.01, lift 4.00"
    roc = next(line for line in panels["ROC: true positive rate"].series if line.name == "carton")
    assert (0.0, 1.0) in zip(roc.x, roc.y, strict=True)
    assert panels["lift"].series[-1].y == (1.0, 1.0)
    assert panels["ROC: true positive rate"].series[-1].y == (0.0, 1.0)


def test_a_class_without_images_has_no_curve_and_comes_last(classify):
    evaluation = classify(["can", "carton", "cup", "jar", "pan"])
    names = [line.name for line in panels_by_title(evaluation)["ROC: true positive rate"].series]
    assert names == ["can", "carton", "cup", "jar", "all classes", "chance"]
    assert [row["class_name"] for row in weakest_first(evaluation["per_label_metrics"])][-1] == "pan"


def test_plotly_lays_all_panels_out_with_one_legend(classify):
    figure = evaluation_curves(classify(["can", "carton", "cup", "jar"]))
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles[0] == "precision over recall"
    assert len(titles) == 5
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(legend) == sorted(set(legend))
    assert {"can", "all classes", "chance"} <= set(legend)
    json.loads(figure.to_json())


def test_grey_lines_of_very_many_classes_are_limited_and_have_no_hints():
    names = [f"class {i:03d}" for i in range(300)]
    curve = {"x": [0.0, 0.5, 1.0], "y": [0.0, 0.8, 1.0]}
    rows = [{"class_name": name, "f1_score": i / 300} for i, name in enumerate(names)]
    [panel] = evaluation_panels({"roc_curves": dict.fromkeys(names, curve), "per_label_metrics": rows})
    grey = [line for line in panel.series if not line.name]
    assert 20 <= len(grey) <= 60
    assert not any(line.hints for line in grey)


def test_words():
    assert words("mean_average_precision") == "mean average precision"
    assert words("iou") == "IoU"
    assert words("f1_score_macro") == "F1 score macro"
