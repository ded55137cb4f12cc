"""Hand-computed cases of specification H.2 and properties that hold for any data."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_images.core.errors import ModelError
from automl_images.evaluation import matching
from automl_images.evaluation.voc import Ranking, mean_of_defined, voc_metrics

A, B, FAR = [0, 0, 10, 10], [100, 0, 110, 10], [300, 300, 310, 310]


def ranked(found, ground_truths):
    """A ranking with falling scores from hits given as 0 and 1."""
    scores = np.linspace(0.9, 0.1, len(found)).astype(np.float32)
    return Ranking(scores, np.cumsum(found, dtype=np.int64), ground_truths)


def plain(predictions, truths, num_classes, iou_threshold):
    """The same measures by loops over images, classes and detections, written from the specification's words."""
    values = []
    for label in range(num_classes):
        rows, total = [], 0
        for image, (found, known) in enumerate(zip(predictions, truths, strict=True)):
            mine = [k for k in range(len(known)) if known.labels[k] == label]
            total += sum(not known.crowd[k] for k in mine)
            taken = set()
            for d in sorted((d for d in range(len(found)) if found.labels[d] == label), key=lambda d: -found.scores[d]):
                x = found.boxes[d].astype(float)
                best, top = None, -1.0
                for k in mine:
                    y = known.boxes[k].astype(float)
                    w, h = min(x[2], y[2]) - max(x[0], y[0]), min(x[3], y[3]) - max(x[1], y[1])
                    shared = max(w, 0) * max(h, 0)
                    own, other = (x[2] - x[0]) * (x[3] - x[1]), (y[2] - y[0]) * (y[3] - y[1])
                    iou = shared / (own if known.crowd[k] else own + other - shared) if shared else 0.0
                    if iou > top:
                        best, top = k, iou
                if best is None or top < iou_threshold:
                    rows.append((found.scores[d], image, 0))
                elif not known.crowd[best]:
                    rows.append((found.scores[d], image, int(best not in taken)))
                    taken.add(best)
        rows.sort(key=lambda row: -row[0])
        hits = [row[2] for row in rows]
        precisions = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
        area = sum(max(precisions[k:]) for k in range(len(hits)) if hits[k])
        values.append(
            (
                area / total if total else -1,
                precisions[-1] if hits else -1,
                sum(hits) / total if total else -1,
            )
        )
    return values


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("iou_threshold", [0.3, 0.5, 0.75])
def test_equals_plain_loops(make_scene, iou_threshold, distinct):
    predictions, truths = make_scene(3, distinct=distinct)
    result = voc_metrics(predictions, truths, 4, iou_threshold)
    expected = plain(predictions, truths, 4, iou_threshold)
    ours = [(c.average_precision, c.precision, c.recall) for c in result.per_class]
    np.testing.assert_allclose(ours, expected, atol=6e-6)
    assert 0.05 < result.mean_average_precision < 0.95
    assert result.mean_average_precision == pytest.approx(np.mean([e[0] for e in expected]), abs=6e-6)


def test_small_parts_give_the_same(make_scene, monkeypatch):
    predictions, truths = make_scene(4)
    whole = voc_metrics(predictions, truths, 4)
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", 3)
    assert voc_metrics(predictions, truths, 4).per_class == whole.per_class


def test_average_precision_by_hand():
    # Hits T F T F T of 4 objects: precisions 1, 1/2, 2/3, 2/4, 3/5; envelope at the hits 1, 2/3, 3/5; recall steps 1/4.
    ranking = ranked([1, 0, 1, 0, 1], 4)
    assert ranking.average_precision() == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    recall, precision = ranking.curve()
    assert (recall[0], precision[0]) == (0.0, 1.0)
    assert recall.tolist() == [0, 0.25, 0.25, 0.5, 0.5, 0.75]


def test_envelope_lifts_a_late_rise():
    # F T T of 2: precisions 0, 1/2, 2/3; both hits count 2/3.
    assert ranked([0, 1, 1], 2).average_precision() == pytest.approx(2 / 3)


