import pytest

from automl_images.core.errors import TrainingError
from automl_images.sweep.selection import best_trial


def test_the_best_trial_wins_and_of_equals_the_earlier():
    rows = [
        {"trial": 2, "status": "Completed", "m": 0.7},
        {"trial": 0, "status": "Failed", "m": 0.9},
        {"trial": 4, "status": "Completed", "m": float("nan")},
        {"trial": 1, "status": "Canceled", "m": 0.7},
        {"trial": 3, "status": "Completed", "m": 0.2},
    ]
    assert best_trial(rows, "m")["trial"] == 1


def test_without_any_metric_the_causes_are_told():
    with pytest.raises(TrainingError, match="trial 0: Failed: out of memory"):
        best_trial([{"trial": 0, "status": "Failed", "m": None, "note": "out of memory"}], "m")
