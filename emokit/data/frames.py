"""Tables of a video's frames, as smoothing, the pictures and the CCC over time take them."""

from __future__ import annotations

import pandas as pd

from emokit.data.tables import Table, read_table


def read_frames_table(
    table: Table, *columns: str, name: str = "the predictions", one_video: bool = False
) -> pd.DataFrame:
    """``table`` with all of ``columns``.

    Rows are told apart by video, frame and person: ids may be missing from a DataFrame, and those of two
    videos of one name in two folders are equal.

    Parameters
    ----------
    table : DataFrame or path
    *columns : str
    name : str
        What messages call it.
    one_video : bool
        Refuse several.

    Raises
    ------
    ValueError
        A column is missing, there are several videos, or as `read_table`.
    """
    if isinstance(table, pd.DataFrame):
        frames = read_table(table.assign(id=range(len(table))))
        frames = frames.assign(id=table["id"]) if "id" in table else frames.drop(columns="id")
    else:
        frames = read_table(table)
    missing = [column for column in columns if column not in frames]
    if missing:
        raise ValueError(f"{name} have no column {missing[0]!r}; they have {', '.join(map(str, frames.columns))}")
    if one_video and "video" in frames and frames["video"].nunique() > 1:
        first = frames["video"].iloc[0]
        raise ValueError(
            f"{name} are of {frames['video'].nunique()} videos; choose one: table[table['video'] == {first!r}]"
        )
    return frames
