"""Randomised hyper-parameter search (paper, "Implementation"): stored, resumed, shared."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState
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


def mean_ccc(result: dict[str, float]) -> float:
    """Mean CCC of valence and arousal: what the search maximises."""
    return (result["ccc_valence"] + result["ccc_arousal"]) / 2


def search(
    config: Config,
    trials: int,
    store: str | os.PathLike = "out/search.db",
    train: Callable[[Config], dict[str, float]] = fit,
    score: Callable[[dict[str, float]], float] = mean_ccc,
) -> pd.DataFrame:
    """Train ``trials`` random settings of the optimiser; the same call goes on where another stopped.

    The settings follow from ``config.seed`` and are written into the store before any is
    trained, so that several workers, started with the same call, share them out. A setting
    whose worker died is trained again, from its last checkpoint.

    Parameters
    ----------
    config : Config
        Everything else; ``out`` gets one folder per setting.
    trials : int
    store : path or URL
        A SQLite file, or the address of a database that workers on several machines share.
    train : callable
        Trains a configuration and returns its metrics.
    score : callable
        What to maximise.

    Returns
    -------
    DataFrame
        One row per setting: number, state, value and the four parameters.
    """
    study = _study(store)
    for number in range(len(study.trials), trials):
        rng = np.random.default_rng([config.seed, number])
        study.enqueue_trial({name: _draw(spread, rng) for name, spread in RANGES.items()}, {"setting": number})

    def objective(trial: optuna.Trial) -> float:
        setting = trial.user_attrs.get("setting")
        others = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number and t.state != TrialState.FAIL]
        # Another worker took the last one just before, or both wrote the same settings down.
        if setting is None or any(t.user_attrs.get("setting") == setting for t in others):
            raise optuna.TrialPruned
        drawn = {name: trial.suggest_float(name, s.low, s.high, log=s.log) for name, s in RANGES.items()}
        changed = {
            "optimiser": replace(config.optimiser, **drawn),
            "out": config.out / f"{setting:04d}",
        }
        result = train(config.model_copy(update=changed))
        for name, value in result.items():
            trial.set_user_attr(name, value)
        return score(result)

    while any(t.state == TrialState.WAITING for t in study.trials):
        study.optimize(objective, n_trials=1)
    table = study.trials_dataframe(("number", "state", "value", "params"))
    return table[table["state"] != "PRUNED"].reset_index(drop=True)


def _study(store: str | os.PathLike) -> optuna.Study:
    url = str(store)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for attempt in range(10):
        try:
            storage = _storage(url)
            return optuna.create_study(storage=storage, study_name="emokit", direction="maximize", load_if_exists=True)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
            if attempt == 9:
                raise
            time.sleep(0.2 * (attempt + 1))  # another worker is making the same tables
    raise AssertionError  # the loop returns or raises


def _storage(url: str) -> RDBStorage:
    # A worker that has been silent for two minutes is dead, and its setting free again.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        retry = RetryHeartbeatStaleTrialCallback()
        return RDBStorage(url, heartbeat_interval=60, grace_period=120, heartbeat_stale_trial_callback=retry)


def _draw(spread: FloatDistribution, rng: np.random.Generator) -> float:
    if spread.log:
        return float(np.exp(rng.uniform(np.log(spread.low), np.log(spread.high))))
    return float(rng.uniform(spread.low, spread.high))
