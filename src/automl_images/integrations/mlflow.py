"""MLflow as tracker and model registry.

A job is a parent run, a trial a nested run. mlflow is imported at the first call, not when the project loads: the
import takes seconds, and most commands do not need it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import automl_images
from automl_images.core.databases import filled_url, shown_url
from automl_images.core.failpoints import failpoint
from automl_images.core.files import disk_may_be_full
from automl_images.inference.model_folder import MODEL_FILE
from automl_images.integrations.mlflow_store import PatientClient, quiet

LOG = logging.getLogger(__name__)
_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
_SQLITE = "sqlite:///"
CHAMPION = "champion"
SYSTEM_METRICS_SECONDS = 30


class MLflowTracker:
    """Implements `core.tracking.Tracker` on an MLflow tracking store.

    Args:
        uri: of the store, for example `sqlite:///mlflow.db` or `postgresql://…`.
        experiment: name of the experiment that holds the runs.
        root: folder that a relative SQLite path is relative to.
    """

    def __init__(self, uri: str, experiment: str, root: Path) -> None:
        self.uri = _absolute(uri, root)
        self.experiment = experiment
        self.root = root
        self._monitors: dict[str, Any] = {}
        self._jobs_of_trials: dict[str, str] = {}  # of open ones

    @property
    def file(self) -> Path | None:
        """The file of the store, where it is one."""
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    def start_job(
        self, name: str, task: str, params: Mapping[str, Any], run_id: str | None, created: float | None = None
    ) -> str:
        """Open (or reopen) the parent run of a job and return its id."""
        tags = {"task": task, "job": name, "job_created": str(time.time() if created is None else created)}
        return self._start(name, params, tags, run_id)

    def start_trial(self, job_run_id: str, number: int, params: Mapping[str, Any], run_id: str | None) -> str:
        """Open (or reopen) the nested run of a trial and return its id."""
        tags = {"mlflow.parentRunId": job_run_id, "trial": str(number)}
        run = self._start(f"trial_{number}", params, tags, run_id)
        if run == run_id:  # which a job's run may have had that is gone
            self._client.set_tag(run, "mlflow.parentRunId", job_run_id)
        self._jobs_of_trials[run] = job_run_id
        return run

    def has_run(self, run_id: str) -> bool:
        """Tell whether the store has a run of this id that is not deleted."""
        from mlflow.entities import LifecycleStage
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int, at: float | None = None) -> None:
        """Record numbers at a step in one request; the same ones of the same time `at` (Unix seconds) count once."""
        from mlflow.entities import Metric

        when = int((time.time() if at is None else at) * 1000)
        self._client.log_batch(run_id, metrics=[Metric(_key(k), float(v), when, step) for k, v in metrics.items()])

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Attach a text to a run as a file called `name`."""
        self._client.log_text(run_id, text, name)

    def log_files(self, run_id: str, paths: Sequence[Path]) -> None:
        """Attach files to a run; those that do not exist are left out."""
        for path in paths:
            if path.is_file():
                self._client.log_artifact(run_id, str(path))

    def tag(self, run_id: str, tags: Mapping[str, object]) -> None:
        """Put facts beside a run; what is None is left out."""
        for name, value in tags.items():
            if value is not None:
                self._client.set_tag(run_id, name, str(value))

    def end(self, run_id: str, status: str) -> None:
        """Close a run, and before it those of its trials; the tag `status` keeps the word of the job statuses."""
        for trial in [trial for trial, job in self._jobs_of_trials.items() if job == run_id]:
            self.end(trial, "Canceled")
        self._jobs_of_trials.pop(run_id, None)
        if run_id in self._monitors:
            monitor = self._monitors.pop(run_id)
            monitor.finish()
            with contextlib.suppress(Exception):  # a store that does not answer; the calls below wait for it
                monitor.collect_metrics()  # else nothing is known of a run shorter than the interval
                monitor.publish_metrics(monitor.aggregate_metrics())
                monitor.mlflow_logger.flush()
        self._client.set_tag(run_id, "status", status)
        self._client.set_terminated(run_id, _STATUS[status])

    def register_model(self, run_id: str, folder: Path, name: str, tags: Mapping[str, str]) -> str:
        """Store the model folder as an MLflow model (`mlflow_model.py`) and register it; return the version."""
        with tempfile.TemporaryDirectory() as temporary:
            packed = Path(temporary) / "model"
            about = {"base_model_name": tags.get("model_name"), "finetuning_task": tags.get("task")}
            with disk_may_be_full(packed):
                _save_model(folder, packed, {**about, "is_automl_model": True, "training_run_id": run_id})
            self._client.log_artifacts(run_id, str(packed), "model")
        wanted = f"name = '{name}'"
        self._client.patiently(lambda c: c.search_registered_models(wanted) or c.create_registered_model(name))
        before = {version.version for version in self._client.search_model_versions(wanted)}
        source = f"{self._client.get_run(run_id).info.artifact_uri}/model"

        def found(client: Any) -> Any:
            versions = client.search_model_versions(f"{wanted} and run_id = '{run_id}'")
            return next((version for version in versions if version.version not in before), None)

        made = self._client.once(lambda c: c.create_model_version(name, source, run_id, tags=dict(tags)), found)
        return str(made.version)

    def registered_version(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Return the oldest version of a registered model that has all these tags, or None."""
        found = self._client.search_model_versions(f"name = '{name}' and {_with_tags(tags)}")
        return str(min(int(version.version) for version in found)) if found else None

    def model_folder(self, reference: str) -> Path | None:
        """Return a local copy of a model's folder: of a run id, or of `name:version` or `name@alias`; None: no such."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        kind = "models" if re.search("[:@]", reference) else "runs"
        place = reference.replace(":", "/") if kind == "models" else f"{reference}/model"
        where = {"tracking_uri": self.uri, "registry_uri": self.uri}
        try:
            return Path(self._client.patiently(lambda _: download_artifacts(f"{kind}:/{place}", **where)))
        except (MlflowException, OSError):  # what MLflow raises for what does not exist depends on the store
            return None

    def champion(self, name: str) -> dict[str, str] | None:
        """Return `version` and tags of the champion, or None."""
        found = self._client.search_registered_models(f"name = '{name}'")
        if not found or CHAMPION not in found[0].aliases:
            return None
        version = self._client.get_model_version_by_alias(name, CHAMPION)
        return {**version.tags, "version": str(version.version)}

    def set_champion(self, name: str, version: str) -> None:
        """Move the alias to a version."""
        self._client.set_registered_model_alias(name, CHAMPION, version)

    @functools.cached_property
    def _client(self) -> Any:
        with self._alone():
            return PatientClient(self.uri, self.file)

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        """Return what keeps other runs away meanwhile: two that make the tables of one SQLite file at once fail."""
        if self.file is None:
            return contextlib.nullcontext()
        from filelock import FileLock

        self.file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.file}.lock")

    @functools.cached_property
    def _experiment_id(self) -> str:
        place = (self.file.parent / "mlartifacts" / self.experiment).as_uri() if self.file else None

        def found_or_made(client: Any) -> str:
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                return str(client.create_experiment(self.experiment, artifact_location=place))
            return str(found.experiment_id)

        return self._client.patiently(found_or_made)

    def _watch_system(self, run_id: str) -> None:
        """Record processor, memory, disk, network and GPU of this machine while the run is open."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if run_id not in self._monitors:
            logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it tells of each that ends
            self._monitors[run_id] = SystemMetricsMonitor(
                run_id, SYSTEM_METRICS_SECONDS, resume_logging=True, tracking_uri=self.uri
            )
            self._monitors[run_id].start()

    def _start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None) -> str:
        if run_id is not None and not self.has_run(run_id):
            LOG.warning(
                f"MLflow's store {shown_url(self.uri)} has no run {run_id} (any more): {name} goes on in a new one."
            )
            run_id = None
        run = self._found_or_created(name, params, tags) if run_id is None else run_id
        self._client.update_run(run, status="RUNNING")
        self._client.set_tag(run, "status", "Running")
        self._watch_system(run)
        return run

    def _found_or_created(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Return the run with these tags, which belong to nothing else.

        It may be there already: of an attempt without an answer, or of a process that died before it noted the id.
        """
        from mlflow.entities import Param

        experiment, wanted = self._experiment_id, _with_tags(tags)

        def found_or_created(client: Any) -> Any:
            found = client.search_runs([experiment], wanted, max_results=1)
            return found[0] if found else client.create_run(experiment, run_name=name, tags=tags)

        run = self._client.patiently(found_or_created)
        failpoint(f"tracking:created:{name}")
        if not run.data.params:
            self._client.log_batch(run.info.run_id, params=[Param(_key(k), str(v)[:6000]) for k, v in params.items()])
        return str(run.info.run_id)


