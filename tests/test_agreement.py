import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from emokit.data import sample_faces, write_table
from emokit.data.annotators import Annotator, draw_annotators, simulated_ratings, true_agreement
from emokit.evaluation import (
    accuracy,
    add_model,
    against_humans,
    annotator_profiles,
    average_agreement,
    ccc,
    coefficients,
    correct_lags,
    coverage,
    estimate_lags,
    intervals,
    intraclass_correlations,
    krippendorff_alpha,
    leave_one_out,
    long_ratings,
    pairwise,
    pcc,
    read_ratings,
    rmse,
    sagr,
    statement,
)

FACES = sample_faces()
MODEL = Annotator("model", noise=(0.1, 0.1), slips=0.05)
RATINGS = simulated_ratings(FACES, [*draw_annotators(4, seed=1), MODEL], seed=1)
METRICS = {"RMSE": rmse, "SAGR": sagr, "PCC": pcc, "CCC": ccc}
QUICK = {"n_resamples": 200}


def both(ratings, first, second):
    """Ratings of two annotators, side by side, of what both rated."""
    sides = [ratings[ratings["annotator"] == name].set_index("item") for name in (first, second)]
    return sides[0].merge(sides[1], on="item")


def value(table, **row):
    for name, wanted in row.items():
        table = table[table[name] == wanted]
    (found,) = table["value" if "value" in table else "difference"]
    return found


def test_pairs_have_the_papers_metrics_of_what_both_rated():
    table = pairwise(RATINGS, **QUICK)
    assert len(table) == 10 * 9
    for (first, second), rows in table.groupby(["first", "second"]):
        shared = both(RATINGS, first, second)
        assert (rows["n"] == len(shared)).all() and len(shared) < len(FACES)
        assert value(rows, target="expression") == accuracy(shared["expression_x"], shared["expression_y"])
        for target in ("valence", "arousal"):
            for metric, function in METRICS.items():
                expected = function(shared[f"{target}_x"], shared[f"{target}_y"])
                assert value(rows, target=target, metric=metric) == pytest.approx(expected, abs=1e-10)
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()


def test_averages_are_means_over_pairs():
    pairs = pairwise(RATINGS, **QUICK).query("metric == 'CCC' and target == 'arousal'")
    table = average_agreement(RATINGS, "model", **QUICK).query("metric == 'CCC' and target == 'arousal'")
    difference = against_humans(RATINGS, **QUICK).query("metric == 'CCC' and target == 'arousal'")
    of_model = (pairs[["first", "second"]] == "model").any(axis=1)
    of_a2 = (pairs[["first", "second"]] == "a2").any(axis=1)
    for name, chosen in {"mean of humans": ~of_model, "model": of_model, "a2": of_a2 & ~of_model}.items():
        assert value(table, annotator=name) == pytest.approx(pairs.loc[chosen, "value"].mean(), abs=1e-12)
    for name in ("mean of humans", "a2"):
        expected = value(table, annotator="model") - value(table, annotator=name)
        assert value(difference, against=name) == pytest.approx(expected, abs=1e-12)
        row = difference.set_index("against").loc[name]
        assert row["model"] - row["human"] == pytest.approx(expected, abs=1e-12)


def test_leave_one_out_is_against_the_consensus_of_the_other_humans():
    table = leave_one_out(RATINGS, "model", **QUICK)
    for name in ("a2", "model"):
        own = RATINGS[RATINGS["annotator"] == name].set_index("item")
        others = RATINGS[~RATINGS["annotator"].isin([name, "model"])]
        shared = own.merge(others.groupby("item")[["valence", "arousal"]].mean(), on="item")
        for metric, function in METRICS.items():
            expected = function(shared["valence_x"], shared["valence_y"])
            assert value(table, annotator=name, target="valence", metric=metric) == pytest.approx(expected, abs=1e-10)
        modes = others.groupby("item")["expression"].agg(list).map(lambda said: pd.Series(said).mode().tolist())
        single = modes[modes.map(len) == 1].str[0]
        matches = own["expression"].reindex(single.index).dropna()
        row = table[(table["annotator"] == name) & (table["metric"] == "accuracy")].iloc[0]
        assert row["n"] == len(matches) and row["value"] == (matches == single[matches.index]).mean()


