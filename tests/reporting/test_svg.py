"""Where lines, ticks and letters of a chart go."""

import itertools

import pytest

from automl_images.reporting.charts import Panel, Series
from automl_images.reporting.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    RIGHT,
    TEXT_GAP,
    TOP,
    WIDTH,
    apart,
    drawing,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 30, True, [10, 20, 30]),
        (1, 3, True, [1, 2, 3]),
        (0, 0.0312, False, [0, 0.01, 0.02, 0.03]),
        (-0.5, 0.5, False, [-0.4, -0.2, 0, 0.2, 0.4]),
    ],
)
def test_ticks_are_round(low, high, whole, expected):
    assert ticks(low, high, whole=whole) == pytest.approx(expected)


def test_corners_of_the_data_are_corners_of_the_axes():
    line = Series("a", (0.0, 1.0), (0.0, 1.0), "#123456", hints=("first", "second"))
    drawn = drawing(Panel("t", "recall", (line,), (0.0, 1.0), (0.0, 1.0)))["lines"][0]
    assert drawn["path"] == f"M{LEFT} {HEIGHT - BOTTOM}L{WIDTH - RIGHT} {TOP}"
    assert drawn["hints"][1] == {"x": WIDTH - RIGHT, "y": TOP, "text": "second"}


def test_strong_lines_lie_on_top_and_the_legend_keeps_its_order():
    lines = tuple(Series(n, (1.0, 2.0), (1.0, 2.0), "red", strong=n == "b") for n in ("a", "b", "c", ""))
    drawn = drawing(Panel("t", "epoch", lines))
    assert [line["series"].name for line in drawn["lines"]] == ["", "a", "c", "b"]
    assert [line.name for line in drawn["legend"]] == ["a", "b", "c"]


def test_a_single_point_becomes_a_dot():
    drawn = drawing(Panel("t", "epoch", (Series("a", (1.0,), (0.5,), "red"),)))
    assert len(drawn["lines"][0]["dots"]) == 1
    assert [tick["text"] for tick in drawn["x_ticks"]] == ["1"]


def test_of_two_ticks_that_touch_the_first_stays():
    marks = [(0.0, "0"), (3.0, "3"), (4.0, "4"), (9.9, "9.9"), (14.0, "14")]
    assert apart(marks, lambda text: 4.0) == [(0.0, "0"), (4.0, "4"), (9.9, "9.9"), (14.0, "14")]
    assert apart(marks, lambda text: 4.0 * len(text)) == [(0.0, "0"), (4.0, "4"), (14.0, "14")]
    upwards = [(-place, text) for place, text in marks]  # as in pictures
    assert [text for _, text in apart(upwards, lambda text: 4.0)] == ["0", "4", "9.9", "14"]


def test_texts_of_ticks_neither_touch_nor_leave_the_picture():
    close = tuple((v, f"{v:.7f}") for v in (0.0007979, 0.0008, 0.5, 0.51, 0.99, 1.0))
    panel = Panel("t", "x", (Series("", (0.0, 1.0), (0.0, 1.0), "red"),), (0.0, 1.0), (0.0, 1.0), close, close)
    drawn = drawing(panel)
    assert [tick["text"] for tick in drawn["y_ticks"]] == ["0.0007979", "0.5000000", "0.9900000"]
    assert [tick["text"] for tick in drawn["x_ticks"]] == ["0.0007979", "0.5000000", "0.9900000"]
    assert drawn["box"]["left"] - TEXT_GAP >= 9 * LETTER
    assert drawn["x_ticks"][-1]["at"] + 9 * LETTER / 2 <= WIDTH


def test_small_numbers_have_room_at_the_left_where_the_data_say_which():
    drawn = drawing(Panel("t", "epoch", (Series("", (1.0, 2.0), (0.00011, 0.00047), "red"),)))
    assert max(len(tick["text"]) for tick in drawn["y_ticks"]) == 6
    assert drawn["box"]["left"] - TEXT_GAP >= 6 * LETTER
    assert all(b["at"] - a["at"] <= -LINE for a, b in itertools.pairwise(drawn["y_ticks"]))
