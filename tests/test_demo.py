"""The demo weights on persons whom no training and no choice has seen."""

from pathlib import Path

import numpy as np
import pytest

import emokit
from emokit.data import rendered_faces
from emokit.models import load_emofan, load_resnet18
from emokit.training.run import evaluate


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return rendered_faces(320, seed=77, folder=tmp_path_factory.mktemp("faces"))


def test_the_demo_weights_keep_their_promise(demo, faces):
    result = evaluate(demo, faces)
    assert result["ccc_valence"] >= 0.90
    assert result["ccc_arousal"] >= 0.85
    assert result["accuracy"] >= 0.80
    assert result["landmark_error"] <= 0.04


def test_the_baseline_is_no_straw_man(faces):
    with pytest.warns(UserWarning, match="only rendered faces"):
        baseline = load_resnet18()
    assert baseline.input_size == 128
    result = evaluate(baseline, faces)
    assert result["ccc_valence"] >= 0.90 and result["ccc_arousal"] >= 0.85 and result["accuracy"] >= 0.80


def test_the_measure_can_fail(demo, faces):
    order = np.random.default_rng(0).permutation(len(faces))
    result = evaluate(demo, faces.assign(image=faces["image"].to_numpy()[order]))
    assert result["ccc_valence"] < 0.3 and result["accuracy"] < 0.3 and result["landmark_error"] > 0.04


def test_the_demo_weights_are_small_and_say_what_they_are():
    assert (Path(emokit.__file__).parent / "weights" / "demo.safetensors").stat().st_size <= 12 * 2**20
    with pytest.warns(UserWarning, match="only rendered faces"):
        assert load_emofan().expressions[0] == "neutral"