def test_no_fall_back_to_the_second_best(objects, detections):
    # The second detection overlaps the taken object most (0.8) and another one well (0.6 > 0.5): still unmatched.
    truths = [objects([([0, 0, 10, 10], 0), ([0, 2, 10, 12], 0)])]
    both_on_first = [detections([([0, 0, 10, 10], 0, 0.9), ([0, 0.5, 10, 10.5], 0, 0.8)])]
    result = voc_metrics(both_on_first, truths, 1)
    assert (result.precision, result.recall) == (0.5, 0.5)


def test_second_detection_of_an_object_is_wrong(objects, detections):
    result = voc_metrics([detections([(A, 0, 0.9), (A, 0, 0.8)])], [objects([(A, 0)])], 1)
    assert (result.mean_average_precision, result.precision, result.recall) == (1.0, 0.5, 1.0)


def test_lower_score_loses_whatever_the_order(objects, detections):
    # Given out of order, the 0.9 detection still comes first, although the other overlaps better.
    found = detections([(A, 0, 0.6), ([0, 0, 10, 8], 0, 0.9)])
    result = voc_metrics([found], [objects([(A, 0)])], 1)
    assert result.rankings[0].hits.tolist() == [1, 1]
    assert result.rankings[0].scores.tolist() == pytest.approx([0.9, 0.6])


def test_crowd_is_ignored(objects, detections):
    # Inside the crowd (intersection over own area 1): neither right nor wrong, also twice; the crowd is no object.
    truths = [objects([([0, 0, 100, 100], 0), (B, 0)], crowd=[0])]
    found = [detections([([0, 0, 10, 10], 0, 0.9), ([20, 20, 30, 30], 0, 0.8), (B, 0, 0.7)])]
    result = voc_metrics(found, truths, 1)
    assert (result.mean_average_precision, result.precision, result.recall) == (1.0, 1.0, 1.0)
    assert (result.per_class[0].ground_truths, result.per_class[0].detections) == (1, 1)


def test_detection_beside_a_crowd_is_wrong(objects, detections):
    truths = [objects([([0, 0, 100, 100], 0), (B, 0)], crowd=[0])]
    result = voc_metrics([detections([(FAR, 0, 0.9)])], truths, 1)
    assert (result.precision, result.recall) == (0.0, 0.0)


def test_only_a_crowd_leaves_everything_undefined(objects, detections):
    result = voc_metrics([detections([(A, 0, 0.9)])], [objects([([0, 0, 50, 50], 0)], crowd=[0])], 1)
    assert (result.mean_average_precision, result.precision, result.recall) == (-1, -1, -1)


def test_overlap_equal_to_the_threshold_matches(objects, detections):
    truths, found = [objects([(A, 0)])], [detections([([0, 0, 10, 5], 0, 0.9)])]
    assert voc_metrics(found, truths, 1, 0.5).recall == 1.0
    assert voc_metrics(found, truths, 1, 0.51).recall == 0.0


def test_classes_and_images_do_not_mix(objects, detections):
    truths = [objects([(A, 0)]), objects([(A, 1)])]
    result = voc_metrics([detections([(A, 1, 0.9)]), detections([(A, 0, 0.9)])], truths, 2)
    assert (result.mean_average_precision, result.precision, result.recall) == (0.0, 0.0, 0.0)


def test_undefined_cases(objects, detections):
    # class 0: nothing at all; 1: detections without objects; 2: objects without detections; 3: one of each.
    truths = [objects([(A, 2), (B, 3)])]
    result = voc_metrics([detections([(A, 1, 0.5), (B, 3, 0.5)])], truths, 4)
    rows = [(c.average_precision, c.precision, c.recall) for c in result.per_class]
    assert rows == [(-1, -1, -1), (-1, 0, -1), (0, -1, 0), (1, 1, 1)]
    assert (result.mean_average_precision, result.precision, result.recall) == (0.5, 0.5, 0.5)


def test_empty_data(objects, detections):
    for images in (0, 2):
        result = voc_metrics([detections([])] * images, [objects([])] * images, 3)
        assert (result.mean_average_precision, result.precision, result.recall) == (-1, -1, -1)
        assert len(result.per_class) == 3


def test_no_predictions(objects, detections):
    result = voc_metrics([detections([])], [objects([(A, 0)])], 1)
    assert (result.mean_average_precision, result.precision, result.recall) == (0, -1, 0)


