"""What surrounds a run: checked parameters, the tracker, the job's status, the closing words.

No work of the pipeline is done here. `core/errors.py` errors raised here reach the user as one message.
"""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from automl_images.augmentation.advanced_settings import AdvancedSettings
from automl_images.core.errors import SettingsError, unknown_name
from automl_images.core.failpoints import failpoint
from automl_images.core.hyperparameters import canonical
from automl_images.core.tracking import NullTracker
from automl_images.integrations.mlflow import MLflowTracker
from automl_images.jobs import running
from automl_images.jobs.options import RUN_PARAMETERS, parse_job_options
from automl_images.jobs.places import check_places
from automl_images.jobs.store import check_name
from automl_images.jobs.summary import closing_words, resume_words
from automl_images.tasks import TASKS

warnings.filterwarnings("ignore", message=".*register_new_resolver.*")
LOG = logging.getLogger(__name__)

STAGES_OF_THE_BEST_TRIAL = {"export", "evaluation", "registration"}


class JobHooks:
    """Kedro's hooks of this project."""

    def __init__(self) -> None:
        self._tracker: MLflowTracker | None = None
        self._parameters: dict[str, Any] = {}
        self._started = time.monotonic()

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check every parameter before any data is read, and find the tracking store."""
        self._started = time.monotonic()
        self._parameters = context.config_loader["parameters"]  # context.params would raise Kedro's own message first
        check_parameters(self._parameters)
        settings = context.config_loader["mlflow"]
        uri = settings["server"]["mlflow_tracking_uri"]
        experiment = settings["tracking"]["experiment"]["name"]
        self._tracker = MLflowTracker(uri, experiment, Path(context.project_path))

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Hand the tracker to the nodes that ask for it."""
        catalog["tracker"] = self._tracker

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check, before any data is read, the places of results, and the models of a job that reads data or trains."""
        running.end_with(KeyboardInterrupt())  # what a run that was stopped in a notebook left open
        check_places(pipeline, catalog, self._tracker.file if self._tracker else None)
        for task in _tasks_of(pipeline):
            if pipeline.all_outputs() & {f"{task}.{name}" for name in ("annotations", "training_data", "trials")}:
                catalog.load(f"{task}.jobs").hold()
            if pipeline.all_outputs() & {f"{task}.annotations", f"{task}.trials"}:
                from automl_images.jobs.before_start import check_models  # torch is loaded for those who need it

                options = parse_job_options(task, self._parameters[task])
                for warning in check_models(options, catalog.load(f"{task}.jobs"), self._tracker or NullTracker()):
                    LOG.warning(warning)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Open the job's run again where this command goes on with what an earlier one trained."""
        if not node.tags & STAGES_OF_THE_BEST_TRIAL:
            return
        task = node.outputs[0].partition(".")[0]
        if (best := catalog[f"{task}.best_trial"]).exists():
            jobs = catalog[f"{task}.jobs"].load()
            running.go_on(jobs, best.load()["job"], self._tracker or NullTracker(), task)

    @hook_impl
    def after_node_run(self, node: Node, catalog: DataCatalog, outputs: dict[str, Any]) -> None:
        """Write down the best trial where its job is kept; let a test end the run before the node's output is saved."""
        for task in TASKS:
            if (best := outputs.get(f"{task}.best_trial")) is not None:
                running.choose(catalog[f"{task}.jobs"].load(), best, self._tracker or NullTracker(), task)
        failpoint(f"node:{node.name}")

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close what is open; mark the job as completed when its last stage ran, and say what came of it."""
        running.end_well()
        for task in _tasks_of(pipeline):
            if f"{task}.registered_model" not in pipeline.all_outputs():
                continue
            result = catalog.load(f"{task}.registered_model")
            catalog.load(f"{task}.jobs").get(result["job"]).set_status("Completed")
            LOG.info(closing_words(task, result, catalog, time.monotonic() - self._started))

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Close what is open, and say how to go on after a failure that the same command may overcome."""
        running.end_with(error)
        if words := resume_words(error):
            LOG.error(words)


def check_parameters(params: dict[str, Any]) -> None:
    """Check the whole tree of parameters.

    Raises:
        SettingsError: unknown key (with the nearest known one) or illegal value, with its path.
    """
    known = {*TASKS, *RUN_PARAMETERS}
    for key in params:
        if key not in known:
            raise SettingsError(unknown_name("parameter", key, known))
    if params.get("job_name") is not None:
        check_name(str(params["job_name"]))
    for task in TASKS:
        if task in params:
            options = parse_job_options(task, params[task])
            if options.task != task:
                raise SettingsError(f"{task}.task must be {task!r}, got {options.task!r}.")
            if options.primary_metric not in (None, TASKS.get(task).primary_metric):
                raise SettingsError(
                    f"{task}.primary_metric must be {TASKS.get(task).primary_metric!r}, got {options.primary_metric!r}."
                )
            AdvancedSettings.from_dict(canonical(options.training_parameters).get("advanced_settings"))
            _ = options.space  # raises for a mistake in it


def _tasks_of(pipeline: Pipeline) -> list[str]:
    return [task for task in TASKS if any(name.startswith(f"{task}.") for name in pipeline.all_outputs())]
