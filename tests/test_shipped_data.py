"""The samples in ``data/`` are files like the real ones: every loader reads them."""

from pathlib import Path

import numpy as np
import pytest

from emokit.data import sample_faces
from emokit.data.afew_va import person_independent_folds, read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.dataset import FaceDataset
from emokit.data.sewa import read_sewa, subject_independent_split
from emokit.inference import predict
from emokit.training.config import Data
from emokit.training.run import read

DATA = Path(__file__).parents[1] / "data"


def test_the_shipped_data_is_small():
    assert sum(p.stat().st_size for p in DATA.rglob("*") if p.is_file()) < 8 * 2**20


@pytest.mark.parametrize("layout", ["csv", "npy", "pickle"])
def test_affectnet(layout):
    faces = [read_affectnet(DATA / "affectnet" / layout, s, check_images=True) for s in ("train", "validation")]
    assert [len(f) for f in faces] == [16, 8]
    assert faces[0]["expression"].tolist() == sample_faces()["expression"].tolist()[:16]
    assert FaceDataset(faces[0], size=64)[3]["image"].shape == (3, 64, 64)


def test_afew_va(demo):
    samples = read_afew_va(DATA / "afew_va")
    assert len(samples) == 60 and samples["subject"].nunique() == 5
    assert person_independent_folds(samples).nunique() == 5
    assert np.corrcoef(predict(samples, demo)["valence"], samples["valence"])[0, 1] > 0.8


def test_sewa(tmp_path, monkeypatch):
    for module in ("data.extraction", "inference.find"):
        monkeypatch.setattr(f"emokit.{module}.pooch.os_cache", lambda name: tmp_path)
    samples = read_sewa(DATA / "sewa")
    assert len(samples) == 360 and samples["culture"].nunique() == 2
    assert samples.filter(like="valence_").shape[1] == 4
    assert set(subject_independent_split(samples)) == {"train", "validation", "test"}
    faces = read(Data(dataset="sewa", options={"folder": str(DATA / "sewa"), "subset": "test", "every": 6}))
    assert len(faces) >= 15 and FaceDataset(faces, size=64)[0]["image"].shape == (3, 64, 64)
