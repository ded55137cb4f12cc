"""Every stage for every task: the loop STAGES x TASKS and nothing else."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from automl_images.pipelines import (
    augmentation,
    data_conversion,
    evaluation,
    export,
    model_selection,
    registration,
    sweep,
    validation_split,
)
from automl_images.tasks import TASKS

RUN_PARAMETERS = {"params:job_name", "params:portfolio", "params:study_storage"}
"""Parameters of a run, whatever its task."""

STAGES = {
    "data_conversion": data_conversion.create_pipeline,
    "validation_split": validation_split.create_pipeline,
    "augmentation": augmentation.create_pipeline,
    "sweep": sweep.create_pipeline,
    "model_selection": model_selection.create_pipeline,
    "export": export.create_pipeline,
    "evaluation": evaluation.create_pipeline,
    "registration": registration.create_pipeline,
}


def register_pipelines() -> dict[str, Pipeline]:
    """Return one pipeline a task; `__default__` is object detection.

    Nodes carry the stage first (one box a stage in kedro-viz and Airflow), datasets the task first.
    """
    pipelines = {task: sum((_stage(stage, task) for stage in STAGES), Pipeline([])) for task in TASKS}
    return {**pipelines, "__default__": pipelines["object_detection"]}


def _stage(stage: str, task: str) -> Pipeline:
    pipeline = STAGES[stage]()
    shared = pipeline.inputs() & {"tracker", *RUN_PARAMETERS}
    of_task = Pipeline(
        pipeline,
        namespace=task,
        inputs=shared - RUN_PARAMETERS,
        parameters={"params:options": f"params:{task}", **{name: name for name in shared & RUN_PARAMETERS}},
    )
    return Pipeline(of_task, namespace=stage, prefix_datasets_with_namespace=False, tags=[stage])
