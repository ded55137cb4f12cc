"""What is known of a task without importing any network: its names, its labels, its yardstick.

The command line, the pipelines' registry and the data stages need no more than this.
"""

from __future__ import annotations

import dataclasses

from automl_images.core.registry import Registry
from automl_images.data.splitting import LabelKind
from automl_images.evaluation.detection import EVALUATION_SCORE


@dataclasses.dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task type.

    Attributes:
        name: of the pipeline; service_name: of the task in the service's job files.
        label_kind: shape of a row's label: `class`, `classes`, `boxes` or `polygons`.
        primary_metric: larger is better; default_model: where a job names none.
        adapter: `module:class` of the adapter, imported when it is first asked for.
        lowest_score: below which predictions hold nothing, unless `box_score_threshold` is lower.
    """

    name: str
    service_name: str
    label_kind: LabelKind
    primary_metric: str
    default_model: str
    adapter: str
    lowest_score: float = 0.0


TASKS: Registry[TaskFacts] = Registry("task")

_CLASSIFICATION = "automl_images.tasks.classification:Classification"
_OBJECTS = "automl_images.tasks.objects:FindingObjects"

for _facts in (
    TaskFacts(
        name="image_classification",
        service_name="image_classification",
        label_kind="class",
        primary_metric="accuracy",
        default_model="vitb16r224",
        adapter=_CLASSIFICATION,
    ),
    TaskFacts(
        name="image_classification_multilabel",
        service_name="image_classification_multilabel",
        label_kind="classes",
        primary_metric="iou",
        default_model="vitb16r224",
        adapter=_CLASSIFICATION,
    ),
    TaskFacts(
        name="object_detection",
        service_name="image_object_detection",
        label_kind="boxes",
        primary_metric="mean_average_precision",
        default_model="yolov5",
        adapter=_OBJECTS,
        lowest_score=EVALUATION_SCORE,
    ),
    TaskFacts(
        name="instance_segmentation",
        service_name="image_instance_segmentation",
        label_kind="polygons",
        primary_metric="mean_average_precision",
        default_model="maskrcnn_resnet50_fpn",
        adapter=_OBJECTS,
        lowest_score=EVALUATION_SCORE,
    ),
):
    TASKS.register(_facts.name)(_facts)


def pipeline_name(task: str) -> str:
    """Return the pipeline's name of a task that is called by it or by the service's name; others as they are."""
    return {TASKS.get(name).service_name: name for name in TASKS}.get(task, task)
