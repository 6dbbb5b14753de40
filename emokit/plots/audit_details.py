"""Where, why and how each group is misread, and all metrics: what describes and is not tested."""

from __future__ import annotations

import pandas as pd

from emokit.evaluation.audit import Audit, by_region, confusions, decompositions
from emokit.evaluation.audit.statements import unit
from emokit.plots.audit_parts import FOUND, TOO_FEW, Grid, Section, figure_of, name_of, span
from emokit.plots.parts import in_words


def causes_of(found: Audit, causes: pd.DataFrame) -> Section:
    heard = found.findings[found.findings["verdict"].isin(FOUND)]
    keys = ["columns", "group", "target", "metric"]
    rows = heard[keys].merge(causes, on=keys, sort=False)
    grid = Grid(
        "Differences that were found, as they are and between faces made alike",
        ["Group", "Figure", "Alike in", "Apart", "Overlap", "Difference", "Made alike", "Explained", "It"],
        [
            [name_of(row), f"{row.metric}, {row.target}", row.cause, f"{row.imbalance:.0%}", f"{row.overlap:.0%}",
             in_words(row.difference, "+z.2f"), span(row.adjusted, row.adjusted_low, row.adjusted_high),
             span(row.explained, row.explained_low, row.explained_high), row.says]
            for row in rows.itertuples()
        ],
    )  # fmt: skip
    said = [
        "Would a difference remain between faces that are alike in something else? Group and rest are reweighted to a "
        "common distribution. Apart is how differently they were spread before (0 % alike); overlap, how many faces can "
        "be compared at all. What explains a difference in this sense may still be no excuse for it.",
    ]
    return Section("Causes, as far as they can be told apart", said, grids=[grid] if grid.rows else [])


def misreadings(found: Audit) -> Section:
    single = found.settings.groups
    grids = []
    targets = {some.target for some in found.faces}
    why = decompositions(found) if targets - {"expression"} else pd.DataFrame(columns=["columns", "few"])
    rows = [
        [name_of(row), row.target, in_words(row.ccc), in_words(row.pcc), in_words(row.scale_shift),
         in_words(row.location_shift, "+z.2f"), *(in_words(x) for x in (row.correlation, row.scale, row.location))]
        for row in why[why["columns"].isin(single) & ~why["few"]].itertuples()
    ]  # fmt: skip
    if rows:
        header = ["Group", "", "CCC", "PCC", "Spread ×", "Shift", "Lost to correlation", "to spread", "to shift"]
        grids.append(Grid("What lowers the CCC: the last three add up to 1 − CCC", header, rows))
    if {"valence", "arousal"} <= targets:
        regions = by_region(found)
        regions = regions[_enough(found, regions)]
        wide = regions.pivot(
            index=["columns", "group", "region"],
            columns="target",
            values=["signed_error", "signed_error_low", "signed_error_high", "RMSE", "n", "few"],
        )
        rows = [
            [f"{group} ({columns})", region, f"{row['n', 'valence']:,.0f}",
             *([TOO_FEW, *[""] * 3] if row["few", "valence"] else [
                 *(span(row["signed_error", t], row["signed_error_low", t], row["signed_error_high", t]) for t in ("valence", "arousal")),
                 *(in_words(row["RMSE", t]) for t in ("valence", "arousal"))])]
            for (columns, group, region), row in wide.iterrows()
        ]  # fmt: skip
        header = ["Group", "Labelled", "Faces", "Error of valence", "Error of arousal", "RMSE of valence", "of arousal"]
        grids.append(Grid("Error by region of the circumplex", header, rows))
    if "expression" in targets:
        table = confusions(found)
        wrong = table[_enough(found, table) & (table["true"] != table["predicted"]) & (table["n"] > 0)]
        top = wrong.sort_values("n", ascending=False, kind="stable").groupby(["columns", "group"], sort=False).head(3)
        top = top.sort_values(["columns", "group"], kind="stable")
        rows = [
            [name_of(r), r.true, r.predicted, TOO_FEW if r.few else f"{r.share:.0%}", f"{r.n:,}"]
            for r in top.itertuples()
        ]
        if rows:
            header = ["Group", "Labelled", "Taken for", "Share of the label", "Faces"]
            grids.append(Grid("The three most frequent confusions of each group", header, rows))
    said = [
        f"These figures describe, and are not tested. Groups of fewer than {found.settings.min_size} {unit(found)} in "
        "effect are left out; so are figures of regions and expressions that fewer of a group show."
    ]
    return Section("How groups are misread", said, grids=grids)


def _enough(found: Audit, table: pd.DataFrame) -> pd.Series:
    """Rows of groups of a single column that are large enough to be spoken of."""
    groups = found.groups[found.groups["effective"] >= found.settings.min_size]
    large = pd.MultiIndex.from_frame(groups[["columns", "group"]])
    return table["columns"].isin(found.settings.groups) & pd.MultiIndex.from_frame(table[["columns", "group"]]).isin(
        large
    )


def mitigations_of(table: pd.DataFrame) -> Section:
    rows = [
        [row.mitigation, row.group, f"{row.metric}, {row.target}", f"{row.n:,}", figure_of(row.before, row.metric),
         figure_of(row.after, row.metric), span(row.change, row.low, row.high, "+z.3f")]
        if not row.few else [row.mitigation, row.group, f"{row.metric}, {row.target}", f"{row.n:,}", TOO_FEW, "", ""]
        for row in table.itertuples()
    ]  # fmt: skip
    header = ["Mitigation", "Group", "Figure", "Faces", "Before", "After", "Change for the better"]
    said = [
        "A mitigation is shown with what it costs every group, and does not undo a harm. Recalibration needs the group "
        "of each person when the network is used: to ask for it, or to guess it, may do more harm than it mends."
    ]
    return Section("Mitigations", said, grids=[Grid("", header, rows)])


def appendix(found: Audit) -> Section:
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
                 *(span(r.value, r.low, r.high, "+z.2f" if r.metric == "signed error" else "z.2f") for r in part.itertuples())]
            )  # fmt: skip
        header = ["Group", "Faces", unit(found).capitalize(), "In effect", *metrics]
        grids.append(Grid(f"All metrics of {some.target}, with intervals; † too few to say", header, body))
        tested = rows[rows["metric"].isin(found.findings["metric"]) & (rows["effective"] >= found.settings.min_size)]
        body = [
            [name_of(row), row.metric, row.best, span(row.to_best, row.to_best_low, row.to_best_high)]
            for row in tested[tested["columns"].isin(found.settings.groups)].itertuples()
            if isinstance(row.best, str) and row.best != row.group
        ]  # fmt: skip
        if body:
            grids.append(
                Grid(f"Difference to the best group, {some.target}", ["Group", "Figure", "Best", "Difference"], body)
            )
    return Section("Appendix", grids=grids)
