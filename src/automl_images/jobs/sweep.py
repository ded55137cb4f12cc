"""From a job's parameters to the controller that runs its trials."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import TrainingError
from automl_images.core.files import fingerprint
from automl_images.core.tracking import Tracker
from automl_images.core.types import Table
from automl_images.data.image_cache import ImageCache
from automl_images.jobs import running
from automl_images.jobs.automode import plan_automode, recipes_for
from automl_images.jobs.checkpoints import with_checkpoint
from automl_images.jobs.options import JobOptions
from automl_images.jobs.store import Job, JobStore
from automl_images.jobs.trials import Requests, about_job
from automl_images.sweep.budget import Budget, seconds_used
from automl_images.sweep.controller import TrialController
from automl_images.sweep.executors import LocalExecutor, python_command, visible_devices
from automl_images.sweep.policies import AnyPolicyOptions, NoTerminationOptions, build_pruner
from automl_images.sweep.policies.median_stopping import MedianStoppingOptions
from automl_images.sweep.samplers import build_sampler, number_of_trials
from automl_images.sweep.samplers.portfolio import PortfolioSampler
from automl_images.sweep.selection import best_trial
from automl_images.sweep.study import JobStudy, ended_trials
from automl_images.sweep.trials import TrialOutcome
from automl_images.tasks import get_task
from automl_images.training.threads import cores_per_trial, environment_for_trial, trials_at_once

if TYPE_CHECKING:
    import optuna

LOG = logging.getLogger(__name__)
AUTOMODE_DELAY = 3
"""Epochs before which AutoMode gives no trial up."""
IMAGE_CACHE = "decoded_images"
PROGRAM = "automl_images.tasks.run_trial"


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What is tried, in which order, and what is given up.

    Attributes:
        sampler, policy: of the study.
        propose: draws a configuration from Optuna's trial, given the seconds that are left.
        requests: makes requests of configurations.
        trials: most trials.
        least_seconds: time that a trial needs to be worth beginning.
    """

    sampler: optuna.samplers.BaseSampler
    policy: AnyPolicyOptions
    propose: Callable[[optuna.Trial, float | None], Mapping[str, Any]]
    requests: Requests
    trials: int
    least_seconds: float = 0.0


