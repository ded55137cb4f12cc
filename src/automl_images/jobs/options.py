"""The parameters of a job: one block a task in `conf/`, with the keys of an Azure job file.

Every model forbids unknown keys, so that a mistyped one is an error that names the nearest. Hyper-parameters inside
`training_parameters` and `search_space` are checked by the table in `core/hyperparameters.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from automl_images.core.errors import SettingsError, nearest, shown
from automl_images.core.hyperparameters import canonical
from automl_images.core.options import Options
from automl_images.data.sources import SourceOptions
from automl_images.sweep.policies import EarlyTerminationOptions
from automl_images.sweep.samplers import SamplingOptions
from automl_images.sweep.space import SearchSpace
from automl_images.tasks import TASKS, pipeline_name

RUN_PARAMETERS: dict[str, dict[str, Any]] = {
    "job_name": {"type": ["string", "null"], "description": "Name of the job."},
    "data_root": {"type": "string", "description": "Folder of all data of the runs; data if not given."},
    "portfolio": {"type": "object", "description": "Recipes of AutoMode, by task."},
    "study_storage": {"type": ["string", "null"], "description": "Database of the trials; null: SQLite beside them."},
}
"""Parameters of a run, whatever its task, with the JSON schema of each."""

HOLDOUT_NAMES = ("validation_size", "split_ratio")
DEFAULT_HOLDOUT = 0.2


class LimitOptions(Options, strict=True):
    """Budget of a job (specification D.2); `true` is no number of trials."""

    max_trials: int = Field(default=1, ge=1, le=1000)
    max_concurrent_trials: int = Field(default=1, ge=1, le=100)
    timeout_minutes: int = Field(default=7 * 24 * 60, ge=1, le=60 * 24 * 60)
    image_cache_gigabytes: float = Field(
        default=4, ge=0, le=1e9, description="of decoded images shared by trials; 0: none"
    )
    disk_gigabytes: float | None = Field(
        default=None, gt=0, le=1e9, description="of all trials; losers' weights go first"
    )


class SweepOptions(Options):
    """How a search space is searched; left out with more than one trial and no search space: AutoMode."""

    sampling_algorithm: SamplingOptions | None = None
    early_termination: EarlyTerminationOptions | None = None


class ExportOptions(Options):
    """Tolerances of the parity gate between torch and onnxruntime."""

    images: int = Field(default=16, ge=1)
    box_tolerance: float = Field(default=0.5, gt=0, description="pixels of the original image")
    score_tolerance: float = Field(default=0.001, gt=0)
    mask_tolerance: float = Field(default=0.02, gt=0, description="1 - intersection over union")
    metric_tolerance: float = Field(default=0.002, gt=0)


class EvaluationOptions(Options):
    """How the exported model is judged.

    `score_threshold: null` computes the mean average precision over all detections; a number cuts them first, as the
    service does with `box_score_threshold`; where objects are found it is 0.01 or more. `validation_metric_type: null`
    follows the model's hyper-parameter, with COCO's numbers beside.
    """

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    validation_metric_type: Literal["voc", "coco", "coco_voc"] | None = None


class RegistrationOptions(Options):
    """Name of the registered model; not given: `automl-images-<task>`."""

    model_name: str | None = None


class JobOptions(Options):
    """All parameters of a job.

    Attributes:
        task: pipeline name, or the service's name of the task.
        source: annotations in any format; used unless `training_data` is given.
        training_data, validation_data: MLTable (or any other format) as in a job file.
        validation_data_size: share of the images held out when there is no `validation_data`.
        strict: fail on the first kind of error in the data instead of dropping what is bad.
        max_invalid: largest share of bad rows that is tolerated.
    """

    task: str
    source: SourceOptions | None = None
    strict: bool = False
    max_invalid: float = Field(default=0.2, ge=0, le=1)
    training_data: SourceOptions | None = None
    validation_data: SourceOptions | None = None
    validation_data_size: float | None = Field(default=None, ge=0, lt=1)
    target_column_name: str = "label"
    primary_metric: str | None = None
    limits: LimitOptions = LimitOptions()
    training_parameters: dict[str, Any] = Field(default_factory=dict)
    search_space: list[dict[str, Any]] | dict[str, Any] = Field(default_factory=list)
    sweep: SweepOptions = SweepOptions()
    export: ExportOptions = ExportOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    registration: RegistrationOptions = RegistrationOptions()

    @model_validator(mode="before")
    @classmethod
    def _accept_older_names_of_the_holdout(cls, values: Any) -> Any:
        """Take `validation_size` and `split_ratio`, which the service knew as hyper-parameters (specification B.1)."""
        if not isinstance(values, Mapping) or not isinstance(values.get("training_parameters") or {}, Mapping):
            return values  # fields say what is wrong
        job, training = dict(values), dict(values.get("training_parameters") or {})
        given = [place.pop(name) for place in (job, training) for name in HOLDOUT_NAMES if name in place]
        if not given:
            return values
        stated = job.get("validation_data_size")
        if len(given) > 1 or stated not in (None, 0, DEFAULT_HOLDOUT, given[0]):
            raise ValueError("validation_data_size is given twice, under two spellings; keep one")
        return {**job, "training_parameters": training, "validation_data_size": given[0]}

    @field_validator("training_data", "validation_data", mode="before")
    @classmethod
    def _accept_service_reference(cls, value: Any) -> Any:
        """Take `{path, type: mltable, mode: direct}` of a job file as a source."""
        if not isinstance(value, Mapping) or "type" not in value:
            return value
        return {**{k: v for k, v in value.items() if k not in {"type", "mode"}}, "format": value["type"]}

    @field_validator("search_space", mode="before")
    @classmethod
    def _accept_no_space(cls, value: Any) -> Any:
        if value in (None, {}):
            return []
        for number, branch in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(branch, Mapping):
                where = f" at [{number}]" if isinstance(value, list) else ""
                raise ValueError(f"expected a list of dictionaries of hyper-parameters, got {shown(branch)}{where}")
        return value

    @field_validator("sweep", "training_parameters", mode="before")
    @classmethod
    def _accept_null(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("task")
    @classmethod
    def _accept_service_name(cls, value: str) -> str:
        return pipeline_name(value)

    @model_validator(mode="after")
    def _some_data(self) -> JobOptions:
        if self.source is None and self.training_data is None:
            raise ValueError("no data: give source.path (any annotation format) or training_data.path (an MLTable)")
        return self

    @model_validator(mode="after")
    def _something_to_search(self) -> JobOptions:
        given = [name for name in ("sampling_algorithm", "early_termination") if getattr(self.sweep, name) is not None]
        if given and not self.search_space and self.limits.max_trials > 1:
            raise ValueError(
                f"sweep.{given[0]} without search_space: give a search space, or leave sweep out for AutoMode"
            )
        return self

    @model_validator(mode="after")
    def _no_scores_that_are_not_kept(self) -> JobOptions:
        given, lowest = (
            self.evaluation.score_threshold,
            TASKS.get(self.task).lowest_score if self.task in TASKS else 0.0,
        )
        if given is not None and given < lowest:
            raise ValueError(
                f"evaluation.score_threshold must be at least {lowest} for {self.task}, got {given}: what "
                f"scores lower is not kept. Use {lowest} or more, or null for all that is kept"
            )
        return self

    @property
    def is_automode(self) -> bool:
        """Tell whether models and hyper-parameters are chosen by the product (specification D.1)."""
        return self.limits.max_trials > 1 and not self.search_space

    @property
    def sampling(self) -> SamplingOptions:
        """Return how the search space is sampled."""
        return self.sweep.sampling_algorithm or SamplingOptions()

    @property
    def space(self) -> SearchSpace:
        """Return what the trials of a manual sweep may try; without a search space there is nothing to search.

        Raises:
            SettingsError: the first mistake, with its path.
        """
        return SearchSpace.parse(self.search_space, self.sampling.log_base)

    @property
    def training_source(self) -> SourceOptions:
        """Return where the training images are described."""
        source = self.training_data or self.source
        if source is None:  # the validator above forbids it
            raise SettingsError("No data: give source.path or training_data.path.")
        return source

    @property
    def holdout(self) -> float:
        """Return the share of images held out; 0 and null mean the default of 0.2."""
        return self.validation_data_size or DEFAULT_HOLDOUT

    @property
    def random_seed(self) -> int:
        """Return the one seed of the job."""
        return int(canonical(self.training_parameters).get("random_seed") or 0)


def parse_job_options(path: str, values: Mapping[str, Any]) -> JobOptions:
    """Return the validated parameters of a job.

    Args:
        path: where the values stand, for messages (`object_detection`).
        values: the raw block.

    Raises:
        SettingsError: one line a mistake, each with its path and, for unknown keys, the nearest known one.
    """
    try:
        return JobOptions.model_validate(values)
    except ValidationError as error:
        lines = [_explain(path, mistake) for mistake in error.errors()]
    raise SettingsError("The parameters of the job are not valid:\n" + "\n".join(f"  {line}" for line in lines))


def _explain(path: str, mistake: Any) -> str:
    where = ".".join([path, *(str(part) for part in mistake["loc"])])
    if mistake["type"] == "extra_forbidden":
        return f"{where}: there is no such key.{nearest(str(mistake['loc'][-1]), _keys_at(mistake['loc'][:-1]))}"
    got = f", got {shown(mistake['input'])}" if mistake["loc"] else ""
    return f"{where}: {mistake['msg']}{got}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = JobOptions
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if model is None:
            return []
    return list(model.model_fields)
