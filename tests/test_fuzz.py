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
from emokit.data.dataset import FaceDataset
from emokit.data.problems import DataError, skipped
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


PICTURES = {
    "affectnet csv": ("affectnet/csv", "Manually_Annotated_Images/train/*.jpg", read_affectnet),
    "affectnet npy": ("affectnet/npy", "train_set/images/*.jpg", read_affectnet),
    "affectnet pickle": ("affectnet/pickle", "train/*.jpg", read_affectnet),
    "afew_va": ("afew_va", "003/*.png", read_afew_va),
}
KINDS = [
    b"",
    b"\x00",
    b"<html>404</html>",
    b"GIF89a",
    b"%PDF-1.7",
    b"\x93NUMPY\x01\x00v\x00",
    b"BM6",
    b"RIFF    WEBPVP8 ",
]
damages = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 0.95)),
    st.tuples(st.just("other"), st.sampled_from(KINDS) | st.binary(max_size=300)),
    st.tuples(st.just("head"), st.binary(min_size=1, max_size=60)),
    st.tuples(st.just("middle"), st.binary(min_size=1, max_size=300)),
)


@pytest.fixture(scope="module", params=PICTURES)
def pictures(request, tmp_path_factory):
    folder, pattern, reader = PICTURES[request.param]
    copy = tmp_path_factory.mktemp("pictures") / "data"
    shutil.copytree(DATA / folder, copy)
    path = sorted(copy.glob(pattern))[3]
    return copy, path, reader, path.read_bytes(), len(reader(copy))


def damaged(content, how, what):
    if how == "cut":
        return content[: int(what * len(content))]
    if how == "other":
        return what
    start = {"head": 4, "middle": len(content) // 2}[how]
    return content[:start] + what + content[start + len(what) :]


@given(damages)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_damaged_picture_is_named_or_can_be_cropped(pictures, damage):
    folder, path, reader, content, n = pictures
    path.write_bytes(damaged(content, *damage))
    samples = reader(folder, check_images=True, on_error="skip")
    found = skipped(samples)
    if str(path) in set(samples["image"]):
        # Some bytes of a picture may change without harm; a part or another file never does.
        assert damage[0] in ("head", "middle") and found.empty and len(samples) == n
        crop = FaceDataset(samples, 32)[samples["image"].tolist().index(str(path))]
        assert crop["image"].shape == (3, 32, 32)
    else:
        assert len(found) == 1 and len(samples) == n - 1 and found["problem"].str.contains(path.name).all()
        with pytest.raises(DataError, match=path.name):
            reader(folder, check_images=True)


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
