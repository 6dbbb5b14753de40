import csv
from pathlib import Path

import numpy as np
import parity_fill
import pytest
import torch

from emokit.models import EmoFAN, ResNet18, landmarks_from_heatmaps

PARITY = Path(__file__).parent / "parity"


def test_state_dict_is_the_public_checkpoints():
    with open(PARITY / "emonet_8_state_dict.csv") as file:
        expected = [(r["name"], r["shape"], r["dtype"]) for r in csv.DictReader(file)]
    found = [
        (k, "x".join(map(str, v.shape)), str(v.dtype).removeprefix("torch.")) for k, v in EmoFAN().state_dict().items()
    ]
    assert found == expected


@pytest.mark.parametrize("n", [8, 5])
def test_outputs_match_the_reference(n):
    reference = np.load(PARITY / "emonet_outputs.npz")
    model = parity_fill.fill(EmoFAN(n_expressions=n))
    with torch.inference_mode():
        out = model(parity_fill.images())
    found = {
        "expression": out.expression,
        "valence": out.valence,
        "arousal": out.arousal,
        "heatmap": out.heatmaps[:, :, ::8, ::8],
    }
    for key, value in found.items():
        expected = reference[f"{key}_{n}"]
        assert np.abs(value.numpy() - expected).max() <= 1e-4 * np.abs(expected).max(), key


@pytest.mark.parametrize(
    "options",
    [
        {"attention": False, "width": 32, "input_size": 128},
        {"n_expressions": 5, "width": 16, "depth": 3, "input_size": 96},
    ],
)
def test_small_networks_are_the_same_class(options):
    model = EmoFAN(**options).eval()
    size = options["input_size"]
    out = model(torch.rand(2, 3, size, size))
    assert out.heatmaps.shape == (2, 68, size // 4, size // 4)
    assert out.expression.shape == (2, len(model.expressions))
    assert out.valence.shape == out.arousal.shape == (2,)
    assert EmoFAN(**model.config).config == model.config


def test_wrong_options_and_inputs_are_named():
    with pytest.raises(ValueError, match="5 or 8"):
        EmoFAN(n_expressions=7)
    with pytest.raises(ValueError, match="multiple of 64"):
        EmoFAN(input_size=100)
    with pytest.raises(ValueError, match="emokit.data.crops"):
        EmoFAN(width=16).eval()(torch.rand(1, 3, 100, 100))


def test_landmarks_of_gaussian_heatmaps_are_sub_pixel():
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 240, (3, 68, 2))
    cells = (truth + 0.5) / 4 - 0.5
    grid = np.arange(64)
    x = np.exp(-((grid - cells[..., :1]) ** 2) / 2)
    y = np.exp(-((grid - cells[..., 1:]) ** 2) / 2)
    heatmaps = torch.from_numpy((y[..., :, None] * x[..., None, :]).astype(np.float32))
    found, confidence = landmarks_from_heatmaps(heatmaps)
    assert np.abs(found.numpy() - truth).max() < 0.01
    assert 0.7 < confidence.min() <= confidence.max() <= 1


def test_flat_and_negative_heatmaps_give_finite_landmarks():
    for value in (0.0, -1.0):
        found, confidence = landmarks_from_heatmaps(torch.full((1, 68, 16, 16), value))
        assert torch.isfinite(found).all() and (confidence == 0).all()


def test_resnet18_has_the_ecosystems_names_and_outputs():
    model = ResNet18().eval()
    names = set(model.state_dict())
    assert {"conv1.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias"} <= names
    assert len(names) == 122
    assert sum(p.numel() for p in model.parameters()) == 11_689_512 - 1000 * 513 + 10 * 513
    out = model(torch.rand(2, 3, 256, 256))
    assert out.heatmaps is None and out.expression.shape == (2, 8) and out.valence.shape == (2,)
