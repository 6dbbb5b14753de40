"""The demo weights on persons whom no training and no choice has seen."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import emokit
from emokit.data.rendered import rendered_crops
from emokit.models import load_emofan
from emokit.training import demo as training


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr("emokit.data.rendered.pooch.os_cache", lambda name: folder)
        yield rendered_crops(320, seed=77, size=128)


def test_the_demo_weights_keep_their_promise(demo, crops):
    result = training.evaluate(demo, crops)
    assert result["valence CCC"] >= 0.90
    assert result["arousal CCC"] >= 0.85
    assert result["expression accuracy"] >= 0.80
    assert result["landmark error"] <= 0.04


def test_the_measure_can_fail(demo, crops):
    shuffled = dict(crops)
    order = np.random.default_rng(0).permutation(len(crops["images"]))
    shuffled["images"] = crops["images"][order]
    result = training.evaluate(demo, shuffled)
    assert result["valence CCC"] < 0.3 and result["expression accuracy"] < 0.3 and result["landmark error"] > 0.04


def test_the_demo_weights_are_small_and_say_what_they_are():
    assert (Path(emokit.__file__).parent / "weights" / "demo.safetensors").stat().st_size <= 12 * 2**20
    with pytest.warns(UserWarning, match="only rendered faces"):
        assert load_emofan().expressions[0] == "neutral"


def run(folder, monkeypatch, **options):
    arguments = {"faces": 32, "epochs1": 2, "epochs2": 2, "width": 16, "size": 64, "batch": 16} | options
    flags = [f"--{key}={value}" for key, value in arguments.items()]
    monkeypatch.setattr(sys, "argv", ["demo", f"--out={folder}", "--device=cpu", "--test-faces=16", *flags])
    training.main()
    return load_emofan(folder / "demo.safetensors").state_dict()


def test_training_is_seeded_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("emokit.data.rendered.pooch.os_cache", lambda name: tmp_path / "cache")
    whole = run(tmp_path / "whole", monkeypatch)

    calls = {"n": 0}
    real = training.stage2_loss

    def interrupted(*arguments):
        calls["n"] += 1
        if calls["n"] == 3:  # in the second epoch of stage 2
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "stage2_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", monkeypatch)
    again = run(tmp_path / "cut", monkeypatch)
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0)


def test_stage_two_leaves_fan_alone(demo, crops):
    model = copy.deepcopy(demo)
    training.freeze_fan(model)
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    batch = next(training.batches(crops, 8, np.random.default_rng(0), "cpu", ""))
    training.stage2_loss(model, batch).backward()
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all("emo_" in name for name in changed)