def test_those_who_never_overlap_are_named_and_left_out_of_averages():
    halves = {"a1": FACES.index < 64, "a2": FACES.index >= 64, "a3": FACES.index >= 0}
    ratings = simulated_ratings(FACES, [Annotator(name) for name in halves], seed=2)
    keeps = {(name, item): kept for name, half in halves.items() for item, kept in zip(FACES["id"], half, strict=True)}
    ratings = ratings[[keeps[rating] for rating in zip(ratings["annotator"], ratings["item"], strict=True)]]
    ratings = ratings[["item", "annotator", "valence"]]
    pairs = pairwise(ratings, **QUICK)
    apart = pairs[(pairs["first"] == "a1") & (pairs["second"] == "a2")]
    assert len(apart) == 4 and (apart["n"] == 0).all() and apart[["value", "low", "high"]].isna().all(axis=None)
    with pytest.warns(UserWarning, match="no item's valence is rated by both of a1 and a2: left out of averages"):
        averages = average_agreement(ratings, **QUICK)
    expected = value(pairs, first="a1", second="a3", target="valence", metric="PCC")
    assert value(averages, annotator="a1", target="valence", metric="PCC") == pytest.approx(expected)
    assert averages["low"].notna().all()


def test_a_target_that_a_pair_lacks_does_not_take_the_others_along():
    ratings = RATINGS.assign(arousal=RATINGS["arousal"].mask(RATINGS["annotator"] == "a1"))
    table = pairwise(ratings, **QUICK).query("first == 'a1'")
    assert (table.loc[table["target"] == "arousal", "n"] == 0).all()
    assert (table.loc[table["target"] != "arousal", "n"] > 50).all()
    without = pairwise(ratings.drop(columns="arousal"), **QUICK)
    assert set(without["target"]) == {"expression", "valence"}


def test_a_constant_annotator_has_no_correlation_and_a_perfect_one_no_width():
    says = {"same": [0.1] * 6, "x": [-0.5, 0.2, 0.1, 0.9, -0.3, 0.4], "y": [-0.5, 0.2, 0.1, 0.9, -0.3, 0.4]}
    ratings = pd.DataFrame(
        [{"item": k, "annotator": a, "valence": v} for a, r in says.items() for k, v in enumerate(r)]
    )
    table = pairwise(ratings, **QUICK).set_index(["first", "second", "metric"])[["value", "low", "high"]]
    assert table.loc["same", "x", "PCC"].isna().all()
    assert table.loc[("same", "x", "CCC"), "value"] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(table.loc["x", "y"], [[0] * 3, [1] * 3, [1] * 3, [1] * 3], atol=1e-12)
    averages = average_agreement(ratings, **QUICK).set_index(["annotator", "metric"])["value"]
    assert averages["x", "PCC"] == pytest.approx(1) and averages["x", "CCC"] == pytest.approx(0.5)


def test_frames_of_a_person_are_no_independent_evidence():
    one = RATINGS.query("annotator in ('a1', 'a2')").assign(subject=RATINGS["item"])
    frames = pd.concat([one.assign(item=one["item"] + f"/{k}") for k in range(9)])
    table = [pairwise(frames, cluster=c, n_resamples=500) for c in (None, "item")]
    width = [t["high"] - t["low"] for t in table]
    alone = pairwise(one, n_resamples=500)
    # Nine copies of every item tell nothing new to who resamples persons, and seem to, to who does not.
    pd.testing.assert_series_equal(width[0], alone["high"] - alone["low"])
    np.testing.assert_allclose(width[1] / width[0], 1 / 3, rtol=0.12)


