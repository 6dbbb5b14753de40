"""Rows of Tables 5 and 6 from one call."""

import pandas as pd
import pytest

from emokit.data import noisy_labels, sample_faces, write_table
from emokit.evaluation import compare
from emokit.models import EmoFAN, save_emofan
from emokit.training import Config, configure, fit
from emokit.training.ablation import ROWS, ablation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four rows on faces with planted errors."""
    folder = tmp_path_factory.mktemp("ablation")
    save_emofan(EmoFAN(width=64, input_size=64), folder / "fan.safetensors")
    noisy = noisy_labels(sample_faces(), wrong=0.2, spread=0.2, seed=1)
    parts = {"train": noisy.head(48), "validation": noisy.tail(16)}
    for name, part in parts.items():
        write_table(part, folder / f"{name}.parquet")
    data = {name: {"dataset": "table", "options": {"table": str(folder / f"{name}.parquet")}} for name in parts}
    config = Config(
        **data, weights=str(folder / "fan.safetensors"), width=64, input_size=64, batch_size=16, epochs=1,
        precision="32-true", out=folder / "run",
    )  # fmt: skip
    rows = [row for row in ROWS if row.setting in ("O+R", "F+R+C", "MSE loss")]
    rows = [row._replace(changes=row.changes | {"modality": row.changes["modality"].replace("F", "O")}) for row in rows]
    rows.append(rows[1]._replace(setting="O+R+C+D", changes={"network": "resnet18", "modality": "O+R+C+D"}))
    return config, rows, ablation(config, (0, 1), rows)


def test_every_row_has_its_figures_against_both_labels(run):
    _, rows, table = run
    assert table.groupby(["data", "setting", "system", "seed"]).ngroups == 2 * len(rows) * 2
    counts = table.groupby(["setting", "target"])["metric"].nunique()
    assert counts["O+R"].to_dict() == {"arousal": 4, "valence": 4}  # no C: no accuracy
    assert counts["F+R+C"].to_dict() == {"arousal": 4, "valence": 4, "expression": 1}
    wide = table.pivot_table("value", ["setting", "system", "seed", "target", "metric"], "data")
    assert (wide["noisy labels"] != wide["clean labels"]).mean() > 0.8
    assert wide.unstack("seed").nunique(axis=1).gt(1).any()
    assert table["value"].between(-1, 2).all()


def test_rows_share_networks_and_the_student_has_a_teacher(run):
    config, rows, table = run
    runs = sorted(path.parent.name for path in config.out.glob("*/result.json"))
    assert len(runs) == 2 * len(rows) and not list(config.out.glob("*/teacher"))
    student = configure(config, network="resnet18", modality="O+R+C+D")
    assert student.teacher == str(configure(config, network="resnet18", modality="O+R+C").out / "model.safetensors")
    written = {path: path.stat().st_mtime_ns for path in config.out.glob("*/model.*")}
    pd.testing.assert_frame_equal(ablation(config, (0, 1), rows), table)
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert (config.out / "ablation.csv").exists()


def test_results_stand_beside_the_papers(run):
    _, _, table = run
    both = compare(table, "table5", {"noisy labels": "AffectNet"})
    assert set(both["row"]) == {"ResNet-18  F+R+C", "ResNet-18  O+R", "EmoFAN  F+R+C"}
    assert both["seeds"].eq(2).all()


def test_without_seeds_the_configurations_counts(run, monkeypatch):
    config, rows, table = run
    trained = []

    def only_known(run, *args, **options):
        trained.append(run.seed)
        return fit(run, *args, **options)

    monkeypatch.setattr("emokit.training.ablation.fit", only_known)
    again = ablation(config.model_copy(update={"seed": 1}), rows=rows)
    assert set(trained) == {1} and again["seed"].eq(1).all()
    expected = table[table["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected)
    assert configure(config.model_copy(update={"seed": 5}), modality="O+R").seed == 5
