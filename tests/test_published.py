import pandas as pd
import pytest

from emokit.evaluation import compare, orderings, published, published_table

# Count and sum of each row's figures, read from the paper's text on their own.
ROWS = {
    "table1": [(9, 4.89), (8, 4.39), (9, 5.26), (8, 4.80), (9, 5.63), (9, 6.09)],
    "table2": [(4, 1.01), (6, 2.52), (8, 3.37), (8, 4.67)],
    "table3": [(4, 1.36), (4, 1.92), (4, 2.17), (8, 2.13), (8, 4.63)],
    "table4": [(9, 5.61), (9, 6.09), (8, 2.95), (8, 4.67)],
    "table5": [
        (8, 4.80), (8, 4.87), (9, 5.51), (8, 4.93), (9, 5.59), (9, 5.61), (9, 5.59), (9, 5.59), (9, 5.63), (9, 6.09),
    ],
    "table6": [(9, 5.59), (9, 5.44), (9, 5.59)],
}  # fmt: skip

# Sum of each printed column: figures swapped within a row keep the row's sum.
COLUMNS = {
    "table1": [2.55, 2.19, 4.68, 4.11, 4.00, 2.10, 4.49, 3.59, 3.35],
    "table2": [1.02, 1.30, 1.83, 1.78, 1.11, 1.46, 1.58, 1.49],
    "table3": [1.41, 1.07, 2.23, 1.24, 1.13, 1.49, 2.37, 1.27],
    "table4": [1.41, 1.19, 3.00, 2.68, 2.56, 1.22, 2.86, 2.26, 2.14],
    "table5": [4.38, 3.53, 8.01, 7.17, 7.17, 3.20, 7.94, 6.41, 6.40],
    "table6": [1.80, 1.04, 2.40, 2.13, 2.11, 0.94, 2.43, 1.90, 1.87],
}
FIGURES = {"table1": 52, "table2": 26, "table3": 28, "table4": 34, "table5": 87, "table6": 27}
KEY = ["table", "data", "system", "setting", "target", "metric"]


@pytest.mark.parametrize("table", ROWS)
def test_rows_add_up_to_the_papers(table):
    rows = published(table).groupby(["data", "system", "setting"], sort=False)["value"]
    assert [(len(values), round(values.sum(), 2)) for _, values in rows] == ROWS[table]


@pytest.mark.parametrize("table", ROWS)
def test_the_wide_table_is_the_printed_one(table):
    wide = published_table(table)
    assert [(row.count(), round(row.sum(), 2)) for _, row in wide.iterrows()] == ROWS[table]
    assert wide.sum().round(2).tolist() == COLUMNS[table]
    metrics = [(target, metric) for target in ("valence", "arousal") for metric in ("RMSE", "SAGR", "PCC", "CCC")]
    assert wide.columns.tolist()[-8:] == metrics
    assert wide.columns.tolist()[:-8] == ([] if table in ("table2", "table3") else [("expression", "accuracy")])


def test_the_wide_table_names_data_only_where_it_varies():
    with_data = [table for table in ROWS if "data" in published_table(table).index.names]
    assert with_data == ["table1", "table4", "table5"]
    assert published_table("table6").index.tolist() == [
        ("EmoFAN", "CCC-based loss"),
        ("EmoFAN", "MSE loss"),
        ("EmoFAN", "shake-shake"),
    ]


def test_each_figure_is_there_once():
    figures = published()
    assert figures["table"].value_counts(sort=False).to_dict() == FIGURES
    assert not figures.duplicated(KEY).any()
    assert not figures.drop(columns="setting").isin(["", "-"]).any(axis=None)
    for table in FIGURES:
        whole = figures[figures["table"] == table].reset_index(drop=True)
        pd.testing.assert_frame_equal(published(table), whole)


def test_each_figure_is_possible():
    figures = published()
    ranges = {"accuracy": (1 / 8, 1), "RMSE": (0, 2), "SAGR": (0, 1), "PCC": (-1, 1), "CCC": (-1, 1)}
    assert set(figures["metric"]) == set(ranges)
    for metric, (low, high) in ranges.items():
        assert figures.loc[figures["metric"] == metric, "value"].between(low, high).all(), metric
    assert ((figures["metric"] == "accuracy") == (figures["target"] == "expression")).all()
    assert set(figures["target"]) == {"expression", "valence", "arousal"}
    # A CCC cannot exceed its PCC; the paper reprints two from earlier work that do.
    pairs = figures.pivot(index=KEY[:-1], columns="metric", values="value")
    above = pairs[pairs["CCC"] > pairs["PCC"]].reset_index()
    assert list(zip(above["system"], above["target"], strict=True)) == [
        ("SEWA baseline", "arousal"),
        ("AffWild Net", "valence"),
    ]


