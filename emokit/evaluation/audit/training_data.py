"""Audit of training data: who is in it, showing what, labelled by whom, and what cleaning took away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.tables import Table
from emokit.evaluation.audit.details import REGIONS, region
from emokit.evaluation.audit.groups import TIMES, Partition, in_a_word, partitions, read_samples
from emokit.evaluation.audit.measures import culture_match
from emokit.evaluation.protocols import cleaned
from emokit.evaluation.ratings import read_ratings

_REACHED = 0.75  # of all faces lie where a group has one, too; less deserves a warning
CELLS = 8  # of the circumplex, along each axis


@dataclass(frozen=True)
class DataAudit:
    """What `audit_data` found; tables have a row per group, ``columns`` and ``group`` first.

    Attributes
    ----------
    groups : tuple of str
        The columns.
    representation : DataFrame
        Every group and every intersection that could be, empty ones too: ``n``, ``share`` of the
        faces whose group is known, ``subjects``, ``largest`` (share of the group's faces that one
        person has; NaN without subjects).
    labels : DataFrame
        Mean and standard deviation of valence and arousal, the share of every expression, or of every
        region of the circumplex where there are no expressions, and ``imbalance``, how differently
        these are spread than in the rest (total variation, 0 alike, 1 apart).
    coverage : DataFrame
        ``valence`` and ``arousal`` (middles of cells 0.25 wide), ``n`` of the group there.
    reach : DataFrame
        ``reached``: the share of all faces that lie in cells where the group has a face.
    annotators : DataFrame
        ``ratings`` per face, ``annotators``, the share of ``busiest``, and of the
        ``same_culture`` where cultures are given; empty without ratings.
    cleaning : DataFrame
        ``n``, ``removed``, its ``share``, and the share ``rest`` that was removed of the rest;
        empty without a cleaning list.
    warnings : list of str
    """

    groups: tuple[str, ...]
    representation: pd.DataFrame
    labels: pd.DataFrame
    coverage: pd.DataFrame
    reach: pd.DataFrame
    annotators: pd.DataFrame
    cleaning: pd.DataFrame
    warnings: list[str] = field(default_factory=list)


def audit_data(
    samples: Table,
    groups: Sequence[str],
    *,
    intersections: int = 2,
    few: int = 20,
    ratings: Table | None = None,
    cultures: Mapping[str, str] | None = None,
    culture: str = "culture",
    cleaning: Table | None = None,
) -> DataAudit:
    """Representation, labels, coverage of the circumplex, annotators and cleaning, group by group.

    Parameters
    ----------
    samples : DataFrame or path
        Training data, before cleaning; labels may be missing.
    groups : sequence of str
        Columns of samples, as in `audit`.
    intersections : int
        How many columns are crossed at most.
    few : int
        Faces, or persons, below which a warning is due.
    ratings : DataFrame or path, optional
        Long table of who rated what (`emokit.evaluation.ratings`).
    cultures : mapping, optional
        Culture of every annotator, held against the column ``culture`` of samples.
    culture : str
    cleaning : DataFrame or path, optional
        What `emokit.evaluation.cleaned` takes.

    Raises
    ------
    ValueError
        As `audit`, `cleaned` and `culture_match`, or a label of valence or arousal is no number in
        [-1, 1].
    """
    samples = read_samples(samples, groups)
    for target in {"valence", "arousal"} & set(samples):
        _check(samples, target)
    parts = partitions(samples, groups, intersections)
    tables = {
        "representation": _representation(samples, parts),
        "labels": _labels(samples, parts),
        **dict(zip(("coverage", "reach"), _coverage(samples, parts), strict=True)),
        "annotators": pd.DataFrame() if ratings is None else _annotators(samples, parts, ratings, cultures, culture),
        "cleaning": pd.DataFrame() if cleaning is None else _cleaning(samples, parts, cleaning),
    }
    return DataAudit(tuple(groups), **tables, warnings=list(_warnings(samples, groups, tables, few)))


def _each(parts: list[Partition]) -> Iterator[tuple[dict[str, str], NDArray[np.bool_], NDArray[np.bool_]]]:
    """What begins the row of each group, its faces, and those of the rest."""
    for part in parts:
        for code, group in enumerate(part.groups):
            own = part.codes == code
            yield {"columns": part.columns, "group": group}, own, (part.codes >= 0) & ~own


def _representation(samples: pd.DataFrame, parts: list[Partition]) -> pd.DataFrame:
    rows = []
    for about, own, rest in _each(parts):
        row = about | {"n": own.sum(), "share": own.sum() / (own | rest).sum(), "subjects": np.nan, "largest": np.nan}
        if "subject" in samples:
            persons = samples["subject"][own].value_counts()
            row |= {"subjects": len(persons), "largest": persons.max() / own.sum()}
        rows.append(row)
    groups = {part.columns: [value for (value,) in part.members] for part in parts if TIMES not in part.columns}
    for part in parts:
        names = part.columns.split(TIMES)
        possible = {in_a_word(some) for some in product(*(groups[name] for name in names))}
        rows += [
            {"columns": part.columns, "group": group, "n": 0, "share": 0.0, "subjects": 0, "largest": np.nan}
            for group in sorted(possible - set(part.groups))
        ]
    return pd.DataFrame(rows)


def _labels(samples: pd.DataFrame, parts: list[Partition]) -> pd.DataFrame:
    shown = _shown(samples)
    rows = []
    for about, own, rest in _each(parts):
        row = dict(about)
        for target in ("valence", "arousal"):
            if target in samples:
                values = samples[target][own]
                row |= {f"{target}_mean": values.mean(), f"{target}_sd": values.std(ddof=0)}
        if shown is not None:
            spread = [shown[who].value_counts(normalize=True) for who in (own, rest)]
            row["imbalance"] = spread[0].sub(spread[1], fill_value=0).abs().sum() / 2 if rest.any() else np.nan
            row |= spread[0].reindex(_names(shown)).fillna(0).to_dict()
        rows.append(row)
    return pd.DataFrame(rows)


def _names(shown: pd.Series) -> list[str]:
    """What anybody shows, in order."""
    return sorted(shown.dropna().unique())


def _check(samples: pd.DataFrame, target: str) -> None:
    numbers = pd.to_numeric(samples[target], errors="coerce")
    wrong = samples[target].notna() & ~(numbers.abs() <= 1)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ValueError(
            f"row {row} of the samples ({samples['id'].iloc[row]!r}): {target} is {samples[target].iloc[row]!r}, no number "
            f"in [-1, 1]; rescale the column, or leave such faces out ({wrong.sum():,} of {len(samples):,})"
        )
    samples[target] = numbers


def _shown(samples: pd.DataFrame) -> pd.Series | None:
    """Expression of every face, or else the region of its valence and arousal; None without labels."""
    if "expression" in samples:
        return samples["expression"]
    if not {"valence", "arousal"} <= set(samples):
        return None
    places = region(samples["valence"].to_numpy(float), samples["arousal"].to_numpy(float))
    return pd.Series(np.array(REGIONS)[places], samples.index).where(
        samples[["valence", "arousal"]].notna().all(axis=1)
    )


def _coverage(samples: pd.DataFrame, parts: list[Partition]) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not {"valence", "arousal"} <= set(samples):
        return pd.DataFrame(), pd.DataFrame()
    labelled = samples[["valence", "arousal"]].notna().all(axis=1).to_numpy()
    spots = [
        np.clip((samples[t].fillna(0).to_numpy(float) + 1) * CELLS // 2, 0, CELLS - 1) for t in ("valence", "arousal")
    ]
    cell = (spots[0] * CELLS + spots[1]).astype(int)
    cells, reach = [], []
    for about, own, rest in _each(parts):
        n = np.bincount(cell[own & labelled], minlength=CELLS**2)
        everyone = np.bincount(cell[(own | rest) & labelled], minlength=CELLS**2)
        place = np.flatnonzero(everyone)
        middle = [(x + 0.5) * 2 / CELLS - 1 for x in divmod(place, CELLS)]
        cells.append(pd.DataFrame(about | {"valence": middle[0], "arousal": middle[1], "n": n[place]}))
        reach.append(about | {"reached": everyone[n > 0].sum() / max(everyone.sum(), 1)})
    return pd.concat(cells, ignore_index=True), pd.DataFrame(reach)


def _annotators(
    samples: pd.DataFrame, parts: list[Partition], ratings: Table, cultures: Mapping[str, str] | None, culture: str
) -> pd.DataFrame:
    ratings = read_ratings(ratings)
    ids = pd.Index(samples["id"].astype(str))
    row = ids.get_indexer(ratings["item"])
    if (row < 0).all():
        raise ValueError(
            f"the ratings are of no sample: items such as {ratings['item'].iloc[0]!r}, ids such as {ids[0]!r}"
        )
    who = ratings["annotator"].to_numpy()
    match = None if cultures is None else culture_match(samples, ratings, cultures, culture)["culture_match"].to_numpy()
    rows = []
    for about, own, _ in _each(parts):
        each = pd.Series(who[(row >= 0) & own[row]]).value_counts()
        rows.append(
            about
            | {"ratings": each.sum() / own.sum(), "annotators": len(each), "busiest": each.max() / max(each.sum(), 1)}
            | (
                {}
                if match is None
                else {"same_culture": np.nanmean(match[own]) if np.isfinite(match[own]).any() else np.nan}
            )
        )
    return pd.DataFrame(rows)


def _cleaning(samples: pd.DataFrame, parts: list[Partition], cleaning: Table) -> pd.DataFrame:
    gone = ~samples.index.isin(cleaned(samples, cleaning).index)
    return pd.DataFrame(
        about
        | {
            "n": own.sum(),
            "removed": gone[own].sum(),
            "share": gone[own].mean(),
            "rest": gone[rest].mean() if rest.any() else np.nan,
        }
        for about, own, rest in _each(parts)
    )


def _warnings(
    samples: pd.DataFrame, groups: Sequence[str], tables: Mapping[str, pd.DataFrame], few: int
) -> Iterator[str]:
    """In words, what a user of these data must know."""
    for name in groups:
        unknown = samples[name].isna().sum()
        if unknown:
            yield f"{unknown:,} of {len(samples):,} faces have no {name}: they are in no group."
    there = tables["representation"]
    if "subject" not in samples:
        yield "There is no column subject: faces of one person count as independent, and differences look surer than they are."
    for columns, rows in there.groupby("columns", sort=False):
        empty, sparse = rows[rows["n"] == 0], rows[(rows["n"] > 0) & ((rows["n"] < few) | (rows["subjects"] < few))]
        if len(empty):
            yield f"{columns}: nobody is {_listed(empty['group'])}. Nothing can be learnt or said about such faces."
        if len(sparse):
            yield f"{columns}: too few to learn from or to test on: {_listed(map(_size, sparse.itertuples()))}."
        for row in rows[rows["largest"] > 0.5].itertuples():
            yield f"{columns}: one person has {row.largest:.0%} of the faces of {row.group}."
    shown = _shown(samples)
    for row in tables["labels"].to_dict("records") if shown is not None else ():
        absent = [name for name in _names(shown) if not row[name]]
        if absent and "expression" in samples:
            yield f"{row['columns']}: {row['group']} never shows {', '.join(absent)}."
        elif absent:
            yield f"{row['columns']}: no face of {row['group']} is labelled {_listed(absent)}."
    if len(tables["reach"]):
        low = tables["reach"][tables["reach"]["reached"] < _REACHED]
        for columns, rows in low.groupby("columns", sort=False):
            groups_there = _listed(f"{row.group} ({row.reached:.0%})" for row in rows.itertuples())
            yield (
                f"{columns}: large parts of the circumplex that others fill are empty for {groups_there}. In brackets, the "
                "share of all faces that lie where the group has one."
            )


def _size(row: NamedTuple) -> str:
    return (
        f"{row.group} ({row.n:,} faces" + ("" if np.isnan(row.subjects) else f" of {row.subjects:,.0f} persons") + ")"
    )


def _listed(names: Iterable[str]) -> str:
    return "; ".join(names)
