"""Each piece of advice is given where its numbers call for it, and only there."""

import pytest

from automl_images.reporting.advice import advice

WELL = {
    "settings": {"weights": {"pretrained": True}},
    "best_trial": {"epochs": 20, "best_epoch": 15, "primary_metric": "mean_average_precision"},
    "trials": 5,
    "evaluation": {
        "interval": {"low": 0.90, "high": 0.95},
        "per_label_metrics": [
            {"class_name": "can", "average_precision": 0.93},
            {"class_name": "cat", "average_precision": 0.92},
        ],
        "per_image": {"true_positives": [1] * 400},
    },
    "findings": {"BOX_CLIPPED": {"severity": "warning", "count": 3}},
    "learnt": {"can": 120, "cat": 20},
}
WEAK = [{"class_name": "can", "average_precision": 0.95}, {"class_name": "cat", "average_precision": 0.40}]
MATRIX = {"class_labels": ["can", "cat", "Missed"], "matrix": [[20, 0, 0], [6, 10, 4]], "background": [0, 0]}


def test_nothing_to_say_where_all_is_well():
    assert advice(**WELL) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"settings": {"weights": {"pretrained": False}}}, "random weights"),
        ({"findings": {"IMAGE_EMPTY": {"severity": "error", "count": 4}}}, "Unusable annotations or images: 4"),
        ({"best_trial": {**WELL["best_trial"], "best_epoch": 20}}, "The last epoch (20)"),
        (
            {"evaluation": {**WELL["evaluation"], "interval": {"low": 0.7, "high": 0.9}}},
            "±0.10, as it was measured on 400",
        ),
        ({"evaluation": {**WELL["evaluation"], "per_label_metrics": WEAK}}, "cat is the weakest class"),
        ({"trials": 1}, "search_space"),
        ({"learnt": {"can": 120, "cat": 19}}, "Fewer than 20 training images show cat (19): label more of them."),
        (
            {"learnt": {"a": 9, "b": 3, "c": 9, "d": 9, "e": 9}},
            "show b (3), a (9), c (9) and 2 more classes: label more",
        ),
    ],
)
def test_one_cause_one_sentence(change, expected):
    [sentence] = advice(**{**WELL, **change})
    assert expected in sentence


def test_the_weakest_class_comes_with_what_it_is_taken_for():
    evaluation = {**WELL["evaluation"], "per_label_metrics": WEAK, "confusion_matrix": MATRIX}
    [sentence] = advice(**{**WELL, "evaluation": evaluation})
    assert "30% are taken for can" in sentence


def test_an_undefined_interval_is_no_reason_for_advice():
    evaluation = {**WELL["evaluation"], "interval": {"low": -1, "high": -1}}
    assert advice(**{**WELL, "evaluation": evaluation}) == []


def test_a_classifier_is_judged_by_f1_and_by_what_is_taken_for_what(classify):
    evaluation = {**classify(["can", "carton", "cup", "jar"]), "interval": None}
    [sentence] = advice(**{**WELL, "evaluation": evaluation})
    assert sentence == (
        "cup is the weakest class: F1 0.00 against a mean of 0.67; 100% are taken for can. More images of it help most."
    )


def test_of_several_classes_an_image_those_that_want_another_threshold_are_named(classify):
    evaluation = {**classify(["can", "carton", "cup", "jar"], multilabel=True), "interval": None}
    weak, threshold = advice(**{**WELL, "evaluation": evaluation})
    assert weak.startswith("cup is the weakest class: F1 0.00 against a mean of 0.67. More")
    assert "suits 1 of 4 classes better than the score of 0.5 for all: cup from 0.20." in threshold
    assert "F1 rises by up to 1.00" in threshold
