"""Every figure of the paper's Tables 1–6, as one tidy table."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


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
        EmoFAN); ``setting`` (modality in Table 5, loss in Table 6); ``target`` (expression,
        valence or arousal); ``metric`` (accuracy as a share, RMSE, SAGR, PCC, CCC); ``value`` as
        printed. What the paper prints as a dash has no row. Table 5 prints the arousal CCC of
        ResNet-18 with F+R as 0.6, one digit less than all others.

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
