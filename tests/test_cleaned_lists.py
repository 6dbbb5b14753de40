import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from emokit.cleaning import (
    VERDICTS,
    Store,
    cleaned_list,
    cleaning_report,
    report_in_words,
    write_cleaned_pickle,
)
from emokit.data import (
    apply_cleaned,
    landmarks_of,
    read_afew_va,
    read_affectnet,
    read_sewa,
    read_table,
    sample_faces,
    skipped,
    write_table,
)
from emokit.data.afew_va import write_afew_va
from emokit.data.affectnet import write_affectnet
from emokit.data.sewa import write_sewa
from emokit.data.unpickle import load_pickle
from emokit.evaluation import cleaned
from emokit.plots import removals

SAMPLES = sample_faces()
IDS = SAMPLES["id"].tolist()


def decisions(*rows):
    """Rows of (id, verdict) or (id, verdict, expression, valence, arousal), as `Store.decisions` gives them."""
    rows = [(*row, *[None] * (5 - len(row))) for row in rows]
    table = pd.DataFrame(rows, columns=["id", "verdict", "expression", "valence", "arousal"])
    return table.assign(annotator="anna", note="")


DECIDED = decisions(
    (IDS[0], "correct"),
    (IDS[1], "wrong", "sad", -0.5, -0.2),
    (IDS[2], "wrong"),
    (IDS[3], "unsure"),
    (IDS[4], "no face"),
    (IDS[5], "bad crop", "sad", 0.1, 0.1),
    (IDS[6], "duplicate"),
    (IDS[7], "correct", None, 0.25, None),
)


def test_verdicts_become_keep_or_drop():
    table = cleaned_list(SAMPLES, DECIDED)
    assert table["id"].tolist() == IDS
    rows = table.head(9)
    assert rows["verdict"].tolist() == ["keep", "keep", "drop", "drop", "drop", "drop", "drop", "keep", "keep"]
    assert rows["reason"].tolist() == [
        "correct", "corrected", "wrong", "unsure", "no face", "bad crop", "duplicate", "corrected", "not reviewed",
    ]  # fmt: skip
    assert rows.loc[1, ["expression", "valence", "arousal"]].tolist() == ["sad", -0.5, -0.2]
    assert rows.loc[7, ["expression", "valence", "arousal"]].tolist() == [
        SAMPLES["expression"][7], 0.25, SAMPLES["arousal"][7],
    ]  # fmt: skip
    assert table["annotator"].tolist() == ["anna"] * 8 + [""] * 120
    assert table["expression"].tail(120).equals(SAMPLES["expression"].tail(120))
    unsure = cleaned_list(SAMPLES, DECIDED, keep_unsure=True)
    assert unsure["verdict"][3] == "keep" and unsure["reason"][3] == "unsure"
    assert set(DECIDED["verdict"]) == set(VERDICTS)


def test_labels_that_a_mean_has_rounded_are_not_corrected():
    same = decisions((IDS[0], "correct", None, SAMPLES["valence"][0] + 1e-7, np.float32(SAMPLES["arousal"][0])))
    assert cleaned_list(SAMPLES, same)["reason"][0] == "correct"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (decisions(("x", "correct"), ("y", "wrong"), (IDS[0], "wrong")), "2 of 3 decisions .* such as 'x', 'y'"),
        (decisions((IDS[0], "maybe")), f"decision on '{IDS[0]}': 'maybe' is no verdict; verdicts are correct, wrong"),
        (decisions((IDS[0], "correct"), (IDS[0], "wrong")), r"repeated id.*decisions\(final=True\)"),
        (decisions((IDS[0], "wrong", "joy")), f"'{IDS[0]}': the expression 'joy' is none of neutral"),
        (decisions((IDS[0], "wrong", "sad", -2.0)), f"'{IDS[0]}': the valence -2.0 is no number"),
        (pd.DataFrame({"id": IDS[:1]}), "no column 'verdict'"),
    ],
)
def test_decisions_that_do_not_fit_are_named(table, message):
    with pytest.raises(ValueError, match=message):
        cleaned_list(SAMPLES, table)


