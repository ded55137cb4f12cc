"""What a person should do next, read off the results; each sentence names the numbers that led to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automl_images.reporting.charts import main_number, words
from automl_images.reporting.confusion import confusion_rows
from automl_images.sweep.budget import TIMEOUT

WIDE_INTERVAL = 0.1
WEAK_CLASS = 0.1
OFTEN_TAKEN_FOR = 0.1
FEW_IMAGES = 20
BETTER_F1 = 0.1
_NAMED = 3

_OF_ITSELF = ("max_training_minutes", "no improvement")
"""How the notes of trials begin that ended as they were told to; that of a trial with all its epochs is empty."""
_BY_POLICY = "stopped by "
"""How the reason begins for which a policy stopped a trial."""


def advice(
    settings: Mapping[str, Any],
    best_trial: Mapping[str, Any],
    trials: int,
    evaluation: Mapping[str, Any],
    findings: Mapping[str, Mapping[str, Any]],
    learnt: Mapping[str, int],
) -> list[str]:
    """Return sentences, the most important first; none where all is well.

    Args:
        settings: of the best model, with `weights`.
        best_trial: with `epochs`, `best_epoch`, `primary_metric`, and where there are any `note` (how the trial ended),
            `automode` (AutoMode's recipes) and `sweep_ended` (why the sweep ended early).
        trials: how many there were.
        evaluation: with `interval`, `per_label_metrics`, `per_image`, `confusion_matrix`.
        findings: code to `severity` and `count`.
        learnt: class name to number of training images.
    """
    return [
        *_about_weights(settings.get("weights", {})),
        *_about_data(findings),
        *_about_length(best_trial),
        *_about_interval(evaluation, words(str(best_trial.get("primary_metric", "metric")))),
        *_about_classes(evaluation),
        *_about_few_images(learnt),
        *_about_thresholds(evaluation),
        *_about_search(trials, best_trial),
    ]


def _about_weights(weights: Mapping[str, Any]) -> Iterator[str]:
    if weights and not weights.get("pretrained", True):
        yield (
            "Training began from random weights, which needs many more images and epochs. Run once with a network, "
            "or choose a model whose pretrained weights are at hand, such as one on efficientnet_lite0."
        )


def _about_data(findings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    errors = {code: entry["count"] for code, entry in findings.items() if entry["severity"] == "error"}
    if errors:
        most = max(errors, key=lambda code: errors[code])
        yield (
            f"Unusable annotations or images: {sum(errors.values())}, most often {most} ({errors[most]}). "
            "They are listed under Data; mend them in the source."
        )


def _about_length(best_trial: Mapping[str, Any]) -> Iterator[str]:
    note, is_perfect = _note(best_trial), best_trial.get("metric") == 1.0
    if note and not note.startswith(_OF_ITSELF):
        yield (
            f"Training of the best model was cut short after epoch {best_trial['epochs']} ({note}): "
            f"{_against_the_cut(note, is_automode=best_trial.get('automode') is not None)}."
        )
    elif best_trial.get("best_epoch") and best_trial["best_epoch"] == best_trial.get("epochs") and not is_perfect:
        by_whom = "max_training_minutes" if best_trial.get("automode") is None else "limits.timeout_minutes"
        more = f"give it more time ({by_whom})" if note.startswith(_OF_ITSELF[0]) else "raise number_of_epochs"
        yield (
            f"The last epoch ({best_trial['epochs']}) was the best one, so the model may still have been improving: "
            f"{more}."
        )


def _note(best_trial: Mapping[str, Any]) -> str:
    return str(best_trial.get("note") or "").partition("\n")[0]


def _against_the_cut(note: str, *, is_automode: bool) -> str:
    """Return what lets a trial end of itself that time, a policy, the user or the death of others ended."""
    if note.startswith(TIMEOUT):
        return "raise limits.timeout_minutes"
    if not note.startswith(_BY_POLICY):
        return "run the job again and let it finish"
    if is_automode:  # its policy is not for the user to set
        return "raise limits.max_trials, so that there are more to choose from"
    return "raise delay_evaluation of sweep.early_termination, or leave the policy out"


def _about_interval(evaluation: Mapping[str, Any], metric: str) -> Iterator[str]:
    interval = evaluation.get("interval") or {}
    width = interval.get("high", 0) - interval.get("low", 0)
    if interval.get("low", -1) >= 0 and width > WIDE_INTERVAL:
        images = max((len(values) for values in evaluation.get("per_image", {}).values()), default=0)
        yield (
            f"The {metric} is known only to ±{width / 2:.2f}, as it was measured on {images} images. Judge two models "
            "by it only when they differ by more, or label more validation images."
        )


def _about_classes(evaluation: Mapping[str, Any]) -> Iterator[str]:
    every = evaluation.get("per_label_metrics", [])
    main = main_number(every)
    rows = [row for row in every if row[main] >= 0]
    if len(rows) < 2:
        return
    mean = sum(row[main] for row in rows) / len(rows)
    worst = min(rows, key=lambda row: row[main])
    if worst[main] < mean - WEAK_CLASS:
        name, measure = worst["class_name"], {"f1_score": "F1"}.get(main, words(main))
        yield (
            f"{name} is the weakest class: {measure} {worst[main]:.2f} against a mean of "
            f"{mean:.2f}{_taken_for(evaluation, name)}. More images of it help most."
        )


def _taken_for(evaluation: Mapping[str, Any], name: str) -> str:
    columns, rows = confusion_rows(evaluation)
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        return ""
    share, other = max((share, column) for share, column in zip(row["shares"], columns, strict=True) if column != name)
    if share < OFTEN_TAKEN_FOR:
        return ""
    is_class = any(other == row["name"] for row in rows)
    return f"; {share:.0%} are taken for {other}" if is_class else f"; {share:.0%} are missed"


def _about_few_images(learnt: Mapping[str, int]) -> Iterator[str]:
    few = sorted((count, name) for name, count in learnt.items() if count < FEW_IMAGES)
    if few:
        named = ", ".join(f"{name} ({count})" for count, name in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more classes" if len(few) > _NAMED else ""
        yield f"Fewer than {FEW_IMAGES} training images show {named}{more}: label more of them."


def _about_thresholds(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Name the classes that one score for all does not suit, where each class is told by a score of its own."""
    threshold = evaluation.get("operating_threshold")
    rows = [row for row in evaluation.get("per_label_metrics", []) if {"f1_score", "best_f1"} <= row.keys()]
    gains = sorted((row["f1_score"] - row["best_f1"], row["class_name"], row) for row in rows if row["f1_score"] >= 0)
    better = [row for gain, _, row in gains if gain < -BETTER_F1]
    if better and threshold is not None:
        named = ", ".join(f"{row['class_name']} from {row['best_threshold']:.2f}" for row in better[:_NAMED])
        yield (
            f"A threshold of its own suits {len(better)} of {len(rows)} classes better than the score of "
            f"{threshold:g} for all: {named}. On these images F1 rises by up to "
            f"{better[0]['best_f1'] - better[0]['f1_score']:.2f}."
        )


def _about_search(trials: int, best_trial: Mapping[str, Any]) -> Iterator[str]:
    ended, recipes = str(best_trial.get("sweep_ended") or ""), best_trial.get("automode")
    if ended.startswith(TIMEOUT):
        if not _note(best_trial).startswith(TIMEOUT):  # else the advice is given already
            many = "trial" if trials == 1 else "trials"
            yield f"The search ran out of time after {trials} {many} ({ended}): raise limits.timeout_minutes."
    elif ended or trials > 1:
        return
    elif recipes is not None:
        left_out = [f"{recipe['name']} ({recipe['reason']})" for recipe in recipes if not recipe["epochs"]]
        without = f"; it left out {', '.join(left_out[:_NAMED])}" if left_out else ""
        yield (
            f"AutoMode tried one configuration{without}. Fewer fixed training_parameters, or more time "
            "(limits.timeout_minutes), give it more to compare."
        )
    else:
        yield (
            "One configuration was tried. A search_space with limits.max_trials above 1 compares several models and "
            "learning rates."
        )
