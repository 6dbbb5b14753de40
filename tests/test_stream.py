import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from emokit.data import ImageError, landmarks_of, read_table, sample_faces, write_table
from emokit.data.crops import tight_box
from emokit.data.tables import BOX, Chunks, landmarks_column
from emokit.inference import Faces, WholeImage, predict, predict_table, recompute_landmarks
from emokit.models import EmoFAN, ResNet18, save_emofan

SAMPLES = sample_faces().head(30)
# Chunks of whole batches, so that the network sees the same batches as in `predict`.
SIZES = {"chunk": 6, "batch_size": 3, "progress": False}


@pytest.fixture(scope="module")
def model():
    return tiny()


def tiny(seed=0):
    torch.manual_seed(seed)
    return EmoFAN(width=16, input_size=64).eval()


def assert_same(found, expected):
    assert found["id"].tolist() == expected["id"].astype(str).tolist()
    np.testing.assert_allclose(
        landmarks_of(found), landmarks_of(expected), atol=1e-2
    )  # batches of another size round differently
    columns = expected.columns.drop("landmarks")
    assert found.columns.drop("landmarks").tolist() == columns.tolist()
    pd.testing.assert_frame_equal(found[columns], expected[columns], check_dtype=False, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("suffix", "workers"), [("", 0), (".csv", 0), (".parquet", 2)])
def test_it_says_what_predict_says(model, tmp_path, suffix, workers):
    samples = SAMPLES
    if suffix:
        samples = tmp_path / f"samples{suffix}"
        write_table(SAMPLES, samples)
    model.train()
    out = predict_table(samples, model, tmp_path / "out.parquet", workers=workers, flip=True, **SIZES)
    assert model.training
    assert_same(read_table(out), predict(samples, model, batch_size=3, flip=True))
    assert len(list(out.glob("part-*"))) == 5
    assert read_table(out / "_skipped.csv").empty


class Counted(WholeImage):
    """Counts pictures, and kills its own process at the one that is its limit."""

    def __init__(self, limit=None):
        super().__init__(0.2)
        self._seen, self._limit = 0, limit

    def __call__(self, image):
        self._seen += 1
        if self._seen == self._limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image)


def killed(samples, out):
    torch.set_num_threads(1)
    predict_table(samples, tiny(), out, Counted(limit=16), **SIZES)


