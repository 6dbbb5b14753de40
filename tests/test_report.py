import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emokit.data import read_afew_va, sample_faces, write_table
from emokit.evaluation import compare, intervals, report
from emokit.evaluation.metrics import accuracy, ccc, pcc, rmse, sagr
from emokit.models import EXPRESSIONS

AFEW = Path(__file__).parents[1] / "data" / "afew_va"
NAMES = list(EXPRESSIONS[8])


def study(persons=40, frames=10, seed=0):
    """Predictions and samples of persons who differ in level, and whom the network misreads each in their own way."""
    rng = np.random.default_rng(seed)
    n, who = persons * frames, np.arange(persons).repeat(frames)
    samples = pd.DataFrame({"id": [f"f{k}" for k in range(n)], "subject": [f"s{k}" for k in who]})
    samples["expression"] = rng.choice(NAMES, n)
    for name in ("valence", "arousal"):
        samples[name] = np.clip(rng.normal(0, 0.3, persons)[who] + rng.normal(0, 0.3, n), -1, 1)
    said = samples[["id", "expression"]].copy()
    said.loc[rng.random(n) < 0.3, "expression"] = "neutral"
    for name in ("valence", "arousal"):
        said[name] = np.clip(0.7 * samples[name] + rng.normal(0, 0.1, persons)[who] + rng.normal(0, 0.2, n), -1, 1)
    return said.sample(frac=1, random_state=seed), samples


def figures(table):
    return table.set_index(["target", "metric"])["value"].to_dict()


def widths(table):
    return (table["high"] - table["low"]).to_numpy()


def test_the_papers_row_is_that_of_the_metrics():
    said, samples = study()
    table = report(said, samples, n_resamples=200)
    known = said.set_index("id").loc[samples["id"]]
    expected = {("expression", "accuracy"): accuracy(samples["expression"], known["expression"])}
    for name in ("valence", "arousal"):
        for metric, function in {"RMSE": rmse, "SAGR": sagr, "PCC": pcc, "CCC": ccc}.items():
            expected[name, metric] = function(samples[name], known[name])
    assert figures(table) == expected
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    assert (table["n"] == 400).all() and (table["clusters"] == 40).all()


def test_the_report_goes_beside_the_papers_rows():
    said, samples = study()
    table = report(said, samples, system="EmoFAN", data="AffectNet, clean set", n_resamples=10)
    both = compare(table, table="table1")
    assert len(both) == 9 and set(both["data"]) == {"AffectNet, clean set"}
    assert both.loc[both["metric"] == "accuracy", "paper"].item() == 0.75
    for row in both.to_dict("records"):
        assert row["yours"] == figures(table)[row["target"], row["metric"]]
    one = compare(report(said, samples, system="EmoFAN", n_resamples=10), table="table2")
    assert len(one) == 8 and set(one["data"]) == {"SEWA"}


def test_intervals_are_those_of_resamples_put_together_by_hand():
    said, samples = study(persons=12, frames=5)
    said = said.set_index("id").loc[samples["id"]]
    table = report(said.reset_index(), samples, targets=["valence"], n_resamples=400, seed=3)
    faces = np.arange(60).reshape(12, 5)
    drawn = []
    for picked in np.random.default_rng(3).integers(12, size=(400, 12)):
        rows = faces[picked].ravel()
        t, p = samples["valence"].to_numpy()[rows], said["valence"].to_numpy()[rows]
        drawn.append([rmse(t, p), sagr(t, p), pcc(t, p), ccc(t, p)])
    # Student's t with 12 persons, on scales on which the figures are nearly normal.
    there = (np.log, lambda x: np.arcsin(np.sqrt(x)), np.arctanh, np.arctanh)
    back = (np.exp, lambda x: np.sin(x) ** 2, np.tanh, np.tanh)
    reach = stats.t.ppf(0.975, 11) * math.sqrt(12 / 11)
    for row, resampled, to, fro in zip(table.to_dict("records"), np.transpose(drawn), there, back, strict=True):
        half = reach * np.std(to(resampled), ddof=1)
        expected = fro(to(row["value"]) - half), fro(to(row["value"]) + half)
        np.testing.assert_allclose((row["low"], row["high"]), expected, rtol=0, atol=1e-10)


def test_chunks_do_not_change_the_resamples(monkeypatch):
    whole = report(*study(), n_resamples=100)
    monkeypatch.setattr(intervals, "_MAX_COUNTS", 300)
    pd.testing.assert_frame_equal(report(*study(), n_resamples=100), whole)


