"""A search in a database: which trials there are, who has taken them, what they try, and what they came to.

A trial's place in the search is counted from the database, and what is random in it drawn from that place. While it runs,
its worker says so every few seconds; one that falls silent is put back, and another worker takes it.
"""

import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from lrlab.refusal import Refused, unknown
from lrlab.study import Runs
from lrlab.sweep.outcome import Trial
from lrlab.sweep.plan import PRUNERS, Sweep
from lrlab.sweep.space import Axis, Range, draws, told

try:
    import optuna
    import sqlalchemy.event
    import sqlalchemy.exc
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as missing:
    raise Refused(
        f"a shared or adaptive search needs {missing.name}, which is not installed; write pip install 'lrlab[sweep]'"
    ) from None

HEARTBEAT, SILENCE = 10, 60  # seconds between signs of life, and without any until a trial counts as lost
RETRIES = 5  # of a trial whose worker was lost
LOST = (StorageInternalError, sqlalchemy.exc.SQLAlchemyError)  # what is raised where a database gives up

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_STARTUP = 10  # trials at random before TPE has something to learn from


@dataclass(frozen=True)
class Search:
    """A sweep in its storage, as `join` finds it there."""

    sweep: Sweep
    study: optuna.Study
    storage: RDBStorage
    prunes: bool

    def ask(self, most: int) -> dict[str, optuna.Trial]:
        """Trials for this worker, lost ones first, by the names of their arms; none where all are taken."""
        with _quiet():
            optuna.storages.fail_stale_trials(self.study)
        asked: dict[str, optuna.Trial] = {}
        while len(asked) < most:
            trials = self._trials()
            places = _places(trials)
            waiting = [
                one for one in trials if one.state == TrialState.WAITING and places[one.number] < self.sweep.total
            ]
            if waiting and self._take(waiting[0]):
                place = places[waiting[0].number]
                trial = self._choose(waiting[0], place)
                asked[self._name(place, trial.params)] = trial
            elif not waiting and len(set(places.values())) < self.sweep.total:
                self.study.add_trial(optuna.create_trial(state=TrialState.WAITING))
            elif not waiting:
                break
        return asked

    @contextmanager
    def heard(self, trials: Iterable[optuna.Trial]) -> Iterator[None]:
        """Meanwhile the storage hears that the trials run; where this worker fails or is stopped, they are put back."""
        over = threading.Event()

        def say() -> None:
            while not over.wait(HEARTBEAT):
                for trial in trials:
                    with suppress(StorageInternalError):  # busy; there is time for more
                        self.storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=say, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._put_back(trials)
            raise
        finally:
            over.set()
            thread.join()

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Tell where a trial stands after `step` updates."""
        with suppress(UpdateFinishedTrialError):  # lost in the meantime, and given to another
            trial.report(value, step)

    def tell(self, trial: optuna.Trial, came: Trial, value: float) -> None:
        """Tell what a trial came to, and the value to lower where it was not pruned."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr("came", {"runs": vars(came.runs), "initial": came.initial})
            state = TrialState.PRUNED if came.pruned else TrialState.COMPLETE
            self.study.tell(trial, None if came.pruned else value, state, skip_if_finished=True)

    def busy(self) -> bool:
        """Whether some worker has a trial."""
        return any(trial.state == TrialState.RUNNING for trial in self._trials())

    def done(self) -> dict[str, Trial]:
        """What became of the trials, by place; one that two workers came to the end of counts once."""
        trials = self._trials()
        places, done = _places(trials), {}
        for trial in trials:
            if trial.state in _DONE and places[trial.number] < self.sweep.total:
                done.setdefault(places[trial.number], trial)
        return {self._name(place, trial.params): self._came(trial) for place, trial in sorted(done.items())}

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _take(self, trial: FrozenTrial) -> bool:
        """Whether it was this worker who took a waiting trial."""
        with suppress(UpdateFinishedTrialError):
            self.storage.record_heartbeat(
                trial._trial_id
            )  # first: one that runs and was never heard of is never missed
            return self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        return False

    def _put_back(self, trials: Iterable[optuna.Trial]) -> None:
        for trial in trials:
            with suppress(UpdateFinishedTrialError, *LOST), _quiet():
                self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                _again(self.study, self.storage.get_trial(trial._trial_id))

    def _choose(self, waiting: FrozenTrial, place: int) -> optuna.Trial:
        """The trial with its values: those that it had before it was lost, else those of its place."""
        choices = self.sweep.space.choices
        values = {} if waiting.params.keys() == choices.keys() else self._values(waiting, place)
        with _quiet():
            self.study.sampler = optuna.samplers.PartialFixedSampler(values, optuna.samplers.RandomSampler(place))
        trial = optuna.Trial(self.study, waiting._trial_id)
        for name, takes in choices.items():
            if isinstance(takes, Range):
                trial.suggest_float(name, takes.low, takes.high, log=takes.log)
            else:
                trial.suggest_categorical(name, takes)
        return trial

    def _values(self, trial: FrozenTrial, place: int) -> dict[str, Any]:
        """What is listed at a place, or a draw, or TPE's choice after what was told."""
        if self.sweep.trials:
            return list(self.sweep.trials.values())[place]
        choices = self.sweep.space.choices
        if sum(one.state in _DONE for one in self._trials()) < _STARTUP:
            return next(draws([Axis(*choice) for choice in choices.items()], 1, seed=place))
        space: dict[str, BaseDistribution] = {
            name: FloatDistribution(takes.low, takes.high, takes.log)
            if isinstance(takes, Range)
            else CategoricalDistribution(takes)
            for name, takes in choices.items()
        }
        return optuna.samplers.TPESampler(n_startup_trials=0, seed=place).sample_relative(self.study, trial, space)

    def _came(self, trial: FrozenTrial) -> Trial:
        came = trial.user_attrs["came"]
        pruned = trial.state == TrialState.PRUNED
        return Trial(self._ordered(trial.params), Runs(**came["runs"]), came["initial"], pruned)

    def _name(self, place: int, values: Mapping[str, Any]) -> str:
        """The arm of a trial, as `plan` names it."""
        return f"{place:03d} {told(self._ordered(values))}"

    def _ordered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self.sweep.space.choices}


