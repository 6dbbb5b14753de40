"""What cleaning removed and corrected, why and by whom, and whether a group loses more faces than the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from emokit.data.cleaned import LABELS, apply_cleaned, as_labels, differing
from emokit.data.tables import Table, read_table
from emokit.evaluation.audit.groups import partitions


def cleaning_report(samples: Table, cleaned: Table, groups: Sequence[str], level: float = 0.95) -> pd.DataFrame:
    """What a cleaned list does to ``samples``: in all, by reason, by annotator, per class and per group.

    Each class and each group is set against all other faces, so that cleaning does not silently
    remove a group's faces. Intervals are Wilson's for shares and Newcombe's for differences. Where
    samples have a ``subject``, persons count rather than faces: their design effect shrinks the
    number of faces, and Student's t replaces the normal (Korn and Graubard, 1998). Intervals of
    differences hold for all classes at once, and for all groups of a column (Bonferroni).

    Parameters
    ----------
    samples : DataFrame or path
        As they were before cleaning.
    cleaned : DataFrame or path
        From `cleaned_list`, or any list that `emokit.data.apply_cleaned` takes.
    groups : sequence of str
        Columns of ``samples``, such as ``["age_band", "skin_tone"]``; may be empty.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        ``by``: "all", "reason", "annotator", "expression" (before cleaning) or a group column, and
        ``value``; numbers of ``faces``, ``removed`` and ``corrected``; ``clusters`` (persons, or
        faces without a subject); ``removed_…``, how many for each reason; the ``share`` removed, from
        ``low`` to ``high``. A face on which several annotators agreed counts for each of them. For classes and
        groups, the ``difference`` of the share from that of all other faces, from
        ``difference_low`` to ``difference_high``, and ``finding``: "loses more", "loses fewer", or
        empty where that interval holds zero.

    Raises
    ------
    ValueError
        The list does not fit the samples, or a column of groups is missing.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is between 0 and 1, got {level}")
    samples, cleaned = read_table(samples).reset_index(drop=True), read_table(cleaned)
    kept = apply_cleaned(samples, cleaned)
    removed = ~samples.index.isin(kept.index)
    corrected = np.zeros(len(samples), bool)
    for name in set(LABELS) & set(kept):
        old = as_labels(samples, name)
        corrected |= differing(old, kept[name].reindex(samples.index)).to_numpy()
    listed = cleaned.set_index(cleaned["id"].astype(str)).reindex(samples["id"].astype(str))
    reasons = _names(listed, "reason")
    annotators = _names(listed, "annotator")
    persons = pd.factorize(samples["subject"], use_na_sentinel=False)[0] if "subject" in samples else None

    def row(by: str, value: str, chosen: NDArray[np.bool_], tested: int = 0) -> dict[str, object]:
        found = {
            "by": by, "value": value, "faces": chosen.sum(), "removed": (removed & chosen).sum(),
            "corrected": (corrected & chosen).sum(),
            "clusters": chosen.sum() if persons is None else len(np.unique(persons[chosen])),
        }  # fmt: skip
        if by != "reason":  # a reason removes all or none
            found |= {
                f"removed_{name.replace(' ', '_')}": (rows & removed & chosen).sum() for name, rows in why.items()
            }
            found["share"] = removed[chosen].mean()
            found["low"], found["high"] = proportion_confint(
                *_effective(removed, chosen, persons, 1 - level), 1 - level, "wilson"
            )
        return found | (_difference(removed, chosen, persons, (1 - level) / tested) if tested else {})

    why = {name: rows for name, rows in reasons.items() if (rows & removed).any()}
    rows = [row("all", "", np.ones(len(samples), bool))]
    rows += [row("reason", name, chosen) for name, chosen in reasons.items()]
    rows += [row("annotator", name, chosen) for name, chosen in annotators.items()]
    compared = [name for name in ("expression", *groups) if name != "expression" or name in samples]
    for part in partitions(samples, compared, 1) if compared else []:
        tested = [code for code in range(len(part.groups)) if 0 < (part.codes == code).sum() < len(samples)]
        rows += [row(part.columns, part.groups[code], part.codes == code, len(tested)) for code in tested]
    return pd.DataFrame(rows)


