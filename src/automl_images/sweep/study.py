"""The record of a job's trials: an Optuna study in SQLite (a file in the job's folder) or PostgreSQL.

Owns numbers, configurations, reports and states of trials. Who may write them is decided in `holder.py`: Optuna's own
heartbeat acts inside `study.optimize` only. What a trial leaves on disk belongs to `trials.py`; when to start and stop
one is the controller's business.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_images.core.databases import shown_url
from automl_images.core.errors import BusyError, JobError
from automl_images.sweep import patience
from automl_images.sweep.holder import Holder
from automl_images.sweep.patience import Patience
from automl_images.sweep.policies import NoTerminationOptions, build_pruner
from automl_images.sweep.storage import checked_url, open_storage, sqlite_url

if TYPE_CHECKING:
    import optuna

    from automl_images.sweep.policies.pruner import PolicyPruner

STUDY_FILE = "study.db"
CONFIGURATION, STATUS, NOTE = "configuration", "status", "note"
LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A trial that was asked for.

    Attributes:
        number: from 0.
        configuration: what is to be tried.
        status: with which it was closed; empty: it is open.
        note: cause of the status; empty: it is open, or there is nothing to say.
    """

    number: int
    configuration: dict[str, Any]
    status: str = ""
    note: str = ""


class JobStudy:
    """The study of one job, to be written by one controller.

    Args:
        folder: of the job.
        name: of the job; the study's name.
        url: of the database; None: SQLite in the job's folder.
        sampler: None: of trials that ask for nothing.
        pruner: None: nothing is stopped early.

    Raises:
        SettingsError: the URL is none of a database.
        JobError: the database does not answer, is no study's, or another controller holds this study.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        url: str | None,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: PolicyPruner | None = None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._pruner = pruner or build_pruner(NoTerminationOptions())
        self.url = checked_url(url) if url else sqlite_url(folder / STUDY_FILE)
        file = None if url else folder / STUDY_FILE
        self._patiently = Patience("the study's database", file)
        self._study = self._patiently(
            lambda: optuna.create_study(
                storage=open_storage(self.url),
                study_name=name,
                sampler=sampler or optuna.samplers.RandomSampler(seed=0),
                pruner=self._pruner,
                direction="maximize",
                load_if_exists=True,
            ),
            patience.OPENING_PATIENCE,
        )
        self._holder = Holder(self._study, name, self._patiently, is_shared=not self.url.startswith("sqlite"))
        self._trials: dict[int, optuna.Trial] = {}

    @property
    def place(self) -> str:
        """Return where the study is kept, for messages."""
        return shown_url(self.url)

    def asked(self) -> list[Asked]:
        """Return all trials that were asked for so far, in the order of their numbers."""
        found = self._patiently(lambda: self._study.get_trials(deepcopy=False))
        return [
            Asked(t.number, dict(t.user_attrs[CONFIGURATION]), t.user_attrs.get(STATUS, ""), t.user_attrs.get(NOTE, ""))
            for t in found
            if CONFIGURATION in t.user_attrs
        ]

    def unfinished(self) -> list[Asked]:
        """Return the trials that were asked for and never told: those that a controller left when it died."""
        import optuna

        running = (optuna.trial.TrialState.RUNNING,)
        open_numbers = {
            t.number for t in self._patiently(lambda: self._study.get_trials(deepcopy=False, states=running))
        }
        return [trial for trial in self.asked() if trial.number in open_numbers]

    def ask(self, propose: Callable[[optuna.Trial], Mapping[str, Any]]) -> Asked:
        """Return a new trial; `propose` draws its configuration from Optuna's trial."""
        trial = self._patiently(self._half_asked) or self._patiently(self._study.ask)
        configuration = dict(self._patiently(lambda: propose(trial)))
        self._patiently(lambda: trial.set_user_attr(CONFIGURATION, configuration))
        self._trials[trial.number] = trial
        return Asked(trial.number, configuration)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Record the primary metric of an epoch (from 1); a repeated epoch and a value that is no number count not."""
        trial = self._patiently(lambda: self._trial(number))
        if math.isfinite(value) and epoch not in trial._cached_frozen_trial.intermediate_values:
            self._patiently(lambda: trial.report(value, epoch))

    def reason_to_stop(self, number: int) -> str:
        """Return why the policy of early termination gives the trial up; empty: it goes on."""
        trial = self._patiently(lambda: self._trial(number))
        return self._patiently(lambda: self._pruner.reason(self._study, trial.storage.get_trial(trial._trial_id)))

    def tell(self, number: int, status: str, value: float | None, note: str) -> None:
        """Close a trial; closing it twice changes nothing.

        Args:
            number: of the trial.
            status: `Completed`, `Canceled` or `Failed`.
            value: the best primary metric; None: it came to none.
            note: cause of the status.
        """
        self._patiently(lambda: self._tell(number, status, value, note))

    def close(self) -> None:
        """Let another controller have the study; where the database does not answer, it finds out by itself."""
        try:
            self._holder.release()
        except JobError as error:
            LOG.debug(error)

    def beat(self) -> None:
        """Show others that this study is held; call it now and then."""
        self._holder.beat()

    def beat_if_it_answers(self) -> None:
        """Do the same while something else, or this database, does not answer: wait for nothing."""
        try:
            self._holder.beat(patience=0.0)
        except BusyError:
            raise
        except JobError as error:
            LOG.debug(error)

    def _tell(self, number: int, status: str, value: float | None, note: str) -> None:
        import optuna

        state = optuna.trial.TrialState
        trial = self._trial(number)
        if trial.storage.get_trial(trial._trial_id).state.is_finished():
            return
        trial.set_user_attr(STATUS, status)
        trial.set_user_attr(NOTE, note)
        if status == "Failed" or value is None:
            self._study.tell(number, state=state.FAIL)
        elif status == "Canceled":
            trial.storage.set_trial_state_values(trial._trial_id, state.PRUNED, [value])  # `tell` takes the last one
        else:
            self._study.tell(number, value)

    def _trial(self, number: int) -> optuna.Trial:
        import optuna

        if number not in self._trials:
            trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
            self._trials[number] = optuna.Trial(self._study, trial_id)
        return self._trials[number]

    def _half_asked(self) -> optuna.Trial | None:
        """Return a trial that was made when the connection or the process broke, before it had a configuration."""
        import optuna

        running = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        bare = [t.number for t in running if CONFIGURATION not in t.user_attrs]
        return self._trial(bare[0]) if bare else None


def ended_trials(folder: Path, name: str, url: str | None) -> list[bool]:
    """Return for each trial that a study holds, in the order of numbers, whether it ended; without a study none.

    Holds nothing and writes nothing, so that what is planned may depend on it.

    Args:
        folder, name, url: as of `JobStudy`.

    Raises:
        JobError: the database does not answer, or is no study's.
    """
    import optuna

    file = None if url else folder / STUDY_FILE
    if file is not None and not file.is_file():
        return []
    address = checked_url(url) if url else sqlite_url(folder / STUDY_FILE)

    def read() -> list[bool]:
        try:
            study = optuna.load_study(study_name=name, storage=open_storage(address))
        except KeyError:
            return []
        return [trial.state.is_finished() for trial in study.get_trials(deepcopy=False)]

    return Patience("the study's database", file)(read, patience.OPENING_PATIENCE)