def join(sweep: Sweep, url: str, prune: str = "") -> Search:
    """The search as its storage has it, begun there by the first worker. Raises `Refused` if it cannot be opened."""
    plan, shown = next(iter(sweep.study.arms.values())).plan, url
    try:
        shown = sqlalchemy.engine.make_url(url)  # prints without its password
        if shown.drivername.startswith("sqlite") and shown.database in (None, "", ":memory:"):
            raise Refused(
                f"--storage {url}: it is the memory of one process, which no other sees; write sqlite:///FILE"
            )
        with _quiet():
            storage = _opened(url)
            study = optuna.create_study(
                study_name=f"{sweep.study.name}-{sweep.study.digest}",
                storage=storage,
                pruner=_pruner(prune, plan.evaluate_every, plan.steps),
                load_if_exists=True,
            )
    except (ImportError, RuntimeError, *LOST) as error:
        raise Refused(
            f"--storage {shown}: it cannot be opened ({reason(error)}); write sqlite:///FILE, or postgresql://USER@HOST/NAME "
            "of a server that runs"
        ) from None
    return Search(sweep, study, storage, bool(prune))


def reason(error: BaseException) -> str:
    """What a database said, in its own words and in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0]


def _opened(url: str) -> RDBStorage:
    """The database, its tables made where there are none; of two that make them at once the later finds them there."""
    try:
        return _storage(url)
    except sqlalchemy.exc.DBAPIError:
        time.sleep(1)
        return _storage(url)


def _storage(url: str) -> RDBStorage:
    lite = url.startswith("sqlite")
    storage = RDBStorage(
        url,
        {"connect_args": {"timeout": 60, "isolation_level": None}} if lite else None,
        heartbeat_interval=HEARTBEAT,
        grace_period=SILENCE,
        heartbeat_stale_trial_callback=_again,
    )
    if lite:  # which has no locks on rows: transactions one after another, so that a trial is taken once
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
        )
    return storage


def _again(study: optuna.Study, lost: FrozenTrial) -> None:
    """Put a lost trial back, as often as it may be tried."""
    RetryHeartbeatStaleTrialCallback(RETRIES)(study, lost)


def _places(trials: Iterable[FrozenTrial]) -> dict[int, int]:
    """The place of each trial in the search, by its number; one that is tried again has the place of the first try."""
    places: dict[int, int] = {}
    new = 0
    for trial in trials:
        first = trial.system_attrs.get("failed_trial")
        places[trial.number] = new if first is None else places[first]
        new += first is None
    return places


def _pruner(word: str, first: int, last: int) -> optuna.pruners.BasePruner:
    """The median rule (Golovin et al. 2017, section 3.1), or Hyperband (Li et al. 2018) from the first evaluation on."""
    if word not in ("", *PRUNERS):
        raise unknown("pruner", word, PRUNERS)
    if word == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=first, max_resource=last)
    return optuna.pruners.MedianPruner() if word else optuna.pruners.NopPruner()


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns of all that it may change some day, its heartbeats among them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
