from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.quiver import Quiver

from emokit.data import sample_faces, write_table
from emokit.data.annotators import Annotator, simulated_ratings
from emokit.evaluation import (
    annotator_profiles,
    average_agreement,
    ccc,
    compare,
    pairwise,
    pcc,
    published,
    report,
    rmse,
)
from emokit.evaluation import confusion as confusion_matrix
from emokit.models import EXPRESSIONS
from emokit.plots import (
    agreement_matrix,
    annotator_profile,
    bland_altman,
    comparison,
    confusion,
    error_arrows,
    predicted_against_true,
)
from emokit.plots.circumplex import FAINT, INK

NAMES = list(EXPRESSIONS[8])
QUICK = {"n_resamples": 50}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def study(n=300, seed=0):
    """Predictions, in another order, that are drawn towards 0, and samples; some labels are missing."""
    rng = np.random.default_rng(seed)
    samples = pd.DataFrame({"id": [f"f{k}" for k in range(n)], "expression": rng.choice(NAMES, n)})
    said = samples.copy()
    said.loc[rng.random(n) < 0.3, "expression"] = "neutral"
    for name in ("valence", "arousal"):
        samples[name] = rng.uniform(-1, 1, n)
        said[name] = np.clip(0.7 * samples[name] + 0.1 + rng.normal(0, 0.1, n), -1, 1)
    samples.loc[: n // 10 - 1, ["expression", "valence"]] = None
    return said.sample(frac=1, random_state=seed), samples


def joined(said, samples, *targets):
    both = samples.merge(said, on="id", suffixes=("", "_said")).dropna(subset=targets)
    return [both[name].to_numpy() for target in targets for name in (target, f"{target}_said")]


def overlaps(figure):
    """Pairs of texts that lie on each other."""
    figure.canvas.draw()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = [
        (axis.get_view_interval(), tick) for axis in axes for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
    ]
    unseen = {tick.label1 for ends, tick in ticks if not min(ends) <= tick.get_loc() <= max(ends)}
    texts = [t for t in figure.findobj(plt.Text) if t.get_visible() and t.get_text().strip() and t not in unseen]
    assert len(texts) > 3
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


def headline(ax):
    return "\n".join([ax.get_title(loc="left"), *(t.get_text() for t in ax.texts)]).replace("−", "-")


def test_predictions_stand_over_their_labels():
    said, samples = study()
    ax = predicted_against_true(said, samples)
    true, pred = joined(said, samples, "valence")
    np.testing.assert_array_equal(np.sort(ax.collections[0].get_offsets(), axis=0), np.sort([true, pred], axis=1).T)
    assert {tuple(p) for p in ax.collections[0].get_offsets()} == set(zip(true, pred, strict=True))
    text = headline(ax)
    assert f"CCC {ccc(true, pred):.2f},  PCC {pcc(true, pred):.2f},  RMSE {rmse(true, pred):.2f}" in text
    assert f"spread × {pred.std() / true.std():.2f},  shift {np.mean(pred - true):+.2f}" in text
    assert "Valence of 270 faces" in text and not overlaps(ax.figure)


def test_many_faces_become_a_density_that_holds_all_of_them():
    said, samples = study(5000)
    samples.loc[4990:, "valence"] = [-1.0, 1.0] * 5
    for draw in (predicted_against_true, bland_altman):
        ax = draw(said, samples)
        assert ax.collections[0].get_array().sum() == 4500 and "4,500 faces" in headline(ax)
        assert ax.figure.axes[-1].get_ylabel() == "faces" and not overlaps(ax.figure)


def test_limits_of_agreement_are_bland_and_altmans():
    said, samples = study()
    ax = bland_altman(said, samples, "arousal")
    true, pred = joined(said, samples, "arousal")
    error = pred - true
    expected = error.mean() + error.std(ddof=1) * np.array([0, 1.96, -1.96])
    drawn = [line.get_ydata()[0] for line in ax.lines]
    np.testing.assert_allclose(drawn, [0, *expected])
    points = sorted(map(tuple, ax.collections[0].get_offsets()))
    np.testing.assert_allclose(points, sorted(zip((true + pred) / 2, error, strict=True)))
    text = headline(ax)
    for name, value in zip(("mean ", "+1.96 SD\n", "-1.96 SD\n"), expected, strict=True):
        assert f"{name}{value:+.2f}" in text
    inside = np.abs(error - error.mean()) <= 1.96 * error.std(ddof=1)
    assert f"{inside.mean():.1%} lie within the limits" in text and "300 faces" in text


@pytest.mark.parametrize("spread", [0, 1e-4, 0.01, 0.3])
def test_labels_of_the_limits_do_not_overlap_however_close_these_are(spread):
    said, samples = study()
    rng = np.random.default_rng(0)
    said = samples.assign(arousal=np.clip(samples["arousal"] + rng.normal(0, spread, 300), -1, 1))
    said.loc[7, "arousal"] = -samples.loc[7, "arousal"]
    ax = bland_altman(said, samples, "arousal")
    assert not overlaps(ax.figure)
    assert abs(ax.lines[1].get_ydata()[0]) < ax.get_ylim()[1] == -ax.get_ylim()[0]


def test_arrows_lead_from_mean_label_to_mean_prediction_in_units_of_the_axes():
    said, samples = study(2000)
    ax = error_arrows(said, samples, cells=5, few=60)
    (arrows,) = (drawn for drawn in ax.collections if isinstance(drawn, Quiver))
    assert (arrows.scale, arrows.scale_units, arrows.angles) == (1, "xy", "xy")
    v, v_said, a, a_said = joined(said, samples, "valence", "arousal")
    edges = np.linspace(-1, 1, 6)
    found = {}
    for x0, x1 in zip(edges, edges[1:], strict=False):
        for y0, y1 in zip(edges, edges[1:], strict=False):
            cell = (x0 <= v) & (v < x1) & (y0 <= a) & (a < y1)
            key = tuple(np.round((v[cell].mean(), a[cell].mean()), 6))
            found[key] = [v_said[cell].mean(), a_said[cell].mean(), cell.sum()]
    tails = [tuple(t) for t in np.round(arrows.get_offsets(), 6)]
    expected = np.array([found[tail] for tail in tails])
    assert len(tails) == 25
    np.testing.assert_allclose(np.add(tails, np.column_stack([arrows.U, arrows.V])), expected[:, :2], atol=1e-5)
    n = expected[:, 2]
    assert n.sum() == 1800 and (n < 60).any() and (n >= 60).any()
    shades = [to_rgba(FAINT if few else INK) for few in n < 60]
    np.testing.assert_allclose(arrows.get_facecolors(), shades)
    dots = ax.collections[-2]
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), n / n.max())
    text = headline(ax)
    assert "1,800 faces" in text and f"{n.min():.0f} to {n.max():.0f} faces a cell; grey: fewer than 60" in text
    assert not overlaps(ax.figure)


