import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from emokit.data import landmarks_of, rendered_faces
from emokit.data.affectnet import read_affectnet, write_affectnet
from emokit.data.problems import DataError, skipped
from emokit.data.unpickle import load_pickle

LAYOUTS = ("csv", "npy", "pickle")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return rendered_faces(16, seed=6, size=64, folder=tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def written(faces, tmp_path_factory):
    folders = {}
    for layout in LAYOUTS:
        folders[layout] = tmp_path_factory.mktemp(layout)
        write_affectnet(faces, folders[layout], layout=layout)
        write_affectnet(faces.head(3), folders[layout], "validation", layout=layout)
    return folders


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_comes_back(faces, written, layout):
    found = read_affectnet(written[layout], check_images=True)
    assert found["expression"].tolist() == faces["expression"].tolist() and found["id"].is_unique
    np.testing.assert_allclose(found[["valence", "arousal"]], faces[["valence", "arousal"]])
    np.testing.assert_allclose(landmarks_of(found), landmarks_of(faces), atol=0.006)
    np.testing.assert_allclose(found[["x0", "y1"]], faces[["x0", "y1"]], atol=0.01)
    assert len(read_affectnet(written[layout], "validation")) == 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_five_classes_are_the_papers(faces, written, layout):
    five = ["neutral", "happy", "sad", "surprise", "anger"]
    found = read_affectnet(written[layout], n_expressions=5)
    assert found["expression"].tolist() == [e for e in faces["expression"] if e in five]
    assert found.attrs["left_out"]["expression"] == len(faces) - len(found)


def change_csv(folder, change, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    table = pd.read_csv(copy / "training.csv", dtype=str)
    change(table)
    table.to_csv(copy / "training.csv", index=False)
    return copy


def test_codes_without_a_face_and_minus_two_are_left_out(written, tmp_path):
    def change(table):
        table.loc[0, "expression"], table.loc[1, "expression"] = "8", "10"
        table.loc[2, ["valence", "arousal"]] = "-2"

    found = read_affectnet(change_csv(written["csv"], change, tmp_path))
    assert len(found) == 13 and found.attrs["left_out"] == {"expression": 2, "valence or arousal": 1}


def test_faces_that_the_cleaned_list_rejects_are_left_out(written, tmp_path):
    listed = load_pickle(written["pickle"] / "training_fullpath.pkl")
    listed[next(k for k in listed if k != "folder")]["expression_correct"] = False
    (tmp_path / "training_fullpath.pkl").write_bytes(pickle.dumps(listed))
    assert len(read_affectnet(tmp_path)) == 15


def test_absent_files_are_named(tmp_path):
    with pytest.raises(DataError, match="holds none of training.csv, train_set, training_fullpath.pkl"):
        read_affectnet(tmp_path)
    with pytest.raises(ValueError, match="subset is"):
        read_affectnet(tmp_path, "test")


# 18 wrong cells in each of 5 rows: 90 broken files; pictures and repeats besides.
CELLS = [
    ("expression", v) for v in ("", "nan", "happy", "11", "-1", "2.5")
] + [("valence", v) for v in ("", "nan", "1.5", "high", "-3")] + [("arousal", v) for v in ("inf", "1e9", "-1.01")] + [
    ("facial_landmarks", v) for v in ("", "1;2;3", ";".join(["7"] * 136), ";".join(["x"] * 136))
]  # fmt: skip


@pytest.mark.parametrize("row", [0, 3, 7, 12, 15])
@pytest.mark.parametrize(("column", "value"), CELLS)
def test_a_broken_row_is_named_or_skipped(written, tmp_path, row, column, value):
    def change(table):
        table.loc[row, column] = value

    folder = change_csv(written["csv"], change, tmp_path)
    with pytest.raises(DataError, match=rf"training.csv, row {row}: .*on_error='skip'"):
        read_affectnet(folder)
    found = read_affectnet(folder, on_error="skip")
    assert len(found) == 15 and skipped(found)["row"].tolist() == [row]


def test_a_truncated_or_narrow_csv_is_named(written, tmp_path):
    whole = (written["csv"] / "training.csv").read_text()
    for cut in range(200, len(whole), 977):
        (tmp_path / "training.csv").write_text(whole[:cut])
        try:
            found = read_affectnet(tmp_path, on_error="skip")
            assert len(found) <= 16
        except DataError as error:
            assert "training.csv" in str(error)
    (tmp_path / "training.csv").write_text(whole.replace("facial_landmarks", "marks", 1))
    with pytest.raises(DataError, match="needs the columns"):
        read_affectnet(tmp_path)


def test_missing_pictures_and_repeated_rows_are_named(written, tmp_path):
    def change(table):
        table.loc[4] = table.loc[3]

    folder = change_csv(written["csv"], change, tmp_path)
    with pytest.raises(DataError, match="listed twice"):
        read_affectnet(folder)
    os.remove(read_affectnet(folder, on_error="skip")["image"][0])
    with pytest.raises(DataError, match="row 0: the picture is missing"):
        read_affectnet(folder, check_images=True)


NPY = {
    "text": lambda p: np.save(p, "happy"),
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-9]),
    "absent": lambda p: p.unlink(),
    "objects": lambda p: np.save(p, np.array([{}], dtype=object), allow_pickle=True),
    "shape": lambda p: np.save(p, np.zeros((3, 3))),
    "nan": lambda p: np.save(p, np.nan),
    "not npy": lambda p: p.write_bytes(b"GIF89a"),
}


