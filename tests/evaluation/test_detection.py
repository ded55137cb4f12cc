import json

import pytest

from automl_images.core.errors import SettingsError
from automl_images.evaluation.coco import AVERAGE_PRECISION_50, BOX_PREFIX, NAMES, coco_metrics
from automl_images.evaluation.detection import detection_metrics, evaluate_detections
from automl_images.evaluation.voc import voc_metrics

A, B, FAR = [0, 0, 10, 10], [100, 0, 110, 10], [300, 300, 310, 310]
CLASSES = ("ant", "bee", "cat", "dog")


def test_all_of_it_is_json_and_agrees(make_scene):
    predictions, truths = make_scene(1)
    evaluation = evaluate_detections(predictions, truths, CLASSES, metric_type="coco_voc")
    again = json.loads(json.dumps(evaluation.as_dict(), allow_nan=False))
    assert again == evaluation.as_dict()
    assert set(again) == {
        "metrics",
        "per_label_metrics",
        "pr_curves",
        "confusion_matrix",
        "confusion_matrices",
        "image_level",
        "best_thresholds",
        "per_image",
        "operating_threshold",
    }
    assert set(again["metrics"]) == {"mean_average_precision", "precision", "recall", *NAMES}
    assert len(again["confusion_matrices"]) == 10
    assert len(again["pr_curves"]) == 5


def test_rows_per_class(objects, detections):
    truths = [objects([(A, 0), (B, 1)])]
    found = [detections([(A, 0, 0.9), (FAR, 0, 0.4), (B, 1, 0.2)])]
    evaluation = evaluate_detections(found, truths, ("can", "jar", "lid"))
    assert evaluation.per_label_metrics[0] == {
        "class_name": "can",
        "precision": 0.5,
        "recall": 1.0,
        "average_precision": 1.0,
        "best_threshold": pytest.approx(0.9, abs=1.1e-5),
        "best_f1": 1.0,
        "ground_truths": 1,
        "detections": 2,
    }
    jar, lid = evaluation.per_label_metrics[1:]
    assert (jar["average_precision"], jar["precision"], jar["recall"], jar["detections"]) == (1.0, -1, 0.0, 0)
    assert (lid["average_precision"], lid["best_threshold"], lid["best_f1"], lid["ground_truths"]) == (-1, -1, -1, 0)
    assert evaluation.best_thresholds == pytest.approx({"can": 0.9, "jar": 0.2}, abs=1.1e-5)
    assert evaluation.confusion_matrix["matrix"] == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_average_precision_is_not_cut_but_precision_and_recall_are(objects, detections):
    truths = [objects([(A, 0), (B, 0)])]
    found = [detections([(A, 0, 0.9), (B, 0, 0.2)])]
    assert detection_metrics(found, truths, 1) == {"mean_average_precision": 1.0, "precision": 1.0, "recall": 0.5}
    assert detection_metrics(found, truths, 1, operating_threshold=0.1)["recall"] == 1.0


def test_score_threshold_cuts_as_the_service_does(make_scene):
    predictions, truths = make_scene(1)
    cut = [p.take(p.scores >= 0.6) for p in predictions]
    evaluation = evaluate_detections(predictions, truths, CLASSES, score_threshold=0.6, metric_type="coco_voc")
    voc, coco = voc_metrics(cut, truths, 4), coco_metrics(cut, truths, 4)
    assert evaluation.metrics == {
        "mean_average_precision": voc.mean_average_precision,
        "precision": voc.precision,
        "recall": voc.recall,
        **coco,
    }
    assert evaluation.operating_threshold == 0.6
    assert evaluation.metrics["mean_average_precision"] < voc_metrics(predictions, truths, 4).mean_average_precision


def test_a_score_equal_to_the_threshold_stays(objects, detections):
    found, truths = [detections([(A, 0, 0.7)])], [objects([(A, 0)])]
    assert detection_metrics(found, truths, 1, score_threshold=0.7)["recall"] == 1.0


@pytest.mark.parametrize("metric_type", ["voc", "coco", "coco_voc"])
def test_primary_metric_by_type(make_scene, metric_type):
    predictions, truths = make_scene(2, distinct=False)
    coco, voc = coco_metrics(predictions, truths, 4), voc_metrics(predictions, truths, 4)
    metrics = detection_metrics(predictions, truths, 4, metric_type=metric_type)
    expected = coco[AVERAGE_PRECISION_50] if metric_type == "coco" else voc.mean_average_precision
    assert metrics["mean_average_precision"] == round(expected, 5)
    assert (AVERAGE_PRECISION_50 in metrics) == (metric_type != "voc")
    assert coco[AVERAGE_PRECISION_50] != voc.mean_average_precision
    assert evaluate_detections(predictions, truths, CLASSES, metric_type=metric_type).metrics == metrics


def test_masks_bring_the_boxes_numbers_too(make_scene):
    predictions, truths = make_scene(3, images=6, masks=True)
    metrics = detection_metrics(predictions, truths, 4, metric_type="coco_voc")
    assert {BOX_PREFIX + name for name in NAMES} < set(metrics)
    assert metrics["mean_average_precision"] == voc_metrics(predictions, truths, 4).mean_average_precision


def test_iou_threshold_is_obeyed(make_scene):
    predictions, truths = make_scene(3)
    values = [detection_metrics(predictions, truths, 4, iou_threshold=t)["mean_average_precision"] for t in (0.3, 0.9)]
    assert values[0] > values[1]


def test_counts_per_image(make_scene):
    predictions, truths = make_scene(4)
    evaluation = evaluate_detections(predictions, truths, CLASSES, operating_threshold=0.5)
    counts = evaluation.per_image
    objects = [int((~truth.crowd).sum()) for truth in truths]
    assert [a + b for a, b in zip(counts["true_positives"], counts["false_negatives"], strict=True)] == objects
    detections = sum(row["detections"] for row in evaluation.per_label_metrics)
    assert sum(counts["true_positives"]) + sum(counts["false_positives"]) == detections


def test_unknown_metric_type_names_the_nearest(objects, detections):
    with pytest.raises(SettingsError, match="'coco_voc'"):
        evaluate_detections([detections([])], [objects([])], CLASSES, metric_type="coco-voc")
    with pytest.raises(SettingsError, match="Known: coco, coco_voc, voc"):
        detection_metrics([], [], 1, metric_type="none")