def test_faces_on_the_rim_of_the_circumplex_have_arrows_too():
    samples = pd.DataFrame({"id": list("abcd"), "valence": [-1, 1, 0, 0], "arousal": [0, 0, -1, 1]})
    said = samples.assign(valence=0.5 * samples["valence"], arousal=0.5 * samples["arousal"])
    arrows = error_arrows(said, samples).collections[-1]
    ends = {tuple(t): (u, v) for t, u, v in zip(np.asarray(arrows.get_offsets()), arrows.U, arrows.V, strict=True)}
    assert ends == {(-1, 0): (0.5, 0), (1, 0): (-0.5, 0), (0, -1): (0, 0.5), (0, 1): (0, -0.5)}
    with pytest.raises(ValueError, match="cells is at least 1, got 0"):
        error_arrows(said, samples, cells=0)


def test_confusion_shows_shares_of_rows_and_counts_in_affectnets_order():
    said, samples = study()
    ax = confusion(said, samples)
    true, pred = joined(said, samples, "expression")
    counts = confusion_matrix(true, pred, labels=NAMES)
    shares = counts.div(counts.sum(axis=1), axis=0)
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(8, 8), shares)
    assert [label.get_text() for label in ax.get_xticklabels()] == NAMES
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == [f"{name}  {n}" for name, n in counts.sum(axis=1).items()]
    cells = [text.get_text() for text in ax.texts[:64]]
    expected = [
        f"{s:.0%}\n{n}" if n else "" for s, n in zip(shares.to_numpy().flat, counts.to_numpy().flat, strict=True)
    ]
    assert cells == expected
    assert "Expressions of 270 faces" in headline(ax) and f"accuracy {np.mean(true == pred):.2f}" in headline(ax)
    assert not overlaps(ax.figure)


def test_an_expression_that_is_predicted_only_has_an_empty_row():
    samples = pd.DataFrame({"id": range(4), "expression": ["sad", "happy", "happy", "joy"]})
    said = samples.assign(expression=["fear", "happy", "happy", "joy"])
    ax = confusion(said, samples)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["happy", "sad", "fear", "joy"]
    shares = ax.collections[0].get_array().reshape(4, 4)
    assert np.ma.getmaskarray(shares).all(axis=1).tolist() == [False, False, True, False]


