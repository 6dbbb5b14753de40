"""Person-independent cross-validation: the paper's protocol on AFEW-VA (Table 3)."""

from __future__ import annotations

import pandas as pd
from tqdm.auto import tqdm

from emokit.data.afew_va import person_independent_folds
from emokit.data.tables import read_table, write_table
from emokit.training.config import Config
from emokit.training.run import fit, measure


def cross_validate(config: Config, samples: pd.DataFrame, n_folds: int = 5, progress: bool = True) -> pd.DataFrame:
    """Train on all folds but one, measure on that one, in turn; finished folds are not trained again.

    Parameters
    ----------
    config : Config
        Such as the recipe "afew_va". ``out`` gets a folder per fold, ``folds.csv`` (subject and
        fold), and the predictions of all samples, each by the network that has not seen its
        person, as ``predictions.parquet``.
    samples : DataFrame
        With ``subject``.
    n_folds : int
        5 in the paper.
    progress : bool

    Returns
    -------
    DataFrame
        Metrics of every fold, indexed by its number, and of all samples together ("pooled").
    """
    samples = read_table(samples)
    config.out.mkdir(parents=True, exist_ok=True)
    folds = person_independent_folds(samples, n_folds, config.seed, config.out / "folds.csv")
    results, parts = {}, []
    for fold in tqdm(range(n_folds), "folds", disable=None if progress else True):
        part = config.model_copy(update={"out": config.out / f"fold{fold}"})
        results[fold] = fit(part, samples[folds != fold], samples[folds == fold], progress=False)
        parts.append(read_table(part.out / "predictions.parquet").assign(fold=fold))
    predictions = pd.concat(parts, ignore_index=True)
    write_table(predictions, config.out / "predictions.parquet")
    results["pooled"] = measure(samples, predictions)
    return pd.DataFrame(results).T.rename_axis("fold")
