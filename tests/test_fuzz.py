"""Bytes changed at random: a loader names what is wrong, or what it reads is sound."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emokit.data.afew_va import read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.problems import DataError
from emokit.data.sewa import read_sewa
from emokit.data.tables import BOX
from emokit.data.unpickle import load_pickle

DATA = Path(__file__).parents[1] / "data"
FILES = {
    "affectnet csv": ("affectnet/csv", "training.csv", read_affectnet),
    "affectnet npy": ("affectnet/npy", "train_set/annotations/3_lnd.npy", read_affectnet),
    "affectnet npy label": ("affectnet/npy", "train_set/annotations/3_val.npy", read_affectnet),
    "affectnet pickle": ("affectnet/pickle", "training_fullpath.pkl", read_affectnet),
    "afew_va": ("afew_va", "003/003.json", read_afew_va),
    "sewa": (
        "sewa/C1_S001_P001_VC1_000001",
        "C1_S001_P001_VC1_000001_Valence_AV_Aligned.csv",
        read_sewa,
    ),
}
PIECES = [
    b"",
    b"nan",
    b"-2",
    b"1e400",
    b"1e39",
    b"9",
    b";",
    b",",
    b"\n",
    b'"',
    b"\x00",
    b"\xff",
    b"{}",
    b"[",
    b"null",
    b" ",
]
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES)), min_size=1, max_size=3)


@pytest.fixture(scope="module", params=FILES)
def place(request, tmp_path_factory):
    folder, name, reader = FILES[request.param]
    copy = tmp_path_factory.mktemp("fuzz") / "data"
    shutil.copytree(DATA / folder, copy / Path(folder).name)
    return copy / Path(folder).name, name, reader, (DATA / folder / name).read_bytes()


@given(changes, st.sampled_from(["raise", "skip"]))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_changed_bytes_are_named_or_harmless(place, changed, on_error):
    folder, name, reader, content = place
    for where, length, piece in changed:
        start = int(where * len(content))
        content = content[:start] + piece + content[start + length :]
    (folder / name).write_bytes(content)
    try:
        samples = reader(folder, on_error=on_error)
    except DataError as error:
        assert str(folder) in str(error)
        return
    assert samples["id"].is_unique and samples[["valence", "arousal"]].abs().to_numpy().max() <= 1
    if "x0" in samples:
        assert np.isfinite(samples[BOX].to_numpy(float)).all()
        assert all(np.isfinite(points).all() and points.shape == (136,) for points in samples["landmarks"])


@given(
    st.integers(0, 5), st.sampled_from(["f4", "f8", "i2", "bool", "U5", "S3"]), st.lists(st.integers(0, 4), max_size=3)
)
@settings(max_examples=60, deadline=None)
def test_arrays_come_through_a_pickle_and_can_be_pickled_again(tmp_path_factory, protocol, dtype, shape):
    path = tmp_path_factory.mktemp("pickle") / "array.pkl"
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    listed = {
        "a": array,
        "b": [array, {"c": (array, "text", 1.5, None)}],
        "d": array.ravel()[:1].sum() if dtype == "f4" else 0,
    }
    path.write_bytes(pickle.dumps(listed, protocol=protocol))
    for _ in range(2):
        found = load_pickle(path)
        assert type(found["a"]) is np.ndarray and found["a"].dtype == array.dtype
        np.testing.assert_array_equal(found["b"][1]["c"][0], array)
        path.write_bytes(pickle.dumps(found, protocol=protocol))
