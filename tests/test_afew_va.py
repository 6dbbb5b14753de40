import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from emokit.data import landmarks_of, render_face
from emokit.data.afew_va import person_independent_folds, read_afew_va, write_afew_va
from emokit.data.problems import DataError, skipped


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Six clips of five actors, four frames each."""
    folder, rows = tmp_path_factory.mktemp("frames"), []
    for clip in range(6):
        for frame in range(4):
            image, row = render_face(8, clip % 5, frame, 48)
            row |= {"image": str(folder / f"{clip}_{frame}.png"), "clip": f"{clip + 1:03d}", "frame": frame}
            cv2.imwrite(row["image"], image)
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def written(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("afew")
    write_afew_va(frames[frames["clip"] <= "003"], folder / "01")
    write_afew_va(frames[frames["clip"] > "003"], folder / "02")
    return folder


def test_what_is_written_comes_back(frames, written):
    found = read_afew_va(written)
    assert found["subject"].tolist() == frames["subject"].tolist() and found["id"].iloc[5] == "002/00001"
    np.testing.assert_allclose(found["valence"], frames["valence"], atol=0.0501)
    np.testing.assert_allclose(found["arousal"] * 10, (found["arousal"] * 10).round(), atol=1e-9)
    np.testing.assert_allclose(landmarks_of(found), landmarks_of(frames), atol=0.006)


def test_no_person_is_in_two_folds(written, tmp_path):
    samples = read_afew_va(written)
    folds = person_independent_folds(samples, store=tmp_path / "folds.csv")
    assert set(folds) == set(range(5))
    assert folds.groupby(samples["subject"]).nunique().eq(1).all()
    pd.testing.assert_series_equal(folds, person_independent_folds(samples, seed=9, store=tmp_path / "folds.csv"))
    pd.testing.assert_series_equal(folds, person_independent_folds(samples))
    with pytest.raises(ValueError, match="folds.csv has no fold for subject 'new'"):
        person_independent_folds(samples.assign(subject="new"), store=tmp_path / "folds.csv")
    with pytest.raises(ValueError, match="7 folds need as many persons; there are 5"):
        person_independent_folds(samples, 7)


def test_folds_are_balanced_and_seeded():
    rng = np.random.default_rng(0)
    samples = pd.DataFrame({"id": range(6000), "subject": rng.choice(240, 6000)})
    folds = person_independent_folds(samples)
    counts = folds.value_counts()
    assert counts.max() - counts.min() < 30
    assert not folds.equals(person_independent_folds(samples, seed=1))


FRAME = {
    "no landmarks": lambda f: f.pop("landmarks"),
    "no valence": lambda f: f.pop("valence"),
    "67 points": lambda f: f["landmarks"].pop(),
    "three coordinates": lambda f: [p.append(0) for p in f["landmarks"]],
    "ragged": lambda f: f["landmarks"][3].pop(),
    "nan": lambda f: f["landmarks"][3].__setitem__(0, float("nan")),
    "one place": lambda f: f.update(landmarks=[[1, 1]] * 68),
    "text": lambda f: f.update(arousal="high"),
    "null": lambda f: f.update(valence=None),
    "eleven": lambda f: f.update(valence=11),
    "infinite": lambda f: f.update(arousal=float("inf")),
    "list": lambda f: f.update(valence=[1, 2]),
}


@pytest.mark.parametrize("how", FRAME)
@pytest.mark.parametrize(("clip", "frame"), [("01/001", 0), ("01/002", 3), ("02/004", 1), ("02/006", 2), ("02/005", 0)])
def test_a_broken_frame_is_named_or_skipped(written, tmp_path, how, clip, frame):
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    path = folder / clip / f"{clip[-3:]}.json"
    labels = json.loads(path.read_text())
    FRAME[how](labels["frames"][f"{frame:05d}"])
    path.write_text(json.dumps(labels))
    with pytest.raises(DataError, match=rf"{clip[-3:]}.json, row {frame:05d}: .*on_error='skip'"):
        read_afew_va(folder)
    found = read_afew_va(folder, on_error="skip")
    assert len(found) == 23 and skipped(found)["row"].tolist() == [f"{frame:05d}"]


CLIP = {
    "cut": lambda p: p.write_text(p.read_text()[:500]),
    "empty": lambda p: p.write_text(""),
    "list": lambda p: p.write_text("[1]"),
    "no actor": lambda p: p.write_text('{"frames": {}}'),
    "frames a list": lambda p: p.write_text('{"actor": "x", "frames": []}'),
    "binary": lambda p: p.write_bytes(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("how", CLIP)
@pytest.mark.parametrize("clip", ["01/001", "02/006"])
def test_a_broken_clip_is_named_or_skipped(written, tmp_path, how, clip):
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    path = folder / clip / f"{clip[-3:]}.json"
    CLIP[how](path)
    with pytest.raises(DataError, match=f"{clip[-3:]}.json: is no JSON with 'actor'"):
        read_afew_va(folder)
    found = read_afew_va(folder, on_error="skip")
    assert len(found) == 20 and len(skipped(found)) == 1


def test_missing_frames_and_repeated_clips_are_named(written, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    (folder / "01" / "002" / "00002.png").unlink()
    with pytest.raises(DataError, match="002.json, row 00002: the frame 00002.png is missing"):
        read_afew_va(folder)
    shutil.copytree(folder / "01" / "001", folder / "03" / "001")
    found = read_afew_va(folder, on_error="skip")
    assert len(found) == 23 and found["id"].is_unique and len(skipped(found)) == 2
    with pytest.raises(DataError, match="holds no clips"):
        read_afew_va(tmp_path / "elsewhere")


def edit(change):
    def apply(clip):
        path = clip / f"{clip.name}.json"
        labels = json.loads(path.read_text())
        change(labels)
        path.write_text(json.dumps(labels))

    return apply


STRICT = {
    "no JSON": lambda c: (c / f"{c.name}.json").unlink(),
    "JSON of another clip": lambda c: (c / f"{c.name}.json").rename(c / "999.json"),
    "picture without label": edit(lambda j: j["frames"].pop("00001")),
    "empty picture": lambda c: (c / "00001.png").write_bytes(b""),
    "number as text": edit(lambda j: j["frames"]["00001"].update(valence="3")),
    "truth value": edit(lambda j: j["frames"]["00001"].update(valence=True)),
    "scaled before": edit(lambda j: j["frames"]["00001"].update(arousal=0.35)),
    "points as text": edit(lambda j: j["frames"]["00001"].update(landmarks=[["1", "2"], ["3", "4"]] * 34)),
    "too large a number": edit(lambda j: j["frames"]["00001"].update(valence=10**400)),
    "actor null": edit(lambda j: j.update(actor=None)),
    "actor empty": edit(lambda j: j.update(actor="")),
    "no frames": edit(lambda j: j.update(frames={})),
    "nested without end": lambda c: (c / f"{c.name}.json").write_text("[" * 100_000),
    "key repeated": lambda c: (c / f"{c.name}.json").write_text('{"actor": "a", "actor": "b", "frames": {}}'),
}


@pytest.mark.parametrize("how", STRICT)
@pytest.mark.parametrize("clip", ["01/001", "02/006"])
def test_nothing_broken_is_left_out_in_silence(written, tmp_path, how, clip):
    whole = read_afew_va(written).set_index("id")["valence"]
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    STRICT[how](folder / clip)
    with pytest.raises(DataError, match=f"{clip[-3:]}.json"):
        read_afew_va(folder)
    found = read_afew_va(folder, on_error="skip").set_index("id")["valence"]
    others = whole[~whole.index.str.startswith(clip[-3:])]
    assert len(skipped(found)) >= 1 and set(others.index) <= set(found.index) and len(found) < len(whole)
    pd.testing.assert_series_equal(found, whole[found.index])


PICTURES = {
    "cut": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "garbage": lambda p: p.write_bytes(p.read_bytes()[:20] + bytes(range(256)) * 4),
    "web page": lambda p: p.write_text("<html>404</html>"),
}


@pytest.mark.parametrize("how", PICTURES)
def test_a_broken_picture_is_named_or_skipped(written, tmp_path, how):
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    PICTURES[how](folder / "01" / "002" / "00003.png")
    with pytest.raises(DataError, match="002.json, row 00003: .*00003.png is"):
        read_afew_va(folder, check_images=True)
    found = read_afew_va(folder, check_images=True, on_error="skip")
    assert len(found) == 23 and "002/00003" not in set(found["id"])
    assert skipped(found)["row"].tolist() == ["00003"]


def test_paths_are_absolute(written, monkeypatch):
    monkeypatch.chdir(written.parent)
    assert read_afew_va(written.name)["image"].iloc[0] == str(written / "01" / "001" / "00000.png")


def test_folds_follow_persons_not_rows_and_stored_ones_are_checked(tmp_path):
    samples = pd.DataFrame({"id": range(60), "subject": [["NA", *"bcdefghi", ""][k % 10] for k in range(60)]})
    store = tmp_path / "folds.csv"
    folds = person_independent_folds(samples, store=store)
    pd.testing.assert_series_equal(folds, person_independent_folds(samples, store=store))
    pd.testing.assert_series_equal(folds, person_independent_folds(samples[::-1]).sort_index())
    with pytest.raises(DataError, match=r"has the folds \[0, 1, 2, 3, 4\], not 3"):
        person_independent_folds(samples, 3, store=store)
    content = store.read_text()
    for broken in ("", "a,b\n1,2\n", content[:-2], content.replace(",2", ",x"), content + "NA,1\n"):
        store.write_text(broken)
        with pytest.raises(DataError, match="folds.csv"):
            person_independent_folds(samples, store=store)
    with pytest.raises(ValueError, match="subject of every sample"):
        person_independent_folds(samples.assign(subject=None))
