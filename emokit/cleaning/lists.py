"""From decisions to cleaned labels: a table, the paper's pickles, and any loader's samples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emokit.data.tables import Table, read_table


def cleaned_list(samples: Table, decisions: Table) -> pd.DataFrame:
    samples, decisions = read_table(samples), read_table(decisions)
    given = decisions.set_index(decisions["id"].astype(str)).reindex(samples["id"].astype(str))
    drop = given["verdict"].isin(["unsure", "no face", "bad crop", "duplicate"]).to_numpy()
    found = samples[["id"]].assign(verdict="keep")
    corrected = np.zeros(len(samples), bool)
    for name in ("expression", "valence", "arousal"):
        if name in samples:
            new = given[name].to_numpy()
            changed = pd.notna(new) & (new != samples[name].to_numpy())
            found[name] = np.where(pd.notna(new), new, samples[name])
            corrected |= changed
    drop |= (given["verdict"] == "wrong").to_numpy() & ~corrected
    found.loc[drop, "verdict"] = "drop"
    found["reason"] = given["verdict"].fillna("not reviewed").to_numpy()
    found["annotator"] = given["annotator"].to_numpy()
    return found