def test_intervals_follow_level_seed_and_number_of_clusters():
    two = RATINGS.query("annotator in ('a1', 'model')")
    wide, narrow = (pairwise(two, level=level) for level in (0.99, 0.8))
    assert (wide["low"] < narrow["low"]).all() and (narrow["high"] < wide["high"]).all()
    pd.testing.assert_frame_equal(wide, pairwise(two, level=0.99))
    assert not wide.equals(pairwise(two, level=0.99, seed=1))
    one = pairwise(two.assign(subject="all"), **QUICK)
    assert one["value"].notna().all() and one[["low", "high"]].isna().all(axis=None)
    assert len(FACES) == 128 and intervals._MAX_COUNTS // 128 > 2000  # many blocks are as good as one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "_MAX_COUNTS", 128 * 7)
        pd.testing.assert_frame_equal(wide, pairwise(two, level=0.99))


@pytest.mark.parametrize(
    ("noise", "verdict", "one_by_one"),
    [(0.02, "above", "above 4"), (0.6, "below", "below 4"), (0.1, "within", "within 4")],
)
def test_the_statement_says_where_the_model_stands(noise, verdict, one_by_one):
    people = [Annotator(f"a{k}", noise=(0.1, 0.1)) for k in range(4)]
    ratings = simulated_ratings(FACES, [*people, Annotator("ours", noise=(noise, noise))], seed=3)
    for metric in ("CCC", "RMSE"):
        said = statement(ratings, "ours", "arousal", metric)
        assert f"the model is {verdict} human agreement (humans one by one: {one_by_one})" in said
        row = against_humans(ratings, "ours").query("target == 'arousal' and metric == @metric").iloc[0]
        assert f"humans is {row['model']:.2f}, theirs with each other {row['human']:.2f}" in said
        assert f"{row['difference']:.2f} (95 % interval {row['low']:.2f} to {row['high']:.2f})" in said
    alone = statement(ratings.assign(subject="one"), "ours", "expression", "accuracy")
    assert "(no interval): which is too little to tell" in alone
    assert "nothing can be told" in statement(ratings.assign(arousal=0.5), "ours", "arousal", "PCC")


# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability: four coders, twelve units.
NO = np.nan
KRIPPENDORFF = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, 3],
    [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NO],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
]).T  # fmt: skip
# Shrout & Fleiss (1979), Table 2: six targets, four judges.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_alpha_is_krippendorffs():
    assert krippendorff_alpha(KRIPPENDORFF) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(KRIPPENDORFF, "interval") == pytest.approx(0.849, abs=5e-4)
    words = np.where(np.isnan(KRIPPENDORFF), None, KRIPPENDORFF.astype(str))
    assert krippendorff_alpha(words) == krippendorff_alpha(KRIPPENDORFF)
    assert np.isnan(krippendorff_alpha(np.ones((5, 3)))) and np.isnan(krippendorff_alpha([[1, NO], [NO, 2]]))
    with pytest.raises(ValueError, match="'nominal' or 'interval', got 'ordinal'"):
        krippendorff_alpha(KRIPPENDORFF, "ordinal")
    for function in (krippendorff_alpha, intraclass_correlations):
        with pytest.raises(ValueError, match=r"a row for each item and a column for each annotator, got \(3,\)"):
            function([1, 2, 3])


@settings(deadline=None)
@given(arrays(float, (7, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, NO])))
def test_alpha_is_one_less_observed_over_expected_distance(ratings):
    units = [u[~np.isnan(u)] for u in ratings]
    units = [u for u in units if len(u) > 1]
    everything = np.concatenate(units) if units else np.array([])
    for measurement, distance in (("nominal", lambda a, b: a != b), ("interval", lambda a, b: (a - b) ** 2)):
        within = sum(sum(distance(a, b) for a, b in combinations(u, 2)) / (len(u) - 1) for u in units)
        across = sum(distance(a, b) for a, b in combinations(everything, 2))
        alpha = krippendorff_alpha(ratings, measurement)
        if across:
            assert alpha == pytest.approx(1 - within * (len(everything) - 1) / across, abs=1e-9)
            assert alpha == pytest.approx(krippendorff_alpha(ratings[::-1, ::-1], measurement), abs=1e-9)
        else:
            assert np.isnan(alpha)