@pytest.mark.parametrize("part", ["exp", "val", "aro", "lnd"])
@pytest.mark.parametrize("how", NPY)
@pytest.mark.parametrize("number", [2, 9])
def test_broken_arrays_are_named_or_skipped(written, tmp_path, part, how, number):
    if (part, how) == ("exp", "absent"):
        return  # then there is no such face
    folder = tmp_path / "copy"
    shutil.copytree(written["npy"], folder)
    NPY[how](folder / "train_set" / "annotations" / f"{number}_{part}.npy")
    with pytest.raises(DataError, match=rf"({number}_{part}.npy|row {number})"):
        read_affectnet(folder)
    found = read_affectnet(folder, on_error="skip")
    assert len(found) == 15 and len(skipped(found)) == 1


@pytest.mark.parametrize("key", ["expression", "valence", "arousal", "landmarks_fan"])
@pytest.mark.parametrize("value", [None, "x", [1, 2], np.nan, 99, {}])
def test_broken_lists_are_named_or_skipped(written, tmp_path, key, value):
    listed = load_pickle(written["pickle"] / "training_fullpath.pkl")
    name = [k for k in listed if k != "folder"][5]
    listed[name][key] = value
    (tmp_path / "training_fullpath.pkl").write_bytes(pickle.dumps(listed))
    with pytest.raises(DataError, match=f"training_fullpath.pkl, row {name}"):
        read_affectnet(tmp_path)
    found = read_affectnet(tmp_path, on_error="skip")
    assert len(found) == 15 and skipped(found)["row"].tolist() == [name]


class Runs:
    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_run_nothing(tmp_path, protocol):
    victim = tmp_path / "ran"
    attacks = [
        Runs(os.system, f"touch {victim}"),
        Runs(eval, f"open({str(victim)!r}, 'w')"),
        {"folder": [Runs(getattr, Runs(__import__, "os"), "system")]},
        np.array([Runs(open, str(victim), "w")], dtype=object),
    ]
    for attack in attacks:
        path = tmp_path / "training_fullpath.pkl"
        path.write_bytes(pickle.dumps(attack, protocol=protocol))
        with pytest.raises(DataError, match="training_fullpath.pkl was not read"):
            read_affectnet(tmp_path)
        assert not victim.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_read(tmp_path, protocol):
    value = {"a": [1, 2.5, "x", None, True, {3}], "b": np.arange(6.0).reshape(2, 3), "c": np.float32(4), "d": b"\xff"}
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    found = load_pickle(path)
    np.testing.assert_array_equal(found.pop("b"), value.pop("b"))
    assert found == value
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="plain.pkl was not read"):
        load_pickle(path)
