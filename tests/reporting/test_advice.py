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
    assert advice(**{**WELL, "best_trial": {**WELL["best_trial"], "best_epoch": 20, "metric": 1.0}}) == []


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


@pytest.mark.parametrize(
    ("note", "automode", "expected"),
    [
        ("timeout_minutes reached", None, "epoch 7 (timeout_minutes reached): raise limits.timeout_minutes."),
        ("timeout_minutes reached", [], "epoch 7 (timeout_minutes reached): raise limits.timeout_minutes."),
        (
            "stopped by bandit at epoch 7: 0.4 < 0.5",
            None,
            "raise delay_evaluation of sweep.early_termination, or leave",
        ),
        ("stopped by median_stopping at epoch 7: 0.4 < 0.5", [], "raise limits.max_trials"),
        ("canceled", None, "epoch 7 (canceled): run the job again and let it finish."),
        ("3 trials died of the same cause: no memory\nlast line", None, "same cause: no memory): run the job again"),
        ("max_training_minutes reached in epoch 7 of 30", None, "give it more time (max_training_minutes)."),
        ("max_training_minutes reached in epoch 7 of 30", [], "give it more time (limits.timeout_minutes)."),
        ("", None, "The last epoch (7) was the best one, so the model may still have been improving: raise number"),
    ],
)
def test_a_longer_training_is_had_from_what_ended_it(note, automode, expected):
    best = {**WELL["best_trial"], "epochs": 7, "best_epoch": 7, "note": note, "automode": automode}
    [sentence] = advice(**{**WELL, "best_trial": best})
    assert expected in sentence


@pytest.mark.parametrize("note", ["", "no improvement any more", "max_training_minutes reached in epoch 20 of 30"])
def test_a_trial_that_ended_of_itself_after_its_best_epoch_was_long_enough(note):
    assert advice(**{**WELL, "best_trial": {**WELL["best_trial"], "note": note}}) == []


TOO_LATE = "timeout_minutes leaves 40 s, and the shortest trial needs 60 s"
RECIPES = [{"name": "default", "epochs": 15, "reason": ""}, {"name": "large", "epochs": 0, "reason": "needs 9 GiB"}]


@pytest.mark.parametrize(
    ("trials", "ended", "automode", "expected"),
    [
        (1, TOO_LATE, RECIPES, f"ran out of time after 1 trial ({TOO_LATE}): raise limits.timeout_minutes."),
        (1, "timeout_minutes reached", RECIPES, "(timeout_minutes reached): raise limits.timeout_minutes."),
        (3, "timeout_minutes reached", None, "ran out of time after 3 trials (timeout_minutes reached): raise limits"),
        (1, "", RECIPES, "AutoMode tried one configuration; it left out large (needs 9 GiB). Fewer fixed"),
        (1, "", None, "One configuration was tried. A search_space with limits.max_trials above 1"),
    ],
)
def test_a_short_search_is_lengthened_by_what_ended_it(trials, ended, automode, expected):
    best = {**WELL["best_trial"], "sweep_ended": ended, "automode": automode}
    [sentence] = advice(**{**WELL, "trials": trials, "best_trial": best})
    assert expected in sentence


def test_time_that_ended_both_search_and_best_trial_is_advised_once():
    best = {**WELL["best_trial"], "note": "timeout_minutes reached", "sweep_ended": "timeout_minutes reached"}
    [sentence] = advice(**{**WELL, "trials": 1, "best_trial": best})
    assert sentence.endswith("raise limits.timeout_minutes.")


def test_a_search_that_the_user_ended_needs_no_advice():
    assert advice(**{**WELL, "trials": 1, "best_trial": {**WELL["best_trial"], "sweep_ended": "canceled"}}) == []


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
