import collections
import signal
import subprocess
import sys

import pytest

from emokit.training.config import Config
from emokit.training.search import RANGES, search


def pretend(seen, stop_at=None):
    """Training that takes no time: the best learning rate is 1e-3."""

    def train(config):
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        seen.append(config)
        value = -abs(config.optimiser.learning_rate - 1e-3)
        return {"ccc_valence": value, "ccc_arousal": value}

    return train


def test_settings_lie_in_the_papers_ranges_and_follow_the_seed(tmp_path):
    seen, again = [], []
    table = search(Config(seed=3, out=tmp_path), 8, tmp_path / "a.db", pretend(seen))
    search(Config(seed=3, out=tmp_path), 8, tmp_path / "b.db", pretend(again))
    assert len(table) == 8 and (table["state"] == "COMPLETE").all()
    assert [c.optimiser for c in seen] == [c.optimiser for c in again]
    assert len({c.optimiser for c in seen}) == len({c.out for c in seen}) == 8
    for config in seen:
        for name, spread in RANGES.items():
            assert spread.low <= getattr(config.optimiser, name) <= spread.high
    best = table.loc[table["value"].idxmax()]
    assert best["value"] == pytest.approx(-min(abs(c.optimiser.learning_rate - 1e-3) for c in seen))


def test_a_search_goes_on_and_grows(tmp_path):
    config, seen = Config(out=tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        search(config, 6, tmp_path / "s.db", pretend(seen, stop_at=2))
    assert len(seen) == 2
    search(config, 6, tmp_path / "s.db", pretend(seen))
    first = len(seen)
    search(config, 9, tmp_path / "s.db", pretend(seen))
    table = search(config, 9, tmp_path / "s.db", pretend(seen))
    # The interrupted setting had not been trained, and is tried again.
    assert first == 6 and len(seen) == len({c.optimiser for c in seen}) == 9
    assert table["number"].tolist() == list(range(9)) and (table["state"] == "COMPLETE").all()


def test_a_setting_that_failed_is_tried_again_by_the_next_call(tmp_path):
    config, seen = Config(out=tmp_path), []

    def broken(config):
        if config.out.name == "0001":
            raise OSError("disk full")
        return pretend(seen)(config)

    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            search(config, 3, tmp_path / "s.db", broken)
    table = search(config, 3, tmp_path / "s.db", pretend(seen))
    assert sorted(c.out.name for c in seen) == ["0000", "0001", "0002"]
    assert table["number"].tolist() == [0, 1, 2] and (table["state"] == "COMPLETE").all()


def test_a_setting_that_diverged_is_the_worst_and_not_tried_again(tmp_path):
    table = search(Config(out=tmp_path), 2, tmp_path / "s.db", lambda config: {"ccc": float(config.out.name)},
                   lambda result: result["ccc"] or float("nan"))  # fmt: skip
    assert table["value"].tolist() == [float("-inf"), 1]


WORKER = """
import os, signal, sys, time
from pathlib import Path
from emokit.training.config import Config
from emokit.training.search import search

folder = Path(sys.argv[1])

def train(config):
    with open(folder / "log", "a") as log:
        log.write(f"{sys.argv[2]} {config.out.name}\\n")
    if len(sys.argv) > 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"ccc_valence": 0.5, "ccc_arousal": 0.5}

(folder / sys.argv[2]).touch()
while len(sys.argv) == 3 and not all((folder / name).exists() for name in ("a", "b")):
    time.sleep(0.01)
trials, heartbeat = (8, 1) if len(sys.argv) > 3 else (40, 60)
search(Config(out=folder), trials, folder / "store.db", train, heartbeat=heartbeat)
"""


def test_two_workers_share_the_settings(tmp_path):
    run = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [subprocess.Popen([*run, name], stderr=subprocess.PIPE, text=True) for name in ("a", "b")]
    for worker in workers:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    done = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(setting for _, setting in done) == [f"{k:04d}" for k in range(40)]
    assert set(collections.Counter(name for name, _ in done)) == {"a", "b"}


def test_the_setting_of_a_killed_worker_is_trained_by_the_next(tmp_path):
    run = [sys.executable, "-c", WORKER, str(tmp_path), "a", "killed"]
    assert subprocess.run(run).returncode == -signal.SIGKILL
    assert (tmp_path / "log").read_text() == "a 0000\n"
    seen = []
    table = search(Config(out=tmp_path), 3, tmp_path / "store.db", pretend(seen), heartbeat=1)
    assert sorted(c.out.name for c in seen) == [f"{k:04d}" for k in range(8)]
    assert table["number"].tolist() == list(range(8)) and (table["state"] == "COMPLETE").all()
    assert table["value"].notna().all()
