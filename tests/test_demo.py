"""The demo weights on persons whom no training and no choice has seen."""

from pathlib import Path

import numpy as np
import pytest

import emokit
from emokit.data import rendered_faces
from emokit.models import load_emofan
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


def test_the_measure_can_fail(demo, faces):
    order = np.random.default_rng(0).permutation(len(faces))
    result = evaluate(demo, faces.assign(image=faces["image"].to_numpy()[order]))
    assert result["ccc_valence"] < 0.3 and result["accuracy"] < 0.3 and result["landmark_error"] > 0.04


def test_the_demo_weights_are_small_and_say_what_they_are():
    assert (Path(emokit.__file__).parent / "weights" / "demo.safetensors").stat().st_size <= 12 * 2**20
    with pytest.warns(UserWarning, match="only rendered faces"):
        assert load_emofan().expressions[0] == "neutral"


def test_rare_colours_do_not_blow_the_features_up(demo, faces):
    """Frozen batch statistics let features grow where training saw few such pictures; then a head cannot be trained."""
    import torch

    from emokit.data.dataset import FaceDataset

    crops = FaceDataset(faces, demo.input_size)
    with torch.inference_mode():
        parts = [
            demo.features(torch.stack([crops[i]["image"] for i in range(k, k + 64)]) / 255) for k in range(0, 320, 64)
        ]
    largest = torch.cat([part.hourglass[1].abs().amax((1, 2, 3)) for part in parts])
    assert largest.max() < 8 * largest.median()
