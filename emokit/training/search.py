"""Randomised hyper-parameter search (paper, "Implementation"): stored, resumed, shared."""

from __future__ import annotations

import math
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from emokit.training.config import Config
from emokit.training.run import fit

# The paper's ranges.
RANGES = {
    "weight_decay": FloatDistribution(0.0, 0.01),
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "beta1": FloatDistribution(0.0, 0.999),
    "beta2": FloatDistribution(0.0, 0.999),
}
_WAIT = 60  # seconds that a worker waits for another's transaction
_ALIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)


def mean_ccc(result: dict[str, float]) -> float:
    """Mean CCC of valence and arousal: what the search maximises."""
    return (result["ccc_valence"] + result["ccc_arousal"]) / 2


def search(
    config: Config,
    trials: int,
    store: str | os.PathLike = "out/search.db",
    train: Callable[[Config], dict[str, float]] = fit,
    score: Callable[[dict[str, float]], float] = mean_ccc,
    heartbeat: int = 60,
) -> pd.DataFrame:
    """Train ``trials`` random settings of the optimiser; the same call goes on where another stopped.

    The settings follow from ``config.seed`` and are written into the store before any is
    trained, so that several workers, started with the same call, share them out. A setting
    whose worker failed or died is trained again, from its last checkpoint. The call returns
    when every setting is trained, and waits for those of other workers.

    Parameters
    ----------
    config : Config
        Everything else; ``out`` gets one folder per setting.
    trials : int
        Different settings, however often one has to be tried.
    store : path or URL
        A SQLite file, or the address of a database that workers on several machines share.
    train : callable
        Trains a configuration and returns its metrics. What it raises ends the call; the next
        call tries that setting again.
    score : callable
        What to maximise; a setting whose score is not a number counts as the worst.
    heartbeat : int
        Seconds between a worker's signs of life; one that is silent for twice as long is dead.

    Returns
    -------
    DataFrame
        One row per setting: number, state, value and the four parameters.
    """
    study = _study(store, heartbeat)

    def objective(trial: optuna.Trial) -> float:
        setting = trial.user_attrs.get("setting")
        # Another worker took the last one just before, or both wrote the same setting down.
        if setting is None or any(t.number < trial.number for t in _trials(study).get(setting, [])):
            raise optuna.TrialPruned
        drawn = {name: trial.suggest_float(name, s.low, s.high, log=s.log) for name, s in RANGES.items()}
        changed = {
            "optimiser": replace(config.optimiser, **drawn),
            "out": config.out / f"{setting:04d}",
        }
        result = train(config.model_copy(update=changed))
        for name, value in result.items():
            trial.set_user_attr(name, value)
        value = score(result)
        return -math.inf if math.isnan(value) else value

    while True:
        with _as_it_is():
            fail_stale_trials(study)
        known = _trials(study)
        for number in sorted(set(range(trials)) - set(known)):
            rng = np.random.default_rng([config.seed, number])
            study.enqueue_trial({name: _draw(spread, rng) for name, spread in RANGES.items()}, {"setting": number})
        states = {t.state for t in study.get_trials(deepcopy=False)}
        if TrialState.WAITING in states:
            study.optimize(objective, n_trials=1)
        elif TrialState.RUNNING in states:
            time.sleep(min(1, heartbeat / 2))
        else:
            break
    best = {setting: attempts[0].number for setting, attempts in sorted(_trials(study).items())}
    table = study.trials_dataframe(("number", "state", "value", "params")).set_index("number").loc[list(best.values())]
    return table.set_axis(list(best)).rename_axis("number").reset_index()


def _trials(study: optuna.Study) -> dict[int, list[optuna.trial.FrozenTrial]]:
    """Trials of every setting, but those that came to nothing: failed, or given up because there is another."""
    found: dict[int, list[optuna.trial.FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False, states=_ALIVE):
        if "setting" in trial.user_attrs:
            found.setdefault(trial.user_attrs["setting"], []).append(trial)
    return found


def _study(store: str | os.PathLike, heartbeat: int) -> optuna.Study:
    url = str(store)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for attempt in range(10):
        try:
            with _as_it_is():
                storage = RDBStorage(url, heartbeat_interval=heartbeat, grace_period=2 * heartbeat)
            _one_at_a_time(storage.engine)
            return optuna.create_study(storage=storage, study_name="emokit", direction="maximize", load_if_exists=True)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
            if attempt == 9:
                raise
            time.sleep(0.2 * (attempt + 1))  # another worker is making the same tables
    raise AssertionError  # the loop returns or raises


def _one_at_a_time(engine: Engine) -> None:
    """Transactions of an SQLite file lock it from their beginning.

    Otherwise two workers may read that a setting is waiting before either of them writes that it has taken it.
    """
    if engine.dialect.name != "sqlite":
        return
    engine.dispose()  # connections that know nothing of this

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not behind the scenes
        connection.execute(f"PRAGMA busy_timeout = {1000 * _WAIT}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _as_it_is() -> Iterator[None]:
    """Optuna calls its heartbeat experimental, which nobody who searches can act upon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _draw(spread: FloatDistribution, rng: np.random.Generator) -> float:
    if spread.log:
        return float(np.exp(rng.uniform(np.log(spread.low), np.log(spread.high))))
    return float(rng.uniform(spread.low, spread.high))
