"""A `box_score_threshold` below the score of the evaluation reaches network, graph, predictions and what is said."""

import pytest
import torch
from effects import CLASSES, LITE_DETECTOR, learner_of, request_of, rows_of
from effects_on_detectors import detector_metadata, exported
from test_difference import OPTIONS, model_of, response, row

from automl_images.models import catalogue
from automl_images.tasks import get_task

TASK = "object_detection"
CASES = [(0.001, 0.001, 2), (0.3, 0.01, 1)]


@pytest.mark.parametrize(("given", "lowest", "_"), CASES)
def test_network_and_graph_keep_what_is_measured(given, lowest, _, tmp_path):
    learner = learner_of(rows_of(tmp_path, [[]] * 2), TASK, LITE_DETECTOR, box_score_threshold=given)
    assert learner.model.export_spec().score_threshold == lowest
    request = request_of(TASK, LITE_DETECTOR, box_score_threshold=given)
    torch.manual_seed(0)
    network = catalogue.build_model(TASK, LITE_DETECTOR, CLASSES, request.hyperparameters, weights=None).model
    trained = get_task(TASK).trained_model(request, network.state_dict(), {})
    assert get_task(TASK)._detector(trained).export_spec().score_threshold == lowest


@pytest.mark.parametrize(("given", "_", "count"), CASES)
def test_predictions_go_down_to_it(given, _, count, tmp_path):
    about = detector_metadata(TASK, LITE_DETECTOR, box_score_threshold=given)
    boxes, scores = torch.tensor([[0.0, 0, 9, 9], [40, 40, 60, 60]]).numpy(), torch.tensor([0.5, 0.005]).numpy()
    graph = exported(about, boxes, torch.ones(2, dtype=torch.int64).numpy(), scores, torch.tensor(2).numpy())
    [found] = get_task(TASK).predict(graph, rows_of(tmp_path, [[]]), {})
    assert len(found["boxes"]) == count


@pytest.mark.parametrize(("given", "lowest", "_"), CASES)
def test_the_definition_names_it(given, lowest, _):
    rows = [row(TASK, number) for number in range(2)]
    found = [response(TASK, number, right=True, score=0.9) for number in range(2)]
    task, model = get_task(TASK), model_of(TASK, box_score_threshold=given)
    assert task.evaluate(found, rows, model, OPTIONS)[1]["definition"].endswith(f"scores from {lowest:g}")
    cut = task.evaluate(found, rows, model, {**OPTIONS, "score_threshold": 0.2})[1]
    assert cut["definition"].endswith("scores from 0.2")
