"""What is known of a task without importing any network: its names, its labels, its yardstick.

The command line, the pipelines' registry and the data stages need no more than this.
"""

from __future__ import annotations

import dataclasses

from automl_images.core.registry import Registry
from automl_images.data.splitting import LabelKind


@dataclasses.dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task type.

    Attributes:
        name: of the pipeline; service_name: of the task in the service's job files.
        label_kind: shape of a row's label: `class`, `classes`, `boxes` or `polygons`.
        primary_metric: larger is better; default_model: where a job names none.
        adapter: `module:class` of the adapter, imported when it is first asked for; None: the task's data can be
            checked and converted, but it has no pipeline.
    """

    name: str
    service_name: str
    label_kind: LabelKind
    primary_metric: str
    default_model: str
    adapter: str | None = None


TASKS: Registry[TaskFacts] = Registry("task")

for _facts in (
    TaskFacts("image_classification", "image_classification", "class", "accuracy", "vitb16r224"),
    TaskFacts("image_classification_multilabel", "image_classification_multilabel", "classes", "iou", "vitb16r224"),
    TaskFacts(
        name="object_detection",
        service_name="image_object_detection",
        label_kind="boxes",
        primary_metric="mean_average_precision",
        default_model="yolov5",
        adapter="automl_images.tasks.object_detection:ObjectDetection",
    ),
    TaskFacts(
        "instance_segmentation",
        "image_instance_segmentation",
        "polygons",
        "mean_average_precision",
        "maskrcnn_resnet50_fpn",
    ),
):
    TASKS.register(_facts.name)(_facts)

TRAINABLE = tuple(name for name in TASKS if TASKS.get(name).adapter)
"""Names of the tasks that have a pipeline."""
