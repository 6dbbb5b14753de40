"""What an audit's report says, section by section, in words, tables and pictures."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from itertools import combinations
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import emokit
from emokit.evaluation.audit import Audit, DataAudit, by_region, confusions, decompositions
from emokit.evaluation.audit.groups import TIMES
from emokit.evaluation.audit.statements import (
    DATA_FIELDS,
    ETHICS,
    MODEL_FIELDS,
    card,
    describe_data,
    limits,
    method,
    unit,
)
from emokit.plots.audit import coverage_map, forest, intersections, signed_errors
from emokit.plots.parts import in_words

_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "fairlearn", "statsmodels", "matplotlib")
_FOUND = ("differs", "differs a little")


class Grid(NamedTuple):
    """A table in words."""

    caption: str
    header: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A figure, and what it shows for those who can't see it."""

    svg: str
    words: str


class Section(NamedTuple):
    """Part of the report."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()


def sections(
    found: Audit,
    data: DataAudit | None,
    causes: pd.DataFrame | None,
    mitigations: pd.DataFrame | None,
    scope: str,
    model: Mapping[str, object] | None,
    dataset: Mapping[str, object] | None,
) -> list[Section]:
    """All of them, in order; arguments are those of `emokit.plots.write_audit`."""
    return [
        *_summary(found, scope),
        _findings(found),
        _pictures(found),
        *([] if causes is None else [_causes(found, causes)]),
        _misreadings(found),
        *([] if data is None else [_data(data)]),
        *([] if mitigations is None else [_mitigations(mitigations)]),
        Section("Method", method(found)),
        Section("Limits", limits(found)),
        Section("Ethics", ETHICS),
        Section("Model card", grids=[Grid("", ["Field", "Stated"], [list(r) for r in card(MODEL_FIELDS, model)])]),
        Section("Datasheet of the audited data", grids=[_sheet(found, dataset)]),
        _appendix(found),
        _made(found),
    ]


def _summary(found: Audit, scope: str) -> Iterator[Section]:
    persons, s = unit(found), found.settings
    n = found.samples["subject"].nunique() if persons == "persons" else len(found.samples)
    counts = found.findings["verdict"].value_counts()
    heard = found.findings["verdict"].isin(_FOUND)
    told = [_sentence(row, found) for row in found.findings[heard].head(5).itertuples()]
    large, small, unsure, few = (int(counts.get(name, 0)) for name in (*_FOUND, "can't tell", "too few to say"))
    lead = (
        f"{found.tests} tests of {len(found.faces[0].partition_of)} groups and intersections: {large} differences are "
        f"large enough to act on and hardly chance, {small} are smaller and hardly chance. In {unsure} comparisons the "
        f"data can't tell, and in {few} there are too few {persons} to say anything."
    )
    yield Section(
        "In short", [lead] if told else [lead, "No difference was found. That is no proof that there is none."], told
    )
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
        f"for the rest {rest}; difference {_span(row.difference, row.low, row.high)}, adjusted p {_p(row.p_adjusted)}."
    )


def _findings(found: Audit) -> Section:
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
    heard = table["verdict"].isin(_FOUND)
    rows = [
        [str(k), _name(row), f"{row.metric}, {row.target}", _figure(row.value, row.metric), _figure(row.rest, row.metric),
         _span(row.difference, row.low, row.high), f"{row.n:,}", f"{row.subjects:,}", _p(row.p_adjusted),
         f"{row.verdict}, {'worse' if row.worse else 'better'}"]
        for k, row in enumerate(table[heard].itertuples(), 1)
    ]  # fmt: skip
    if rows:
        grids.append(Grid("What differs, those served worse first, by size", header, rows))
    header = ["Group", "Figure", "Difference", "Detectable", "Faces", persons.capitalize()]
    for verdict, caption in (
        ("can't tell", "What the data can't tell: more persons would be needed"),
        ("no large difference", "Where a difference worth acting on is excluded"),
    ):
        rows = [
            [_name(row), f"{row.metric}, {row.target}", _span(row.difference, row.low, row.high), _least(row.detectable),
             f"{row.n:,}", f"{row.subjects:,}"]
            for row in table[table["verdict"] == verdict].itertuples()
        ]  # fmt: skip
        if rows:
            grids.append(Grid(f"{caption} ({len(rows)})", header, rows))
    few = table[table["verdict"] == "too few to say"]
    if len(few):
        figures = list(dict.fromkeys(zip(found.findings["metric"], found.findings["target"], strict=True)))
        figures.sort(key=lambda pair: pair[::-1])
        rows = []
        for (columns, group), part in few.groupby(["columns", "group"], sort=False):
            least = part.set_index(["metric", "target"])["detectable"]
            first = part.iloc[0]
            rows.append([f"{group} ({columns})", f"{first['n']:,}", f"{first['subjects']:,}",
                         *(_least(least.get(pair, np.nan)) for pair in figures)])  # fmt: skip
        header = ["Group", "Faces", persons.capitalize(), *(f"{metric}, {target}" for metric, target in figures)]
        grids.append(Grid("Too few to say: only differences as large as these would be found", header, rows))
    said = [
        "Differences are group less rest, with intervals each for itself; p-values are adjusted for all tests. "
        "Detectable is the true difference that would be found at this number of persons."
    ]
    return Section("Findings", said, grids=grids)


def _pictures(found: Audit) -> Section:
    pictures = []
    for row in found.findings[["target", "metric"]].drop_duplicates().sort_values(["metric", "target"]).itertuples():
        ax = forest(found, row.target, row.metric)
        words = f"Differences to the rest in {row.metric} of {row.target}, as the tables of findings and the appendix list them"
        pictures.append(_picture(ax.figure, words))
    targets = {some.target for some in found.faces}
    if {"valence", "arousal"} <= targets:
        for name in found.settings.groups:
            words = f"Mean error of valence and arousal by {name}, as in the appendix"
            pictures.append(_picture(signed_errors(found, name).figure, words))
    if found.settings.intersections > 1:
        for pair in combinations(found.settings.groups, 2):
            for target in sorted(targets - {"expression"}):
                words = f"CCC of {target} where {TIMES.join(pair)} cross, as in the appendix"
                pictures.append(_picture(intersections(found, pair, target).figure, words))
    return Section("Groups beside each other", pictures=pictures)


def _causes(found: Audit, causes: pd.DataFrame) -> Section:
    heard = found.findings[found.findings["verdict"].isin(_FOUND)]
    keys = ["columns", "group", "target", "metric"]
    rows = heard[keys].merge(causes, on=keys, sort=False)
    grid = Grid(
        "Differences that were found, as they are and between faces made alike",
        ["Group", "Figure", "Alike in", "Apart", "Overlap", "Difference", "Made alike", "Explained", "It"],
        [
            [_name(row), f"{row.metric}, {row.target}", row.cause, f"{row.imbalance:.0%}", f"{row.overlap:.0%}",
             in_words(row.difference, "+z.2f"), _span(row.adjusted, row.adjusted_low, row.adjusted_high),
             _span(row.explained, row.explained_low, row.explained_high), row.says]
            for row in rows.itertuples()
        ],
    )  # fmt: skip
    said = [
        "Would a difference remain between faces that are alike in something else? Group and rest are reweighted to a "
        "common distribution. Apart is how differently they were spread before (0 % alike); overlap, how many faces can "
        "be compared at all. What explains a difference in this sense may still be no excuse for it.",
    ]
    return Section("Causes, as far as they can be told apart", said, grids=[grid] if grid.rows else [])


def _misreadings(found: Audit) -> Section:
    single = found.settings.groups
    grids = []
    targets = {some.target for some in found.faces}
    why = decompositions(found) if targets - {"expression"} else pd.DataFrame(columns=["columns"])
    rows = [
        [_name(row), row.target, in_words(row.ccc), in_words(row.pcc), in_words(row.scale_shift),
         in_words(row.location_shift, "+z.2f"), *(in_words(x) for x in (row.correlation, row.scale, row.location))]
        for row in why[why["columns"].isin(single)].itertuples()
    ]  # fmt: skip
    if rows:
        header = ["Group", "", "CCC", "PCC", "Spread ×", "Shift", "Lost to correlation", "to spread", "to shift"]
        grids.append(Grid("What lowers the CCC: the last three add up to 1 − CCC", header, rows))
    if {"valence", "arousal"} <= targets:
        regions = by_region(found)
        regions = regions[regions["columns"].isin(single)]
        wide = regions.pivot(
            index=["columns", "group", "region"],
            columns="target",
            values=["signed_error", "signed_error_low", "signed_error_high", "RMSE", "n"],
        )
        rows = [
            [f"{group} ({columns})", region, f"{row['n', 'valence']:,.0f}",
             *(_span(row["signed_error", t], row["signed_error_low", t], row["signed_error_high", t]) for t in ("valence", "arousal")),
             *(in_words(row["RMSE", t]) for t in ("valence", "arousal"))]
            for (columns, group, region), row in wide.iterrows()
        ]  # fmt: skip
        header = ["Group", "Labelled", "Faces", "Error of valence", "Error of arousal", "RMSE of valence", "of arousal"]
        grids.append(Grid("Error by region of the circumplex", header, rows))
    if "expression" in targets:
        table = confusions(found)
        wrong = table[table["columns"].isin(single) & (table["true"] != table["predicted"]) & (table["n"] > 0)]
        top = wrong.sort_values("n", ascending=False, kind="stable").groupby(["columns", "group"], sort=False).head(3)
        top = top.sort_values(["columns", "group"], kind="stable")
        rows = [[_name(r), r.true, r.predicted, f"{r.share:.0%}", f"{r.n:,}"] for r in top.itertuples()]
        if rows:
            header = ["Group", "Labelled", "Taken for", "Share of the label", "Faces"]
            grids.append(Grid("The three most frequent confusions of each group", header, rows))
    return Section("How groups are misread", grids=grids)


def _data(data: DataAudit) -> Section:
    reach = {} if data.reach.empty else data.reach.set_index(["columns", "group"])["reached"].to_dict()
    apart = data.labels.set_index(["columns", "group"])
    rows = []
    for row in data.representation.itertuples():
        key = row.columns, row.group
        mean = [
            in_words(apart.at[key, f"{t}_mean"], "+z.2f") if key in apart.index and f"{t}_mean" in apart else ""
            for t in ("valence", "arousal")
        ]
        rows.append(
            [_name(row), f"{row.n:,}", f"{row.share:.1%}", _number(row.subjects), _percent(row.largest), *mean,
             _percent(apart.at[key, "imbalance"]) if key in apart.index and "imbalance" in apart else "",
             _percent(reach.get(key, np.nan))]
        )  # fmt: skip
    header = [
        "Group",
        "Faces",
        "Share",
        "Persons",
        "Of one person",
        "Mean valence",
        "Mean arousal",
        "Labels apart",
        "Circumplex reached",
    ]
    grids = [Grid("Who is in the data", header, rows)]
    if len(data.annotators):
        rows = [
            [_name(r), f"{r.ratings:.1f}", f"{r.annotators:,}", _percent(r.busiest), _percent(getattr(r, "same_culture", np.nan))]
            for r in data.annotators.itertuples()
        ]  # fmt: skip
        header = ["Group", "Ratings a face", "Annotators", "By the busiest", "Of the same culture"]
        grids.append(Grid("Who annotated them", header, rows))
    if len(data.cleaning):
        rows = [
            [_name(r), f"{r.n:,}", f"{r.removed:,}", _percent(r.share), _percent(r.rest)] for r in data.cleaning.itertuples()
        ]  # fmt: skip
        grids.append(Grid("What cleaning removed", ["Group", "Faces", "Removed", "Share", "Of the rest"], rows))
    pictures = [] if data.coverage.empty else [
        _picture(coverage_map(data, name), f"Labels on the circumplex by {name}; the table lists what is reached")
        for name in data.groups
    ]  # fmt: skip
    said = [] if data.warnings else ["Nothing here calls for a warning; that covers these groups and labels only."]
    return Section("Training data", said, data.warnings, grids, pictures)


def _mitigations(table: pd.DataFrame) -> Section:
    rows = [
        [row.mitigation, row.group, f"{row.metric}, {row.target}", f"{row.n:,}", _figure(row.before, row.metric),
         _figure(row.after, row.metric), _span(row.change, row.low, row.high, "+z.3f")]
        for row in table.itertuples()
    ]  # fmt: skip
    header = ["Mitigation", "Group", "Figure", "Faces", "Before", "After", "Change for the better"]
    said = [
        "A mitigation is shown with what it costs every group, and does not undo a harm. Recalibration needs the group "
        "of each person when the network is used: to ask for it, or to guess it, may do more harm than it mends."
    ]
    return Section("Mitigations", said, grids=[Grid("", header, rows)])


def _sheet(found: Audit, stated: Mapping[str, object] | None) -> Grid:
    rows = [*describe_data(found), *card(DATA_FIELDS, stated)]
    return Grid("", ["Field", "Stated, or counted"], [list(row) for row in rows])


def _appendix(found: Audit) -> Section:
    grids = []
    for some in found.faces:
        rows = found.groups[found.groups["target"] == some.target]
        metrics = list(dict.fromkeys(rows["metric"]))
        body = []
        for (columns, group), part in rows.groupby(["columns", "group"], sort=False):
            first = part.iloc[0]
            few = first["effective"] < found.settings.min_size
            body.append(
                [f"{group} ({columns})" + (" †" if few else ""), f"{first['n']:,}", f"{first['subjects']:,}", f"{first['effective']:.0f}",
                 *(_span(r.value, r.low, r.high, "+z.2f" if r.metric == "signed error" else "z.2f") for r in part.itertuples())]
            )  # fmt: skip
        header = ["Group", "Faces", unit(found).capitalize(), "In effect", *metrics]
        grids.append(Grid(f"All metrics of {some.target}, with intervals; † too few to say", header, body))
        tested = rows[rows["metric"].isin(found.findings["metric"])]
        body = [
            [_name(row), row.metric, row.best, _span(row.to_best, row.to_best_low, row.to_best_high)]
            for row in tested[tested["columns"].isin(found.settings.groups)].itertuples()
            if isinstance(row.best, str) and row.best != row.group
        ]  # fmt: skip
        if body:
            grids.append(
                Grid(f"Difference to the best group, {some.target}", ["Group", "Figure", "Best", "Difference"], body)
            )
    return Section("Appendix", grids=grids)


def _made(found: Audit) -> Section:
    versions = [f"emokit {emokit.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in _PACKAGES]
    s = found.settings
    options = ", ".join(
        f"{name} {getattr(s, name)}" for name in s.__dataclass_fields__ if name not in ("groups", "worth")
    )
    said = [
        f"Made with {', '.join(versions)}.",
        f"Options: groups {', '.join(s.groups)}; {options}; worth {', '.join(f'{k} {v:g}' for k, v in s.worth.items())}.",
        f"SHA-256 of what was audited: samples {_fingerprint(found.samples)}, predictions {_fingerprint(found.predictions)}.",
    ]
    return Section("Versions and seeds", said)


def _fingerprint(table: pd.DataFrame) -> str:
    """Of all columns but landmarks and paths, which differ between machines."""
    columns = sorted(map(str, set(table.columns) - {"landmarks", "image"}))
    hashes = pd.util.hash_pandas_object(table[columns].reset_index(drop=True), index=False)
    return sha256("\n".join(columns).encode() + hashes.to_numpy().tobytes()).hexdigest()[:16]


def _picture(figure: Figure, words: str) -> Picture:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return Picture(base64.b64encode(file.getvalue()).decode(), words)


def _name(row: NamedTuple) -> str:
    return f"{row.group} ({row.columns})"


def _of(row: NamedTuple, found: Audit) -> str:
    return f" of {row.subjects:,} persons" if unit(found) == "persons" else ""


def _figure(value: float, metric: str) -> str:
    return in_words(value, "+z.2f" if metric == "signed error" else "z.2f")


def _span(value: float, low: float, high: float, form: str = "+z.2f") -> str:
    """A figure and its interval, such as "+0.10 (+0.04 to +0.16)"."""
    if np.isnan(value) or np.isnan(low):
        return in_words(value, form)
    return f"{in_words(value, form)} ({in_words(low, form)} to {in_words(high, form)})"


def _least(detectable: float) -> str:
    if np.isnan(detectable):
        return ""
    return f"±{detectable:.2f}" if np.isfinite(detectable) else "none"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.0f}"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0%}"