def test_intraclass_correlations_are_shrout_and_fleiss():
    expected = {"ICC(2,1)": 0.29, "ICC(3,1)": 0.71, "ICC(2,k)": 0.62, "ICC(3,k)": 0.91}
    found = intraclass_correlations(SHROUT_FLEISS)
    assert found.round(2).to_dict() == expected
    incomplete = intraclass_correlations([*SHROUT_FLEISS, [9, NO, 5, 8]])
    pd.testing.assert_series_equal(incomplete, found)
    biased = intraclass_correlations(np.array(SHROUT_FLEISS) + [0, 5, -2, 1])
    assert biased["ICC(3,1)"] == pytest.approx(found["ICC(3,1)"]) and biased["ICC(2,1)"] < found["ICC(2,1)"]
    assert intraclass_correlations(SHROUT_FLEISS[:1]).isna().all()


def test_coefficients_of_a_table_are_those_of_its_parts():
    humans = RATINGS[RATINGS["annotator"] != "model"]
    table = coefficients(humans, n_resamples=50)
    wide = {t: humans.pivot(index="item", columns="annotator", values=t) for t in ("expression", "valence", "arousal")}
    names = wide["expression"]
    assert value(table, coefficient="Krippendorff's alpha", target="expression") == pytest.approx(
        krippendorff_alpha(names)
    )
    kappas = [cohen_kappa_score(*names[[a, b]].dropna().to_numpy().T) for a, b in combinations(names, 2)]
    assert value(table, coefficient="Cohen's kappa") == pytest.approx(np.mean(kappas))
    expected = fleiss_kappa(aggregate_raters(names.dropna().to_numpy())[0])
    assert value(table, coefficient="Fleiss' kappa") == pytest.approx(expected)
    for target in ("valence", "arousal"):
        found = table[table["target"] == target].set_index("coefficient")
        for name, expected in intraclass_correlations(wide[target]).items():
            assert found.loc[name, "value"] == pytest.approx(expected)
        alpha = krippendorff_alpha(wide[target], "interval")
        assert found.loc["Krippendorff's alpha", "value"] == pytest.approx(alpha)
        assert found.loc["ICC(2,1)", "n"] == len(wide[target].dropna()) < found.loc["Krippendorff's alpha", "n"]
    assert ((table["low"] < table["value"]) & (table["value"] < table["high"])).all()


def test_coefficients_without_a_complete_item_are_nan():
    ratings = RATINGS[(RATINGS["annotator"] != "a1") | (RATINGS["item"] == "none")]
    ratings = pd.concat([ratings, RATINGS.iloc[:1].assign(item="alone")], ignore_index=True)
    table = coefficients(ratings, n_resamples=20).set_index(["target", "coefficient"])
    assert table.loc[("valence", "ICC(3,1)"), "n"] == 0 and np.isnan(table.loc[("valence", "ICC(3,1)"), "value"])
    assert np.isnan(table.loc[("expression", "Fleiss' kappa"), "value"])
    assert table.loc[("valence", "Krippendorff's alpha"), "value"] > 0.5


def trace(seed=0, recordings=6, seconds=20, rate=10):
    """True valence and arousal of some recordings, smooth and never the same twice."""
    rng, time = np.random.default_rng(seed), np.arange(seconds * rate) / rate
    frames = []
    for k in range(recordings):
        waves = 0.3 * np.sin(rng.uniform(0.5, 2, (2, 3, 1)) * time + rng.uniform(0, 6, (2, 3, 1)))
        valence, arousal = waves.sum(axis=1)
        ids = [f"r{k}/{n}" for n in range(len(time))]
        about = {"id": ids, "recording": f"r{k}", "time": time, "valence": valence, "arousal": arousal}
        frames.append(pd.DataFrame(about))
    return pd.concat(frames, ignore_index=True)


