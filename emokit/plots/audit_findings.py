"""What an audit found, in sentences, tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from emokit.evaluation.audit import VERDICTS, Audit
from emokit.evaluation.audit.groups import TIMES
from emokit.evaluation.audit.statements import constant, unit
from emokit.plots.audit import forest, intersections, signed_errors
from emokit.plots.audit_parts import FOUND, Grid, Section, detectable_of, figure_of, name_of, p_of, picture, span
from emokit.plots.parts import in_words


def summary(found: Audit, scope: str) -> Iterator[Section]:
    persons, s = unit(found), found.settings
    n = found.samples["subject"].nunique() if persons == "persons" else len(found.samples)
    counts = found.findings["verdict"].value_counts()
    heard = found.findings["verdict"].isin(FOUND)
    told = [_sentence(row, found) for row in found.findings[heard].head(5).itertuples()]
    large, small, unsure, few = (int(counts.get(name, 0)) for name in (*FOUND, "can't tell", "too few to say"))
    lead = (
        f"{found.tests} tests of {len(found.faces[0].partition_of)} groups and intersections: {large} differences are "
        f"large enough to act on and hardly chance, {small} are smaller and hardly chance. In {unsure} comparisons the "
        f"data can't tell, and in {few} there are too few {persons} to say anything."
    )
    none = [] if told else ["No difference was found. That is no proof that there is none."]
    yield Section("In short", [lead, *none, *constant(found)], told)
    what = [f"{len(found.samples):,} faces of {n:,} persons" if persons == "persons" else f"{n:,} faces"]
    targets = " and ".join(some.target for some in found.faces)
    yield Section(
        "Scope",
        [
            scope or "Nobody stated what the network is to be used for, so nothing here says that it is fit for a use.",
            f"Audited are predictions of {targets} on {what[0]}, by {', '.join(s.groups)}"
            + (
                f", and where up to {s.intersections} of these cross."
                if s.intersections > 1 and len(s.groups) > 1
                else "."
            ),
        ],
    )


def _sentence(row: NamedTuple, found: Audit) -> str:
    signed = row.metric == "signed error"
    value, rest = (in_words(x, "+z.2f" if signed else "z.2f") for x in (row.value, row.rest))
    figure = f"the mean error of {row.target} is {value}" if signed else f"{row.metric} of {row.target} is {value}"
    way = ""
    if signed and row.worse:
        words = ("less pleasant", "more pleasant") if row.target == "valence" else ("calmer", "more excited")
        way = f": read as {words[row.value > 0]} than labelled"
    served = "served worse" if row.worse else "served better"
    return (
        f"{row.group} ({row.columns}), {served} than the rest{way}. For its {row.n:,} faces{_of(row, found)}, {figure}, "
        f"for the rest {rest}; difference {span(row.difference, row.low, row.high)}, adjusted p {p_of(row.p_adjusted)}."
    )


def findings(found: Audit) -> Section:
    table, grids = found.findings, []
    persons = unit(found)
    header = [
        "",
        "Group",
        "Figure",
        "Here",
        "Rest",
        "Difference",
        "Faces",
        persons.capitalize(),
        "Adjusted p",
        "Verdict",
    ]
    heard = table["verdict"].isin(FOUND)
    rows = [
        [str(k), name_of(row), f"{row.metric}, {row.target}", figure_of(row.value, row.metric), figure_of(row.rest, row.metric),
         span(row.difference, row.low, row.high), f"{row.n:,}", f"{row.subjects:,}", p_of(row.p_adjusted),
         f"{row.verdict}, {'worse' if row.worse else 'better'}"]
        for k, row in enumerate(table[heard].itertuples(), 1)
    ]  # fmt: skip
    if rows:
        grids.append(Grid("What differs, those served worse first, by size", header, rows))
    header = ["Group", "Figure", "Difference", "Detectable", "Faces", persons.capitalize()]
    for verdict, caption in (
        ("can't tell", f"What the data can't tell: more {persons} would be needed"),
        ("no large difference", "Where a difference worth acting on is excluded"),
    ):
        rows = [
            [name_of(row), f"{row.metric}, {row.target}", span(row.difference, row.low, row.high), detectable_of(row.detectable),
             f"{row.n:,}", f"{row.subjects:,}"]
            for row in table[table["verdict"] == verdict].itertuples()
        ]  # fmt: skip
        if rows:
            grids.append(Grid(f"{caption} ({len(rows)})", header, rows))
    undefined = table[table["verdict"] == "undefined"]
    if len(undefined):
        rows = [[name_of(row), f"{row.metric}, {row.target}", f"{row.n:,}"] for row in undefined.itertuples()]
        grids.append(Grid(f"Undefined: {VERDICTS['undefined']}", ["Group", "Figure", "Faces"], rows))
    few = table[table["verdict"] == "too few to say"]
    if len(few):
        figures = list(dict.fromkeys(zip(found.findings["metric"], found.findings["target"], strict=True)))
        figures.sort(key=lambda pair: pair[::-1])
        rows = []
        for (columns, group), part in few.groupby(["columns", "group"], sort=False):
            least = part.set_index(["metric", "target"])["detectable"]
            first = part.iloc[0]
            rows.append([f"{group} ({columns})", f"{first['n']:,}", f"{first['subjects']:,}",
                         *(detectable_of(least.get(pair, np.nan)) for pair in figures)])  # fmt: skip
        header = ["Group", "Faces", persons.capitalize(), *(f"{metric}, {target}" for metric, target in figures)]
        grids.append(Grid("Too few to say: only differences as large as these would be found", header, rows))
    said = [
        "Differences are group less rest, with intervals each for itself; p-values are adjusted for all tests. "
        f"Detectable is the true difference that would be found at this number of {persons}."
    ]
    return Section("Findings", said, grids=grids)


def pictures(found: Audit) -> Section:
    pictures = []
    for row in found.findings[["target", "metric"]].drop_duplicates().sort_values(["metric", "target"]).itertuples():
        ax = forest(found, row.target, row.metric)
        words = f"Differences to the rest in {row.metric} of {row.target}, as the tables of findings and the appendix list them"
        pictures.append(picture(ax.figure, words))
    targets = {some.target for some in found.faces}
    if {"valence", "arousal"} <= targets:
        for name in found.settings.groups:
            words = f"Mean error of valence and arousal by {name}, as in the appendix"
            pictures.append(picture(signed_errors(found, name).figure, words))
    if found.settings.intersections > 1:
        for pair in combinations(found.settings.groups, 2):
            for target in sorted(targets - {"expression"}):
                words = f"CCC of {target} where {TIMES.join(pair)} cross, as in the appendix"
                pictures.append(picture(intersections(found, pair, target).figure, words))
    return Section("Groups beside each other", pictures=pictures)


def _of(row: NamedTuple, found: Audit) -> str:
    return f" of {row.subjects:,} persons" if unit(found) == "persons" else ""