def test_equal_scores_keep_their_order(objects, detections):
    truths = [objects([(A, 0)]), objects([(A, 0)])]
    right, wrong = detections([(A, 0, 0.5)]), detections([(FAR, 0, 0.5)])
    assert voc_metrics([right, wrong], truths, 1).mean_average_precision == 0.5
    assert voc_metrics([wrong, right], truths, 1).mean_average_precision == 0.25


def test_rounded_to_five_digits(objects, detections):
    truths = [objects([(A, 0), (B, 0), (FAR, 0)])]
    result = voc_metrics([detections([(A, 0, 0.9)])], truths, 1)
    assert (result.mean_average_precision, result.recall, result.per_class[0].recall) == (0.33333, 0.33333, 0.33333)


def test_operating_threshold_cuts_precision_and_recall_only(objects, detections):
    truths = [objects([(A, 0), (B, 0)])]
    found = [detections([(A, 0, 0.9), (FAR, 0, 0.2), (B, 0, 0.1)])]
    low, high = voc_metrics(found, truths, 1), voc_metrics(found, truths, 1, operating_threshold=0.3)
    assert low.mean_average_precision == high.mean_average_precision == pytest.approx((1 + 2 / 3) / 2, abs=1e-5)
    assert (low.precision, low.recall) == (0.66667, 1.0)
    assert (high.precision, high.recall, high.per_class[0].detections) == (1.0, 0.5, 1)


def test_score_equal_to_the_threshold_passes():
    scores = np.array([0.7, 0.3, 0.1], np.float32)
    kept, hits = Ranking(scores, np.array([1, 1, 2]), 2).counts_at([0.1, 0.3, 0.7, 0.70001])
    assert kept.tolist() == [3, 2, 1, 0]
    assert hits.tolist() == [2, 1, 1, 0]


def test_best_threshold():
    # After 1: F1 2/4; after 3: 2*2/(3+3); after 4: 2*3/(4+3): the best.
    ranking = Ranking(np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32), np.array([1, 1, 2, 3, 3]), 3)
    threshold, f1 = ranking.best_threshold()
    assert f1 == round(6 / 7, 5)
    assert threshold == pytest.approx(0.6, abs=1.1e-5)
    assert ranking.counts_at(threshold)[0] == 4


def test_best_threshold_never_parts_equal_scores():
    # T F F at one score: alone the first would give F1 1, but no threshold separates them.
    ranking = Ranking(np.array([0.5, 0.5, 0.5], np.float32), np.array([1, 1, 1]), 1)
    assert ranking.best_threshold() == (0.5, 0.5)


def test_best_threshold_without_hits_is_undefined():
    assert ranked([0, 0], 3).best_threshold() == (-1, -1)
    assert ranked([], 3).best_threshold() == (-1, -1)


def test_mean_of_defined():
    assert mean_of_defined([0.5, -1, 1.0]) == 0.75
    assert mean_of_defined([-1, -1]) == -1
    assert mean_of_defined([[0.0, -1], [1.0, -1]]).tolist() == [0.5, -1]


def test_masks_count_where_all_have_them(make_scene):
    predictions, truths = make_scene(5, images=8, masks=True)
    # Boxes that say nothing: only masks can match.
    moved = [type(p)(p.boxes + 1000, p.labels, p.scores, p.masks) for p in predictions]
    by_mask = voc_metrics(moved, truths, 4)
    assert by_mask.per_class == voc_metrics(predictions, truths, 4).per_class
    assert by_mask.mean_average_precision > 0.05
    bare = [type(p)(p.boxes + 1000, p.labels, p.scores) for p in predictions]
    assert voc_metrics(bare, truths, 4).recall == 0


def test_filled_rectangles_score_as_their_boxes(make_scene):
    def filled(item):
        y, x = np.mgrid[0:160, 0:160]
        left, top, right, bottom = (c[:, None, None] for c in item.boxes.T)
        return (x >= left) & (x < right) & (y >= top) & (y < bottom)

    boxes, masks = [], []
    for found, known in zip(*make_scene(6, images=12), strict=True):
        pair = [dataclasses.replace(item, boxes=item.boxes.round().clip(0, 160)) for item in (found, known)]
        boxes.append(pair)
        masks.append([dataclasses.replace(item, masks=filled(item), boxes=item.boxes * 0) for item in pair])
    by_box, by_mask = (voc_metrics(*zip(*pairs, strict=True), 4).per_class for pairs in (boxes, masks))
    assert by_mask == by_box


