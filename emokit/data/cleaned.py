"""A cleaned list, laid over any samples: dropped rows go, corrected labels replace."""

from __future__ import annotations

import pandas as pd

from emokit.data.problems import Problems
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

LABELS = ("expression", "valence", "arousal")
_SAME = 1e-5  # numbers that went through means or single precision


def apply_cleaned(samples: pd.DataFrame, cleaned: Table, problems: Problems | None = None) -> pd.DataFrame:
    """The samples that a cleaned list keeps, with its labels.

    Parameters
    ----------
    samples : DataFrame
    cleaned : DataFrame or path
        ``id`` of every sample kept, as in the paper's lists; or, with a column ``verdict``, a word
        for every sample, of which "keep" keeps it. What its columns ``expression``, ``valence``
        and ``arousal`` hold replaces the sample's label; an empty cell leaves it. See
        `emokit.cleaning.cleaned_list`.
    problems : Problems, optional
        Of a reading that skips problems: gets the ids that ``samples`` lack, because their files
        may be among those skipped.

    Returns
    -------
    DataFrame
        Rows of ``samples``, in their order and with their index; ``attrs["cleaned"]`` counts those
        "dropped" and, among the kept, "corrected".

    Raises
    ------
    ValueError
        The list names ids that samples lack, gives a sample no verdict, keeps none, or holds a
        label that is none. The message names ids.
    """
    cleaned = read_table(cleaned).reset_index(drop=True)
    ids, listed = samples["id"].astype(str), cleaned["id"].astype(str)
    unknown = listed[~listed.isin(set(ids))]
    if len(unknown) and problems is not None and problems.on_error == "skip":
        for name in unknown:
            problems.add("the cleaning list", name, "there is no such sample")
        cleaned, listed = cleaned.drop(unknown.index), listed.drop(unknown.index)
    elif len(unknown):
        raise ValueError(
            f"{len(unknown)} of {len(listed)} ids in the cleaning list are not among the samples, "
            f"such as {_some(unknown)}; is it the list of another set?"
        )
    if "verdict" in cleaned:
        unjudged = ids[~ids.isin(set(listed[cleaned["verdict"].notna()]))]
        if len(unjudged):
            raise ValueError(f"{len(unjudged)} samples have no verdict, such as {_some(unjudged)}; judge them too")
        listed = listed[cleaned["verdict"] == "keep"]
    if not len(listed):
        raise ValueError("the cleaning list keeps no sample; list the ids to keep, or write 'keep' as their verdict")
    kept = samples[ids.isin(set(listed))].copy()
    new = cleaned.set_index(cleaned["id"].astype(str)).loc[kept["id"].astype(str)].set_axis(kept.index)
    new = checked_labels(new, samples)
    corrected = pd.Series(False, kept.index)
    for name in new:
        old = as_labels(kept, name)
        changed = differing(old, new[name])
        if changed.any():
            kept[name] = old.where(~changed, new[name])
            corrected |= changed
    kept.attrs = samples.attrs | {"cleaned": {"dropped": len(samples) - len(kept), "corrected": int(corrected.sum())}}
    return kept


def checked_labels(table: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Those of the columns ``LABELS`` that ``table`` has, numbers as numbers, fit for ``samples``.

    Raises
    ------
    ValueError
        A valence or arousal is no number in [-1, 1], or an expression is neither one of AffectNet's
        eight nor among those of ``samples``; the message names the id.
    """
    labels = table[[name for name in LABELS if name in table]].copy()
    for name in labels:
        if name == "expression":
            known = {*EXPRESSIONS[8], *samples.get(name, ())}
            bad, mend = ~labels[name].isin(known), f"is none of {', '.join(EXPRESSIONS[8])}"
        else:
            numbers = pd.to_numeric(labels[name], errors="coerce")
            bad, mend = ~(numbers.abs() <= 1), "is no number in [-1, 1]"
        bad &= labels[name].notna()
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise ValueError(
                f"{table['id'].iloc[row]!r}: the {name} {labels[name].tolist()[row]!r} {mend}; mend the list"
            )
        if name != "expression":
            labels[name] = numbers
    return labels


def as_labels(samples: pd.DataFrame, name: str) -> pd.Series:
    """A column of labels that may be replaced; all empty where ``samples`` have none."""
    if name not in samples:
        return pd.Series(None, samples.index, dtype=object)
    labels = samples[name]
    return labels.astype(object) if isinstance(labels.dtype, pd.CategoricalDtype) else labels


def differing(old: pd.Series, new: pd.Series) -> pd.Series:
    """Rows in which ``new`` holds a label, and another one than ``old``; both of one index."""
    same = old.eq(new) if new.name == "expression" else (old.astype(float) - new).abs() < _SAME
    return new.notna() & ~same.fillna(False).astype(bool)


def _some(ids: pd.Series) -> str:
    """Up to three ids, and how many more."""
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return ", ".join(map(repr, ids[:3])) + more