@dataclasses.dataclass(slots=True)
class Sweep:
    """A job that is about to run its trials.

    Attributes:
        job: its record; held by this process.
        sentence: why it is this job.
        requests: makes the requests of its trials.
        options: its parameters.
        tracker: of runs.
        study_storage: URL of a database; None: SQLite in the job's folder.
        portfolio: AutoMode's recipes, by task.
    """

    job: Job
    sentence: str
    requests: Requests
    options: JobOptions
    tracker: Tracker
    study_storage: str | None
    portfolio: Mapping[str, Any] | None

    def run(self) -> list[TrialOutcome]:
        """Run every trial that is not finished yet, and return what came of all.

        Which is the best is for the stage model_selection to say.

        Raises:
            Interrupted: the user stopped the run, or its time was used before there was any result.
            TrainingError: no trial came to anything; the message holds the cause of each.
            SettingsError: AutoMode finds nothing that fits into the time.
            JobError: the study cannot be written.
        """
        try:
            search = self._automode() if self.options.is_automode else self._manual()
            study = JobStudy(
                self.job.folder, self._study_name, self.study_storage, search.sampler, build_pruner(search.policy)
            )
            controller = TrialController(
                self.job.folder,
                study,
                search.propose,
                search.requests,
                self._executor(search.trials),
                self.tracker,
                str(self.job.run_id),
                self._budget(search),
            )
            found = controller.run()
            metric = self.requests.task.primary_metric
            best_trial([trial.as_row(metric) for trial in found], metric)  # refuses a sweep without any result
            return found
        except TrainingError:
            self.job.set_status("Failed")
            raise

    def _manual(self) -> Search:
        options, space = self.options, self.options.space
        return Search(
            build_sampler(options.sampling, space),
            options.sweep.early_termination or NoTerminationOptions(),
            lambda trial, seconds_left: space.suggest(trial),
            self.requests,
            number_of_trials(options.sampling, space, options.limits.max_trials),
        )

    def _automode(self) -> Search:
        recipes = recipes_for(self.options, self.requests.task, self.portfolio)
        plan = plan_automode(self.job.folder, self.requests, recipes, self._seconds_left(), self._ended)
        space = plan.space()

        def propose(trial: optuna.Trial, seconds_left: float | None) -> dict[str, Any]:
            chosen = space.suggest(trial)
            return {**chosen, "max_training_minutes": plan.minutes_for(chosen, seconds_left)}

        def is_open(branch: int) -> bool:
            return plan.is_open(branch, self._seconds_left())

        return Search(
            PortfolioSampler(space, plan.starts(), self.options.random_seed, is_open),
            MedianStoppingOptions(delay_evaluation=AUTOMODE_DELAY),
            propose,
            dataclasses.replace(self.requests, recipe_of=plan.name_of),
            plan.most_trials(self.options.limits.max_trials),
            plan.least_seconds(),
        )

    @property
    def _study_name(self) -> str:
        return f"{self.options.task}.{self.job.name}.{self.job.fingerprint[:12]}"

    def _ended(self) -> list[bool]:
        return ended_trials(self.job.folder, self._study_name, self.study_storage)

    def _seconds_left(self) -> float:
        return 60.0 * self.options.limits.timeout_minutes - seconds_used(self.job.folder)

    def _executor(self, trials: int) -> LocalExecutor:
        """Return what runs so many trials in all: no core waits for a trial that is never made."""
        asked, devices = self.options.limits.max_concurrent_trials, visible_devices()
        slots = trials_at_once(asked, trials, len(devices))
        if slots < min(asked, trials):
            LOG.info(
                "limits.max_concurrent_trials is %d; without a GPU %d run at once, one a core: more would slow each "
                "other down.",
                asked,
                slots,
            )
        environment = environment_for_trial(cores_per_trial(slots)) | self._image_cache()
        return LocalExecutor(slots, python_command(PROGRAM), environment, devices, takes_spares=True)

    def _image_cache(self) -> dict[str, str]:
        """Return the variable of the cache of decoded images, beside the jobs: all of a task share it."""
        budget = round(self.options.limits.image_cache_gigabytes * 1e9)
        if not budget:
            return {}
        cache = ImageCache(self.job.folder.parent / IMAGE_CACHE, budget)
        cache.keep_only(row["image_url"] for row in (*self.requests.training.rows, *self.requests.validation.rows))
        return cache.as_environment()

    def _budget(self, search: Search) -> Budget:
        limits = self.options.limits
        disk = None if limits.disk_gigabytes is None else round(limits.disk_gigabytes * 1e9)
        return Budget(search.trials, 60.0 * limits.timeout_minutes, disk, search.least_seconds)


def open_sweep(
    options: JobOptions,
    training: Table,
    validation: Table,
    augmentation_plan: Mapping[str, Any],
    jobs: JobStore,
    tracker: Tracker,
    job_name: str | None,
    study_storage: str | None,
    portfolio: Mapping[str, Any] | None,
) -> Sweep:
    """Return the sweep of a new job, or of the one that this work began in.

    Args:
        options: of the job.
        training, validation: saved tables.
        augmentation_plan: of all styles.
        jobs: where jobs live.
        tracker: of runs.
        job_name: given by the user; None: found by parameters and data.
        study_storage: URL of a database; None: SQLite in the job's folder.
        portfolio: AutoMode's recipes, by task.

    Raises:
        JobError: another process runs the job, or the name belongs to other work.
    """
    task = get_task(options.task)
    find_checkpoint = functools.partial(with_checkpoint, jobs=jobs, tracker=tracker)
    requests = Requests(options, task, training, validation, augmentation_plan, find_checkpoint)
    first = requests(0, next(options.space.examples(), {}))
    about = about_job(options, first, augmentation_plan)
    job, sentence = jobs.open(fingerprint(about), job_name, about)
    running.start(job, tracker, options.task, about["training_parameters"])
    return Sweep(job, sentence, requests, options, tracker, study_storage, portfolio)
