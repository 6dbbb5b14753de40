import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emokit.data import landmarks_of, rendered_faces
from emokit.data.affectnet import read_affectnet, write_affectnet
from emokit.data.affectnet_bench import write_faces
from emokit.data.problems import DataError, skipped
from emokit.data.unpickle import load_pickle
from emokit.models.emofan import EXPRESSIONS

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


# 26 wrong cells in each of 5 rows: 130 broken files; pictures and repeats besides.
CELLS = (
    [("expression", v) for v in ("", "nan", "happy", "11", "-1", "2.5")]
    + [("valence", v) for v in ("", "nan", "1.5", "high", "-3")]
    + [("arousal", v) for v in ("inf", "1e9", "-1.01")]
    + [
        ("facial_landmarks", v)
        for v in ("", "1;2;3", ";".join(["7"] * 136), ";".join(["x"] * 136), "1e39;" * 135 + "1")
    ]
    + [("face_x", v) for v in ("", "left", "-1", "inf")]
    + [("face_height", v) for v in ("0", "nan", "-20")]
)


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


def test_repeated_rows_are_both_named(written, tmp_path):
    def change(table):
        table.loc[4] = table.loc[3]

    folder = change_csv(written["csv"], change, tmp_path)
    with pytest.raises(DataError, match="row 4: .* is listed in row 3 too"):
        read_affectnet(folder)
    assert len(read_affectnet(folder, on_error="skip")) == 15


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
    folder = tmp_path / "copy"
    shutil.copytree(written["npy"], folder)
    NPY[how](folder / "train_set" / "annotations" / f"{number}_{part}.npy")
    with pytest.raises(DataError, match=rf"row {number}: "):
        read_affectnet(folder)
    found = read_affectnet(folder, on_error="skip")
    assert len(found) == 15 and skipped(found)["row"].tolist() == [str(number)]


def test_a_picture_without_annotations_is_named(written, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(written["npy"], folder)
    for file in (folder / "train_set" / "annotations").glob("3_*.npy"):
        file.unlink()
    with pytest.raises(DataError, match="3_exp.npy, row 3: the file is missing"):
        read_affectnet(folder)


PICTURES = {
    "cut": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "garbage": lambda p: p.write_bytes(p.read_bytes()[:20] + bytes(range(256)) * 4),
    "empty": lambda p: p.write_bytes(b""),
    "web page": lambda p: p.write_text("<html>404</html>"),
    "absent": lambda p: p.unlink(),
    "folder": lambda p: (p.unlink(), p.mkdir()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", PICTURES)
def test_a_broken_picture_is_named_or_skipped(written, tmp_path, layout, how):
    folder = tmp_path / "copy"
    shutil.copytree(written[layout], folder)
    image = Path(read_affectnet(folder)["image"][3])
    PICTURES[how](image)
    with pytest.raises(DataError, match=rf"row (3|train/{image.name}): .*{image.name}"):
        read_affectnet(folder, check_images=True)
    found = read_affectnet(folder, check_images=True, on_error="skip")
    assert len(found) == 15 and skipped(found)["row"].astype(str).str.contains(f"^3$|{image.name}").tolist() == [True]
    assert found.index.equals(pd.RangeIndex(15)) and str(image) not in set(found["image"])


def test_rows_with_too_few_or_many_cells_are_named_and_the_others_keep_their_numbers(written, tmp_path):
    lines = (written["csv"] / "training.csv").read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0]  # row 2
    lines[6] += ",1"  # row 5
    lines[10] = lines[10].rsplit(",", 1)[0] + ",high"  # row 9
    (tmp_path / "training.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="row 2: it has 8 cells, the header 9"):
        read_affectnet(tmp_path)
    found = read_affectnet(tmp_path, on_error="skip")
    assert len(found) == 13 and sorted(skipped(found)["row"]) == [2, 5, 9]


@pytest.mark.parametrize("column", range(9))
def test_a_quote_that_stays_open_swallows_no_rows(written, tmp_path, column):
    lines = (written["csv"] / "training.csv").read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join(cells[:column] + ['"' + cells[column]] + cells[column + 1 :])
    for closed in ("", '"' + lines[4]):
        lines[4] = closed or lines[4]
        (tmp_path / "training.csv").write_text("\n".join(lines))
        with pytest.raises(DataError, match="row 2: a cell runs over several lines"):
            read_affectnet(tmp_path, on_error="skip")


def test_a_large_file_reads_as_its_text_says(tmp_path):
    """Several blocks of the reader, against the plain way; a wrong number in each block takes the slow path."""
    path = tmp_path / "training.csv"
    write_faces(path, 6000)
    table = pd.read_csv(path, dtype=str)
    bad = [1000, 3000, 5999]
    table.loc[bad, "facial_landmarks"] = "x" + table["facial_landmarks"]
    table.loc[7, "facial_landmarks"] = table["facial_landmarks"][7].replace(";", " ; ")
    table.to_csv(path, index=False)
    found = read_affectnet(tmp_path, on_error="skip")
    assert skipped(found)["row"].tolist() == bad
    table = table.drop(bad)
    texts = table["facial_landmarks"].str.split(";")
    np.testing.assert_array_equal(np.stack(found["landmarks"]), np.array(texts.tolist()).astype(np.float32))
    np.testing.assert_array_equal(found[["valence", "arousal"]], table[["valence", "arousal"]].astype(float))
    assert found["id"].tolist() == table["subDirectory_filePath"].str[:-4].tolist()
    assert found["image"].tolist() == [str(tmp_path / name) for name in table["subDirectory_filePath"]]
    assert found["expression"].tolist() == [EXPRESSIONS[8][int(code)] for code in table["expression"]]


def test_ids_of_winding_paths_are_those_of_straight_ones(written, tmp_path):
    def change(table):
        names = table["subDirectory_filePath"]
        table["subDirectory_filePath"] = ["./" + names[0], "x/../" + names[1], names[2].replace("/", "//"), *names[3:]]

    straight = read_affectnet(written["csv"])["id"].tolist()
    folder = change_csv(written["csv"], change, tmp_path)
    assert read_affectnet(folder)["id"].tolist() == straight == read_affectnet(f"{folder}/../copy")["id"].tolist()


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