def test_wrong_arguments(objects, detections):
    with pytest.raises(ValueError, match="2 images, got 1"):
        voc_metrics([detections([])], [objects([])] * 2, 1)
    with pytest.raises(ValueError, match="predicted labels from 0 to 1, got 2"):
        voc_metrics([detections([(A, 2, 0.5)])], [objects([])], 2)
    with pytest.raises(ValueError, match="annotated labels from 0 to 1, got -1"):
        voc_metrics([detections([])], [objects([(A, -1)])], 2)
    with pytest.raises(ModelError, match="image number 1"):
        voc_metrics([detections([]), detections([(A, 0, np.nan)])], [objects([])] * 2, 1)


seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def scene(seed, images=6):
    """Random boxes on a coarse grid, so that overlaps, doubles and crowds are common; all scores differ."""
    from automl_images.core.types import Detections, Objects

    rng = np.random.default_rng(seed)
    scores = rng.permutation(images * 6).astype(np.float32) / (images * 6)
    pairs = []
    for image in range(images):
        n, m = int(rng.integers(0, 7)), int(rng.integers(0, 5))
        corner, known = rng.integers(0, 4, (n, 2)) * 5, rng.integers(0, 4, (m, 2)) * 5
        boxes = np.concatenate((corner, corner + rng.integers(8, 16, (n, 2))), axis=1).astype(np.float32)
        truth = np.concatenate((known, known + 12), axis=1).astype(np.float32)
        found = Detections(boxes, rng.integers(0, 2, n), scores[image * 6 : image * 6 + n])
        pairs.append((found, Objects(truth, rng.integers(0, 2, m), rng.random(m) < 0.2)))
    return [p for p, _ in pairs], [t for _, t in pairs]


@few
@given(seeds)
def test_order_of_images_and_detections_does_not_matter(seed):
    predictions, truths = scene(seed)
    rng = np.random.default_rng(seed)
    images = rng.permutation(len(truths))
    shuffled = [predictions[k].take(rng.permutation(len(predictions[k]))) for k in images]
    again = voc_metrics(shuffled, [truths[k] for k in images], 2)
    assert again.per_class == voc_metrics(predictions, truths, 2).per_class


@few
@given(seeds)
def test_monotonic_scores_change_nothing(seed):
    predictions, truths = scene(seed)
    squeezed = [type(p)(p.boxes, p.labels, p.scores / 2 + 0.25) for p in predictions]
    assert voc_metrics(squeezed, truths, 2).per_class == voc_metrics(predictions, truths, 2).per_class


@few
@given(seeds)
def test_a_stricter_overlap_never_helps_recall(seed):
    predictions, truths = scene(seed)
    recalls = [[c.recall for c in voc_metrics(predictions, truths, 2, t).per_class] for t in (0.3, 0.5, 0.7, 0.9)]
    assert all(a >= b for low, high in itertools.pairwise(recalls) for a, b in zip(low, high, strict=True))


@few
@given(seeds)
def test_truth_itself_scores_one(seed):
    from automl_images.core.types import Detections

    _, truths = scene(seed)
    perfect, distinct = [], []
    for truth in truths:
        _, keep = np.unique(np.column_stack((truth.boxes, truth.labels)), axis=0, return_index=True)
        real = [k for k in keep if not truth.crowd[k]]
        distinct.append(type(truth)(truth.boxes[real], truth.labels[real], truth.crowd[real]))
        perfect.append(Detections(truth.boxes[real], truth.labels[real], np.full(len(real), 0.5, np.float32)))
    result = voc_metrics(perfect, distinct, 2)
    assert all(c.average_precision in (1.0, -1.0) for c in result.per_class)


@few
@given(seeds)
def test_cutting_the_matches_equals_matching_the_cut(seed):
    predictions, truths = scene(seed)
    whole = voc_metrics(predictions, truths, 2, operating_threshold=0.5)
    cut = voc_metrics([p.take(p.scores >= 0.5) for p in predictions], truths, 2)
    assert (whole.precision, whole.recall) == (cut.precision, cut.recall)