DRAW = (predicted_against_true, bland_altman, error_arrows, confusion)


@pytest.mark.parametrize("draw", DRAW)
def test_a_single_face_is_a_picture(draw):
    said, samples = study()
    ax = draw(said, samples.tail(1))
    assert "of 1 face\n" in headline(ax) and not overlaps(ax.figure)
    missing = {predicted_against_true: "PCC undefined", bland_altman: "a single face has no limits of agreement"}
    assert missing.get(draw, "") in headline(ax)


@pytest.mark.parametrize("draw", DRAW)
def test_axes_and_files_are_taken(draw, tmp_path):
    said, samples = study(50)
    write_table(said, tmp_path / "said.parquet")
    write_table(samples, tmp_path / "samples.csv")
    axes = plt.subplots(1, 2)[1]
    assert draw(tmp_path / "said.parquet", tmp_path / "samples.csv", ax=axes[1]) is axes[1]
    assert axes[1].collections and not axes[0].collections


@pytest.mark.parametrize("draw", DRAW)
def test_what_cannot_be_drawn_is_said(draw):
    said, samples = study(50)
    holes = {name: said[name].where(said["id"] != "f40") for name in ("expression", "valence", "arousal")}
    for predictions, labels, message in (
        (said, samples.head(0), "samples have no labels"),
        (said.head(9), samples, "41 of 50 samples have no prediction"),
        (said.assign(**holes), samples, "predictions have no (valence|expression) for 'f40'"),
        (said[["id"]], samples, "predictions have no column"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(predictions, labels)


def test_a_face_needs_both_labels_for_an_arrow():
    said, samples = study(50)
    halves = samples.assign(valence=samples["valence"].where(samples.index < 25))
    halves["arousal"] = halves["arousal"].where(samples.index >= 25)
    with pytest.raises(ValueError, match="no sample has labels of both valence and arousal"):
        error_arrows(said, halves)
    for draw in (predicted_against_true, bland_altman):
        with pytest.raises(ValueError, match="target is 'valence' or 'arousal', got 'expression'"):
            draw(said, samples, "expression")


def test_a_report_beside_the_paper_has_its_intervals():
    said, samples = study()
    sets = {"AffectNet": samples, "AffectNet, clean set": samples.head(200)}
    mine = pd.concat([report(said, part, system="EmoFAN", data=data, **QUICK) for data, part in sets.items()])
    both = compare(mine, "table1")
    figures = mine.set_index(["data", "target", "metric"])
    for row in both.to_dict("records"):
        expected = figures.loc[(row["data"], row["target"], row["metric"])]
        assert [row[name] for name in ("low", "high", "n")] == [expected[name] for name in ("low", "high", "n")]
    figure = comparison(both)
    for ax, target in zip(figure.axes, ("valence", "arousal"), strict=True):
        rows = both[(both["metric"] == "CCC") & (both["target"] == target)]
        drawn = {group.get_label(): group for group in ax.collections}
        np.testing.assert_allclose(drawn["yours"].get_offsets()[:, 0], rows["yours"])
        bars = [segment[:, 0] for segment in drawn["_bars"].get_segments()]
        np.testing.assert_allclose(bars, rows[["low", "high"]])
        few, many = sorted(rows["n"])
        assert few < many and ax.get_xlabel() == f"bars: intervals, {few} to {many} faces"
    assert not overlaps(figure)


def test_the_mean_over_seeds_has_no_interval():
    said, samples = study()
    mine = report(said, samples, system="EmoFAN", **QUICK)
    both = compare(pd.concat([mine, mine]), "table2")
    assert not {"low", "high", "n"} & set(both) and both["seeds"].eq(2).all()
    assert not {"low", "high", "n"} & set(compare(published("table2"), "table2"))
    with pytest.raises(ValueError, match="the comparison has no 'ccc'; it has RMSE, SAGR, PCC, CCC"):
        comparison(both, "ccc")


FACES = sample_faces()
HUMANS = [
    Annotator("Ana", bias=(0.1, 0.0)),
    Annotator("Ben", scale=(0.7, 0.9)),
    Annotator("Cy", noise=(0.3, 0.2)),
    Annotator("Di", noise=(0.1, 0.1)),
]
MODEL = Annotator("net", noise=(0.05, 0.05))
RATINGS = simulated_ratings(FACES, [MODEL, *HUMANS], seed=0)


def apart(ratings):
    """Ana rates the first half of the faces, Ben the second."""
    first = ratings["item"].isin(FACES["id"].head(64))
    return ratings[~(first & (ratings["annotator"] == "Ben") | ~first & (ratings["annotator"] == "Ana"))]


@pytest.mark.parametrize(("target", "metric"), [("valence", "CCC"), ("arousal", "RMSE"), ("expression", "accuracy")])
def test_the_matrix_holds_every_pair_once(target, metric):
    pairs = pairwise(apart(RATINGS), **QUICK)
    ax = agreement_matrix(pairs, target, metric, model="net")
    columns = [label.get_text() for label in ax.get_xticklabels()]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert columns == ["Ana", "Ben", "Cy", "Di"] and rows == ["Ben", "Cy", "Di", "net"]
    values = pd.DataFrame(ax.collections[0].get_array().reshape(4, 4).filled(np.nan), rows, columns)
    texts = [text.get_text() for text in ax.texts]
    chosen = pairs[(pairs["target"] == target) & (pairs["metric"] == metric)]
    assert values.notna().sum(axis=None) == 9
    for row in chosen.itertuples():
        names = sorted((row.first, row.second))
        drawn = values.loc[names[1], names[0]]
        assert drawn == row.value or np.isnan(drawn) and np.isnan(row.value)
        if row.n:
            assert f"{row.value:.2f}\n{row.low:.2f} to {row.high:.2f}" in texts
    x, y = ax.patches[0].get_center()
    assert texts.count("never\noverlap") == len(ax.patches) == 1 and (rows[int(y)], columns[int(x)]) == ("Ben", "Ana")
    assert "on 64 to 128 items that both rated" in texts and not overlaps(ax.figure)
    assert [t.get_text() for t in ax.get_yticklabels() if t.get_weight() == "bold"] == ["net"]


def test_closer_agreement_is_darker():
    for target, metric in (("valence", "CCC"), ("valence", "RMSE")):
        pairs = pairwise(RATINGS, **QUICK)
        mesh = agreement_matrix(pairs, target, metric).collections[0]
        mesh.figure.canvas.draw()
        known = ~np.ma.getmaskarray(mesh.get_array()).ravel()
        darkness, values = -mesh.get_facecolors()[known, :3].sum(axis=1), mesh.get_array().ravel()[known]
        order = np.argsort(values if metric == "CCC" else -values)
        assert (np.diff(darkness[order]) >= 0).all()


def test_a_matrix_without_overlap_or_variance_says_so():
    ratings = apart(RATINGS).query("annotator in ('Ana', 'Ben')")
    for metric in ("CCC", "RMSE"):
        ax = agreement_matrix(pairwise(ratings, **QUICK), metric=metric)
        assert "no two rated the same item" in headline(ax) and "never\noverlap" in headline(ax)
        assert not overlaps(ax.figure)
    still = RATINGS.assign(valence=0.5).query("annotator in ('Ana', 'Ben')")
    assert "undefined" in headline(agreement_matrix(pairwise(still, **QUICK), metric="PCC"))


def test_a_figure_or_annotator_that_is_not_there_is_named():
    pairs = pairwise(RATINGS[["item", "annotator", "expression"]], **QUICK)
    with pytest.raises(ValueError, match="no 'CCC' of 'valence'; it has accuracy of expression"):
        agreement_matrix(pairs)
    with pytest.raises(ValueError, match="no 'CCC' of 'valence'; it has nothing"):
        agreement_matrix(pairs.head(0))
    profiles = annotator_profiles(RATINGS, **QUICK)
    for draw in (
        lambda: agreement_matrix(pairs, "expression", "accuracy", "me"),
        lambda: annotator_profile(profiles, "me"),
    ):
        with pytest.raises(ValueError, match="no annotator 'me'; there are net, Ana, Ben, Cy, Di"):
            draw()
    with pytest.raises(ValueError, match="profiles is empty"):
        annotator_profile(profiles.head(0))


def test_profiles_are_the_annotators():
    """Small labels are never clipped: bias, scale and noise then are those that annotators were given."""
    rng = np.random.default_rng(1)
    samples = pd.DataFrame({"id": range(4_000), "valence": rng.normal(0, 0.2, 4_000), "arousal": 0.3})
    samples["arousal"] *= rng.uniform(-1, 1, 4_000)
    quiet = [
        Annotator(a.name, a.bias, a.scale, (a.noise[0] / 2, a.noise[1] / 2), missing=0.1) for a in [MODEL, *HUMANS]
    ]
    table = annotator_profiles(simulated_ratings(samples, quiet), "net", n_resamples=2)
    found = table.set_index(["target", "annotator", "metric"])["value"]
    for k, target in enumerate(("valence", "arousal")):
        for own in quiet:
            others = [a for a in quiet[1:] if a is not own]
            covariance = np.mean([a.scale[k] * b.scale[k] for a, b in combinations(others, 2)])
            scale = own.scale[k] * np.mean([a.scale[k] for a in others]) / covariance
            assert found[target, own.name, "scale"] == pytest.approx(scale, abs=0.04)
            bias = own.bias[k] - np.mean([a.bias[k] for a in others])
            assert found[target, own.name, "bias"] == pytest.approx(bias, abs=0.01)
            assert found[target, own.name, "noise"] == pytest.approx(own.noise[k], abs=0.01)


def test_profiles_end_in_the_average_agreement():
    ratings = apart(RATINGS)
    with pytest.warns(UserWarning, match="Ana and Ben"):
        table, averages = annotator_profiles(ratings, "net", **QUICK), average_agreement(ratings, "net", **QUICK)
    both = averages.query("metric == 'CCC'").merge(table, on=["annotator", "target", "metric"], suffixes=("", "_x"))
    assert len(both) == 10
    for name in ("value", "low", "high", "n"):
        np.testing.assert_allclose(both[name], both[f"{name}_x"])
    assert table["value"].between(table["low"], table["high"]).all()


def test_intervals_of_profiles_hold_the_truth():
    truth = {"bias": 0.1 - 0, "scale": 0.8, "noise": 0.1}
    annotators = [Annotator(name, noise=(0.1, 0.1)) for name in "abc"]
    annotators += [Annotator("own", bias=(0.1, 0), scale=(0.8, 1), noise=(0.1, 0.1))]
    hits = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        samples = pd.DataFrame({"id": range(60), "valence": rng.normal(0, 0.25, 60), "arousal": 0.0})
        ratings = simulated_ratings(samples, annotators, 99 + seed)[["item", "annotator", "valence"]]
        table = annotator_profiles(ratings, n_resamples=100).query("annotator == 'own'").set_index("metric")
        hits.append([table.loc[m, "low"] <= value <= table.loc[m, "high"] for m, value in truth.items()])
    assert (np.mean(hits, axis=0) > 0.85).all() and 0.9 < np.mean(hits) < 0.99


def test_the_profile_shows_what_was_estimated():
    table = annotator_profiles(RATINGS, "net", **QUICK)
    figure = annotator_profile(table, "net")
    names = ["Ana", "Ben", "Cy", "Di", "net"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == names
    for ax, metric in zip(figure.axes, ("bias", "scale", "noise", "CCC"), strict=True):
        drawn = iter(ax.collections)
        for target in ("valence", "arousal"):
            rows = table[(table["target"] == target) & (table["metric"] == metric)].set_index("annotator").loc[names]
            bars, dots = next(drawn), next(drawn)
            np.testing.assert_allclose([s[:, 0] for s in bars.get_segments()], rows[["low", "high"]])
            np.testing.assert_allclose(dots.get_offsets()[:, 0], rows["value"])
            assert dots.get_label() == target and np.array_equal(dots.get_offsets()[:, 1].round(), range(5))
    assert figure.get_suptitle() == "How 5 annotators rate: 128 items each" and not overlaps(figure)


def test_two_humans_have_no_scale():
    ratings = RATINGS[RATINGS["annotator"].isin(["Ana", "Ben"])].drop(columns="arousal")
    table = annotator_profiles(ratings, **QUICK).set_index(["annotator", "metric"])["value"]
    assert table.unstack()[["scale", "noise"]].isna().all(axis=None) and table["Ana", "bias"] == -table["Ben", "bias"]
    figure = annotator_profile(annotator_profiles(ratings, **QUICK))
    for ax, text in zip(figure.axes, ("", "needs two other humans", "needs two other humans", ""), strict=True):
        assert "".join(t.get_text() for t in ax.texts) == text
    assert figure.get_suptitle() == "How 2 annotators rate valence: 128 items each" and not overlaps(figure)


def test_a_stranger_has_no_profile():
    ratings = pd.concat(
        [RATINGS, RATINGS.query("annotator == 'Ana'").assign(annotator="Eve", item="x" + RATINGS["item"])]
    )
    ratings["subject"] = ratings["item"]
    with pytest.warns(UserWarning, match="Eve"):
        table = annotator_profiles(ratings, **QUICK)
    eve = table[table["annotator"] == "Eve"]
    assert eve[["value", "low", "high"]].isna().all(axis=None) and (eve["n"] == 0).all()
    assert table.loc[table["annotator"] != "Eve", "value"].notna().all()
    assert not overlaps(annotator_profile(table))
