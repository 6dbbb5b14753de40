import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, coffee

from emokit.data import ImageError, landmarks_of, read_table, sample_faces, write_table
from emokit.inference import CascadeDetector, FaceAlignmentDetector, Faces, WholeImage, YuNetDetector, predict
from emokit.models import FAN, ResNet18, WeightsError, weights

PHOTO = astronaut()
# Brows to chin, measured by eye on the magnified picture.
FACE = np.array([181, 89, 266, 177])


def landmark_error(found, truth):
    """Mean distance as a share of the inter-ocular distance, per face."""
    eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    return np.linalg.norm(found - truth, axis=2).mean(axis=1) / eyes


@pytest.fixture(scope="module")
def samples():
    return sample_faces().head(24)


def test_a_photograph_gives_one_row_per_face(demo):
    table = predict(PHOTO, demo)
    assert len(table) == 1
    row = table.iloc[0]
    assert np.abs(row[["x0", "y0", "x1", "y1"]].to_numpy(float) - FACE).max() < 15
    probabilities = row.filter(like="p_").astype(float)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert row["expression"] == probabilities.idxmax()[2:]
    assert -1 <= row["valence"] <= 1 and -1 <= row["arousal"] <= 1
    points = landmarks_of(table)[0]
    eyes, mouth = points[36:48].mean(axis=0), points[48:].mean(axis=0)
    assert np.abs(eyes - [224, 101]).max() < 10 and np.abs(mouth - [223, 144]).max() < 10
    assert 0 < row["confidence"] <= 1