def test_a_store_becomes_a_list(tmp_path):
    store = Store(tmp_path / "review.db", overlap=1.0)
    store.add(SAMPLES[["id", "image", "expression", "valence", "arousal"]].head(3))
    for annotator in ("anna", "bo"):
        store.take(annotator, 3)
        store.decide(IDS[0], annotator, "wrong", expression="fear", valence=-0.4, arousal=0.3)
        store.decide(IDS[1], annotator, "bad crop", note='<b>"half" a face</b>')
        store.decide(IDS[2], annotator, "correct" if annotator == "anna" else "wrong")
    table = cleaned_list(SAMPLES, store.decisions(final=True))
    store.close()
    assert table["reason"].head(3).tolist() == ["corrected", "bad crop", "not reviewed"]  # the third is open
    assert table["expression"][0] == "fear" and table["valence"][0] == -0.4
    assert '<b>"half" a face</b>' in table["note"][1] and "anna" in table["annotator"][0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_lists_are_kept_on_disk(tmp_path, suffix):
    table = cleaned_list(SAMPLES, DECIDED)
    write_table(table, tmp_path / f"list{suffix}")
    laid = apply_cleaned(SAMPLES, table)
    pd.testing.assert_frame_equal(apply_cleaned(SAMPLES, tmp_path / f"list{suffix}"), laid)
    assert laid.attrs["cleaned"] == {"dropped": 5, "corrected": 2} and len(laid) == 123
    assert laid.loc[1, "expression"] == "sad" and laid.loc[7, "valence"] == 0.25
    pd.testing.assert_frame_equal(cleaned(SAMPLES, table), laid)
    assert laid.dtypes.equals(SAMPLES.dtypes)


def test_the_index_of_a_table_does_not_matter():
    table, twice = cleaned_list(SAMPLES, DECIDED), SAMPLES.set_axis([0, 1] * 64)
    pd.testing.assert_frame_equal(cleaned_list(twice, DECIDED.set_axis([5] * 8)), table)
    laid = apply_cleaned(twice, table.set_axis([3] * 128))
    pd.testing.assert_frame_equal(laid.reset_index(drop=True), apply_cleaned(SAMPLES, table).reset_index(drop=True))
    report = cleaning_report(twice, table, ["culture"])
    pd.testing.assert_frame_equal(report, cleaning_report(SAMPLES, table, ["culture"]))


def test_ids_that_look_like_numbers_survive_csv(tmp_path):
    samples = SAMPLES.head(4).assign(id=["001", "002", "1", "2"])
    table = cleaned_list(samples, decisions(("001", "wrong"), ("1", "correct", "fear")))
    write_table(table, tmp_path / "list.csv")
    laid = apply_cleaned(samples, tmp_path / "list.csv")
    assert laid["id"].tolist() == ["002", "1", "2"] and laid["expression"].iloc[1] == "fear"


def test_labels_of_categories_are_replaced():
    samples = SAMPLES.assign(expression=SAMPLES["expression"].where(SAMPLES["expression"] != "sad", "happy"))
    samples["expression"] = samples["expression"].astype("category")
    table = cleaned_list(samples, DECIDED)
    assert table["expression"][1] == "sad" and apply_cleaned(samples, table)["expression"][1] == "sad"


def test_lists_of_ids_alone_correct_nothing():
    laid = apply_cleaned(SAMPLES, SAMPLES[["id"]].head(100))
    pd.testing.assert_frame_equal(laid, SAMPLES.head(100))
    assert laid.attrs["cleaned"] == {"dropped": 28, "corrected": 0}


def test_the_papers_layout_is_read_back(tmp_path):
    table = cleaned_list(SAMPLES, DECIDED)
    path = write_cleaned_pickle(SAMPLES, table, tmp_path / "list")
    listed = load_pickle(path)
    assert listed.pop("folder") == "." and len(listed) == 128
    assert sum(not face["expression_correct"] for face in listed.values()) == 5
    assert set(next(iter(listed.values()))) == {
        "expression",
        "valence",
        "arousal",
        "landmarks_fan",
        "expression_correct",
    }
    found, laid = read_affectnet(tmp_path / "list", layout="pickle", check_images=True), apply_cleaned(SAMPLES, table)
    assert found["expression"].tolist() == laid["expression"].tolist()
    np.testing.assert_array_equal(found[["valence", "arousal"]], laid[["valence", "arousal"]])
    np.testing.assert_allclose(landmarks_of(found), landmarks_of(laid))
    with pytest.raises(FileExistsError, match="is there already"):
        write_cleaned_pickle(SAMPLES, table, tmp_path / "list")


def test_what_the_papers_layout_cannot_hold_is_named(tmp_path):
    table = cleaned_list(SAMPLES, DECIDED)
    without = SAMPLES.assign(landmarks=SAMPLES["landmarks"].where(SAMPLES.index != 9, None))
    with pytest.raises(ValueError, match=f"'{IDS[9]}' has no landmarks"):
        write_cleaned_pickle(without, table, tmp_path)
    with pytest.raises(ValueError, match="no column 'landmarks'"):
        write_cleaned_pickle(SAMPLES.drop(columns="landmarks"), table, tmp_path)
    unnamed = SAMPLES.assign(expression=SAMPLES["expression"].where(SAMPLES.index != 9, "bored"))
    with pytest.raises(ValueError, match=f"'{IDS[9]}' has no expression of AffectNet's .'bored'"):
        write_cleaned_pickle(unnamed, table.drop(columns="expression"), tmp_path)
    shared = SAMPLES.assign(image=SAMPLES["image"].where(SAMPLES.index != 9, SAMPLES["image"][0]))
    with pytest.raises(ValueError, match=f"'{IDS[0]}' and '{IDS[9]}' share a picture"):
        write_cleaned_pickle(shared, table, tmp_path)
    without = SAMPLES.assign(image=SAMPLES["image"].where(SAMPLES.index != 9, None))
    with pytest.raises(ValueError, match=f"'{IDS[9]}' names no picture"):
        write_cleaned_pickle(without, table, tmp_path)
    assert not list(tmp_path.iterdir())


# Loaders


LOADERS = dict.fromkeys(["csv", "npy", "pickle"], read_affectnet) | {"afew_va": read_afew_va, "sewa": read_sewa}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Sixteen faces in the files of every data set."""
    folders = {name: tmp_path_factory.mktemp(name) for name in LOADERS}
    for layout in ("csv", "npy", "pickle"):
        write_affectnet(SAMPLES.head(16), folders[layout], layout=layout)
    write_afew_va(SAMPLES.head(16).assign(clip="001", frame=range(16)), folders["afew_va"])
    ratings = {name: np.linspace(-0.5, 0.5, 16)[:, None] * [1, 1] for name in ("Valence", "Arousal")}
    frames = [np.full((48, 64, 3), 9 * k, np.uint8) for k in range(16)]
    write_sewa("C1_S001_P001_VC1", frames, ratings, folders["sewa"])
    return folders


@pytest.mark.parametrize("data", LOADERS)
def test_every_loader_takes_a_list(data, folders, tmp_path):
    read, folder = LOADERS[data], folders[data]
    samples = read(folder)
    ids = samples["id"].tolist()
    decided = decisions((ids[2], "wrong"), (ids[4], "bad crop"), (ids[6], "wrong", None, 0.875, None))
    table = cleaned_list(samples, decided)
    write_table(table, tmp_path / "list.csv")
    for given in (table, tmp_path / "list.csv"):
        clean = read(folder, cleaned=given)
        assert clean["id"].tolist() == [name for k, name in enumerate(ids) if k not in (2, 4)]
        assert clean.index.equals(pd.RangeIndex(14)) and clean.attrs["cleaned"] == {"dropped": 2, "corrected": 1}
        assert clean["valence"][4] == 0.875
        assert clean["arousal"].tolist() == samples["arousal"].drop([2, 4]).tolist()
        assert clean.attrs.keys() == samples.attrs.keys() | {"cleaned"}
    strange = pd.concat([table, table.head(2).assign(id=["who", "where"])])
    with pytest.raises(
        ValueError, match="2 of 18 ids in the cleaning list are not among the samples, such as 'who', 'where'"
    ):
        read(folder, cleaned=strange)
    lenient = read(folder, cleaned=strange, on_error="skip")
    assert len(lenient) == 14 and skipped(lenient)["row"].tolist() == ["who", "where"]
    with pytest.raises(ValueError, match=f"1 samples have no verdict, such as '{ids[15]}'"):
        read(folder, cleaned=table.head(15))


@pytest.mark.parametrize("layout", ["csv", "npy", "pickle"])
def test_corrections_move_faces_into_and_out_of_the_five_classes(layout, folders):
    affectnet = folders[layout]
    samples = read_affectnet(affectnet)
    ids = samples.set_index("expression")["id"]
    decided = decisions((ids["fear"].iloc[0], "wrong", "sad"), (ids["happy"].iloc[0], "wrong", "disgust"))
    every, five = cleaned_list(samples, decided), read_affectnet(affectnet, n_expressions=5)
    clean = read_affectnet(affectnet, n_expressions=5, cleaned=every)
    assert set(clean["id"]) == set(five["id"]) - {ids["happy"].iloc[0]} | {ids["fear"].iloc[0]}
    assert clean.attrs["left_out"] == five.attrs["left_out"]
    # A list of the five classes alone says nothing of the others.
    of_five = cleaned_list(five, decisions((ids["sad"].iloc[0], "no face")))
    assert len(read_affectnet(affectnet, n_expressions=5, cleaned=of_five)) == len(five) - 1


def test_expressions_given_to_data_without_any_are_kept(folders):
    afew_va = folders["afew_va"]
    samples = read_afew_va(afew_va)
    clean = read_afew_va(afew_va, cleaned=cleaned_list(samples, decisions((samples["id"][1], "correct", "contempt"))))
    assert clean["expression"].iloc[1] == "contempt" and clean["expression"].notna().sum() == 1
    assert clean.attrs["cleaned"]["corrected"] == 1


# The report


def crowd(persons=60, faces=8, harm=0.0, seed=0):
    """Faces of persons of two groups, and a list that drops a twelfth, and more of group B by ``harm``."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(persons), faces)
    group = np.where(person % 3 == 0, "B", "A")
    samples = pd.DataFrame(
        {"id": [f"f{k}" for k in range(len(person))], "subject": [f"p{k}" for k in person], "group": group}
    )
    samples["expression"] = np.tile(["happy", "sad"], len(person) // 2)
    samples["valence"] = samples["arousal"] = 0.0
    gone = rng.random(len(person)) < 1 / 12 + harm * (group == "B")
    said = decisions(
        *[(name, "wrong") for name in samples["id"][gone]],
        *[(name, "correct", None, 0.5) for name in samples["id"][~gone][:5]],
    )
    return samples, cleaned_list(samples, said)


def test_the_report_counts_what_was_removed_and_why():
    report = cleaning_report(SAMPLES, cleaned_list(SAMPLES, DECIDED), ["age_band", "culture"])
    whole = report.iloc[0]
    assert (whole["faces"], whole["removed"], whole["corrected"], whole["clusters"]) == (128, 5, 2, 16)
    assert whole["low"] < whole["share"] == 5 / 128 < whole["high"]
    why = report[report["by"] == "reason"].set_index("value")
    assert why["faces"].to_dict() == {"not reviewed": 120, "corrected": 2} | dict.fromkeys(
        ["correct", "wrong", "unsure", "no face", "bad crop", "duplicate"], 1
    )
    assert why["removed"].sum() == 5 and why.loc["corrected", "corrected"] == 2
    who = report[report["by"] == "annotator"].set_index("value")
    assert who.loc["anna", ["faces", "removed", "corrected"]].tolist() == [8, 5, 2]
    assert whole.filter(like="removed_").to_dict() == dict.fromkeys(
        [f"removed_{name}" for name in ("wrong", "unsure", "no_face", "bad_crop", "duplicate")], 1
    )
    for by in ("expression", "age_band", "culture"):
        rows = report[report["by"] == by].set_index("value")
        assert rows.filter(like="removed_").sum(axis=1).equals(rows["removed"].astype(float))
        assert rows["faces"].to_dict() == SAMPLES[by].value_counts().to_dict()
        assert rows["removed"].sum() == 5 and rows["corrected"].sum() == 2


def test_who_agrees_is_counted_by_name():
    both = DECIDED.assign(annotator=["anna, ben", *["anna"] * 6, "ben"])
    report = cleaning_report(SAMPLES, cleaned_list(SAMPLES, both), [])
    assert report[report["by"] == "annotator"].set_index("value")["faces"].to_dict() == {"anna": 7, "ben": 2}


def test_a_group_that_loses_more_is_found():
    samples, table = crowd(harm=0.25)
    report = cleaning_report(samples, table, ["group"])
    rows = report[report["by"] == "group"].set_index("value")
    assert rows["finding"].to_dict() == {"A": "loses fewer", "B": "loses more"}
    assert rows.loc["B", "difference_low"] > 0 and rows.loc["B", "clusters"] == 20
    assert rows.loc["B", "difference"] == pytest.approx(rows.loc["B", "share"] - rows.loc["A", "share"])
    assert (report.loc[report["by"] == "expression", "finding"] == "").all()
    words = report_in_words(report)
    gone = rows.loc["B", "removed"]
    assert (
        "group: B loses more than the rest" in words
        and f"; wrong {gone:.0f}." in words
        and "expression: no value is shown to lose" in words
    )
    assert words.splitlines()[0].startswith(f"Cleaning removed {report['removed'][0]} of 480 faces")


def test_equal_groups_are_rarely_accused():
    found = []
    for seed in range(25):
        samples, table = crowd(seed=seed)
        report = cleaning_report(samples, table, ["group"])
        found.append((report.loc[report["by"] == "group", "finding"] != "").any())
    assert np.mean(found) <= 0.1


def test_persons_count_rather_than_faces():
    """One person whose faces all go is no evidence against a group."""
    samples, _ = crowd()
    gone = samples["subject"].isin(["p0", "p3", "p1"])
    table = samples[["id"]].assign(verdict=np.where(gone, "drop", "keep"))
    of_faces = cleaning_report(samples.drop(columns="subject"), table, ["group"]).set_index(["by", "value"])
    of_persons = cleaning_report(samples, table, ["group"]).set_index(["by", "value"])
    b = ("group", "B")
    assert of_faces.loc[b, "finding"] == "loses more" and of_persons.loc[b, "finding"] == ""
    assert of_persons.loc[b, "difference_low"] < 0 < of_persons.loc[b, "difference"]
    alone = samples.assign(group=np.where(samples["subject"] == "p0", "B", "A"))
    report = cleaning_report(alone, table, ["group"])
    assert report.loc[report["value"] == "B", "high"].isna().all() and "too few persons" in report_in_words(report)


def test_a_group_without_removals_has_an_interval():
    samples, _ = crowd()
    table = samples[["id"]].assign(
        verdict=np.where((samples["group"] == "A") & (samples.index % 4 == 0), "drop", "keep")
    )
    for faces in (samples, samples.drop(columns="subject")):
        rows = cleaning_report(faces, table, ["group"]).set_index("value")
        assert 0 == rows.loc["B", "share"] < rows.loc["B", "high"] < 0.25
        assert rows.loc["B", "finding"] == "loses fewer"


def test_reports_that_cannot_be_made_are_refused():
    samples, table = crowd()
    with pytest.raises(ValueError, match="no column 'tribe'"):
        cleaning_report(samples, table, ["tribe"])
    with pytest.raises(ValueError, match="1 samples have no verdict"):
        cleaning_report(samples, table.head(479), [])
    with pytest.raises(ValueError, match="level is between"):
        cleaning_report(samples, table, [], level=95)
    plain = cleaning_report(samples.drop(columns="expression"), table.drop(columns="expression"), [])
    assert "No classes or groups were compared." in report_in_words(plain)
    with pytest.raises(ValueError, match="compares no classes"):
        removals(plain)


def test_the_report_is_drawn_class_by_class_and_group_by_group():
    samples, table = crowd(harm=0.25)
    report = cleaning_report(samples, table, ["group"])
    figure = removals(report)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["expression", "group"]
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts == ["loses fewer", "loses more"]
    labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert labels[1].startswith("B  ") and labels[1].endswith("of 160")
    dots = figure.axes[1].collections[-1].get_offsets()
    np.testing.assert_allclose(dots[:, 0], report.loc[report["by"] == "group", "share"])
    plt.close(figure)


def test_reports_are_tables(tmp_path):
    samples, table = crowd()
    report = cleaning_report(samples, table, ["group"])
    write_table(table, tmp_path / "list.parquet")
    write_table(samples, tmp_path / "samples.csv")
    pd.testing.assert_frame_equal(
        cleaning_report(tmp_path / "samples.csv", tmp_path / "list.parquet", ["group"]), report
    )
    assert read_table(tmp_path / "samples.csv")["id"].equals(samples["id"])