LAGS = {"a1": 0.0, "a2": 0.25, "a3": 0.6, "a4": 1.3}
LATE = [Annotator(name, lag=lag, noise=(0.1, 0.1), missing=0.1) for name, lag in LAGS.items()]


def test_lags_are_found_and_undone():
    samples = trace()
    ratings = simulated_ratings(samples, LATE, seed=4)
    # Traces of different lengths: one annotator stops half-way, another misses a recording.
    short = (ratings["annotator"] == "a2") & (ratings["time"] > 10) | (ratings["annotator"] == "a3") & (
        ratings["recording"] == "r0"
    )
    ratings = ratings[~short]
    lags = estimate_lags(ratings, reference="a1")
    assert lags["a1"] == 0 and np.abs(lags - pd.Series(LAGS)).max() < 0.08
    centred = estimate_lags(ratings)
    pd.testing.assert_series_equal(centred, lags - lags.mean())
    truth = true_agreement(samples, [Annotator(name, noise=(0.1, 0.1)) for name in LAGS])
    corrected = correct_lags(ratings, lags)
    options = {"cluster": "recording", "n_resamples": 50}
    for target in ("valence", "arousal"):
        expected = truth.query("target == @target and metric == 'CCC'")["value"].mean()
        row = {"annotator": "mean of humans", "target": target, "metric": "CCC"}
        assert value(average_agreement(ratings, **options), **row) < expected - 0.1
        assert value(average_agreement(corrected, **options), **row) == pytest.approx(expected, abs=0.03)


def test_without_noise_a_lag_is_undone_exactly():
    samples = trace(recordings=1).assign(valence=lambda t: t["time"] / 40, arousal=0.0)
    ratings = long_ratings(samples.assign(valence_x=samples["valence"], valence_y=samples["valence"] - 0.4 / 40))
    corrected = correct_lags(ratings.assign(expression=ratings["item"]), {"x": 0, "y": 0.4})
    shared = both(corrected, "x", "y")
    assert len(shared) == 196 and np.allclose(shared["valence_x"], shared["valence_y"])
    assert shared["expression_y"].iloc[0] == "r0/4"


def test_lags_that_cannot_be_told_are_said():
    ratings = simulated_ratings(trace(recordings=2), LATE[:3], seed=5)
    with pytest.warns(UserWarning, match="agree best at the largest lag looked for, 0.2 s; raise max_lag"):
        estimate_lags(ratings, max_lag=0.2)
    elsewhere = ratings["recording"] == np.where(ratings["annotator"] == "a3", "r1", "r0")
    assert estimate_lags(ratings[elsewhere]).isna().tolist() == [False, False, True]
    constant = estimate_lags(
        ratings.assign(valence=0.1, arousal=ratings["arousal"].where(ratings["annotator"] != "a1", 0.3))
    )
    assert constant.isna().tolist() == [True, False, False]
    twice = ratings.drop(columns="recording")
    for attempt, message in {
        lambda: estimate_lags(RATINGS): "no column 'time'",
        lambda: estimate_lags(ratings.assign(time="early")): "row 0: time is no number of seconds",
        lambda: correct_lags(ratings.assign(recording=None), LAGS): "row 0: recording is empty",
        lambda: correct_lags(
            twice, LAGS
        ): f"row {twice.duplicated(['annotator', 'time']).argmax()}: its annotator has rated",
        lambda: estimate_lags(ratings, max_lag=0.05): "max_lag is 0.05 s, less than the 0.1 s from one rating",
        lambda: estimate_lags(
            ratings.drop(columns=["valence", "arousal"]).assign(expression="sad")
        ): "neither valence nor",
        lambda: estimate_lags(ratings, "me"): "no annotator 'me'; there are a1, a2, a3",
        lambda: correct_lags(ratings, {"a1": 0, "a2": np.nan}): "no lag of annotator 'a2'",
        lambda: estimate_lags(ratings.drop_duplicates("annotator")): "no trace has two ratings",
    }.items():
        with pytest.raises(ValueError, match=message):
            attempt()