def test_a_killed_call_goes_on_where_it_was(model, tmp_path, capsys):
    boxless, out = SAMPLES[["id", "image"]], tmp_path / "out.parquet"
    process = multiprocessing.get_context("spawn").Process(target=killed, args=(boxless, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not out.exists()
    folder = tmp_path / "out.parquet.unfinished"
    before = {part.name: part.stat().st_mtime_ns for part in folder.glob("part-*")}
    assert sorted(before) == ["part-000000.parquet", "part-000001.parquet"]
    (folder / ".2.999").touch()  # what a process that is killed while writing leaves
    counted = Counted()
    predict_table(boxless, model, out, counted, **SIZES | {"progress": True})
    assert counted._seen == 30 - 12
    assert "12/30" in capsys.readouterr().err.split("\r")[1]
    after = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*")}
    assert {name: after[name] for name in before} == before and len(after) == 5
    assert not list(out.glob(".*")) and not folder.exists()
    assert_same(read_table(out), predict(boxless, model, WholeImage(0.2), batch_size=3))
    predict_table(boxless, model, out, counted, **SIZES)
    assert counted._seen == 18, "a finished table is computed again"


def test_two_processes_write_one_table(model, tmp_path):
    write_table(SAMPLES, tmp_path / "samples.parquet")
    save_emofan(model, tmp_path / "model.safetensors")
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={28_000 + os.getpid() % 500}",
         "-m", "emokit.inference", "samples.parquet", "--weights", "model.safetensors", "--out", "out.parquet",
         "--chunk", "6", "--batch-size", "3"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert_same(read_table(tmp_path / "out.parquet"), predict(SAMPLES, model, batch_size=3))


def test_ranks_take_chunks_in_turn(model, tmp_path, monkeypatch):
    """What the process of rank 1 of 2 does, without its sibling."""
    monkeypatch.setattr("lightning.Trainer.world_size", 2)
    monkeypatch.setattr("lightning.Trainer.global_rank", 1)
    predict_table(SAMPLES, model, tmp_path / "out.parquet", **SIZES)
    parts = sorted(part.name for part in tmp_path.glob("out.parquet.unfinished/part-*"))
    assert parts == ["part-000001.parquet", "part-000003.parquet"]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_anothers_folder_is_refused(model, tmp_path, on_error):
    """Be it finished, or stopped by a picture in its second chunk."""
    few, out = SAMPLES.head(8).copy(), tmp_path / "out.parquet"
    few.loc[7, "image"] = "nowhere.jpg"
    stopped = pytest.raises(ImageError) if on_error == "raise" else pytest.warns(UserWarning, match="1 of 8 rows")
    with stopped:
        predict_table(few, model, out, on_error=on_error, **SIZES)
    assert out.exists() == (on_error == "skip")
    for message, samples, network, options in (
        ("another table", few.head(7), model, {}),
        ("another network", few, tiny(1), {}),
        ("another chunk \\(6, not 3\\)", few, model, {"chunk": 3}),
        ("another flip", few, model, {"flip": True}),
    ):
        with pytest.raises(ValueError, match=f"out.parquet.* holds predictions with {message}.*choose another out"):
            predict_table(samples, network, out, **SIZES | options)


def test_a_call_that_failed_at_once_claims_nothing(model, tmp_path):
    with pytest.raises(ImageError):
        predict_table(SAMPLES.head(2).assign(image="nowhere.jpg"), model, tmp_path / "out.parquet", **SIZES)
    assert len(read_table(predict_table(SAMPLES.head(2), model, tmp_path / "out.parquet", **SIZES))) == 2


def test_wrong_arguments_are_named(model, tmp_path):
    write_table(SAMPLES, tmp_path / "file.parquet")
    for name, options, message in (
        ("file.parquet", {}, "file.parquet is there already"),
        ("out", {}, "does not end in .parquet"),
        ("out.parquet", {"chunk": 0}, "a chunk has at least one row"),
        ("out.parquet", {"batch_size": 0}, "batch_size is at least 1"),
        ("out.parquet", {"on_error": "ignore"}, "'raise' or 'skip'"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_table(SAMPLES, model, tmp_path / name, **SIZES | options)


def test_an_interrupt_only_interrupts(model, tmp_path):
    def interrupted(image):
        if not stops:
            stops.append(image)
            raise KeyboardInterrupt
        return WholeImage(0.2)(image)

    stops, boxless = [], SAMPLES[["id", "image"]].head(4)
    with pytest.raises(KeyboardInterrupt):
        predict_table(boxless, model.train(), tmp_path / "out.parquet", interrupted, **SIZES)
    assert model.training and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(read_table(predict_table(boxless, model, tmp_path / "out.parquet", interrupted, **SIZES))) == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_pictures_stop_it_or_are_listed(model, tmp_path, workers):
    samples, out = SAMPLES.copy(), tmp_path / "out.parquet"
    samples.loc[13, "image"] = "nowhere.jpg"
    samples.loc[20, ["x0", "x1"]] = 5.0
    samples.loc[20, "landmarks"] = None
    wrong = samples["id"].iloc[13]
    with pytest.raises(ImageError, match=f"^sample '{wrong}': nowhere.jpg does not exist$"):
        predict_table(samples, model, out, workers=workers, **SIZES)
    assert len(list(tmp_path.glob("*.unfinished/part-*"))) == 2
    with pytest.warns(UserWarning, match="2 of 30 rows have no prediction; .*_skipped.csv says why"):
        predict_table(samples, model, out, workers=workers, on_error="skip", **SIZES)
    skipped = read_table(out / "_skipped.csv")
    assert skipped["id"].tolist() == samples["id"].iloc[[13, 20]].tolist()
    assert skipped["problem"].str.contains("nowhere.jpg does not exist|a box is x0").all()
    assert read_table(out)["id"].tolist() == samples["id"].drop([13, 20]).tolist()


@pytest.mark.parametrize("suffix", ["", ".csv", ".parquet"])
def test_empty_images_and_boxes_of_words_are_named(model, tmp_path, suffix):
    def file(table):
        path = tmp_path / f"samples{suffix}"
        return write_table(table, path) or path if suffix else table

    few, out = SAMPLES.head(8).drop(columns="landmarks"), tmp_path / "out.parquet"
    bare = few.assign(image=few["image"].where(few.index != 7, None))
    with pytest.raises(ImageError, match=f"sample '{few['id'][7]}': the cell of its image is empty"):
        predict_table(file(bare), model, out, **SIZES)
    words = few.assign(y0=few["y0"].astype(str).where(few.index != 7, "top"))
    with pytest.raises(ValueError, match="row 7: y0 is 'top', no number of pixels"):
        predict_table(file(words), model, tmp_path / "other.parquet", **SIZES)


def test_chunks_without_a_face_are_chunks(model, tmp_path):
    def shy(image):
        calls.append(image)
        return Faces(np.empty((0, 4)), np.empty(0)) if len(calls) < 8 else WholeImage(0.2)(image)

    calls = []
    with pytest.warns(UserWarning, match="7 of 30 rows have no prediction"):
        out = predict_table(SAMPLES[["id", "image"]], model, tmp_path / "out.parquet", shy, **SIZES)
    assert read_table(out / "_skipped.csv")["problem"].unique().tolist() == ["no face found"]
    assert read_table(out)["id"].tolist() == SAMPLES["id"].tolist()[7:]
    assert len(pd.read_parquet(out / "part-000000.parquet")) == 0


@pytest.mark.parametrize("suffix", ["", ".csv", ".parquet"])
def test_an_empty_table_gives_an_empty_table(model, tmp_path, suffix):
    samples = SAMPLES.head(0)
    if suffix:
        write_table(samples, tmp_path / f"samples{suffix}")
        samples = tmp_path / f"samples{suffix}"
    found = read_table(predict_table(samples, model, tmp_path / "out.parquet", **SIZES))
    assert found.empty and found.columns.tolist() == predict(SAMPLES.head(1), model).columns.tolist()


def test_networks_without_landmarks_have_the_same_columns(tmp_path):
    network = ResNet18(width=16)
    network.input_size = 64
    out = predict_table(SAMPLES.head(4), network, tmp_path / "out.parquet", **SIZES)
    expected = predict(SAMPLES.head(4), network, batch_size=3)
    found = read_table(out)
    assert found["landmarks"].isna().all() and found["confidence"].isna().all()
    np.testing.assert_allclose(found["valence"], expected["valence"], atol=1e-6)


def test_mixed_precision_is_close(model, tmp_path):
    whole, mixed = (
        read_table(predict_table(SAMPLES.head(6), model, tmp_path / f"{p}.parquet", precision=p, **SIZES))
        for p in ("32-true", "bf16-mixed")
    )
    assert not mixed["valence"].equals(whole["valence"])
    np.testing.assert_allclose(mixed["valence"], whole["valence"], atol=0.05)


def test_landmarks_are_recomputed_once(model, tmp_path, monkeypatch):
    write_table(SAMPLES.head(4), tmp_path / "samples.parquet")
    found = recompute_landmarks(tmp_path / "samples.parquet", model, tmp_path)
    expected = landmarks_of(predict(SAMPLES.head(4), model))
    np.testing.assert_allclose(landmarks_of(found), expected, atol=1e-3)
    np.testing.assert_allclose(found[BOX], tight_box(landmarks_of(found)))
    monkeypatch.setattr("emokit.inference.landmarks.predict", None)
    pd.testing.assert_frame_equal(recompute_landmarks(SAMPLES.head(4), model, tmp_path), found)
    # Another picture under the same name is looked at.
    other = SAMPLES.head(4).assign(image=[str(tmp_path / f"{k}.jpg") for k in range(4)])
    for old, new in zip(SAMPLES["image"].head(4), other["image"], strict=True):
        shutil.copy(old, new)
    with monkeypatch.context() as patch:
        patch.setattr("emokit.inference.landmarks.predict", predict)
        recompute_landmarks(other, model, tmp_path)
    recompute_landmarks(other, model, tmp_path)
    shutil.copy(SAMPLES["image"][9], other["image"][0])
    with pytest.raises(TypeError, match="NoneType"):
        recompute_landmarks(other, model, tmp_path)
    bare = SAMPLES.head(4).assign(landmarks=None, x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    with pytest.raises(ValueError, match=f"sample '{bare['id'][0]}' has neither box nor landmarks"):
        recompute_landmarks(bare, model, tmp_path)


def test_chunks_of_a_file_are_read_tables(tmp_path):
    table = SAMPLES.assign(id=[f"{k:03}" for k in range(29)] + ["last"])
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"samples{suffix}"
        write_table(table, path)
        chunks = Chunks(path, 7)
        assert chunks.rows == 30 and [chunks.length(k) for k in range(len(chunks))] == [7, 7, 7, 7, 2]
        whole, parts = read_table(path), dict(chunks.read({1, 4}))
        assert list(parts) == [1, 4]
        for number, part in parts.items():
            expected = whole.iloc[7 * number :][:7]
            assert part["id"].tolist() == expected["id"].tolist()
            assert part["image"].tolist() == expected["image"].tolist()
            np.testing.assert_array_equal(landmarks_of(part), landmarks_of(expected))


def test_a_row_group_is_read_piece_by_piece(tmp_path):
    points = np.random.default_rng(0).uniform(0, 500, (16_000, 68, 2))
    path = tmp_path / "samples.parquet"
    write_table(pd.DataFrame({"id": range(len(points)), "landmarks": landmarks_column(points)}), path)
    assert pq.ParquetFile(path).num_row_groups == 1 and path.stat().st_size > 8e6
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in Chunks(path, 64).read(range(250))]
    assert len(held) == 250 and max(held) < path.stat().st_size / 2


def test_wrong_tables_are_named_before_and_while_reading(tmp_path):
    def chunks(table):
        path = tmp_path / "samples.parquet"
        table.to_parquet(path)
        return Chunks(path, 4)

    with pytest.raises(ValueError, match="samples.parquet, row 9: a repeated id"):
        chunks(pd.concat([SAMPLES.head(9), SAMPLES.head(1)]))
    with pytest.raises(ValueError, match="samples.parquet.*id"):
        chunks(SAMPLES.drop(columns="id"))
    with pytest.raises(ValueError, match="samples.parquet, row 6: landmarks are 136 numbers"):
        list(chunks(SAMPLES.head(9).assign(landmarks=[[0.0] * (136 - (k == 6)) for k in range(9)])).read(range(3)))
    with pytest.raises(ValueError, match="neither .csv nor .parquet"):
        Chunks("samples.txt", 4)
