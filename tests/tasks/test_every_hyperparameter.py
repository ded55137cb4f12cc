"""Every row of the table of hyper-parameters: its value reaches the place where it acts and changes what it should."""

import effects_on_classifiers  # noqa: F401 - registers its checks
import effects_on_detectors  # noqa: F401 - registers its checks
import effects_on_training  # noqa: F401 - registers its checks
import pytest
from effects import EFFECTS

from automl_images.core.hyperparameters import TABLE, find

SLOW = {"compile"}
"""Needs a C++ compiler."""

MISSING: dict[str, str] = {}
"""Rows that do not act yet, and why."""


NO_EFFECT = {"distributed": "a trial uses one device", "augmentations": "has no effect"}
"""Rows that only stand in job files of the service, and where their meaning says so; their checks expect no change."""


def _marked(name):
    marks = [pytest.mark.slow] if name in SLOW else []
    if name in MISSING:
        marks.append(pytest.mark.xfail(reason=MISSING[name], strict=True))
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [_marked(row.name) for row in TABLE])
def test_a_value_acts(name, tmp_path):
    assert name in EFFECTS, f"{name} has no check: write one, with @effect({name!r})"
    EFFECTS[name](tmp_path)


def test_every_check_has_a_row():
    assert {*EFFECTS, *MISSING, *SLOW} <= {row.name for row in TABLE}


@pytest.mark.parametrize("name", NO_EFFECT)
def test_a_row_without_effect_says_so(name):
    assert find(name).meaning.startswith("Accepted for job files")
    assert NO_EFFECT[name] in find(name).meaning
