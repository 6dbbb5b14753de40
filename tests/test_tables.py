import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emokit.data.tables import Chunks, landmarks_column, landmarks_of, read_table, write_table

POINTS = np.random.default_rng(0).uniform(0, 500, (3, 68, 2))


def faces(**columns) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b", "c"]} | columns)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".csv", 0.005), (".parquet", 1e-4)])
def test_tables_come_back_from_disk(tmp_path, suffix, tolerance):
    table = faces(landmarks=landmarks_column(POINTS), valence=[0.1, -0.2, 1], image=["x.jpg", "y/z.jpg", "w.png"])
    table.at[1, "landmarks"] = None
    write_table(table, tmp_path / f"table{suffix}")
    found = read_table(tmp_path / f"table{suffix}")
    assert list(found.columns) == list(table.columns)
    np.testing.assert_allclose(landmarks_of(found)[[0, 2]], POINTS[[0, 2]], atol=tolerance)
    assert np.isnan(landmarks_of(found)[1]).all() and found["landmarks"][1] is None
    assert found["image"][1] == str(tmp_path / "y" / "z.jpg")
    assert [p.name for p in tmp_path.iterdir()] == [f"table{suffix}"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_empty_image_stays_empty(tmp_path, suffix):
    write_table(faces(image=["x.jpg", None, "w.png"]), tmp_path / f"table{suffix}")
    found = read_table(tmp_path / f"table{suffix}")["image"]
    assert found.isna().tolist() == [False, True, False] and found[2] == str(tmp_path / "w.png")


@given(hnp.arrays(np.float32, (2, 68, 2), elements=st.floats(-1e4, 1e4, width=32)))
def test_landmarks_survive_the_column(points):
    table = read_table(pd.DataFrame({"id": [1, 2], "landmarks": landmarks_column(points)}))
    np.testing.assert_array_equal(landmarks_of(table), points)


def test_ids_of_csv_are_text(tmp_path):
    ids = ["007", "1", "1e3", " 8", "true"]
    write_table(pd.DataFrame({"id": ids, "x": range(5)}), tmp_path / "samples.csv")
    assert read_table(tmp_path / "samples.csv")["id"].tolist() == ids
    chunks = dict(Chunks(tmp_path / "samples.csv", 2).read(range(3)))
    assert [name for rows in chunks.values() for name in rows["id"]] == ids


def test_wrong_tables_are_named(tmp_path):
    path = tmp_path / "samples.csv"
    with pytest.raises(ValueError, match="no column 'id'; it has x"):
        read_table(pd.DataFrame({"x": [1]}))
    with pytest.raises(ValueError, match="row 2: a repeated id \\('a'\\)"):
        read_table(pd.DataFrame({"id": ["a", "b", "a"]}))
    with pytest.raises(ValueError, match="row 2: a repeated id \\(7\\)"):
        read_table(pd.DataFrame({"id": [7, 8, 7]}))
    path.write_text('id,x\na,1\n"",2\n')
    with pytest.raises(ValueError, match="samples.csv, row 1: an empty id"):
        read_table(path)
    with pytest.raises(ValueError, match="row 1: an empty id"):
        read_table(pd.DataFrame({"id": ["a", None]}))
    path.write_text("id,landmarks\na,1;2;3\n")
    with pytest.raises(ValueError, match="samples.csv, row 0: landmarks are 136 numbers.*got 3"):
        read_table(path)
    path.write_text("id,landmarks\na,1;two\n")
    with pytest.raises(ValueError, match="samples.csv, row 0: landmarks are not numbers"):
        read_table(path)
    path.write_text("")
    with pytest.raises(ValueError, match="samples.csv cannot be read"):
        read_table(path)
    path.with_suffix(".parquet").write_text("id,valence")
    with pytest.raises(ValueError, match="samples.parquet cannot be read"):
        read_table(path.with_suffix(".parquet"))
    for wrong in (lambda: read_table("table.xlsx"), lambda: write_table(faces(), "table.xlsx")):
        with pytest.raises(ValueError, match="csv"):
            wrong()
