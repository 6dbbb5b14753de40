"""Cross-validation by person: the paper's protocol on AFEW-VA."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from emokit.data import read_afew_va, read_table
from emokit.models import EmoFAN, save_emofan
from emokit.training.config import read_config
from emokit.training.folds import cross_validate
from emokit.training.run import measure

AFEW = Path(__file__).parents[1] / "data" / "afew_va"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The recipe "afew_va" in small, fine-tuned from a checkpoint."""
    folder = tmp_path_factory.mktemp("folds")
    torch.manual_seed(0)
    save_emofan(EmoFAN(width=16, input_size=64), folder / "start.safetensors")
    config = read_config(
        "afew_va", width=16, input_size=64, epochs=1, batch_size=8, workers=0, precision="32-true",
        weights=str(folder / "start.safetensors"), out=folder / "run",
    )  # fmt: skip
    samples = read_afew_va(AFEW)
    return config, samples, cross_validate(config, samples, progress=False)


def test_every_person_is_judged_by_a_network_that_has_not_seen_them(run):
    config, samples, table = run
    predictions = read_table(config.out / "predictions.parquet")
    assert sorted(predictions["id"]) == sorted(samples["id"])
    subjects = samples.set_index("id")["subject"]
    assert predictions["fold"].groupby(subjects.loc[predictions["id"]].to_numpy()).nunique().eq(1).all()
    for fold, said in predictions.groupby("fold"):
        tested = read_table(config.out / f"fold{fold}" / "predictions.parquet")
        assert set(tested["id"]) == set(said["id"])
    assert table.index.tolist() == [0, 1, 2, 3, 4, "pooled"]
    # The paper's figures on AFEW-VA are those of all folds' predictions together.
    assert table.loc["pooled"].to_dict() == measure(samples, predictions)
    assert table["ccc_valence"].nunique() > 2


def test_folds_start_from_the_checkpoint_and_train_its_head_only(run):
    config, _, _ = run
    paths = [config.weights, *(config.out / f"fold{k}" / "model.safetensors" for k in (0, 1))]
    start, one, two = map(load_file, paths)
    for name, tensor in start.items():
        if "emo_" not in name:
            assert torch.equal(one[name], tensor)
    assert any(not torch.equal(one[name], start[name]) for name in start)
    assert any(not torch.equal(one[name], two[name]) for name in start)


def test_finished_folds_are_not_trained_again(run):
    config, samples, table = run
    before = {p: p.stat().st_mtime_ns for p in config.out.glob("fold*/model.safetensors")}
    again = cross_validate(config, samples, progress=False)
    assert before == {p: p.stat().st_mtime_ns for p in before} and len(before) == 5
    np.testing.assert_array_equal(again.to_numpy(), table.to_numpy())