def report_in_words(report: pd.DataFrame) -> str:
    """A cleaning report as a few sentences, one line each.

    Parameters
    ----------
    report : DataFrame
        From `cleaning_report`.
    """
    whole = report.iloc[0]
    lines = [
        f"Cleaning removed {whole['removed']:,} of {whole['faces']:,} faces ({whole['share']:.1%}, "
        f"interval {whole['low']:.1%} to {whole['high']:.1%}) and corrected {whole['corrected']:,}."
    ]
    reasons = report[report["by"] == "reason"]
    for what, rows in (("Removed", reasons[reasons["removed"] > 0]), ("Kept", reasons[reasons["removed"] == 0])):
        if len(rows):
            lines.append(f"{what}: " + ", ".join(f"{r.value} {r.faces:,}" for r in rows.itertuples()) + ".")
    for r in report[report["by"] == "annotator"].itertuples():
        lines.append(f"{r.value} decided on {r.faces:,}: removed {r.removed:,}, corrected {r.corrected:,}.")
    compared = report[~report["by"].isin(["all", "reason", "annotator"])]
    for by, rows in compared.groupby("by", sort=False):
        for r in rows[rows["finding"] != ""].itertuples():
            points = sorted(100 * abs(end) for end in (r.difference_low, r.difference_high))
            lines.append(
                f"{by}: {r.value} {r.finding} than the rest: {r.share:.1%} of its {r.faces:,} faces, "
                f"{100 * abs(r.difference):.1f} points {r.finding.split()[1]} ({points[0]:.1f} to {points[1]:.1f})"
                f"{_why(r)}."
            )
        quiet = rows[rows["finding"] == ""]
        if len(quiet):
            most = quiet[["difference_low", "difference_high"]].abs().max(axis=None)
            others = "no other value" if len(quiet) < len(rows) else "no value"
            lines.append(
                f"{by}: {others} is shown to lose more or fewer faces than the rest; differences of up to "
                f"{100 * most:.1f} points are possible."
                if np.isfinite(most)
                else f"{by}: too few persons to tell."
            )
    if compared.empty:
        lines.append("No classes or groups were compared.")
    return "\n".join(lines).replace("%", " %")


def _why(row: tuple) -> str:
    """The reasons that removed faces of a row, as "; unsure 4, wrong 2"."""
    counts = {name[8:].replace("_", " "): n for name, n in row._asdict().items() if name.startswith("removed_") and n}
    said = ", ".join(f"{name} {n:.0f}" for name, n in sorted(counts.items(), key=lambda count: -count[1]))
    return f"; {said}" if said else ""


def _names(listed: pd.DataFrame, column: str) -> dict[str, NDArray[np.bool_]]:
    """Rows of every reason or annotator, the most frequent first; a cell may name several annotators."""
    if column not in listed:
        return {}
    said = listed[column].fillna("").astype(str).reset_index(drop=True)
    if column == "annotator":
        said = said.str.split(", ").explode()
    found = {}
    for name in said[said != ""].value_counts().index:
        found[name] = np.zeros(len(listed), bool)
        found[name][said.index[said == name]] = True
    return found


def _difference(
    removed: NDArray[np.bool_], chosen: NDArray[np.bool_], persons: NDArray[np.int64] | None, alpha: float
) -> dict[str, object]:
    own, rest = (_effective(removed, rows, persons, alpha) for rows in (chosen, ~chosen))
    low, high = confint_proportions_2indep(*own, *rest, method="newcomb", compare="diff", alpha=alpha)
    return {
        "difference": removed[chosen].mean() - removed[~chosen].mean(),
        "difference_low": low,
        "difference_high": high,
        "finding": "loses more" if low > 0 else "loses fewer" if high < 0 else "",
    }


def _effective(
    removed: NDArray[np.bool_], chosen: NDArray[np.bool_], persons: NDArray[np.int64] | None, alpha: float
) -> tuple[float, float]:
    """Numbers of removed and of all ``chosen`` faces that, drawn one by one, would tell as much; NaN of one person."""
    n, share = int(chosen.sum()), removed[chosen].mean()
    if persons is None:
        return share * n, n
    _, person = np.unique(persons[chosen], return_inverse=True)
    size = np.bincount(person)
    m = len(size)
    if m < 2:
        return np.nan, np.nan
    gone = np.bincount(person, weights=removed[chosen])
    # Of faces that all share one fate, persons are what was seen.
    effective = float(m)
    if 0 < share < 1:
        variance = m / (m - 1) * ((gone - share * size) ** 2).sum() / n**2
        effective = n / max(1, variance / (share * (1 - share) / n))
    effective *= (stats.norm.isf(alpha / 2) / stats.t.isf(alpha / 2, m - 1)) ** 2
    return share * effective, effective