def _with_tags(tags: Mapping[str, str]) -> str:
    """Return MLflow's words for what has all these tags."""
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())


def _absolute(uri: str, root: Path) -> str:
    if not uri.startswith(_SQLITE):
        return filled_url(uri)
    return _SQLITE + (root / uri.removeprefix(_SQLITE)).absolute().as_posix()


def _key(name: str) -> str:
    """Return a metric or parameter name that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _save_model(folder: Path, target: Path, metadata: Mapping[str, Any]) -> None:
    """Write a model folder as an MLflow model of two flavours: the ONNX file, and images in, responses out."""
    import mlflow.onnx
    import onnx
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    from automl_images.integrations import mlflow_model

    signature = ModelSignature(inputs=Schema([ColSpec(DataType.binary, mlflow_model.COLUMN)]))
    with quiet():
        mlflow.onnx.save_model(
            onnx.load(folder / MODEL_FILE),
            str(target),
            signature=signature,
            pip_requirements=mlflow_model.requirements(),
            code_paths=[str(Path(automl_images.__file__).parent)],
            metadata={name: value for name, value in metadata.items() if value is not None},
            save_as_external_data=False,
        )
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    about = Model.load(str(target))
    about.flavors["python_function"].update(loader_module=mlflow_model.__name__)
    del about.flavors["python_function"]["data"]  # it is all of the folder
    about.save(str(target / "MLmodel"))
