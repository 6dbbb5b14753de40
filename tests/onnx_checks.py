"""ONNX files: run by test_export.py in a process of their own."""

import numpy as np
import parity_fill
import pytest
import torch

from emokit.data import sample_faces
from emokit.inference import export, predict, prepare
from emokit.inference.export import export_onnx, load_onnx
from emokit.models import EmoFAN
from emokit.models.emofan import AffectOutput


def small(**options):
    return parity_fill.fill(EmoFAN(**{"width": 32, "depth": 2, "input_size": 64} | options))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return export_onnx(small(depth=1), tmp_path_factory.mktemp("onnx") / "small.onnx")


@pytest.fixture
def images():
    return torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_an_onnx_file_answers_batches_of_any_length(file, images, n):
    exported = load_onnx(file, threads=1)
    with torch.no_grad():
        found, expected = exported(images[:n]), small(depth=1)(images[:n])
    for name in ("expression", "valence", "arousal"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-4, rtol=1e-4)


def test_predict_takes_an_onnx_file(file):
    faces = sample_faces().head(3).drop(columns="landmarks")
    found, expected = predict(faces, load_onnx(file)), predict(faces, small(depth=1))
    for column in ("x0", "valence", "p_happy", "confidence"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-3)
    assert list(found.columns) == list(expected.columns)
    with pytest.raises(ValueError, match="prepare takes the network itself"):
        prepare(load_onnx(file))


class Tiny(torch.nn.Module):
    """As little of a network as can be exported."""

    def __init__(self):
        super().__init__()
        self.expressions, self.input_size, self.layer = ("a", "b"), 8, torch.nn.Linear(3, 4)

    def forward(self, images):
        scores = self.layer(images.mean(dim=(2, 3)))
        return AffectOutput(None, scores[:, :2], scores[:, 2], scores[:, 3])


def test_a_file_that_answers_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(RuntimeError, match="differs"):
        export_onnx(Tiny(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=".onnx; rename"):
        export_onnx(small(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match="export_onnx takes the network itself"):
        export_onnx(prepare(small()), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="net.onnx does not exist"):
        load_onnx(tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="no ONNX file of emokit's"):
        load_onnx(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="bfloat16"):
        load_onnx(tmp_path / "net.onnx", precision="int8")
