"""The long table of ratings: who said what of which item.

One row per rating: ``item`` (the id of a sample), ``annotator``, and what was rated of
``valence`` and ``arousal`` in [-1, 1] and ``expression`` (name). An empty cell is no rating.
Further columns tell of the item: ``subject``, ``recording``, ``time`` (s), any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.tables import Table, _read_file, read_table

TARGETS = ("expression", "valence", "arousal")


def read_ratings(ratings: Table) -> pd.DataFrame:
    """A long table of ratings, checked; items and annotators become text.

    Raises
    ------
    ValueError
        The file is neither CSV nor Parquet or cannot be read; item, annotator or all ratings are
        missing; a column is there twice; an annotator rates an item twice; valence or arousal is no
        number in [-1, 1]. The message names file and row.
    """
    if isinstance(ratings, pd.DataFrame):
        table, where = ratings.reset_index(drop=True), "the ratings"
    else:
        table, where = _read_file(Path(ratings)), str(ratings)
    if not table.columns.is_unique:
        raise ValueError(f"{where}: column {table.columns[table.columns.duplicated()][0]!r} is there twice; drop one")
    for name in ("item", "annotator"):
        if name not in table:
            raise ValueError(f"{where}: no column {name!r}; it has {', '.join(map(str, table.columns))}")
        empty = table[name].isna()
        if empty.any():
            raise ValueError(f"{where}, row {empty.argmax()}: {name} is empty; fill it in or drop the row")
        table[name] = table[name].astype(str)
    if not any(name in table for name in TARGETS):
        raise ValueError(f"{where}: none of the columns {', '.join(TARGETS)}; rename yours")
    twice = table.duplicated(["item", "annotator"])
    if twice.any():
        row = int(twice.argmax())
        raise ValueError(
            f"{where}, row {row}: {table['annotator'][row]!r} rates item {table['item'][row]!r} again; "
            "keep one of the ratings"
        )
    for name in ("valence", "arousal"):
        if name in table:
            numbers = pd.to_numeric(table[name], errors="coerce")
            wrong = table[name].notna() & ~numbers.between(-1, 1)
            if wrong.any():
                row = int(wrong.argmax())
                raise ValueError(
                    f"{where}, row {row}: {name} is {table[name].astype(object)[row]!r}, no number in [-1, 1]; "
                    "rescale the column, and leave empty what is not rated"
                )
            table[name] = numbers
    return table


def add_model(ratings: Table, predictions: Table, name: str = "model") -> pd.DataFrame:
    """``ratings`` with a model's predictions as one more annotator.

    Parameters
    ----------
    ratings : DataFrame or path
        Long table.
    predictions : DataFrame or path
        With ``id``: the rated item. Predictions of other faces are left out; valence and arousal
        are clipped to [-1, 1].
    name : str
        The model's, as an annotator.

    Returns
    -------
    DataFrame
        Long table. What it tells of an item is told of the model's rating, too.

    Raises
    ------
    ValueError
        There is an annotator of this name, no prediction of any item or of what was rated, or a
        prediction of valence or arousal that is no number.
    """
    ratings, predictions = read_ratings(ratings), read_table(predictions)
    if name in set(ratings["annotator"]):
        raise ValueError(f"the ratings have an annotator {name!r} already; choose another name")
    rated = [target for target in TARGETS if target in ratings and target in predictions]
    if not rated:
        raise ValueError(f"the predictions have none of what was rated; their columns are {', '.join(predictions)}")
    for target in set(rated) - {"expression"}:
        try:
            predictions[target] = pd.to_numeric(predictions[target]).clip(-1, 1)
        except ValueError as error:
            raise ValueError(f"the predictions: {target} is no number in every row ({error})") from error
    items = ratings.drop(columns=["annotator", *TARGETS], errors="ignore").drop_duplicates("item")
    said = items.merge(predictions[rated].assign(item=predictions["id"].astype(str)), on="item")
    if said.empty:
        raise ValueError(
            f"no prediction of any rated item: ids such as {predictions['id'].iloc[:1].tolist()}, "
            f"items such as {items['item'].iloc[:1].tolist()}"
        )
    return pd.concat([ratings, said.assign(annotator=name)], ignore_index=True)


def long_ratings(samples: Table) -> pd.DataFrame:
    """Long table of the annotators whose ratings are columns of ``samples``, as `read_sewa` gives them.

    Parameters
    ----------
    samples : DataFrame or path
        With ``valence_1``, ``arousal_1``, …: what follows the underscore names the annotator.

    Returns
    -------
    DataFrame
        Long table, with the samples' subject, recording, video and time where they have them.

    Raises
    ------
    ValueError
        There is no such column.
    """
    samples = read_table(samples)
    columns = samples.columns[samples.columns.str.match("(valence|arousal)_.")]
    if columns.empty:
        raise ValueError(f"no column valence_1, arousal_1, …; there are {', '.join(samples)}")
    about = [name for name in ("subject", "recording", "video", "time") if name in samples]
    parts = []
    for annotator in dict.fromkeys(columns.str.partition("_").get_level_values(2)):
        own = {f"{target}_{annotator}": target for target in ("valence", "arousal")}
        said = samples[[c for c in own if c in samples]].rename(columns=own)
        parts.append(samples[about].assign(item=samples["id"], annotator=annotator, **said))
    return read_ratings(pd.concat(parts, ignore_index=True))


class Wide(NamedTuple):
    """Ratings as arrays: each of ``values`` is (items, annotators), NaN where unrated; expressions are codes."""

    annotators: list[str]
    values: dict[str, NDArray[np.float64]]
    clusters: NDArray[np.int64]  # (items,): which are resampled together


def widen(ratings: Table, cluster: str | None = None) -> Wide:
    """Arrays of a long table; items of a ``cluster`` belong together, by default those of a subject.

    Raises
    ------
    ValueError
        No such column, an item without a cluster or in two, a single annotator, or no rating.
    """
    table = read_ratings(ratings)
    if cluster is None:
        cluster = "subject" if "subject" in table else "item"
    if cluster not in table:
        raise ValueError(f"the ratings have no column {cluster!r} to resample by; 'item' is always there")
    items, names = pd.factorize(table["item"])
    annotators, who = pd.factorize(table["annotator"])
    if len(who) < 2:
        raise ValueError(f"agreement needs two annotators, the ratings have {', '.join(who) or 'none'}")
    groups = pd.factorize(table[cluster])[0]
    of_item = np.zeros(len(names), dtype=np.int64)
    of_item[items] = groups
    bad = (groups < 0) | (of_item[items] != groups)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"the ratings, row {row}: item {table['item'][row]!r} has no {cluster} or more than one; give each item one"
        )
    values = {}
    for target in TARGETS:
        if target in table and table[target].notna().any():
            column = table[target]
            if target == "expression":
                column = pd.Series(pd.factorize(column)[0]).replace(-1, np.nan)
            values[target] = np.full((len(names), len(who)), np.nan)
            values[target][items, annotators] = column
    if not values:
        raise ValueError(f"the ratings are empty: {', '.join(t for t in TARGETS if t in table)} hold no rating")
    return Wide(list(who), values, of_item)
