"""From decisions to cleaned labels: a list that any loader takes, and the paper's pickles."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emokit.cleaning.store import VERDICTS
from emokit.data.affectnet import FILES, listed_face
from emokit.data.cleaned import LABELS, apply_cleaned, as_labels, checked_labels, differing
from emokit.data.images import is_path
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS
from emokit.whole import whole

_REMOVES = ("no face", "bad crop", "duplicate")


def cleaned_list(samples: Table, decisions: Table, *, keep_unsure: bool = False) -> pd.DataFrame:
    """What review made of every sample.

    "correct" keeps a face. "wrong" keeps it under the label that the annotator gave instead, and
    drops it where there is none. "no face", "bad crop" and "duplicate" drop it, "unsure" by
    default. What nobody decided on is kept.

    Parameters
    ----------
    samples : DataFrame or path
    decisions : DataFrame or path
        One per item, as ``Store.decisions(final=True)`` gives: ``id``, ``annotator``, ``verdict``,
        labels after the decision, ``note``.
    keep_unsure : bool
        Keep what annotators were unsure of.

    Returns
    -------
    DataFrame
        In the order of ``samples``: ``id``; ``verdict``, "keep" or "drop"; ``reason``, the annotator's
        verdict, "corrected" where the label is a new one, "not reviewed" where there is none;
        ``expression``, ``valence`` and ``arousal`` where samples or annotators have them;
        ``annotator``; ``note``. `write_table` keeps it, and every loader takes it as ``cleaned``.

    Raises
    ------
    ValueError
        A decision is about an id that samples lack, has an unknown verdict, or gives a label that
        is none; or an id has several decisions. The message names it.
    """
    samples, decisions = read_table(samples).reset_index(drop=True), _decisions(decisions)
    ids, decided = samples["id"].astype(str), decisions["id"].astype(str)
    unknown = decided[~decided.isin(set(ids))]
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} of {len(decided)} decisions are about ids that samples lack, such as "
            f"{', '.join(map(repr, unknown[:3]))}; are they of another set?"
        )
    labels = checked_labels(decisions, samples).set_index(decided).reindex(ids).set_axis(samples.index)
    given = decisions.set_index(decided).reindex(ids).set_axis(samples.index)
    verdict = given["verdict"]
    changed = pd.Series(False, samples.index)
    table = samples[["id"]].copy()
    for name in LABELS:
        if name not in samples and (name not in labels or labels[name].isna().all()):
            continue
        old = as_labels(samples, name)
        table[name] = old
        if name in labels:
            new = differing(old, labels[name])
            table[name] = old.where(~new, labels[name]) if new.any() else old
            changed |= new
    changed &= verdict.isin(["correct", "wrong", "unsure"])
    drop = verdict.isin(_REMOVES) | ((verdict == "wrong") & ~changed)
    if not keep_unsure:
        drop |= verdict == "unsure"
    table.insert(1, "verdict", np.where(drop, "drop", "keep"))
    table.insert(2, "reason", verdict.mask(changed & ~drop, "corrected").fillna("not reviewed"))
    for name in ("annotator", "note"):
        table[name] = given[name].fillna("") if name in given else ""
    return table


def write_cleaned_pickle(samples: Table, cleaned: Table, folder: str | os.PathLike, subset: str = "train") -> Path:
    """Write ``samples`` under a cleaned list as the paper's release has it: a dict of file name to labels.

    Pictures stay where they are; their names are relative to ``folder``. What the list drops is
    kept in the file as not ``expression_correct``. ``read_affectnet(folder, subset,
    layout="pickle")`` reads it.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image``, ``landmarks``, ``expression`` of AffectNet's eight, ``valence`` and ``arousal``.
    cleaned : DataFrame or path
        From `cleaned_list`.
    folder : path
    subset : {"train", "validation"}

    Returns
    -------
    Path
        Of the pickle.

    Raises
    ------
    ValueError
        A sample lacks picture, landmarks or expression, two share a picture, or the list does not
        fit; the message names the id.
    FileExistsError
        There is one already: it is not written over.
    """
    samples = read_table(samples).reset_index(drop=True)
    if subset not in FILES["pickle"]:
        raise ValueError(f"subset is {' or '.join(map(repr, FILES['pickle']))}, got {subset!r}")
    path = Path(folder).absolute() / FILES["pickle"][subset][0]
    if path.exists():
        raise FileExistsError(f"{path} is there already; choose another folder, pictures stay where they are")
    for name in ("image", "landmarks", *LABELS):
        if name not in samples:
            raise ValueError(f"the samples table has no column {name!r}, which the paper's layout needs")
    kept = apply_cleaned(samples, cleaned)
    correct = samples.index.isin(kept.index)
    listed: dict[str, Any] = {"folder": "."}
    twice = samples["image"].duplicated(keep=False) & samples["image"].notna()
    if twice.any():
        first, second = samples.loc[samples["image"] == samples.loc[twice, "image"].iloc[0], "id"].iloc[:2]
        raise ValueError(
            f"samples {first!r} and {second!r} share a picture, and the paper's layout has one face per picture; write "
            "each into a folder of its own, or use the list itself"
        )
    for face, right in zip(
        pd.concat([kept, samples[~correct]]).loc[samples.index].to_dict("records"), correct, strict=True
    ):
        if face["landmarks"] is None or face["expression"] not in EXPRESSIONS[8]:
            lacks = "landmarks" if face["landmarks"] is None else f"expression of AffectNet's ({face['expression']!r})"
            raise ValueError(f"sample {face['id']!r} has no {lacks}, which the paper's layout needs")
        if not is_path(face["image"]):
            raise ValueError(f"sample {face['id']!r} names no picture, which the paper's layout needs; drop it")
        listed[Path(os.path.relpath(face["image"], path.parent)).as_posix()] = listed_face(face, bool(right))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as beside:
        beside.write_bytes(pickle.dumps(listed, protocol=2))
    return path


def _decisions(decisions: Table) -> pd.DataFrame:
    """One decision per item, with a verdict that is one."""
    try:
        decisions = read_table(decisions)
    except ValueError as error:
        raise ValueError(f"decisions: {error}; one per item is needed, as Store.decisions(final=True) gives") from error
    if "verdict" not in decisions:
        raise ValueError(f"decisions have no column 'verdict'; they have {', '.join(map(str, decisions.columns))}")
    strange = ~decisions["verdict"].isin(VERDICTS)
    if strange.any():
        row = int(strange.to_numpy().argmax())
        raise ValueError(
            f"decision on {decisions['id'].iloc[row]!r}: {decisions['verdict'].iloc[row]!r} is no verdict; "
            f"verdicts are {', '.join(VERDICTS)}"
        )
    return decisions