def test_the_seed_decides():
    said, samples = study()
    first, again, other = (report(said, samples, n_resamples=100, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["low"] != other["low"]).all() and figures(first) == figures(other)


def test_persons_not_frames_are_resampled():
    """Twenty copies of every frame teach nothing about other persons."""
    said, samples = study()
    copies = pd.concat([samples.assign(id=samples["id"] + f"_{k}") for k in range(20)])
    copied = pd.concat([said.assign(id=said["id"] + f"_{k}") for k in range(20)])
    one = report(said, samples, n_resamples=500)
    np.testing.assert_allclose(widths(report(copied, copies, n_resamples=500)), widths(one), rtol=1e-9)
    by_frame = report(copied, copies.drop(columns="subject"), n_resamples=500)
    assert (by_frame["clusters"] == 8000).all() and (widths(by_frame) < widths(one) / 2).all()


def test_intervals_cover_the_truth():
    """95 % intervals of 20 persons hold the figures of all persons in about 95 of 100 studies."""
    truth = report(*study(persons=20_000, seed=99), n_resamples=2)["value"]
    hits = []
    for seed in range(200):
        table = report(*study(persons=20, seed=seed), n_resamples=500)
        hits.append(table["low"].le(truth) & truth.le(table["high"]))
    covered = np.mean(hits, axis=0)
    assert (covered > 0.88).all() and 0.92 < covered.mean() < 0.98


def test_level_widens_intervals():
    narrow, wide = (report(*study(), n_resamples=500, level=level) for level in (0.5, 0.99))
    assert (widths(narrow) < widths(wide)).all()
    for wrong in ({"level": 95}, {"n_resamples": 0}):
        with pytest.raises(ValueError, match="n_resamples is at least 2 and level between 0 and 1"):
            report(*study(), **wrong)


def test_a_single_person_has_no_interval():
    table = report(*study(persons=1, frames=50), n_resamples=50)
    assert table[["low", "high"]].isna().all(axis=None) and table["value"].notna().all()


def test_undefined_figures_are_nan_not_noise():
    said, samples = study()
    table = report(said.assign(valence=0.1), samples, n_resamples=200).set_index(["target", "metric"])
    assert table.loc[("valence", "PCC"), ["value", "low", "high"]].isna().all()
    np.testing.assert_allclose(table.loc[("valence", "CCC"), ["value", "low", "high"]].astype(float), 0, atol=1e-12)
    assert table.loc["arousal"].notna().all(axis=None)


def test_perfect_predictions_are_perfect_in_every_resample():
    _, samples = study()
    table = report(samples, samples, n_resamples=200)
    expected = np.where(table["metric"] == "RMSE", 0.0, 1.0)
    for column in ("value", "low", "high"):
        np.testing.assert_allclose(table[column], expected, rtol=0, atol=1e-10)


def test_samples_without_expression_are_measured_in_valence_and_arousal():
    samples = read_afew_va(AFEW)
    said = pd.DataFrame({"id": samples["id"], "valence": samples["valence"] * 0.5, "arousal": 0.3, "expression": "sad"})
    table = report(said, samples, n_resamples=50)
    assert table["target"].unique().tolist() == ["valence", "arousal"]
    assert (table["clusters"] == samples["subject"].nunique()).all()


def test_faces_without_a_label_are_left_out_of_that_target():
    said, samples = study()
    samples.loc[:99, "expression"] = None
    samples.loc[:9, "arousal"] = np.nan
    table = report(said, samples, n_resamples=10).set_index("target")
    assert table["n"].groupby(level=0).first().to_dict() == {"expression": 300, "valence": 400, "arousal": 390}
    assert table.loc["arousal", "clusters"].eq(39).all()


def test_files_numbers_and_text_join(tmp_path):
    said, samples = study()
    numbered = {f"f{k}": k for k in range(400)}
    samples["id"], said["id"] = samples["id"].map(numbered), said["id"].map(numbered).astype(str)
    expected = report(said, samples, n_resamples=10)
    write_table(said, tmp_path / "said.parquet")
    write_table(samples, tmp_path / "samples.csv")
    found = report(tmp_path / "said.parquet", tmp_path / "samples.csv", n_resamples=10)
    pd.testing.assert_frame_equal(found, expected)


def test_predictions_of_other_faces_do_not_count():
    said, samples = study()
    part = samples[samples["subject"] < "s2"]
    only = said[said["id"].isin(part["id"])]
    pd.testing.assert_frame_equal(report(said, part, n_resamples=10), report(only, part, n_resamples=10))


def test_tables_that_do_not_fit_are_named():
    said, samples = study()
    cases = [
        (said[said["id"] != "f7"], samples, r"1 of 400 samples have no prediction: 'f7'; the predictions' ids are 'f"),
        (said.assign(id=range(400)), samples, "400 of 400 samples have no prediction: 'f0', 'f1', 'f2' and 397 more"),
        (pd.concat([said, said.tail(1)]), samples, "predictions: the table, row 400: a repeated id"),
        (said, pd.concat([samples, samples.head(1)]), r"samples: the table, row 400: a repeated id \('f0'\)"),
        (said.drop(columns="id"), samples, "predictions: the table has no column 'id'"),
        (said.drop(columns="arousal"), samples, "predictions have no column 'arousal'"),
        (said, samples[["id"]], "samples have no labels: none of the columns expression, valence, arousal is filled"),
        (said.assign(valence=said["valence"].where(said["id"] != "f7")), samples, "no valence for 'f7'"),
        (said, samples.assign(arousal=samples["arousal"].where(samples.index != 7, -2)), "arousal is -2 for 'f7'"),
        (said, samples.assign(valence=np.inf), "valence is inf for 'f0', 'f1', 'f2' and 397 more"),
        (
            said,
            samples.assign(arousal="?"),
            r"samples: arousal is '\?' for 'f0', 'f1', 'f2' and 397 more; it is a number",
        ),
        (said.assign(valence="high"), samples, "predictions: valence is 'high' for 'f"),
        (said, samples.assign(subject=samples["subject"].where(samples.index != 7)), "subject is missing for 'f7'"),
    ]
    for predictions, labels, message in cases:
        with pytest.raises(ValueError, match=message):
            report(predictions, labels, n_resamples=2)
    with pytest.raises(ValueError, match="samples have no labels of 'dominance'; they have expression, valence"):
        report(said, samples, targets=["dominance"])


def test_targets_leave_out_what_a_network_does_not_say():
    said, samples = study()
    table = report(said.drop(columns="expression"), samples, targets=["valence", "arousal"], n_resamples=10)
    assert set(table["target"]) == {"valence", "arousal"}


def test_five_classes_are_measured_on_faces_of_five_classes_only():
    said, samples = study()
    five = list(EXPRESSIONS[5])
    said = said.assign(expression=np.where(said["expression"].isin(five), said["expression"], "neutral"))
    said[[f"p_{name}" for name in five]] = 0.2
    with pytest.raises(ValueError, match=r"predictions know anger, .*, but \d+ samples show contempt, disgust, fear"):
        report(said, samples)
    part = samples[samples["expression"].isin(five)]
    assert report(said, part, n_resamples=10)["n"].eq(len(part)).all()
    # Eight classes may be measured on five: another name is wrong.
    eight = study()[0].assign(expression="fear")
    assert figures(report(eight, part, n_resamples=10))["expression", "accuracy"] == 0


def test_expressions_of_another_spelling_are_not_wrong_answers():
    said, samples = study()
    strange = said.assign(expression=said["expression"].replace("happy", "Happiness"))
    with pytest.raises(ValueError, match="'Happiness', which is no known expression"):
        report(strange, samples)
    with pytest.raises(ValueError, match="'0', which is no known expression"):
        report(said.assign(expression=0), samples)


def test_predictions_beyond_the_range_are_clipped_and_counted():
    said, samples = study()
    loud = said.assign(valence=said["valence"].where(~said["id"].isin(["f1", "f2", "f3", "f4"]), 1.3))
    with pytest.warns(UserWarning, match=r"4 of 400 predictions of valence lie outside \[-1, 1\] and are clipped"):
        table = report(loud, samples, n_resamples=10)
    clipped = report(loud.assign(valence=loud["valence"].clip(-1, 1)), samples, n_resamples=10)
    pd.testing.assert_frame_equal(table, clipped)


def test_another_scale_is_refused_not_clipped():
    said, samples = study()
    with pytest.raises(ValueError, match=r"predictions: valence is -?\d+.* for 'f\d+', .* of 400 predictions of valence lie "
                       r"outside \[-1, 1\]. Rescale the column"):  # fmt: skip
        report(said.assign(valence=said["valence"] * 100), samples)
    endless = said.assign(arousal=said["arousal"].where(said["id"] != "f7", np.inf))
    with pytest.raises(ValueError, match="predictions: arousal is inf for 'f7'; 1 of 400"):
        report(endless, samples)


def test_one_target_needs_no_list():
    assert set(report(*study(), targets="valence", n_resamples=10)["target"]) == {"valence"}


def test_the_shipped_faces_can_be_reported():
    samples = sample_faces()
    table = report(samples, samples, n_resamples=10)
    assert (table["n"] == 128).all() and (table["clusters"] == 16).all()
