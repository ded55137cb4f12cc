"""Runs the trials of a job: asks the study what to try, starts processes, follows their logs, stops and retries them.

Knows nothing of what is trained: configurations become requests, and requests processes, by what is handed in. What
belongs to one running trial stands in `following.py`, what a trial came to in `outcomes.py`, the record of trials in
`study.py`, processes in `executors.py`, limits in `budget.py`.

Events of the job's log (`events.jsonl` in its folder; each has `elapsed`, seconds since this process began):
`job_started`, `trial_started`, `trial_retried`, `trial_stopping`, `trial_ended`, `working`, `job_ended`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_images.core.errors import DiskFullError, Interrupted, SettingsError
from automl_images.core.events import EventFollower, EventLog
from automl_images.core.failpoints import failpoint
from automl_images.core.tracking import Tracker
from automl_images.sweep import following, outcomes
from automl_images.sweep.budget import ENDED, Budget, Usage, best_of, make_room
from automl_images.sweep.executors import Executor
from automl_images.sweep.following import FollowedTrial
from automl_images.sweep.patience import meanwhile
from automl_images.sweep.progress import ProgressLines
from automl_images.sweep.signals import StopSignals
from automl_images.sweep.study import Asked, JobStudy
from automl_images.sweep.trials import CONSOLE, EVENTS, REQUEST, RESULT, TrialOutcome, TrialRequest

if TYPE_CHECKING:
    import optuna

POLL_SECONDS = 0.2
NOTED_SECONDS = 30.0
PREPARE_SECONDS = 300.0
"""The process of the next trial is started once the one before is this near to its end."""
MOST_RETRIES = 2


class TrialController:
    """Runs the trials of one job.

    Args:
        folder: of the job; trial n lives in `<folder>/<n>`.
        study: the record of the trials.
        propose: draws a configuration from Optuna's trial, given the seconds that are left (None: no limit).
        make_request: turns number and configuration into what the trial's process needs; raises a `SettingsError` for
            a configuration that no model can have.
        executor: where trials run.
        tracker, job_run_id: where curves go.
        budget: when to end.
    """

    def __init__(
        self,
        folder: Path,
        study: JobStudy,
        propose: Callable[[optuna.Trial, float | None], Mapping[str, Any]],
        make_request: Callable[[int, Mapping[str, Any]], TrialRequest],
        executor: Executor,
        tracker: Tracker,
        job_run_id: str,
        budget: Budget,
    ) -> None:
        self.folder, self.study, self.propose, self.make_request = folder, study, propose, make_request
        self.executor, self.tracker, self.job_run_id = executor, tracker, job_run_id
        self.budget = budget
        self._usage = Usage(budget, folder)
        self._noted = 0.0
        self._log = EventLog(folder / EVENTS)
        self._running: list[FollowedTrial] = []
        self._waiting: list[TrialRequest] = []
        self._outcomes: dict[int, TrialOutcome] = {}
        self._causes = outcomes.Causes()
        self._ending = ""
        self._signals = StopSignals(self._say)
        self._lines = ProgressLines()

    def run(self) -> list[TrialOutcome]:
        """Run until the budget is used, and return what came of each trial, in the order of numbers.

        Raises:
            Interrupted: the user, or the time limit before any result, stopped the run; the same command goes on.
            DiskFullError: nothing more fits on the disk; the same command goes on.
            TrainingError: trial after trial died of the same cause before any came to a result.
        """
        self._tell("job_started", trials=self.budget.trials)
        with self._signals, self._lines, meanwhile(self._while_waiting):
            try:
                self._take_up()
                while self._signals.count < 2 and (self._fill_slots() or self._running):
                    self._follow()
                    self.study.beat()
                    self._note_time()
                    time.sleep(POLL_SECONDS)
                self._close_empty_ones()
            finally:
                self._end_processes()
                self.study.close()
        if self._signals.count:
            raise Interrupted("Stopped by the user. Trials were told to save their state; the same command goes on.")
        reason = self._ending or self._usage.too_late_for_another(len(self._outcomes))
        self._tell(ENDED, reason=reason)
        if reason:
            self._say(f"sweep: ended with {len(self._outcomes)} of {self.budget.trials} trials: {reason}")
        if reason and best_of(ended := list(self._outcomes.values())) is None:
            raise outcomes.nothing_came(reason, ended)
        return [self._outcomes[number] for number in sorted(self._outcomes)]

    def _take_up(self) -> None:
        """Read what an earlier process of this job left: finished trials stay, others go on."""
        unfinished = {asked.number for asked in self.study.unfinished()}
        for asked in self.study.asked():
            request = self._request(asked)
            if request is None:
                continue
            if asked.number not in unfinished:
                if asked.status != "Failed":  # which has nothing to lose, and no folder where it was refused
                    following.expect_folder(self._folder(request), self.study.place)
                self._record(request, outcomes.outcome(request, self._folder(request), note=asked.note))
            elif outcomes.is_finished(self._folder(request)):
                self._close(self._followed(request, 0))
            else:
                following.forget_stop(self._folder(request))
                self._waiting.append(request)
        self._causes.pardon()

    def _fill_slots(self) -> bool:
        """Start trials while there is room, and tell whether there is or will be one to start."""
        reason = self._why_to_end()
        if self._signals.count:
            self._waiting.clear()
            for running in self._running:
                running.interrupt()
            return False
        if reason:
            self._give_up_waiting(reason)
            self._stop_all(reason)
            return False
        while len(self._running) < self.executor.slots and (request := self._next()) is not None:
            self._start(request)
        return bool(self._waiting) or self._may_ask()

    def _stop_all(self, reason: str) -> None:
        self._ending = self._ending or reason
        for running in self._running:
            self._stop(running, reason)

    def _while_waiting(self) -> None:
        """Heed the user, the time limit and other controllers while a database or server does not answer."""
        if self._signals.count:
            raise Interrupted("Stopped by the user while there was no answer. The same command goes on.")
        if reason := self._why_to_end():
            self._stop_all(reason)
        self.study.beat_if_it_answers()

    def _give_up_waiting(self, reason: str) -> None:
        """Close trials that wait to go on; what they came to before counts."""
        while self._waiting:
            running = self._followed(self._waiting.pop(0), 0)
            running.ask_to_stop(reason)
            self._close(running)

    def _may_ask(self) -> bool:
        return self._usage.allows(len(self._outcomes) + len(self._running))

    def _why_to_end(self) -> str:
        return self._ending or self._usage.why_to_end() or self._causes.reason()

    def _next(self) -> TrialRequest | None:
        if self._waiting:
            return self._waiting.pop(0)
        while self._may_ask():
            failpoint("sweep:before_ask")
            asked = self.study.ask(lambda trial: self.propose(trial, self._usage.seconds_left()))
            failpoint(f"sweep:asked:{asked.number}")
            if (request := self._request(asked)) is not None:
                return request
        return None

    def _request(self, asked: Asked) -> TrialRequest | None:
        """Return the trial's request; a configuration that no model can have is a failed trial."""
        try:
            return self.make_request(asked.number, asked.configuration)
        except SettingsError as error:
            name = str(asked.configuration.get("model_name", "?"))
            folder = self.folder / str(asked.number)
            failed = TrialOutcome(asked.number, name, asked.configuration, "Failed", folder, note=str(error))
            self._outcomes[asked.number] = failed
            self.study.tell(asked.number, failed.status, None, failed.note)
            self._say(f"trial {asked.number} · {name}: Failed ({error})")
            return None

    def _start(self, request: TrialRequest) -> None:
        folder = self._folder(request)
        following.prepare_folder(request, folder, self.study.place)
        slot = min(set(range(self.executor.slots)) - {running.slot for running in self._running})
        running = self._followed(request, slot)
        running.process = self.executor.start(folder, slot)
        self._running.append(running)
        self._tell("trial_started", trial=request.number, model_name=request.model_name, slot=slot)

    def _followed(self, request: TrialRequest, slot: int) -> FollowedTrial:
        """Return a trial whose log, of an earlier process too, the study and the tracker have heard of so far."""
        folder = self._folder(request)
        run_id = following.tracked_run(request, folder, self.tracker, self.job_run_id)
        running = FollowedTrial(request, folder, slot, EventFollower(folder / EVENTS), run_id)
        for event in running.events.new_events():
            self._report(running, event)
            self._lines.remember(running.label, event)
        return running

    def _follow(self) -> None:
        for running in list(self._running):
            exit_code = running.process.exit_code()
            for event in running.events.new_events():
                running.heard = time.monotonic()
                self._lines.show(running.label, event)
                self._prepare_next(running, event.get("eta_seconds"))
                if self._report(running, event):
                    self._judge()
            if exit_code is not None:
                self._running.remove(running)
                running.process.release()
                self._close(running, exit_code)
            elif running.hangs:
                self._say(f"{running.label}: does not stop, and is ended; what it has is kept")
                running.process.kill()
        ended = list(self._outcomes.values())
        guess = self._usage.guess(ended, self.executor.slots)
        self._lines.show_sweep(len(ended), self.budget.trials, best_of(ended), guess)

    def _prepare_next(self, running: FollowedTrial, seconds: float | None) -> None:
        if seconds is not None and seconds < PREPARE_SECONDS and (self._waiting or self._may_ask()):
            self.executor.prepare(running.folder, running.slot)

    def _report(self, running: FollowedTrial, event: Mapping[str, Any]) -> bool:
        """Tell tracker and study of an epoch, and return whether the event is one."""
        if event["event"] != "epoch":
            return False
        epoch = int(event["epoch"])
        self.tracker.log_metrics(running.run_id, following.numbers_of(event), epoch, event.get("time"))
        if (value := running.value_of(event)) is not None:
            self.study.report(running.request.number, epoch, value)
        return True

    def _judge(self) -> None:
        """Ask the policy about every running trial: a report of one may be what another falls behind."""
        for running in self._running:
            if running.is_judged and (reason := self.study.reason_to_stop(running.request.number)):
                self._stop(running, reason, for_good=True)

    def _stop(self, running: FollowedTrial, reason: str, *, for_good: bool = False) -> None:
        """Let a trial end at its next step and keep what it has."""
        if not running.is_stopping:
            running.ask_to_stop(reason, for_good=for_good)
            self._tell("trial_stopping", trial=running.request.number, reason=reason)

    def _close(self, running: FollowedTrial, exit_code: int | None = None) -> None:
        request, folder = running.request, running.folder
        outcome = outcomes.outcome(request, folder, exit_code)
        self._lines.forget(running.label)
        finished = outcomes.is_finished(folder)
        if self._signals.count and not (finished or running.is_stopping):
            self.tracker.end(running.run_id, "Canceled")  # stays open in the study: the same command goes on with it
            return
        if not finished and outcomes.disk_is_full(folder, exit_code):
            self.tracker.end(running.run_id, "Canceled")  # stays open, too
            raise DiskFullError(f"{running.label}: {outcome.note}")
        died = not (finished or running.is_stopping) and outcomes.may_pass(folder)
        if died and not self._ending and outcomes.deaths(folder) < MOST_RETRIES:
            self._retry(running, outcome)
            return
        self.tracker.log_files(running.run_id, [folder / name for name in (REQUEST, EVENTS, CONSOLE, RESULT)])
        self.tracker.tag(running.run_id, {"score": outcome.score, "run_algorithm": outcome.model_name})
        self.tracker.end(running.run_id, outcome.status)
        self._record(request, outcome)
        self._say(f"{running.label}: {outcome.status}{f' ({outcome.note})' if outcome.note else ''}")
        if died:
            self._say("\n".join(f"    {line}" for line in outcomes.last_lines(folder)))
        self._tell("trial_ended", trial=request.number, status=outcome.status, note=outcome.note)
        make_room(list(self._outcomes.values()), self.budget.disk_bytes, [other.folder for other in self._running])

    def _retry(self, running: FollowedTrial, outcome: TrialOutcome) -> None:
        folder = running.folder
        EventLog(folder / EVENTS).write(outcomes.DIED, reason=outcome.note)
        attempt = outcomes.deaths(folder)
        self._say(
            f"{running.label}: {outcome.note}; trying again from its last checkpoint ({attempt} of {MOST_RETRIES})"
        )
        self._say("\n".join(f"    {line}" for line in outcomes.last_lines(folder)))
        self._tell("trial_retried", trial=running.request.number, attempt=attempt, reason=outcome.note)
        self._waiting.insert(0, running.request)

    def _record(self, request: TrialRequest, outcome: TrialOutcome) -> None:
        self._outcomes[request.number] = outcome
        self._causes.count(outcome)
        failpoint(f"sweep:before_tell:{request.number}")
        if outcome.status != "Canceled" or outcome.score is not None:
            self.study.tell(request.number, outcome.status, outcome.score, outcome.note)

    def _close_empty_ones(self) -> None:
        """Close the trials that were canceled before they came to anything; they go on where nothing else did."""
        if best_of(ended := list(self._outcomes.values())) is not None:
            for outcome in ended:
                self.study.tell(outcome.number, outcome.status, outcome.score, outcome.note)

    def _end_processes(self) -> None:
        """Where an error ends the sweep, let running trials save their state, unless the user cannot wait."""
        following.let_leave(self._running, lambda: self._signals.count < 2, self.study.beat_if_it_answers)
        self.executor.close()

    def _folder(self, request: TrialRequest) -> Path:
        return self.folder / str(request.number)

    def _note_time(self) -> None:
        """Write down now and then how long this process worked, so that little is lost when it is killed."""
        if self._usage.elapsed - self._noted > NOTED_SECONDS:
            self._noted = self._usage.elapsed
            self._tell("working")

    def _say(self, text: str) -> None:
        self._lines.print(text)

    def _tell(self, event: str, **fields: Any) -> None:
        self._log.write(event, elapsed=round(self._usage.elapsed, 2), **fields)