def test_a_model_is_one_more_annotator():
    humans = RATINGS[RATINGS["annotator"] != "model"]
    said = (
        RATINGS[RATINGS["annotator"] == "model"].rename(columns={"item": "id"}).drop(columns=["annotator", "subject"])
    )
    stranger = pd.DataFrame([{"id": "elsewhere", "expression": "sad", "valence": 3.0, "arousal": 0}])
    together = add_model(humans, pd.concat([said, stranger]))
    pd.testing.assert_frame_equal(pairwise(together, **QUICK), pairwise(RATINGS, **QUICK))
    assert add_model(humans, said.assign(valence=7.0), "bold").query("annotator == 'bold'")["valence"].eq(1).all()
    with pytest.raises(ValueError, match="an annotator 'a1' already"):
        add_model(humans, said, "a1")
    with pytest.raises(ValueError, match="no prediction of any rated item"):
        add_model(humans, stranger)
    with pytest.raises(ValueError, match="none of what was rated; their columns are id"):
        add_model(humans, said[["id"]])
    with pytest.raises(ValueError, match="the predictions: valence is no number in every row .*'high' at position 0"):
        add_model(humans, said.assign(valence="high"))


def test_columns_of_annotators_become_rows():
    samples = pd.DataFrame(
        {"id": ["x", "y"], "subject": "s", "valence_1": [0.1, NO], "valence_2": [0.2, 0.3], "arousal_1": [0, 0.5]}
    )
    ratings = long_ratings(samples)
    assert ratings["annotator"].tolist() == ["1", "1", "2", "2"] and ratings["item"].tolist() == ["x", "y"] * 2
    assert (
        ratings["valence"].tolist()[2:] == [0.2, 0.3] and ratings["arousal"].isna().tolist() == [False] * 2 + [True] * 2
    )
    with pytest.raises(ValueError, match="no column valence_1"):
        long_ratings(FACES)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_are_as_good_as_frames(tmp_path, suffix):
    numbered = RATINGS.assign(item=RATINGS["item"].map({i: k for k, i in enumerate(FACES["id"])}))
    write_table(numbered, tmp_path / f"ratings{suffix}")
    pd.testing.assert_frame_equal(pairwise(tmp_path / f"ratings{suffix}", **QUICK), pairwise(numbered, **QUICK))


