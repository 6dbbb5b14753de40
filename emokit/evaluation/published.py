"""Every figure of the paper's Tables 1–6, tidy or as printed. Accuracy and SAGR are shares in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from itertools import product

import pandas as pd

# Rows may start with a dash, so first appearance does not give the printed order.
_COLUMNS = pd.MultiIndex.from_tuples(
    [("expression", "accuracy"), *product(["valence", "arousal"], ["RMSE", "SAGR", "PCC", "CCC"])],
    names=["target", "metric"],
)


def published(table: str | None = None) -> pd.DataFrame:
    """The paper's figures, one per row.

    Parameters
    ----------
    table : {"table1", "table2", "table3", "table4", "table5", "table6"}, optional
        All of them by default.

    Returns
    -------
    DataFrame
        ``table``; ``data`` (the set measured on); ``system`` (the paper's own network is
        EmoFAN, human inter-agreement is Human IA); ``setting`` (modality in Table 5, loss in
        Table 6); ``target`` (expression, valence or arousal); ``metric`` (accuracy as a share,
        RMSE, SAGR, PCC, CCC); ``value`` as printed. What the paper prints as a dash has no row.
        Table 5 prints the arousal CCC of ResNet-18 with F+R as 0.6, one digit less than all
        others. Table 4 says only AffectNet, but its EmoFAN row repeats the clean set of Table 1.

    Raises
    ------
    ValueError
        There is no such table.
    """
    path = files("emokit.evaluation") / "published.csv"
    with path.open(encoding="utf-8") as file:
        figures = pd.read_csv(file, keep_default_na=False)
    if table is None:
        return figures
    known = figures["table"].unique()
    if table not in known:
        raise ValueError(f"the paper has no {table!r}; it has {', '.join(known)}")
    return figures[figures["table"] == table].reset_index(drop=True)


def published_table(table: str) -> pd.DataFrame:
    """One table of the paper, rows and columns in the printed order.

    Parameters
    ----------
    table : {"table1", "table2", "table3", "table4", "table5", "table6"}
        Its name, as in `published`.

    Returns
    -------
    DataFrame
        Rows by ``system`` and ``setting``, and by ``data`` where a table has more than one set;
        columns by ``target`` and ``metric``. NaN where the paper prints a dash.

    Raises
    ------
    ValueError
        There is no such table.
    """
    figures = published(table)
    rows = ["system", "setting", "data"] if figures["data"].nunique() > 1 else ["system", "setting"]
    wide = figures.pivot(index=rows, columns=["target", "metric"], values="value")
    printed = pd.MultiIndex.from_frame(figures[rows].drop_duplicates())
    return wide.reindex(index=printed, columns=_COLUMNS[_COLUMNS.isin(wide.columns)])


def compare(results: pd.DataFrame, table: str, data: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Figures of the paper and yours side by side.

    Parameters
    ----------
    results : DataFrame
        Columns system, setting, target, metric and value, as in `published`; data where the
        table has more than one set; rows of several seeds count as one, by their mean. ``low``,
        ``high`` and ``n`` of `report` stay where every row is of one seed.
    table : str
        Such as "table5".
    data : mapping, optional
        What the paper calls your sets: ``{"clean labels": "AffectNet, clean set"}``. Other sets
        are left out.

    Returns
    -------
    DataFrame
        The paper's rows in its order that ``results`` has too: ``row`` (what tells it from the
        others, in words), ``paper``, ``yours``; over seeds, ``sd`` and ``seeds``; and what stays of
        `report`.

    Raises
    ------
    ValueError
        There is no such table, it shares no row with ``results``, or these lack a column.
    """
    figures = published(table)
    keys = ["system", "setting", "data", "target", "metric"]
    for name in (*keys, "value"):
        if name not in results and name != "data":
            raise ValueError(f"the results have no column {name!r}; they have {', '.join(map(str, results.columns))}")
    mine = results[results["table"] == table] if "table" in results else results
    if data is not None:
        mine = mine[mine["data"].isin(data)].assign(data=lambda t: t["data"].map(data))
    elif "data" not in mine:
        mine = mine.assign(data=figures["data"].iloc[0])
    rows = mine.groupby(keys, dropna=False)
    mine = rows["value"].agg(yours="mean", sd="std", seeds="size")
    # The mean over seeds has no interval of its own.
    stay = [name for name in ("low", "high", "n") if name in results and (mine["seeds"] == 1).all()]
    mine = mine.join(rows[stay].first()).reset_index()
    both = figures.rename(columns={"value": "paper"}).merge(mine, on=keys, how="inner")
    if both.empty:
        raise ValueError(f"no row of {table} is among yours: they differ in one of {', '.join(keys)}")
    row = both["system"].str.cat(both["setting"], sep="  ").str.strip()
    several = both.groupby(["system", "setting"])["data"].transform("nunique") > 1
    both.insert(0, "row", row.where(~several, row + " (" + both["data"] + ")"))
    return both.drop(columns="table")


def orderings(both: pd.DataFrame, metric: str = "CCC") -> pd.DataFrame:
    """Whether your figures rise and fall as the paper's do: from row to row, and with each part added.

    Parameters
    ----------
    both : DataFrame
        From `compare`, with several seeds.
    metric : str

    Returns
    -------
    DataFrame
        For each target, each row and the one before it, and each row that has one part more than an
        earlier one (F+R+C+A, F+R+C+A+S): ``before`` and ``after`` (rows), the change in
        ``paper`` and in ``yours``, the ``margin`` of yours (two standard errors over seeds), and
        ``order``: "same", "reversed", "only yours" where the paper prints equal figures, or
        "within seeds" where the margin holds zero.
    """
    parts = []
    for target, rows in both[both["metric"] == metric].groupby("target", sort=False):
        pairs = [(i, j) for j in range(len(rows)) for i in range(j) if i == j - 1 or _adds(*rows["row"].iloc[[i, j]])]
        before, after = (rows.iloc[list(numbers)].reset_index(drop=True) for numbers in zip(*pairs, strict=True))
        step = pd.DataFrame({"target": target, "before": before["row"], "after": after["row"]})
        step["paper"], step["yours"] = after["paper"] - before["paper"], after["yours"] - before["yours"]
        step["margin"] = 2 * (before["sd"] ** 2 / before["seeds"] + after["sd"] ** 2 / after["seeds"]) ** 0.5
        parts.append(step)
    steps = pd.concat(parts, ignore_index=True)
    same = steps["paper"] * steps["yours"] > 0
    steps["order"] = same.map({True: "same", False: "reversed"})
    steps.loc[steps["paper"].abs() < 0.005, "order"] = "only yours"  # the paper has two digits
    steps.loc[~(steps["yours"].abs() > steps["margin"]), "order"] = "within seeds"
    return steps


def _adds(before: str, after: str) -> bool:
    """Whether ``after`` has the parts of ``before``, joined by +, and one more, on the same data."""
    before, after = set(before.split("+")), set(after.split("+"))
    return before < after and [len(part) for part in after - before] == [1]
