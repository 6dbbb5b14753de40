"""The benchmark on a tiny network: what it writes, not how fast it is."""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench import __main__ as command  # noqa: E402
from bench import steps as measured  # noqa: E402
from bench.measure import interleaved, ratios  # noqa: E402
from bench.page import page  # noqa: E402
from emokit.models import EmoFAN  # noqa: E402

TINY = measured.Size(
    width=16, input_size=64, batches=(2,), seconds=0, rounds=1, photos=2, exported=False, compiled=False, product=32
)


def test_ways_take_turns_after_one_warm_up():
    calls = []
    table = interleaved({name: lambda name=name: calls.append(name) for name in "ab"}, seconds=0, least=2)
    assert calls == list("ababab")
    assert table.shape == (2, 2) and list(table) == ["a", "b"] and (table >= 0).all(axis=None)


def test_ratios_are_taken_within_rounds():
    # The machine is twice as slow in the second round, and three times in the third.
    seconds = pd.DataFrame({"plain": [2.0, 4.0, 6.0], "quick": [1.0, 2.0, 2.0]})
    table = ratios(seconds)
    assert table.loc["plain", "ratio"] == 1 and table.loc["quick", "ratio"] == 2
    assert table.loc["quick", ["seconds", "low", "high", "rounds"]].tolist() == [2, 2, 2.5, 3]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of a run that was stopped after its first step, then gone on with."""
    out = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "_drift", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            command.run(TINY, out)
    stopped = json.loads((out / "results.json").read_text())
    assert "Not finished" in (out / "README.md").read_text()
    return stopped, command.run(TINY, out), out


def test_a_stopped_run_keeps_what_it_has_and_goes_on(results):
    stopped, finished, out = results
    assert list(stopped["steps"]) == ["full-size network, batch 2"] and not stopped["finished"]
    assert finished["steps"]["full-size network, batch 2"] == stopped["steps"]["full-size network, batch 2"]
    assert finished["finished"] and json.loads((out / "results.json").read_text()) == finished


def test_every_step_of_the_contract_is_there(results):
    steps = results[1]["steps"]
    assert list(steps) == [
        "full-size network, batch 2",
        "full-size network, drift",
        "demo network, batch 2",
        "demo network, drift",
        "photographs to table",
        "GPU",
    ]
    for name in ("full-size", "demo"):
        rows = {row["way"]: row for row in steps[f"{name} network, batch 2"]["rows"]}
        assert rows["plain"]["ratio"] == 1
        assert {"default", "channels last", "matrix product, float32"} <= set(rows)
        assert all(row["seconds"] > 0 and row["GFLOP/s"] > 0 for row in rows.values())
        drift = {row["way"]: row for row in steps[f"{name} network, drift"]["rows"]}
        assert max(drift["default"]["valence"], drift["default"]["arousal"]) < 1e-4
    assert [0 <= row["outside the network"] <= 1 for row in steps["photographs to table"]["rows"]] == [True, True]


def test_the_page_shows_machine_steps_and_what_is_left_out(results):
    _, finished, out = results
    text = (out / "README.md").read_text()
    assert text == page(finished) and "Not finished" not in text
    for expected in ("- processor: ", "- torch: ", "## Demo network, batch 2", "| default |", "of the product"):
        assert expected in text
    assert str(Path.home()) not in text and "None" not in text and "nan" not in text


def tiny():
    torch.manual_seed(0)
    return EmoFAN(width=16, depth=1, input_size=64).eval()


def test_compiled_networks_are_measured_with_their_drift(monkeypatch):
    called = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: lambda images: called.append(1) or call(images))
    size = dataclasses.replace(TINY, compiled=True)
    steps = dict(measured.steps(size))
    assert "demo network compiled, batch 8" in set(steps)
    step = measured._compiled(tiny(), size)
    rows = {row["way"]: row for row in step["rows"]}
    assert called and step["seconds of the first call"] > 0
    assert rows["compiled"]["largest"] < 1e-4 and rows["compiled"]["ratio"] > 0
    assert rows["plain"]["largest"] is None


def test_a_gpu_is_measured_with_its_drift(monkeypatch):
    """On a processor that plays the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # processors without bfloat16 use float32
        step = measured._gpu(tiny(), TINY)
    rows = {row["way"]: row for row in step["rows"]}
    assert list(rows) == ["plain", "float32", "bfloat16"] and step["batch"] == 8
    assert rows["float32"]["valence"] < 1e-4 and 0 <= rows["bfloat16"]["valence"] < 0.1
    assert page({"machine": {}, "quick": False, "load": 0.0, "finished": True, "steps": {"GPU": step}}).count("e-") >= 2


def test_another_machine_begins_anew(results, tmp_path):
    stopped = results[0]
    stopped["machine"]["processor"] = "another"
    (tmp_path / "results.json").write_text(json.dumps(stopped))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "steps", lambda size: [("only step", lambda: {"rows": [], "skipped": "a test"})])
        assert list(command.run(TINY, tmp_path)["steps"]) == ["only step"]
        assert "Left out: a test." in (tmp_path / "README.md").read_text()