def corrupt(row, **cells):
    table = RATINGS.astype({"valence": object})
    for name, cell in cells.items():
        table.loc[row, name] = cell
    return table


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (RATINGS.rename(columns={"item": "image"}), "no column 'item'; it has image, annotator"),
        (corrupt(3, annotator=None), "row 3: annotator is empty"),
        (pd.concat([RATINGS, RATINGS[["arousal"]]], axis=1), "column 'arousal' is there twice"),
        (RATINGS.assign(valence=np.inf), "row 0: valence is inf, no number"),
        (corrupt(5, valence=-2.0), r"row 5: valence is -2.0, no number in \[-1, 1\]"),
        (corrupt(5, valence="high"), "row 5: valence is 'high'"),
        (corrupt(7, item=RATINGS["item"][6]), f"row 7: 'a1' rates item '{RATINGS['item'][6]}' again"),
        (corrupt(4, subject="other"), f"item '{RATINGS['item'][4]}' has no subject or more than one"),
        (RATINGS[["item", "annotator"]], "none of the columns expression, valence, arousal"),
        (RATINGS.assign(valence=None)[["item", "annotator", "valence"]], "valence hold no rating"),
        (RATINGS.query("annotator == 'a1'"), "needs two annotators, the ratings have a1"),
    ],
)
def test_what_is_wrong_with_ratings_is_named(ratings, message):
    with pytest.raises(ValueError, match=message):
        pairwise(ratings, **QUICK)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: pairwise(RATINGS, cluster="clip"), "no column 'clip' to resample by"),
        (lambda: pairwise(RATINGS, n_resamples=1), "n_resamples is at least 2, got 1"),
        (lambda: coefficients(RATINGS, level=95), "level lies between 0 and 1, got 95"),
        (lambda: average_agreement(RATINGS, "net"), "no annotator 'net'; there are a1, a2, a3, a4, model"),
        (
            lambda: against_humans(RATINGS.query("annotator in ('a1', 'model')")),
            "needs two of them, the ratings have a1",
        ),
        (lambda: statement(RATINGS, metric="accuracy"), "no 'accuracy' of 'valence'; there are expression: accuracy"),
        (lambda: statement(RATINGS.drop(columns="arousal"), target="arousal"), "no column 'arousal'"),
        (lambda: read_ratings("ratings.txt"), "neither .csv nor .parquet"),
    ],
)
def test_what_cannot_be_compared_is_said(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


def test_intervals_hold_the_true_agreement(monkeypatch):
    monkeypatch.setattr(coverage, "_LARGE", 2)
    population = coverage.recordings(100, seconds=4, rate=8)
    monkeypatch.setitem(coverage.DESIGNS, "recordings", (lambda: population, "subject", 30))
    exact = "figure in ('pairs', 'average: mean of humans', 'average: model', 'model less: mean of humans')"
    options = {"n_resamples": 200, "progress": False}
    right = coverage.coverage("recordings", studies=25, **options).query(exact)
    assert len(right) == 32 and 0.92 <= np.average(right["covered"], weights=right["intervals"]) <= 0.98
    # Frames taken for independent evidence give intervals that are far too narrow.
    simulate = coverage.simulated_ratings
    monkeypatch.setattr(coverage, "simulated_ratings", lambda *a, **k: simulate(*a, **k).drop(columns="subject"))
    wrong = coverage.coverage("recordings", studies=6, **options).query(exact)
    assert np.average(wrong["covered"], weights=wrong["intervals"]) < 0.75


def test_profiles_of_a_few_faces_hold_the_truth():
    """Noise of 0.05 among noisier humans: in many a study of 30 faces, less than nothing seems left of it."""
    annotators = [*draw_annotators(4, seed=3), Annotator("model", bias=(0.1, 0), scale=(0.8, 1), noise=(0.05, 0.2))]
    key, rng = ["annotator", "target", "metric"], np.random.default_rng(0)
    population = coverage.persons(200).drop(columns="subject")

    def profiles(n, **options):
        drawn = population.iloc[rng.integers(len(population), size=n)].assign(id=range(n))
        return annotator_profiles(simulated_ratings(drawn, annotators, int(rng.integers(2**32))), "model", **options)

    truth = profiles(20_000, n_resamples=2).set_index(key)["value"].rename("true")
    table = pd.concat([profiles(30, n_resamples=200) for _ in range(30)]).join(truth, on=key)
    assert (table["value"] == 0).any() and table["low"].notna().all()
    covered = table["true"].between(table["low"], table["high"]).groupby(table["metric"]).mean()
    assert covered[["bias", "scale", "noise"]].between(0.92, 0.98).all(), covered


def test_nothing_warns_of_ordinary_or_constant_ratings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        against_humans(RATINGS, **QUICK)
        leave_one_out(RATINGS, "model", **QUICK)
        coefficients(RATINGS, n_resamples=20)
        for still in ({"valence": 0.3}, {"expression": "sad"}):
            pairwise(RATINGS.assign(**still), **QUICK)
            annotator_profiles(RATINGS.assign(**still), **QUICK)
            coefficients(RATINGS.assign(**still), n_resamples=20)
