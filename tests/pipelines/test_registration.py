"""Which model is the champion."""

import pytest

from automl_images.pipelines.registration.nodes import DEFINITION, VALIDATION_HASH, _decide

LINEAGE = {VALIDATION_HASH: "abc", DEFINITION: "VOC, overlap 0.5"}
METRIC = 0.9129661


def champion(**changes):
    return {**LINEAGE, "m": repr(METRIC), "version": "1", **changes}


@pytest.mark.parametrize(
    ("old", "metric", "expected"),
    [
        (None, 0.1, True),
        (champion(), METRIC, True),
        (champion(), METRIC + 1e-9, True),
        (champion(), METRIC - 1e-9, False),
        (champion(**{VALIDATION_HASH: "def"}), 0.99, False),
        (champion(**{DEFINITION: "VOC, overlap 0.3"}), 0.99, False),
        ({"version": "1"}, 0.1, True),
    ],
)
def test_the_champion_moves_only_to_a_model_that_is_not_worse_on_the_same_data(old, metric, expected):
    moved, reason = _decide(old, "m", metric, LINEAGE)
    assert moved is expected
    assert reason
