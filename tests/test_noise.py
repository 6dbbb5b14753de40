import numpy as np
import pytest

from emokit.data import landmarks_of, sample_faces
from emokit.data.noise import noisy_labels
from emokit.data.tables import BOX


def test_planted_errors_are_as_many_and_as_large_as_asked_for():
    faces = sample_faces()
    noisy = noisy_labels(faces, wrong=0.25, spread=0.1, seed=3)
    assert noisy["wrong"].sum() == 32
    assert ((noisy["expression"] != noisy["true_expression"]) == noisy["wrong"]).all()
    right = noisy[~noisy["wrong"]]
    assert 0.07 < (right["valence"] - right["true_valence"]).std() < 0.13
    assert noisy[["valence", "arousal"]].abs().to_numpy().max() <= 1
    assert noisy["true_valence"].equals(faces["valence"]) and noisy[BOX].equals(faces[BOX])
    assert noisy.equals(noisy_labels(faces, wrong=0.25, spread=0.1, seed=3))


def test_misplaced_boxes_take_their_landmarks_along():
    faces = sample_faces()
    moved = noisy_labels(faces, wrong=0, spread=0, misplaced=0.1)
    assert moved["valence"].equals(faces["valence"])
    points, boxes = landmarks_of(moved), moved[BOX].to_numpy()
    np.testing.assert_allclose(points.min(axis=1), boxes[:, :2], atol=0.02)
    side = (faces["y1"] - faces["y0"]).to_numpy()
    shift = (boxes.reshape(-1, 2, 2) - faces[BOX].to_numpy().reshape(-1, 2, 2)).mean(axis=1) / side[:, None]
    assert 0.07 < shift.std() < 0.13


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (sample_faces(), {"wrong": 1.5}, "wrong is between 0 and 1"),
        (sample_faces().drop(columns="arousal"), {}, "no column 'arousal'"),
        (sample_faces().query("expression == 'sad'"), {"wrong": 0.5}, "needs a second one"),
    ],
)
def test_what_cannot_be_planted_is_said(table, options, message):
    with pytest.raises(ValueError, match=message):
        noisy_labels(table, **options)
