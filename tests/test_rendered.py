from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.data.face_geometry import AU_NAMES, ActionUnits
from emokit.data.images import load_image
from emokit.data.rendered import (
    AGE_BANDS,
    CULTURES,
    PROTOTYPES,
    SKIN_TONES,
    action_units,
    affect,
    consistent,
    describe_face,
    draw_action_units,
    render,
    render_face,
    rendered_faces,
    sample_faces,
)
from emokit.data.tables import landmarks_of


def test_the_same_seed_gives_the_same_face():
    (first, row), (again, same) = render_face(3, 1, 4, 96), render_face(3, 1, 4, 96)
    np.testing.assert_array_equal(first, again)
    assert row["id"] == same["id"] and row["valence"] == same["valence"]
    other, _ = render_face(4, 1, 4, 96)
    assert np.abs(other.astype(int) - first).mean() > 5


@pytest.mark.parametrize("points", [range(36, 42), range(42, 48)], ids=["left eye", "right eye"])
def test_landmarks_lie_on_the_drawing(points):
    """Closing the eyes repaints the eyes' landmarks, and nothing far from them."""
    opened, landmarks = render(action_units("surprise"), size=256)
    closed, _ = render(replace(action_units("surprise"), eye_close=1.0), size=256)
    changed = np.abs(opened.astype(int) - closed).max(axis=2) > 40
    ys, xs = np.nonzero(changed)
    eye = landmarks[list(points)]
    centre, radius = eye.mean(axis=0), np.ptp(eye[:, 0])
    near = np.hypot(xs - centre[0], ys - centre[1]) < 0.75 * radius
    assert near.sum() > 50
    middle = [xs[near].mean(), ys[near].mean()]
    assert np.hypot(*(middle - centre)) < 0.2 * radius


def test_landmarks_scale_with_the_picture():
    small, large = (describe_face(0, 2, 3, size)[0] for size in (128, 256))
    np.testing.assert_allclose(large["landmarks"], 2 * small["landmarks"], rtol=1e-9)


@given(st.sampled_from(sorted(PROTOTYPES)), st.integers(0, 2**32))
@settings(max_examples=200)
def test_drawn_labels_obey_the_rule(expression, seed):
    au = draw_action_units(expression, np.random.default_rng(seed))
    valence, arousal = affect(au)
    assert np.hypot(valence, arousal) <= 1
    assert consistent(expression, valence, arousal)


def test_prototypes_lie_where_the_circumplex_has_them():
    where = {name: affect(action_units(name)) for name in PROTOTYPES}
    assert where["neutral"] == (0, 0)
    assert where["happy"][0] > 0.7 and abs(where["happy"][1]) < 0.5
    assert where["sad"][0] < -0.5 and where["sad"][1] < -0.3
    assert abs(where["surprise"][0]) < 0.2 and where["surprise"][1] > 0.7
    for name in ("fear", "anger", "disgust"):
        assert where[name][0] < -0.4 and where[name][1] > 0.3
    assert where["contempt"][0] < -0.4


@given(st.sampled_from(AU_NAMES), st.floats(0, 1))
def test_more_smile_never_lowers_valence(other, level):
    base = ActionUnits(**{other: level}) if other != "lip_corner_pull" else ActionUnits()
    smiles = [affect(replace(base, lip_corner_pull=s))[0] for s in (0, 0.5, 1)]
    assert smiles == sorted(smiles)


def test_each_person_shows_the_eight_expressions():
    for subject in range(3):
        rows = [describe_face(0, subject, index)[0] for index in range(8)]
        assert {row["expression"] for row in rows} == set(PROTOTYPES)
        for name in ("age_band", "skin_tone", "culture", "subject"):
            assert len({row[name] for row in rows}) == 1


def test_groups_are_all_there():
    people = pd.DataFrame([describe_face(0, subject, 0)[0] for subject in range(200)])
    for name, groups in {"age_band": AGE_BANDS, "skin_tone": SKIN_TONES, "culture": CULTURES}.items():
        assert people[name].value_counts(normalize=True)[list(groups)].min() > 0.2


def test_faces_on_disk_are_the_described_ones(tmp_path):
    table = rendered_faces(11, seed=9, size=64, folder=tmp_path)
    assert len(table) == 11 and table["id"].is_unique and table["subject"].nunique() == 2
    picture, row = render_face(9, 1, 2, 64)
    stored = table.set_index("id").loc[row["id"]]
    assert np.abs(load_image(stored["image"]).astype(int) - picture).mean() < 6  # JPEG
    np.testing.assert_allclose(landmarks_of(table)[10], row["landmarks"], atol=0.006)


def test_an_interrupted_rendering_goes_on(tmp_path):
    whole = rendered_faces(9, seed=1, size=64, folder=tmp_path, workers=1)
    kept, lost = tmp_path / "images" / "s00000_00.jpg", tmp_path / "images" / "s00001_00.jpg"
    content, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    (tmp_path / "samples.csv").unlink()
    again = rendered_faces(9, seed=1, size=64, folder=tmp_path, workers=1)
    pd.testing.assert_frame_equal(whole.drop(columns="landmarks"), again.drop(columns="landmarks"))
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == stamp


def test_the_shipped_sample_is_what_its_seed_gives():
    table = sample_faces()
    assert len(table) == 128 and table["expression"].value_counts().eq(16).all()
    for k in (0, 77):
        subject, index = divmod(k, 8)
        picture, row = render_face(2000, subject, index)
        stored = table.iloc[k]
        assert stored["id"] == row["id"] and stored["valence"] == pytest.approx(row["valence"])
        assert np.abs(cv2.imread(stored["image"])[:, :, ::-1].astype(int) - picture).mean() < 6