def test_the_same_result_is_the_same_in_every_table():
    figures = published()
    ours = figures[(figures["system"] == "EmoFAN") & (figures["data"] == "AffectNet, clean set")]
    assert ours.groupby(["target", "metric"])["value"].nunique().eq(1).all() and ours["table"].nunique() == 2


@pytest.mark.parametrize("read", [published, published_table])
def test_an_unknown_table_is_named(read):
    with pytest.raises(ValueError, match="no 'table7'; it has table1, table2, table3, table4, table5, table6"):
        read("table7")


def mine(**changes):
    """The paper's Table 6, three seeds apart by 0.01, with some figures changed."""
    figures = published("table6")
    for (setting, target), value in changes.get("values", {}).items():
        chosen = (figures["setting"] == setting) & (figures["target"] == target) & (figures["metric"] == "CCC")
        figures.loc[chosen, "value"] = value
    spread = changes.get("spread", 0.01)
    return pd.concat([figures.assign(seed=k, value=figures["value"] + spread * (k - 1)) for k in range(3)])


def test_the_papers_figures_beside_themselves_are_equal():
    both = compare(mine(), "table6")
    assert len(both) == FIGURES["table6"]
    assert (both["paper"] - both["yours"]).abs().max() < 1e-12
    assert both["sd"].round(6).eq(0.01).all() and both["seeds"].eq(3).all()
    assert both["row"].unique().tolist() == [
        "EmoFAN  CCC-based loss",
        "EmoFAN  MSE loss",
        "EmoFAN  shake-shake",
    ]


def test_rows_of_two_sets_are_told_apart():
    results = published("table5").assign(data=lambda t: t["data"].replace("AffectNet", "mine"))
    both = compare(results, "table5", {"mine": "AffectNet", "AffectNet, clean set": "AffectNet, clean set"})
    assert len(both) == FIGURES["table5"] and both["row"].nunique() == 10
    assert "EmoFAN  F+R+C+A+S+D (AffectNet, clean set)" in set(both["row"])
    only = compare(results, "table5", {"mine": "AffectNet"})
    assert set(only["data"]) == {"AffectNet"}


def test_steps_that_rise_where_the_papers_fall_are_named():
    values = {("MSE loss", "valence"): 0.9, ("shake-shake", "valence"): 0.95, ("MSE loss", "arousal"): 0.63}
    steps = orderings(compare(mine(values=values), "table6")).set_index(["target", "after"])["order"]
    # The paper: valence 0.71, 0.68, 0.72; arousal 0.64, 0.59, 0.64.
    assert steps["valence", "EmoFAN  MSE loss"] == "reversed"
    assert steps["valence", "EmoFAN  shake-shake"] == "same"
    assert steps["arousal", "EmoFAN  MSE loss"] == "within seeds"  # two standard errors of ±0.01 are 0.016
    noisier = orderings(compare(mine(values=values, spread=0.5), "table6"))
    assert set(noisier["order"]) == {"within seeds"}
    # The paper's shake-shake and CCC losses are equal in arousal; here the first is ahead.
    rows = mine(values={("shake-shake", "arousal"): 0.7}).query("setting != 'MSE loss'")
    assert orderings(compare(rows, "table6")).query("target == 'arousal'")["order"].tolist() == ["only yours"]


def test_results_without_a_row_of_the_table_are_named():
    with pytest.raises(ValueError, match="no row of table6 is among yours: they differ in one of"):
        compare(mine().assign(system="VGG"), "table6")
    with pytest.raises(ValueError, match="no column 'value'; they have table"):
        compare(mine().drop(columns="value"), "table6")


def test_a_part_is_also_compared_with_the_row_that_lacks_only_it():
    results = published("table5").query("data == 'AffectNet'")
    steps = orderings(compare(results, "table5")).query("target == 'valence'")
    pairs = list(zip(steps["before"], steps["after"], strict=True))
    assert pairs.count(("EmoFAN  F+R+C+A", "EmoFAN  F+R+C+A+S")) == 1  # the row before has D instead
    assert len(pairs) == len(set(pairs)) and (steps["yours"] - steps["paper"]).abs().max() < 1e-12
