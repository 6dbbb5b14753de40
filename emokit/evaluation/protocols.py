"""On which faces figures are measured: cleaned sets, folds, cultures.

Test-time flip averaging is an option of `emokit.inference.predict`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from emokit.data.cleaned import apply_cleaned
from emokit.data.tables import Table, read_table
from emokit.evaluation.report import report


def cleaned(samples: Table, cleaning: Table) -> pd.DataFrame:
    """The samples that a cleaning list keeps, with the labels that it corrects.

    The paper reports both: ``report(predictions, samples, data="AffectNet")`` beside
    ``report(predictions, cleaned(samples, "kept.csv"), data="AffectNet, clean set")``.

    Parameters
    ----------
    samples : DataFrame or path
    cleaning : DataFrame or path
        ``id`` of every sample kept, as in the paper's lists; or, with a column ``verdict``, a
        word for every sample, of which "keep" keeps it. Labels that it holds replace those of the
        samples: see `emokit.data.apply_cleaned`.

    Returns
    -------
    DataFrame
        Rows of ``samples``, in their order.

    Raises
    ------
    ValueError
        The list names an id that samples lack, gives a sample no verdict, or keeps none.
    """
    return apply_cleaned(read_table(samples), cleaning)


def by_group(predictions: Table, samples: Table, column: str, **options: Any) -> pd.DataFrame:
    """A report for every group, and for all faces pooled: SEWA per culture, AFEW-VA per fold.

    Pooled figures are no averages of the groups': a CCC over all folds also counts how far apart
    the folds lie.

    Parameters
    ----------
    predictions, samples : DataFrame or path
    column : str
        Of samples or, as ``fold`` of `emokit.training.folds.cross_validate`, of predictions.
    **options
        Passed on to `report`.

    Returns
    -------
    DataFrame
        `report`'s, with ``column`` first: each group, then "pooled".

    Raises
    ------
    ValueError
        Neither table has the column, or it is empty for a sample; and as `report`.
    """
    predictions, samples = read_table(predictions), read_table(samples)
    ids = samples["id"].astype(str)
    if column in samples:
        groups = samples[column]
    elif column in predictions:
        groups = ids.map(predictions.set_index(predictions["id"].astype(str))[column])
    else:
        raise ValueError(f"neither samples nor predictions have a column {column!r}")
    if groups.isna().any():
        raise ValueError(
            f"sample {ids[groups.isna()].iloc[0]!r} has no {column}; fill it in, or leave such samples out"
        )
    parts = {name: samples[groups == name] for name in sorted(groups.unique())} | {"pooled": samples}
    tables = [report(predictions, part, **options) for part in parts.values()]
    for name, table in zip(parts, tables, strict=True):
        table.insert(0, column, pd.Series([name] * len(table), dtype=object))
    return pd.concat(tables, ignore_index=True)
