"""Every row of the table of hyper-parameters: its value reaches the place where it acts and changes what it should."""

import effects_on_models  # noqa: F401 - registers its checks
import effects_on_training  # noqa: F401 - registers its checks
import pytest
from effects import EFFECTS

from automl_images.core.hyperparameters import TABLE

SLOW = {"compile"}
"""Needs a C++ compiler."""

MISSING: dict[str, str] = {}
"""Rows that do not act yet, and why."""


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