def test_every_form_of_the_same_picture_gives_the_same_answer(demo, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    opaque = np.full((*PHOTO.shape[:2], 1), 255, np.uint8)
    pictures = [
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        Image.fromarray(PHOTO),
        PHOTO.astype(np.uint16) * 257,
        np.concatenate((PHOTO, opaque), axis=2),
    ]
    expected = predict(PHOTO, demo).drop(columns=["id", "image", "landmarks"])
    with open(tmp_path / "photo.png", "rb") as file:
        pd.testing.assert_frame_equal(predict(file, demo)[expected.columns], expected)
    for picture in pictures:
        pd.testing.assert_frame_equal(predict(picture, demo)[expected.columns], expected)
    together = predict(pictures, demo, progress=False)
    assert together["image"].tolist() == [str(pictures[0]), pictures[1], "image 2", "image 3", "image 4"]
    assert together["id"].is_unique


def test_several_faces_are_numbered_from_the_largest(demo):
    two = np.hstack((PHOTO[:400, 60:360], cv2.resize(PHOTO[:400, 60:360], (450, 600))[:400]))
    table = predict(two, demo)
    assert table["face"].tolist() == [0, 1] and table["id"].tolist() == ["0_0", "0_1"]
    size = table["x1"] - table["x0"]
    assert size[0] > 1.3 * size[1] and table["x0"][0] > 300 > table["x1"][1]
    large, small = landmarks_of(table)
    shifted = (large - [300, 0]) / 1.5
    assert landmark_error(shifted[None], small[None])[0] < 0.12


def test_no_face_is_an_empty_table_with_a_warning(demo):
    with pytest.warns(UserWarning, match="no face found in image 0"):
        table = predict(coffee(), demo)
    full = predict(PHOTO, demo)
    assert not len(table) and list(table.columns) == list(full.columns)
    with pytest.warns(UserWarning, match="image 1"):
        assert len(predict([PHOTO, coffee()], demo)) == 1


def test_unreadable_pictures_are_named_or_skipped(demo, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 cut")
    with pytest.raises(ImageError, match="bad.jpg"):
        predict([PHOTO, bad], demo)
    with pytest.warns(UserWarning, match="skipped .*bad.jpg"):
        table = predict([bad, PHOTO], demo, on_error="skip")
    assert len(table) == 1 and list(table.attrs["skipped"]) == [str(bad)]
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        predict(PHOTO, demo, on_error="ignore")


def test_a_samples_table_is_read_face_by_face(demo, samples):
    table = predict(samples, demo, batch_size=7)
    assert table["id"].tolist() == samples["id"].tolist()
    np.testing.assert_allclose(table[["x0", "y0", "x1", "y1"]], samples[["x0", "y0", "x1", "y1"]], atol=0.01)
    assert landmark_error(landmarks_of(table), landmarks_of(samples)).mean() < 0.04


def test_batches_do_not_change_the_answer(demo, samples):
    one, many = (predict(samples.head(9), demo, batch_size=size) for size in (1, 32))
    for column in ("valence", "arousal", "p_happy", "confidence"):
        np.testing.assert_allclose(one[column], many[column], atol=1e-4)


def test_tables_from_disk_and_memory_agree(demo, samples, tmp_path):
    few = samples.head(3)
    for suffix in (".csv", ".parquet"):
        write_table(few, tmp_path / f"samples{suffix}")
        found = predict(tmp_path / f"samples{suffix}", demo)
        np.testing.assert_allclose(found["valence"], predict(few, demo)["valence"], atol=0.02)
        write_table(found, tmp_path / f"predictions{suffix}")
        again = read_table(tmp_path / f"predictions{suffix}")
        np.testing.assert_allclose(landmarks_of(again), landmarks_of(found), atol=0.01)


def test_rows_without_a_box_take_the_largest_face(demo, samples):
    photo = pd.DataFrame({"id": ["x"], "image": [np.hstack((PHOTO, PHOTO[::2, ::2].repeat(2, 0)[:, :256]))]})
    table = predict(photo, demo)
    assert table["id"].tolist() == ["x"] and table["face"].tolist() == [0]


@pytest.mark.parametrize("seed", range(4))
def test_the_second_pass_forgives_a_loose_detector(demo, samples, seed):
    """Boxes moved and scaled by up to 15 % give the landmarks that exact boxes give."""
    rng = np.random.default_rng(seed)
    row = samples.iloc[seed]
    box = row[["x0", "y0", "x1", "y1"]].to_numpy(float)
    side = (box[2:] - box[:2]).mean()
    loose = box + np.tile(rng.uniform(-0.1, 0.1, 2), 2) * side + np.array([-1, -1, 1, 1]) * rng.uniform(0, 0.15) * side

    def detector(image):
        return Faces(loose[None], np.ones(1))

    found = predict(row["image"], demo, detector)
    assert found["score"][0] == 1
    truth = landmarks_of(samples.iloc[[seed]])
    assert landmark_error(landmarks_of(found), truth)[0] < 0.06
    tight = found[["x0", "y0", "x1", "y1"]].to_numpy(float)[0]
    assert np.abs(tight - box).max() < 0.1 * side


def test_wrong_tables_are_named(demo):
    def row(**columns):
        return pd.DataFrame({"id": ["a"], "image": [PHOTO]} | {k: [v] for k, v in columns.items()})

    with pytest.raises(ValueError, match="sample 'a': a box is x0"):
        predict(row(x0=5.0, y0=5.0, x1=5.0, y1=9.0), demo)
    with pytest.raises(ValueError, match="no column 'image'"):
        predict(pd.DataFrame({"id": ["a"]}), demo)
    with pytest.raises(ImageError, match="sample 'a': nowhere.jpg does not exist"):
        predict(pd.DataFrame({"id": ["a"], "image": ["nowhere.jpg"]}), demo)
    with pytest.warns(UserWarning, match="skipped a: a box"):
        assert not len(predict(row(x0=5.0, y0=5.0, x1=5.0, y1=9.0), demo, on_error="skip"))


def test_a_face_at_the_edge_is_read(demo):
    table = predict(pd.DataFrame({"id": [1], "image": [PHOTO], "x0": -20, "y0": -10, "x1": 60, "y1": 80}), demo)
    assert np.isfinite(table["valence"]).all()


def test_an_enormous_photograph_scales(demo):
    large = predict(cv2.resize(PHOTO, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR), demo)
    small = predict(PHOTO, demo)
    assert landmark_error(landmarks_of(large) / 8, landmarks_of(small))[0] < 0.06


def test_networks_without_landmarks_read_the_detectors_box():
    model = ResNet18(width=16)
    model.train()
    table = predict(PHOTO, model, WholeImage())
    assert table["landmarks"][0] is None and np.isnan(table["confidence"][0])
    assert table[["x0", "y0", "x1", "y1"]].iloc[0].tolist() == [0, 0, 512, 512]
    assert model.training
    with pytest.raises(ValueError, match="FAN has no expressions"):
        predict(PHOTO, FAN(width=16))


def test_the_cascade_finds_the_astronaut_and_nothing_else():
    boxes, scores = CascadeDetector()(PHOTO)
    assert len(boxes) == 1 and np.abs(boxes[0] - FACE).max() < 12 and np.isnan(scores).all()
    assert not len(CascadeDetector()(np.zeros((10, 10, 3), np.uint8)).boxes)


def test_absent_detectors_say_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"not onnx")
    with pytest.raises(WeightsError, match="not the YuNet model"):
        YuNetDetector(path)
    monkeypatch.setattr(YuNetDetector, "URL", "http://127.0.0.1:9/yunet.onnx")
    monkeypatch.setattr(weights.pooch, "os_cache", lambda name: tmp_path / "cache")
    with pytest.raises(WeightsError, match="check the network.*yunet.onnx"):
        YuNetDetector()
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(ImportError, match="emokit\\[align\\]"):
        FaceAlignmentDetector()


def test_interest_in_gradients_is_left_alone(demo):
    predict(PHOTO, demo)
    assert torch.is_grad_enabled() and all(p.requires_grad for p in demo.parameters())
