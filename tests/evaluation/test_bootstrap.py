import numpy as np
import pytest

from automl_images.evaluation.bootstrap import _average_precisions, mean_average_precision_interval
from automl_images.evaluation.matching import match, pool_objects
from automl_images.evaluation.voc import voc_metrics


def test_drawing_images_equals_measuring_the_drawn_data_set(make_scene):
    predictions, truths = make_scene(1, images=12)
    matches = match(pool_objects(predictions, truths, 4), 0.5)
    draws = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=6)
    ours = np.array([_average_precisions(matches, label, draws) for label in range(4)])
    for sample, copies in enumerate(draws):
        chosen = np.repeat(np.arange(12), copies)
        result = voc_metrics([predictions[k] for k in chosen], [truths[k] for k in chosen], 4)
        expected = [c.average_precision for c in result.per_class]
        np.testing.assert_allclose(ours[:, sample], expected, atol=6e-6)


def test_small_blocks_give_the_same(make_scene, monkeypatch):
    matches = match(pool_objects(*make_scene(1), 4), 0.5)
    whole = mean_average_precision_interval(matches, seed=3)
    monkeypatch.setattr("automl_images.evaluation.bootstrap._VALUES_AT_ONCE", 500)
    assert mean_average_precision_interval(matches, seed=3) == whole


def test_interval_holds_the_value_and_depends_on_the_seed(make_scene):
    predictions, truths = make_scene(2, images=60)
    matches = match(pool_objects(predictions, truths, 4), 0.5)
    value = voc_metrics(predictions, truths, 4).mean_average_precision
    interval = mean_average_precision_interval(matches, seed=1)
    assert interval.low < value < interval.high
    assert interval == mean_average_precision_interval(matches, seed=1)
    assert interval != mean_average_precision_interval(matches, seed=2)
    narrow = mean_average_precision_interval(matches, seed=1, confidence=0.5)
    assert interval.low < narrow.low < narrow.high < interval.high
    assert narrow.as_dict() == {"low": narrow.low, "high": narrow.high, "confidence": 0.5, "samples": 200}


def test_more_images_narrow_the_interval(make_scene):
    few, many = make_scene(3, images=15), make_scene(3, images=240)
    widths = []
    for predictions, truths in (few, many):
        interval = mean_average_precision_interval(match(pool_objects(predictions, truths, 4), 0.5), seed=0)
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2  # about a quarter: the root of 16


@pytest.mark.parametrize("images", [0, 3])
def test_nothing_to_measure(images, objects, detections):
    matches = match(pool_objects([detections([])] * images, [objects([])] * images, 2), 0.5)
    interval = mean_average_precision_interval(matches)
    assert (interval.low, interval.high) == (-1, -1)
