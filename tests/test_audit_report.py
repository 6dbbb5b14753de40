"""Training data, causes, mitigations, planted harms, plots, the report and the simulation of audits."""

import re
import sys
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns

import emokit
from emokit.data import fade_pictures, load_image, rendered_faces, shift_labels, thin_out
from emokit.data.annotators import draw_annotators, simulated_ratings
from emokit.evaluation import (
    audit,
    audit_data,
    balanced,
    causes,
    ccc,
    compare_mitigations,
    culture_match,
    image_quality,
    landmark_error,
    recalibrated,
    training_weights,
)
from emokit.evaluation.audit import describe_model
from emokit.evaluation.audit.power import power
from emokit.evaluation.audit.statements import ETHICS, MODEL_FIELDS, card
from emokit.models import ResNet18, save_resnet18
from emokit.plots import coverage_map, forest, intersections, signed_errors, write_audit
from emokit.plots.audit_report import _markdown

GROUPS = ["age_band", "skin_tone"]
QUICK = {"n_resamples": 100, "n_permutations": 200}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def study(persons=90, frames=6, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    n, who = persons * frames, np.arange(persons).repeat(frames)
    samples = pd.DataFrame({"id": [f"f{k}" for k in range(n)], "subject": [f"s{k}" for k in who]})
    samples["age_band"] = rng.permutation(np.resize(["young", "middle", "older"], persons))[who]
    samples["skin_tone"] = rng.permutation(np.resize(["light", "dark"], persons))[who]
    samples["expression"] = rng.choice(["happy", "sad", "anger"], n)
    said = samples[["id", "expression"]].copy()
    said.loc[rng.random(n) < 0.2, "expression"] = "neutral"
    for name in ("valence", "arousal"):
        samples[name] = rng.uniform(-0.8, 0.8, n)
        said[name] = samples[name] + rng.normal(0, 0.12, n) + rng.normal(0, 0.03, persons)[who]
        said[name] = (said[name] + shift * (samples["age_band"] == "older")).clip(-1, 1)
    return said, samples


@pytest.fixture(scope="module")
def found():
    return audit(*study(shift=0.15), GROUPS, **QUICK)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return rendered_faces(24, seed=5, size=64, folder=tmp_path_factory.mktemp("faces"), workers=1)


# --- training data ---


def test_the_data_audit_counts_everyone_and_warns_of_nobody():
    _, samples = study()
    samples = samples[~((samples["age_band"] == "older") & (samples["skin_tone"] == "dark"))].reset_index(drop=True)
    samples.loc[(samples["age_band"] == "young") & (samples["expression"] == "sad"), "expression"] = "happy"
    samples.loc[0, "skin_tone"] = None
    found = audit_data(samples, GROUPS)
    table = found.representation.set_index(["columns", "group"])
    assert table.loc[("age_band", "young"), "n"] == 180 and table.loc[("age_band", "young"), "subjects"] == 30
    assert table.loc[("age_band × skin_tone", "older, dark"), "n"] == 0
    assert found.representation.groupby("columns")["share"].sum().to_numpy() == pytest.approx(1)
    text = "\n".join(found.warnings)
    assert "age_band × skin_tone: nobody is older, dark." in text
    assert "age_band: young never shows sad." in text and f"1 of {len(samples)} faces have no skin_tone" in text
    assert "too few to learn from or to test on: " in text and "There is no column subject" not in text
    assert "no column subject" in "\n".join(audit_data(samples.drop(columns="subject"), GROUPS).warnings)


def test_labels_and_coverage_are_counted_by_group():
    _, samples = study()
    half = samples[(samples["age_band"] != "older") | (samples["valence"] > 0)]
    found = audit_data(half, ["age_band"])
    labels = found.labels.set_index("group")
    older = half[half["age_band"] == "older"]
    assert labels.at["older", "valence_mean"] == pytest.approx(older["valence"].mean())
    assert labels.at["older", "happy"] == pytest.approx((older["expression"] == "happy").mean())
    cells = found.coverage
    assert cells.groupby("group")["n"].sum().to_dict() == half["age_band"].value_counts().to_dict()
    assert (cells.loc[(cells["group"] == "older") & (cells["valence"] < 0), "n"] == 0).all()
    reach = found.reach.set_index("group")["reached"]
    assert reach["older"] < 0.75 < reach["young"]
    bare = audit_data(samples[["id", "age_band"]], ["age_band"])
    assert bare.coverage.empty and list(bare.labels) == ["columns", "group"]


def test_without_expressions_labels_are_compared_by_region():
    _, samples = study()
    samples = samples[(samples["age_band"] != "older") | (samples["valence"] > 0.2)].drop(columns="expression")
    data = audit_data(samples, ["age_band"])
    labels = data.labels.set_index("group")
    assert labels["imbalance"]["older"] > 0.4 > labels["imbalance"]["young"]
    assert labels.at["older", "unpleasant, calm"] == 0 < labels.at["young", "unpleasant, calm"]
    text = "\n".join(data.warnings)
    assert "age_band: no face of older is labelled neutral; unpleasant, calm; unpleasant, excited." in text
    assert re.search(r"large parts of the circumplex that others fill are empty for older \(\d\d%\)\.", text)
    assert "circumplex" not in "".join(audit_data(study()[1].drop(columns="expression"), ["age_band"]).warnings)


def test_labels_of_training_data_that_can_not_be_are_named():
    _, samples = study(persons=4)
    for value, text in ((5.0, "5.0"), (-np.inf, "-inf"), ("high", "'high'")):
        wrong = samples.assign(valence=samples["valence"].astype(object).where(samples["id"] != "f3", value))
        with pytest.raises(ValueError, match=rf"row 3 of the samples \('f3'\): valence is .*{text}.*, no number in"):
            audit_data(wrong, ["age_band"])


def test_annotators_and_cleaning_are_counted_by_group():
    _, samples = study()
    samples["culture"] = np.where(samples["skin_tone"] == "dark", "A", "B")
    names = ["a1", "a2", "a3"]
    ratings = simulated_ratings(samples, draw_annotators(3, 0), seed=0)
    cultures = dict(zip(names, "AAB", strict=True))
    matched = culture_match(samples, ratings, cultures)["culture_match"]
    item = samples["id"][7]
    own = ratings.loc[ratings["item"] == item, "annotator"].map(cultures)
    assert matched[7] == (own == samples["culture"][7]).mean()
    kept = samples.loc[(samples["age_band"] != "older") | (samples.index % 2 == 0), ["id"]]
    found = audit_data(samples, ["age_band", "skin_tone"], ratings=ratings, cultures=cultures, cleaning=kept)
    who = found.annotators.set_index("group")
    dark = samples["skin_tone"] == "dark"
    assert who.at["dark", "ratings"] == pytest.approx(ratings["item"].isin(samples["id"][dark]).sum() / dark.sum())
    assert who.at["dark", "same_culture"] == pytest.approx(matched[dark].mean()) and who.at["dark", "annotators"] == 3
    gone = found.cleaning.set_index("group")
    assert gone.at["older", "removed"] == 180 - len(
        kept[kept["id"].isin(samples["id"][samples["age_band"] == "older"])]
    )
    assert gone.at["young", "removed"] == 0 and gone.at["older", "rest"] == 0
    with pytest.raises(ValueError, match="cultures say nothing of annotator 'a3'"):
        culture_match(samples, ratings, {"a1": "A", "a2": "B"})
    with pytest.raises(ValueError, match="the ratings are of no sample"):
        audit_data(samples, ["age_band"], ratings=ratings.assign(item="elsewhere", annotator=ratings.index.astype(str)))


# --- causes ---


def test_a_difference_that_labels_make_is_explained_by_them():
    """The older show mild faces only: their CCC is lower at the same error."""
    said, samples = study(persons=240)
    samples = samples[(samples["age_band"] != "older") | (samples["arousal"].abs() < 0.35)]
    found = audit(said, samples, ["age_band"], targets=["arousal"], n_resamples=300, n_permutations=500)
    first = found.findings.iloc[0]
    assert (first["group"], first["metric"], first["verdict"]) == ("older", "CCC", "differs")
    row = causes(found, bins=12).query("group == 'older' and metric == 'CCC'").squeeze()
    assert row["says"] == "explains it" and abs(row["adjusted"]) < 0.3 * abs(row["difference"])
    assert row["imbalance"] > 0.3 and row["difference"] == pytest.approx(first["difference"])


def test_a_planted_shift_is_not_explained_by_labels(found):
    row = causes(found).query("group == 'older' and target == 'valence' and metric == 'signed error'").squeeze()
    assert row["says"] == "does not explain it" and row["adjusted"] == pytest.approx(0.15, abs=0.03)
    table = causes(found).query("columns == 'skin_tone' and metric == 'signed error'")
    nil = (table["difference_low"] <= 0) & (table["difference_high"] >= 0)
    assert nil.any() and set(table.loc[nil, "says"]) <= {"nothing to explain", "hides more"}
    assert row["overlap"] > 0.95 and row["adjusted_low"] < row["adjusted"] < row["adjusted_high"]


def test_what_a_group_never_shares_can_not_be_separated():
    said, samples = study(shift=0.15)
    rng = np.random.default_rng(0)
    samples["contrast"] = np.where(samples["age_band"] == "older", 0.1, 0.5) + rng.uniform(0, 0.1, len(samples))
    samples["camera"] = np.where(
        rng.random(len(samples)) < np.where(samples["age_band"] == "older", 0.8, 0.2), "old", "new"
    )
    found = audit(said, samples, ["age_band"], **QUICK)
    table = causes(found, ["contrast", "camera"]).query(
        "group == 'older' and metric == 'signed error' and target == 'valence'"
    )
    assert set(table.loc[table["cause"] == "contrast", "says"]) == {"can't be separated"}
    assert set(table.loc[table["cause"] == "camera", "says"]) == {"does not explain it"}
    assert table.loc[table["cause"] == "camera", "imbalance"].to_numpy() == pytest.approx(0.6, abs=0.1)
    for by, message in [(["blur"], "no column 'blur'"), (["empty"], "column 'empty' is empty for")]:
        with pytest.raises(ValueError, match=message):
            causes(audit(said, samples.assign(empty=np.nan), ["age_band"], **QUICK), by)
    with pytest.raises(ValueError, match="by names no cause"):
        causes(found, [])
    assert set(causes(found, "camera")["cause"]) == {"camera"}
    with pytest.raises(ValueError, match="at least 2 bins"):
        causes(found, bins=1)


def test_pictures_and_landmarks_are_measured(faces, tmp_path):
    faded = fade_pictures(faces, "skin_tone", faces["skin_tone"][0], 0.4, tmp_path / "faded")
    before, after = image_quality(faces), image_quality(faded)
    own = faces["skin_tone"] == faces["skin_tone"][0]
    np.testing.assert_allclose(after["contrast"][own] / before["contrast"][own], 0.4, atol=0.03)
    np.testing.assert_array_equal(after["contrast"][~own], before["contrast"][~own])
    np.testing.assert_allclose(before["face_size"], (faces[["x1", "y1"]].to_numpy() - faces[["x0", "y0"]]).max(axis=1))
    moved = faces[["id"]].assign(landmarks=[x + np.float32(3) for x in faces["landmarks"]])
    error = landmark_error(moved, faces)["landmark_error"]
    eyes = [np.hypot(*(x.reshape(68, 2)[36] - x.reshape(68, 2)[45])) for x in faces["landmarks"]]
    np.testing.assert_allclose(error, np.hypot(3, 3) / np.array(eyes), rtol=1e-5)
    for wrong, message in [
        (moved.iloc[1:], "1 samples have no prediction"),
        (moved[["id"]], "predictions have no column"),
    ]:
        with pytest.raises(ValueError, match=message):
            landmark_error(wrong, faces)
    with pytest.raises(ValueError, match="no column 'image'"):
        image_quality(faces.drop(columns="image"))
    with pytest.raises(ValueError, match="lies outside its picture"):
        image_quality(faces.assign(x0=500, x1=600))
    with pytest.raises(ValueError, match=f"row 2 of the samples \\('{faces['id'][2]}'\\) has no y0; fill it in"):
        image_quality(faces.assign(y0=faces["y0"].astype(float).where(faces.index != 2)))


# --- mitigations ---


def test_recalibration_mends_a_shift_and_says_what_it_costs_others(found):
    said, samples = study(shift=0.15)
    mended = recalibrated(said, samples, ["age_band"])
    table = compare_mitigations(found, {"recalibrated": mended}, "age_band")
    older = table.query("group == 'older' and target == 'valence'").set_index("metric")
    assert older.at["signed error", "before"] > 0.12 and abs(older.at["signed error", "after"]) < 0.01
    assert older.at["signed error", "low"] > 0.1 and older.at["CCC", "low"] > 0
    young = table.query("group == 'young' and target == 'valence' and metric == 'CCC'").squeeze()
    assert abs(young["change"]) < 0.01 and young["low"] <= young["change"] <= young["high"]
    assert list(table["group"].unique()) == ["middle", "older", "young", "everyone"]
    assert (table.query("target == 'expression'")["change"] == 0).all()
    assert not table["few"].any()
    with pytest.raises(ValueError, match="there is no mitigation to compare"):
        compare_mitigations(found, {}, "age_band")
    with pytest.raises(ValueError, match="the audit has no columns 'culture'; it has age_band, skin_tone, age_band"):
        compare_mitigations(found, {"recalibrated": mended}, ["culture"])


def test_recalibration_never_learns_from_the_person_it_changes():
    said, samples = study(persons=30)
    before = recalibrated(said, samples, ["age_band"], min_size=5)
    shaken = samples.assign(valence=samples["valence"].where(samples["subject"] != "s3", -samples["valence"]))
    after = recalibrated(said, shaken, ["age_band"], min_size=5)
    own = (samples["subject"] == "s3").to_numpy()
    np.testing.assert_array_equal(before["valence"][own], after["valence"][own])
    assert not np.array_equal(before["valence"][~own], after["valence"][~own])
    with pytest.raises(ValueError, match="folds lie between 2 and the number of persons, 30"):
        recalibrated(said, samples, ["age_band"], folds=31)


def test_few_persons_share_the_change_of_all():
    said, samples = study()
    alone = recalibrated(said, samples, ["age_band"], min_size=1000)
    rest = samples.set_index("id")["valence"].loc[alone["id"]]
    assert ccc(rest, alone["valence"]) >= ccc(rest, said.set_index("id")["valence"].loc[alone["id"]]) - 0.002
    assert alone["valence"].mean() == pytest.approx(samples["valence"].mean(), abs=0.01)


def test_weights_let_groups_count_alike():
    _, samples = study()
    samples = thin_out(samples, "age_band", "older", 0.2)
    weights = training_weights(samples, ["age_band"])
    assert weights.mean() == pytest.approx(1)
    assert np.ptp(weights.groupby(samples["age_band"]).sum()) == pytest.approx(0, abs=1e-9)
    capped = training_weights(samples, ["age_band"], most=2)
    assert capped.max() / capped.min() == pytest.approx(2)
    table = balanced(samples, ["age_band"], seed=1)
    assert table["id"].is_unique and len(table) == len(samples)
    assert table["age_band"].value_counts().to_numpy() == pytest.approx(len(samples) / 3, rel=0.15)
    again = table["id"].str.contains("/")
    origin = samples.set_index("id").loc[table["id"].str.split("/").str[0], "valence"]
    assert again.any() and (origin.to_numpy() == table["valence"]).all()
    with pytest.raises(ValueError, match="most is at least 1"):
        training_weights(samples, ["age_band"], most=0.5)


# --- planted harms ---


def test_harms_change_one_group_and_say_what_was(faces, tmp_path):
    shifted = shift_labels(faces, "age_band", faces["age_band"][0], valence=-0.1, arousal=0.05)
    own = faces["age_band"] == faces["age_band"][0]
    np.testing.assert_allclose((shifted["valence"] - faces["valence"])[own], -0.1)
    assert (shifted["valence"] == faces["valence"])[~own].all() and (shifted["true_arousal"] == faces["arousal"]).all()
    _, samples = study()
    few = thin_out(samples, "age_band", "older", 0.1)
    assert few.loc[few["age_band"] == "older", "subject"].nunique() == 3 and len(few) == 360 + 18
    pd.testing.assert_frame_equal(few[few["age_band"] != "older"].reset_index(drop=True),
                                  samples[samples["age_band"] != "older"].reset_index(drop=True))  # fmt: skip
    faded = fade_pictures(faces, "skin_tone", faces["skin_tone"][0], 0.5, tmp_path)
    one, other = (load_image(t["image"][0]).astype(float) for t in (faces, faded))
    np.testing.assert_allclose(other - other.mean(axis=(0, 1)), 0.5 * (one - one.mean(axis=(0, 1))), atol=1.01)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    fade_pictures(faces, "skin_tone", faces["skin_tone"][0], 0.5, tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_harms_that_can_not_be_planted_are_named(faces):
    for plant, message in [
        (lambda: shift_labels(faces, "age", "older"), "no column 'age'"),
        (lambda: shift_labels(faces, "age_band", "ancient"), "no sample is 'ancient' in 'age_band'; there are "),
        (lambda: shift_labels(faces.drop(columns="arousal"), "culture", faces["culture"][0]), "no column 'arousal'"),
        (lambda: thin_out(faces, "culture", faces["culture"][0], 0), "keep is above 0"),
        (lambda: fade_pictures(faces, "culture", faces["culture"][0], 2), "contrast lies between 0 and 1"),
        (lambda: fade_pictures(faces.drop(columns="image"), "culture", faces["culture"][0]), "only pictures can lose"),
    ]:
        with pytest.raises(ValueError, match=message):
            plant()


# --- plots ---


def overlaps(figure):
    figure.canvas.draw()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = [(axis.get_view_interval(), tick) for axis in axes for tick in axis.get_major_ticks()]
    unseen = {tick.label1 for ends, tick in ticks if not min(ends) <= tick.get_loc() <= max(ends)}
    texts = [t for t in figure.findobj(plt.Text) if t.get_visible() and t.get_text().strip() and t not in unseen]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
    assert len(boxes) > 3
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("metric", ["CCC", "signed error"])
def test_the_forest_shows_what_was_tested(found, metric):
    ax = forest(found, "valence", metric)
    rows = found.findings.query(f"target == 'valence' and metric == {metric!r}")
    told = rows[rows["verdict"] != "too few to say"]
    drawn = np.concatenate(
        [dots.get_offsets()[:, 0] for dots in ax.collections if len(dots.get_offsets()) and hasattr(dots, "get_sizes")]
    )
    np.testing.assert_allclose(np.sort(drawn), np.sort(told["difference"]))
    assert {t.get_text() for t in ax.get_yticklabels()} == set(told["group"]) and not overlaps(ax.figure)
    assert f"{len(rows) - len(told)} groups left out: too few to say" in "\n".join(t.get_text() for t in ax.texts)
    with pytest.raises(ValueError, match="no test of 'RMSE' of 'valence'; there are"):
        forest(found, "valence", "RMSE")


def test_intersections_show_values_and_hatch_what_is_too_small(found):
    ax = intersections(found, GROUPS, "arousal")
    texts = [t.get_text() for t in ax.texts if "\n" in t.get_text()]
    rows = found.groups.query("columns == 'age_band × skin_tone' and target == 'arousal' and metric == 'CCC'")
    few = rows["effective"] < 20
    expected = {
        f"too few\n{n}" if small else f"{v:.2f}\n{n}"
        for v, n, small in zip(rows["value"], rows["subjects"], few, strict=True)
    }
    assert set(texts) == expected and len(ax.patches) == few.sum() and not overlaps(ax.figure)
    with pytest.raises(ValueError, match="the audit has no 'CCC' of 'arousal' for 'age_band × culture'"):
        intersections(found, ["age_band", "culture"], "arousal")


def test_signed_errors_stand_where_groups_are_misread(found):
    ax = signed_errors(found, "age_band")
    assert not overlaps(ax.figure)
    rows = found.groups.query("columns == 'age_band' and metric == 'signed error'")
    dots = {d.get_label(): d.get_offsets()[0] for d in ax.collections if d.get_label() in set(rows["group"])}
    for group, (x, y) in dots.items():
        own = rows[rows["group"] == group].set_index("target")["value"]
        assert (x, y) == pytest.approx((own["valence"], own["arousal"]))
    assert set(dots) == {"young", "middle", "older"}
    with pytest.raises(ValueError, match="no signed errors of valence and arousal for 'culture'"):
        signed_errors(found, "culture")


def test_coverage_crosses_what_only_others_show():
    _, samples = study()
    data = audit_data(samples[(samples["age_band"] != "older") | (samples["valence"] > 0)], ["age_band"])
    figure = coverage_map(data, "age_band")
    crosses = {
        ax.get_title().split("\n")[0]: len(ax.collections[0].get_offsets()) for ax in figure.axes if ax.get_title()
    }
    empty = data.coverage[data.coverage["n"] == 0].groupby("group").size()
    assert crosses == {name: empty.get(name, 0) for name in ("young", "middle", "older")} and crosses["older"] > 10
    with pytest.raises(ValueError, match="no column 'culture'"):
        coverage_map(data, "culture")
    with pytest.raises(ValueError, match="the data have no valence and arousal"):
        coverage_map(audit_data(samples[["id", "age_band"]], ["age_band"]), "age_band")


# --- the report ---


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    said, samples = study(shift=0.15)
    parts = {
        "data": audit_data(samples, GROUPS, intersections=1),
        "causes": causes(found),
        "mitigations": compare_mitigations(found, {"recalibrated": recalibrated(said, samples, GROUPS)}, "age_band"),
        "scope": "A test.", "model": {"Name": "noise", "Licence": "none", "House rule": "kept"},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("report")
    for name, date in (("one", "2026-01-01"), ("two", "2026-01-02")):
        write_audit(folder / f"{name}.html", found, date=date, **parts)
    return folder


def test_the_same_inputs_give_the_same_bytes_apart_from_the_date(page):
    for suffix in ("html", "md"):
        one, two = ((page / f"{name}.{suffix}").read_text(encoding="utf-8") for name in ("one", "two"))
        assert one != two and one.replace("2026-01-01", "2026-01-02") == two


def test_the_report_is_whole_and_alone(page, found):
    html, text = ((page / f"one.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "md"))
    for part in ("In short", "Scope", "Findings", "Causes", "Training data", "Mitigations", "Method", "Limits", "Ethics",
                 "Model card", "Datasheet", "Appendix", "Versions and seeds"):  # fmt: skip
        assert f"<h2>{part}" in html and f"\n## {part}" in text
    assert not re.search(r"(src|href)=\"(?!data:image/svg|#)", html) and "<script" not in html
    assert html.count("<img") == html.count('alt="') > 8
    assert "seed 0" in html and f"{found.tests} tests" in html and "House rule" in html and "not stated" in html
    assert all(paragraph.split(":")[0].replace("’", "'") in html.replace("&#39;", "'") for paragraph in ETHICS)
    first = found.findings.iloc[0]
    assert html.index(f"{first['group']} ({first['columns']})") < html.index("What the data can")


def test_numbers_in_the_report_are_those_of_the_audit(page, found):
    text = (page / "one.md").read_text(encoding="utf-8").replace("−", "-").replace("\\", "")
    for row in found.findings[found.findings["verdict"] == "differs"].itertuples():
        assert f"{row.difference:+.2f} ({row.low:+.2f} to {row.high:+.2f})" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(tables) > 8
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}) == 1


def test_names_can_not_break_the_page(tmp_path):
    said, samples = study(persons=60)
    evil = "<script>alert(1)</script> $x|y$ **&\n*_`"
    samples["age_band"] = samples["age_band"].replace("older", evil)
    found = audit(said, samples, ["age_band"], min_size=5, **QUICK)
    path = write_audit(tmp_path / "a.html", found, title=evil, scope=evil, date="now")
    html, text = path.read_text(encoding="utf-8"), path.with_suffix(".md").read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html
    rows = [line for line in text.split("\n") if "alert" in line and line.startswith("|")]
    assert rows and all("\\<script\\>" in line and line.endswith("|") for line in rows)
    assert _markdown("a|b*") == "a\\|b\\*"


def test_a_small_audit_has_a_report_too(tmp_path):
    said, samples = study(persons=8)
    found = audit(said, samples, ["age_band"], targets=["valence"], **QUICK)
    html = write_audit(tmp_path / "deep" / "a.html", found).read_text(encoding="utf-8")
    assert "No difference was found" in html and "Too few to say" in html
    with pytest.raises(ValueError, match="does not end in .html"):
        write_audit(tmp_path / "a.pdf", found)


def test_groups_too_small_have_no_bare_figures_in_the_report(tmp_path):
    said, samples = study()
    samples.loc[samples["subject"].isin(["s1", "s2", "s3"]), "age_band"] = "ancient"
    found = audit(said, samples, ["age_band"], **QUICK)
    cost = compare_mitigations(found, {"as it was": said}, "age_band")
    path = write_audit(tmp_path / "a.html", found, causes=causes(found), mitigations=cost)
    rows = [line for line in path.with_suffix(".md").read_text(encoding="utf-8").split("\n") if "ancient" in line]
    assert len(rows) > 8  # too few to say, metrics of three targets, mitigation
    for line in rows:
        if "Groups of age" in line:  # counts alone
            continue
        assert "†" in line or "±" in line or "none" in line or "too few to say" in line


def test_the_style_of_the_session_does_not_change_the_report(page, found, tmp_path):
    said, samples = study(persons=8)
    small = audit(said, samples, ["age_band"], **QUICK)
    pages = []
    for set_style in (lambda: None, lambda: sns.set_theme(context="poster", style="darkgrid", palette="husl")):
        with plt.rc_context():
            set_style()
            before = dict(plt.rcParams)
            pages.append(write_audit(tmp_path / "a.html", small, date="now").read_bytes())
            assert dict(plt.rcParams) == before
    assert pages[0] == pages[1]


def test_permutations_that_were_made_are_in_the_report(page, found):
    text = (page / "one.md").read_text(encoding="utf-8")
    assert f"Permutations made of each test: {found.permutations:,}" in text and found.permutations > 200
    assert f"{found.permutations:,} times" in text


def test_a_network_fills_its_card(demo, tmp_path):
    shipped = Path(emokit.__file__).parent / "weights" / "demo.safetensors"
    said = describe_model(demo)
    assert said["Weights (SHA-256)"] == sha256(shipped.read_bytes()).hexdigest()
    assert "rendered faces" in said["Trained on"] and said["Input size"] == "128 × 128 pixels"
    other = ResNet18(width=16, input_size=64)
    assert describe_model(other)["Weights (SHA-256)"].endswith("(numbers in memory)")
    assert "Trained on" not in describe_model(other)
    save_resnet18(other, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"train faces": "abc", "epochs": 3, "weights": "demo"}')
    said = describe_model(other, tmp_path / "model.safetensors")
    assert said["Trained on"].startswith("faces with the fingerprint abc, 3 epochs, begun with the weights demo")
    answers, samples = study(persons=8)
    page = write_audit(tmp_path / "a.html", audit(answers, samples, ["age_band"], **QUICK), model=demo)
    html = page.read_text(encoding="utf-8")
    assert sha256(shipped.read_bytes()).hexdigest() in html and "128 × 128 pixels" in html


def test_the_model_card_says_what_a_network_says_of_itself(demo):
    said = dict(card(MODEL_FIELDS, describe_model(demo)))
    assert said["Architecture"].startswith("EmoFAN") and "happy" in said["Outputs"] and said["Licence"] == "not stated"
    assert int(said["Parameters"].replace(",", "")) == sum(p.numel() for p in demo.parameters())


# --- the simulation ---


def test_simulated_audits_find_what_is_planted_and_little_else(monkeypatch):
    monkeypatch.setattr(sys.modules["emokit.evaluation.audit.power"], "POPULATION", 200)
    table = power("persons", "low contrast", audits=4, progress=False).set_index("finding")
    assert (table.loc[["valence CCC", "arousal CCC"], "found"] > 0.6).all() and table.at["false alarm", "found"] < 0.5
    none = power("faces", "none", audits=2, progress=False)
    assert list(none["finding"]) == ["false alarm"] and none["covered"].isna().all()
    with pytest.raises(ValueError, match="designs are persons, faces and harms none"):
        power("faces", "malice")
