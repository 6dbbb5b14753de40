"""Who belongs to which group: columns of a table, never guesses.

Groups are what people said of themselves, or what a data set states with its source. The kit does
not guess age, gender or ethnicity from pixels. Such guesses err most where an audit looks, for the
same rare faces that the audited network has seldom seen; they then hide the harm, or invent one.
And nobody agreed to be sorted by their looks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.tables import Table, _read_file, read_table

MOST = 30  # groups that a column may have
TIMES = " × "


class Partition(NamedTuple):
    """Faces told apart by one column, or by several at once."""

    columns: str  # "age_band", or "age_band × skin_tone"
    groups: list[str]
    codes: NDArray[np.int64]  # (faces,): place in ``groups``, -1 where a column is empty
    members: list[tuple[str, ...]]  # of each of ``groups``, its value in every column


def in_a_word(members: Sequence[str]) -> str:
    """Name of a group by its values: ``older, dark``. Values with a comma are quoted, so that no two groups are alike."""
    if len(members) == 1:
        return members[0]
    return ", ".join(json.dumps(m, ensure_ascii=False) if set(m) & set(',"') else m for m in members)


def read_samples(samples: Table, groups: Sequence[str]) -> pd.DataFrame:
    """Samples of which the columns of ``groups`` are text as it stands in a CSV: "None" and "n/a" are names, too.

    Raises
    ------
    ValueError
        As `emokit.data.read_table`, or there is no row.
    """
    table = read_table(samples)
    if table.empty:
        where = "the table of samples" if isinstance(samples, pd.DataFrame) else str(samples)
        raise ValueError(f"{where} has a header and no row; each face is a row")
    return table.assign(**_as_written(samples, [name for name in groups if name in table]))


def _as_written(table: Table, columns: Sequence[str]) -> dict[str, NDArray]:
    """Cells of ``columns`` of a CSV as text, None where nothing stands; of another table, nothing."""
    if isinstance(table, pd.DataFrame) or Path(table).suffix != ".csv" or not len(columns):
        return {}
    cells = pd.read_csv(table, usecols=columns, dtype=str, keep_default_na=False)
    return {name: cells[name].astype(object).where(cells[name] != "", None).to_numpy() for name in columns}


def join_groups(samples: Table, groups: Table, on: str | None = None) -> pd.DataFrame:
    """``samples`` with the columns of a table of groups.

    Parameters
    ----------
    samples : DataFrame or path
    groups : DataFrame or path
        ``id`` or ``subject``, and columns such as ``age_band``. Rows that no sample asks for do
        not count; samples without a row have empty groups.
    on : {"id", "subject"}, optional
        By default the one that ``groups`` has; "id" where it has both.

    Raises
    ------
    ValueError
        Neither column is there, a key is empty or repeated, a column is in both tables, no sample
        is named, or there is no sample.
    """
    samples = read_samples(samples, [])
    where = "the table of groups" if isinstance(groups, pd.DataFrame) else str(groups)
    table = groups if isinstance(groups, pd.DataFrame) else _read_file(Path(groups))
    table = table.assign(**_as_written(groups, [name for name in table if name not in ("id", "subject")]))
    keys = ["id", "subject"] if on is None else [on]
    key = next((name for name in keys if name in table), None)
    if key is None:
        raise ValueError(
            f"{where} has no column {' or '.join(map(repr, keys))} to join by; it has {', '.join(map(str, table))}"
        )
    if key not in samples:
        raise ValueError(f"{where} is joined by {key}, but the samples have no such column")
    for problem, rows in (("an empty", table[key].isna()), ("a repeated", table[key].astype(str).duplicated())):
        if rows.any():
            row = int(np.argmax(rows))
            raise ValueError(f"{where}, row {row}: {problem} {key} ({table[key].iloc[row]!r}); give each one row")
    own = [name for name in table if name not in ("id", "subject")]
    twice = [name for name in own if name in samples]
    if twice or not own:
        problem = f"column {twice[0]!r}, which the samples have too; rename one" if twice else "no column of groups"
        raise ValueError(f"{where} has {problem}")
    wanted, known = samples[key].astype(str), table.set_index(table[key].astype(str))[own]
    if not wanted.isin(known.index).any():
        raise ValueError(f"{where} names no {key} of the samples: {key}s such as {known.index[0]!r}, not {wanted[0]!r}")
    return samples.assign(**{name: known[name].reindex(wanted).to_numpy() for name in own})


def partitions(samples: pd.DataFrame, columns: Sequence[str], depth: int) -> list[Partition]:
    """Groups of each of ``columns``, then of every two, up to ``depth`` at once; groups without a face are left out.

    Raises
    ------
    ValueError
        A column is missing, empty, repeated or no column of groups, or there is none.
    """
    if isinstance(columns, str) or not len(columns) or len(set(columns)) < len(columns) or depth < 1:
        raise ValueError(f"groups are one or more columns, each named once, crossed at least 1 deep; got {columns!r}")
    coded = {}
    for name in columns:
        if name not in samples:
            raise ValueError(
                f"samples have no column {name!r} of groups; they have {', '.join(map(str, samples.columns))}. "
                "`join_groups` adds a table of groups"
            )
        if TIMES in str(name):
            raise ValueError(f"column {name!r} reads like two columns that cross; rename it without {TIMES!r}")
        if name in ("id", "subject", "image", "landmarks"):
            raise ValueError(f"{name!r} tells faces apart, not groups; choose another column")
        codes, found = _in_order(samples[name].convert_dtypes())  # 1, not 1.0, beside an empty cell
        if not len(found):
            raise ValueError(f"column {name!r} is empty for every sample; fill it in, or leave it out")
        if len(found) > MOST:
            raise ValueError(
                f"column {name!r} has {len(found)} different values, more than {MOST} groups; put them in bands, "
                "as pandas.cut does, and say where you cut"
            )
        coded[name] = codes.astype(np.int64), [(str(group),) for group in found]
    return [
        _crossed(together, [coded[name] for name in together])
        for size in range(1, min(depth, len(columns)) + 1)
        for together in combinations(columns, size)
    ]


def _in_order(column: pd.Series) -> tuple[NDArray[np.int64], pd.Index]:
    """Codes and values of a column, sorted; numbers by size, also where they are text."""
    codes, found = pd.factorize(column, sort=True)
    numbers = pd.to_numeric(pd.Series(found, dtype=object), errors="coerce")
    if isinstance(column.dtype, pd.CategoricalDtype) or numbers.isna().any():
        return codes, found
    order = np.argsort(numbers.to_numpy(np.float64), kind="stable")
    return np.append(np.argsort(order), -1)[codes], found[order]


def _crossed(columns: Sequence[str], coded: list[tuple[NDArray[np.int64], list[tuple[str, ...]]]]) -> Partition:
    codes, members = coded[0]
    for more, others in coded[1:]:
        known = (codes >= 0) & (more >= 0)
        both = np.where(known, codes * len(others) + more, -1)
        present = np.unique(both[known])
        members = [members[k // len(others)] + others[k % len(others)] for k in present]
        codes = np.where(known, np.searchsorted(present, both), -1)
    return Partition(TIMES.join(columns), [in_a_word(parts) for parts in members], codes, members)
