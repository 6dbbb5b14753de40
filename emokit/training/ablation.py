"""Every row of the paper's Tables 5 and 6 from one call; what is trained already is not trained again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from emokit.data.tables import read_table, write_table
from emokit.training.config import Config
from emokit.training.record import weights_file
from emokit.training.run import fit, measure, read


class Row(NamedTuple):
    """A row as the paper names it, and what it changes in a configuration."""

    table: str
    system: str
    setting: str
    changes: dict[str, Any]


def _row(modality: str, network: str = "emofan") -> Row:
    system = {"resnet18": "ResNet-18", "emofan": "EmoFAN"}[network]
    return Row("table5", system, modality, {"network": network, "modality": modality})


ROWS = (
    *(_row(modality, "resnet18") for modality in ("O+R", "F+R", "F+R+C")),
    *map(_row, ("F+R", "F+R+C", "F+R+C+A", "F+R+C+A+D", "F+R+C+A+S", "F+R+C+A+S+D")),
    Row("table6", "EmoFAN", "CCC-based loss", {"network": "emofan", "modality": "F+R+C"}),
    Row("table6", "EmoFAN", "MSE loss", {"network": "emofan", "modality": "F+R+C", "loss": "mse"}),
    Row("table6", "EmoFAN", "shake-shake", {"network": "emofan", "modality": "F+R+C+S"}),
)


def ablation(config: Config, seeds: Sequence[int] = (), rows: Sequence[Row] = ROWS) -> pd.DataFrame:
    """Train every row of Tables 5 and 6 with every seed.

    Parameters
    ----------
    config : Config
        What the rows share; ResNet-18 gets a quarter of its ``width``, as in the paper. ``out``
        gets a folder per network, and the result as ``ablation.csv``.
    seeds : sequence of int
        Of initial weights, order of faces, augmentation and shake-shake weights; without any, the
        configuration's.
    rows : sequence of Row

    Returns
    -------
    DataFrame
        Columns of `published`, and ``seed``. Where labels have planted errors (`noisy_labels`),
        ``data`` is "noisy labels" and, as the paper's clean set of AffectNet, "clean labels".
    """
    train, validation = read(config.train), read(config.validation)
    results = []
    for seed in seeds or (config.seed,):
        for row in tqdm(rows, f"ablation, seed {seed}", disable=None):
            folder = _train(config, row.changes | {"seed": seed}, train, validation)
            results.append(_measure(folder, validation).assign(**row._asdict(), seed=seed))
    columns = ["table", "data", "system", "setting", "target", "metric", "seed", "value"]
    table = pd.concat(results, ignore_index=True)[columns]
    write_table(table, config.out / "ablation.csv")
    return table


def configure(config: Config, seed: int | None = None, **changes: Any) -> Config:
    """The run of one row: ``config`` with ``changes``, in a folder of its own under ``config.out``.

    A row with D is taught by the row without it, which must be trained first.
    """
    changes = {"network": config.network, "modality": config.modality} | changes
    changes["seed"] = config.seed if seed is None else seed
    changed = changes | {"out": config.out / "-".join(str(value) for value in changes.values()).replace("+", "")}
    if changes["network"] == "resnet18":
        changed |= {"weights": None, "width": config.width // 4, "landmark_epochs": 0}
    if "D" in changes["modality"].split("+"):
        changed["teacher"] = str(weights_file(configure(config, **_without_d(changes))))
    return Config(**config.model_dump() | changed)


def _without_d(changes: dict[str, Any]) -> dict[str, Any]:
    letters = changes["modality"].split("+")
    return changes | {"modality": "+".join(letter for letter in letters if letter != "D")}


def _train(config: Config, changes: dict[str, Any], train: pd.DataFrame, validation: pd.DataFrame) -> Path:
    """Folder of the trained network; equal ``changes`` share it."""
    run = configure(config, **changes)
    if run.teacher:
        _train(config, _without_d(changes), train, validation)
    fit(run, train, validation, progress=False)
    return run.out


def _measure(folder: Path, validation: pd.DataFrame) -> pd.DataFrame:
    """Metrics of the stored predictions, against the labels and, where they are known, the true ones."""
    said = read_table(folder / "predictions.parquet")
    has_categories = "accuracy" in json.loads((folder / "result.json").read_text())
    kinds = {"labels": ""} if "true_valence" not in validation else {"noisy labels": "", "clean labels": "true_"}
    parts = []
    for data, truth in kinds.items():
        for name, value in measure(validation, said, truth).items():
            metric, _, target = name.partition("_")
            if metric != "accuracy":
                parts.append({"data": data, "target": target, "metric": metric.upper(), "value": value})
            elif has_categories:
                parts.append({"data": data, "target": "expression", "metric": metric, "value": value})
    return pd.DataFrame(parts)
