import collections
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
    search(config, 6, tmp_path / "s.db", pretend(seen))
    first = len(seen)
    search(config, 9, tmp_path / "s.db", pretend(seen))
    search(config, 9, tmp_path / "s.db", pretend(seen))
    # The interrupted setting stays with its worker until that has been silent for two minutes.
    assert first == 5 and len(seen) == 8
    assert len({c.optimiser for c in seen}) == 8


WORKER = """
import sys, time
from pathlib import Path
from emokit.training.config import Config
from emokit.training.search import search

folder = Path(sys.argv[1])

def train(config):
    with open(folder / "log", "a") as log:
        log.write(f"{sys.argv[2]} {config.out.name}\\n")
    time.sleep(0.3)
    return {"ccc_valence": 0.5, "ccc_arousal": 0.5}

(folder / sys.argv[2]).touch()
while not all((folder / name).exists() for name in ("a", "b")):
    time.sleep(0.01)
print(len(search(Config(out=folder), 8, folder / "store.db", train)))
"""


def test_two_workers_share_the_settings(tmp_path):
    run = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [subprocess.Popen([*run, name], stderr=subprocess.PIPE, text=True) for name in ("a", "b")]
    for worker in workers:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    done = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(setting for _, setting in done) == [f"{k:04d}" for k in range(8)]
    assert set(collections.Counter(name for name, _ in done)) == {"a", "b"}
