import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from emokit.data import load_image
from emokit.data.extraction import extract_frames
from emokit.data.problems import DataError, skipped
from emokit.data.sewa import read_sewa, subject_independent_split
from emokit.data.traces import read_trace

NAMES = ["C1_S001_P001_VC1_000001", "C1_S001_P002_VC1_000001", "C2_S002_P001_VC2_000002", "C2_S003_P003_VC1_000003"]
RATE, FRAMES = 20, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four recordings of 12 frames, whose valence rises with time, rated by three annotators."""
    folder = tmp_path_factory.mktemp("sewa")
    for k, name in enumerate(NAMES):
        (folder / name).mkdir()
        writer = cv2.VideoWriter(str(folder / name / f"{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (64, 48))
        for frame in range(FRAMES):
            writer.write(np.full((48, 64, 3), 20 * frame, np.uint8))
        writer.release()
        # Annotated ten times a second, from the third frame on.
        time = np.arange(0.1, 0.61, 0.1)
        for dimension, sign in (("Valence", 1), ("Arousal", -1)):
            ratings = np.column_stack([sign * time + shift for shift in (-0.1, 0, 0.1)])
            table = pd.DataFrame(np.column_stack((time, ratings)))
            separator, header = (",", False) if k % 2 else (";", ["time", "A1", "A2", "A3"])
            path = folder / name / f"{name}_{dimension}_AV_Aligned.csv"
            table.to_csv(path, sep=separator, header=header, index=False)
    return folder


def test_frames_and_ratings_are_aligned_by_time(folder):
    samples = read_sewa(folder)
    assert len(samples) == 4 * (FRAMES - 2) and samples["id"].is_unique
    np.testing.assert_allclose(samples["time"], samples["frame"] / RATE)
    np.testing.assert_allclose(samples["valence"], samples["time"], atol=1e-9)
    np.testing.assert_allclose(samples["arousal_1"], -samples["time"] - 0.1, atol=1e-9)
    np.testing.assert_allclose(samples["valence"], samples[["valence_1", "valence_2", "valence_3"]].mean(axis=1))
    row = samples.iloc[-1]
    assert (row["culture"], row["session"], row["subject"]) == ("C2", "C2_S003", "C2_P003")


def test_frames_are_extracted_once(folder, tmp_path):
    samples = extract_frames(read_sewa(folder).iloc[[3, 8, 15]], tmp_path)
    for frame, image in zip(samples["frame"], samples["image"], strict=True):
        assert abs(int(load_image(image).mean()) - 20 * frame) <= 3
    stamps = [p.stat().st_mtime_ns for p in sorted(tmp_path.rglob("*.jpg"))]
    extract_frames(samples, tmp_path)
    assert stamps == [p.stat().st_mtime_ns for p in sorted(tmp_path.rglob("*.jpg"))]
    with pytest.raises(DataError, match="ends before frame 99"):
        extract_frames(samples.assign(frame=99, id=["a", "b", "c"]), tmp_path)
    beyond = samples.assign(frame=[3, 99, 5], id=["d", "e", "f"])
    left = extract_frames(beyond, tmp_path, on_error="skip")
    assert left["id"].tolist() == ["d", "f"] and skipped(left)["row"].tolist() == [99]


def test_every_frame_that_a_video_lacks_is_reported(folder, tmp_path):
    samples = read_sewa(folder)
    video = samples["video"][0]
    samples["frame"] += np.where(samples["video"] == video, 7, 0)  # the last five are beyond its end
    left = extract_frames(samples, tmp_path, on_error="skip")
    found = skipped(left)
    assert found["row"].tolist() == [12, 13, 14, 15, 16, 17, 18] and len(left) + len(found) == len(samples)
    assert set(found["file"]) == {video} and left.attrs["left_out"] == samples.attrs["left_out"]
    assert left["image"].map(load_image).map(len).eq(48).all()


def test_a_video_that_has_gone_costs_its_own_frames_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("emokit.data.extraction.pooch.os_cache", lambda name: tmp_path / "cache")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    samples = read_sewa(copy, every=4)
    video = Path(samples["video"][0])
    video.unlink()
    with pytest.raises(DataError, match=f"{video.name}: the video is missing"):
        extract_frames(samples)
    left = extract_frames(samples, on_error="skip")
    assert left["id"].tolist() == samples.loc[samples["video"] != str(video), "id"].tolist()
    assert skipped(left)["file"].tolist() == [str(video)]


def test_two_samples_of_one_frame_both_get_a_picture(folder, tmp_path):
    samples = read_sewa(folder).iloc[[1, 1]].assign(id=["a", "b"])
    assert extract_frames(samples, tmp_path)["image"].map(Path).map(Path.is_file).all()


def test_a_gap_of_one_annotator_is_bridged(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("0,0.1,0\n1,,0.5\n2,0.3,1\n")
    time, ratings = read_trace(path)
    assert time.tolist() == [0, 1, 2] and np.isnan(ratings[1, 0]) and ratings[1, 1] == 0.5


def test_persons_and_partners_stay_together():
    rng = np.random.default_rng(0)
    sessions = rng.integers(0, 60, 3000)
    samples = pd.DataFrame(
        {
            "culture": [f"C{s % 3}" for s in sessions],
            "session": [f"S{s}" for s in sessions],
            "subject": [f"P{s}_{p}" for s, p in zip(sessions, rng.integers(0, 2, 3000), strict=True)],
        }
    )
    split = subject_independent_split(samples)
    for column in ("session", "subject"):
        assert split.groupby(samples[column]).nunique().eq(1).all()
    for name in ("test", "validation"):
        assert (split == name).groupby(samples["culture"]).mean().between(0.1, 0.3).all()
    assert split.equals(subject_independent_split(samples))
    assert not split.equals(subject_independent_split(samples, seed=1))
    assert set(subject_independent_split(samples, validation_share=0)) == {"train", "test"}


def test_numbers_that_start_anew_in_every_session(folder, tmp_path):
    for k, name in enumerate(("C3_S007_P001_VC1_000007", "C3_S008_P001_VC1_000008")):
        shutil.copytree(folder / NAMES[k], tmp_path / name)
        for path in (tmp_path / name).iterdir():
            path.rename(path.with_name(path.name.replace(NAMES[k], name)))
    samples = read_sewa(tmp_path)
    assert samples["subject"].nunique() == 1
    with pytest.raises(ValueError, match="persons='session'"):
        subject_independent_split(samples)
    samples = read_sewa(tmp_path, persons="session")
    assert samples["subject"].unique().tolist() == ["C3_S007_P001", "C3_S008_P001"]
    assert set(subject_independent_split(samples)) == {"train", "test"}


def test_frames_can_be_thinned(folder):
    thin, whole = read_sewa(folder, every=4), read_sewa(folder)
    assert thin["id"].tolist() == whole.loc[whole["frame"] % 4 == 0, "id"].tolist()


LINES = {
    "text": lambda lines, k: lines[:k] + ["soon,high,low,mid"] + lines[k + 1 :],
    "out of range": lambda lines, k: (
        lines[:k] + [lines[k].replace("0.", "7.", 9).replace("7.", "0.", 1)] + lines[k + 1 :]
    ),
    "no rating": lambda lines, k: lines[:k] + [lines[k].split(",")[0] + ",,,"] + lines[k + 1 :],
    "no time": lambda lines, k: lines[:k] + ["," + lines[k].split(",", 1)[1]] + lines[k + 1 :],
    "time repeated": lambda lines, k: lines[:k] + [lines[k - 1]] + lines[k:],
    "time falls": lambda lines, k: lines[:k] + lines[k : k + 1] + lines[k - 1 : k] + lines[k + 1 :],
    "infinite": lambda lines, k: lines[:k] + [lines[k].rsplit(",", 1)[0] + ",inf"] + lines[k + 1 :],
    "a line too long": lambda lines, k: lines[:k] + [lines[k] + ",1,1,1"] + lines[k + 1 :],
}
FILES = {
    "empty": lambda p: p.write_text(""),
    "one column": lambda p: p.write_text("0\n1\n2\n"),
    "one row": lambda p: p.write_text("0,0.1\n"),
    "binary": lambda p: p.write_bytes(b"\xff\xfe\x00\x01" * 40),
    "an absent annotator": lambda p: p.write_text("0,0.1,\n1,0.2,\n"),
    "absent": lambda p: p.unlink(),
}


def broken(folder, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change(copy)
    with pytest.raises(DataError) as error:
        read_sewa(copy)
    found = read_sewa(copy, on_error="skip")
    assert found["id"].str.rsplit("/", n=1).str[0].nunique() == 3 and len(skipped(found)) == 1
    # What is skipped is filed under the place that the error names.
    place = skipped(found).iloc[0]
    where = place["file"] if place["row"] is None else f"{place['file']}, row {place['row']}"
    assert str(error.value).startswith(f"{where}: {place['problem']}; ")
    return str(error.value)


@pytest.mark.parametrize("how", LINES)
@pytest.mark.parametrize("dimension", ["Valence", "Arousal"])
@pytest.mark.parametrize("line", [2, 4])
@pytest.mark.parametrize("name", [NAMES[1], NAMES[3]])
def test_a_broken_line_is_named_or_skipped(folder, tmp_path, how, dimension, line, name):
    def change(copy):
        path = copy / name / f"{name}_{dimension}_AV_Aligned.csv"
        path.write_text("\n".join(LINES[how](path.read_text().splitlines(), line)) + "\n")

    message = broken(folder, tmp_path, change)
    named = "line [345]" if how == "a line too long" else "row [2345]"
    assert re.search(rf"{name}_{dimension}_AV_Aligned.csv.* {named}", message)


@pytest.mark.parametrize("how", FILES)
@pytest.mark.parametrize("dimension", ["Valence", "Arousal"])
def test_a_broken_trace_is_named_or_skipped(folder, tmp_path, how, dimension):
    path = f"{NAMES[0]}/{NAMES[0]}_{dimension}_AV_Aligned.csv"
    assert NAMES[0] in broken(folder, tmp_path, lambda copy: FILES[how](copy / path))


@pytest.mark.parametrize("how", ["absent", "empty", "cut"])
@pytest.mark.parametrize("name", NAMES)
def test_a_broken_video_is_named_or_skipped(folder, tmp_path, how, name):
    def change(copy):
        video = copy / name / f"{name}.avi"
        content = video.read_bytes()
        video.unlink()
        if how != "absent":
            video.write_bytes(content[: 0 if how == "empty" else 300])

    assert f"{name}.avi" in broken(folder, tmp_path, change)


def test_other_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"holds no \*_AV_Aligned.csv"):
        read_sewa(tmp_path)
    with pytest.raises(DataError, match="_V_Aligned"):
        read_sewa(folder, channel="V")


def edit(change):
    """Change both traces of a recording as tables without header."""

    def apply(copy):
        for dimension in ("Valence", "Arousal"):
            path = copy / NAMES[1] / f"{NAMES[1]}_{dimension}_AV_Aligned.csv"
            change(pd.read_csv(path, header=None), dimension).to_csv(path, header=None, index=False)

    return apply


STRICT = {
    "an annotator of one dimension": edit(lambda t, d: t.iloc[:, :-1] if d == "Valence" else t),
    "milliseconds": edit(lambda t, d: t.mul([1000, 1, 1, 1])),
    "after the video": edit(lambda t, d: t.add([0.6, 0, 0, 0])),
    "wrong name": lambda c: [p.rename(p.with_name(p.name.replace("C1", "X"))) for p in (c / NAMES[1]).glob("*.csv")],
}


@pytest.mark.parametrize("how", STRICT)
def test_nothing_broken_is_used_or_left_out_in_silence(folder, tmp_path, how):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    STRICT[how](copy)
    with pytest.raises(DataError, match=NAMES[1]):
        read_sewa(copy)
    found = read_sewa(copy, on_error="skip")
    whole = read_sewa(folder)
    whole = whole[~whole["id"].str.startswith(NAMES[1])].reset_index(drop=True)
    assert found["valence"].equals(whole["valence"]) and len(skipped(found)) >= 1


def test_recordings_that_are_there_twice_are_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copytree(copy / NAMES[0], copy / "more" / NAMES[0])
    with pytest.raises(DataError, match="the same trace is in"):
        read_sewa(copy)
    assert len(read_sewa(copy, on_error="skip")) == len(read_sewa(folder))


def test_while_an_annotator_is_silent_the_others_count(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    edit(lambda t, d: t.mask((np.arange(len(t))[:, None] == 3) & (np.arange(4) == 1)))(copy)
    found = read_sewa(copy).set_index("id").loc[f"{NAMES[1]}/000008"]
    assert np.isnan(found["valence_1"])
    assert found["valence"] == pytest.approx(found[["valence_2", "valence_3"]].mean())
    assert read_sewa(copy).attrs["left_out"] == 4 * 2


def test_a_byte_order_mark_costs_no_row_and_time_is_a_column(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("\ufeff0,0.1\n1,0.2\n2,0.3\n", encoding="utf-8")
    assert read_trace(path)[0].tolist() == [0, 1, 2]
    path.write_text("A1,A2\n-0.1,0.1\n0,0.2\n")
    with pytest.raises(DataError, match="first column is 'A1'"):
        read_trace(path)


def test_the_cache_keeps_copies_of_the_data_set_apart(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("emokit.data.extraction.pooch.os_cache", lambda name: tmp_path / "cache")
    monkeypatch.chdir(folder.parent)
    samples = read_sewa(folder.name).iloc[:1]  # frame 2, grey 40
    first = load_image(extract_frames(samples)["image"].iloc[0]).mean()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    video = str(copy / NAMES[0] / f"{NAMES[0]}.avi")
    writer = cv2.VideoWriter(video, cv2.VideoWriter_fourcc(*"MJPG"), RATE, (64, 48))
    for _ in range(FRAMES):
        writer.write(np.full((48, 64, 3), 200, np.uint8))
    writer.release()
    second = load_image(extract_frames(read_sewa(copy).iloc[:1])["image"].iloc[0]).mean()
    assert abs(first - 40) <= 3 and abs(second - 200) <= 3
