import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.data import crop_face, sample_faces
from emokit.data.augment import MIRROR, Augment
from emokit.data.dataset import FaceDataset
from emokit.data.face_geometry import ActionUnits, Pose, Shape, face_geometry
from emokit.models import landmarks_from_heatmaps

STILL = Augment(rotation=0, scale=0, translation=0, flip=0, gain=0)


def blobs(points, side):
    """One channel per landmark with a Gaussian around it: a picture whose landmarks are easily found."""
    grid = torch.arange(side)
    x, y = (torch.exp(-((grid - points[..., k : k + 1]) ** 2) / 8) for k in (0, 1))
    return y.unsqueeze(3) * x.unsqueeze(2)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_landmarks_follow_the_picture(seed):
    """Augmenting the picture and detecting equals augmenting the landmarks."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(2, 68, 2, generator=generator) * 40 + 50
    augment = Augment(rotation=30, scale=0.2, translation=0.05, flip=0.5, gain=0)
    images, landmarks = augment(blobs(points, 140), points, 112, generator)
    found, _ = landmarks_from_heatmaps(images, stride=1)
    # Channel k still shows what landmark k was called before a mirror renamed it.
    as_named = torch.stack(
        [min((f, f[MIRROR]), key=lambda g: (g - p).abs().max()) for f, p in zip(found, landmarks, strict=True)]
    )
    error = (as_named - landmarks).abs()  # half a pixel would be a wrong convention
    assert error.max() < 0.35 and error.mean() < 0.1
    assert images.shape == (2, 68, 112, 112)


def test_without_change_the_middle_is_cut_out():
    images = torch.rand(2, 3, 90, 90)
    points = torch.rand(2, 68, 2) * 90
    cut, landmarks = STILL(images, points, 64)
    torch.testing.assert_close(cut, images[:, :, 13:77, 13:77], rtol=0, atol=1e-4)
    torch.testing.assert_close(landmarks, points - 13)


def test_the_same_seed_augments_alike():
    images, points = torch.rand(3, 3, 64, 64), torch.rand(3, 68, 2) * 64
    first, again, other = (Augment()(images, points, 64, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_mirrored_landmarks_are_the_landmarks_of_the_mirror():
    assert torch.equal(MIRROR[MIRROR], torch.arange(68))
    left, right = (face_geometry(ActionUnits(), Shape(), Pose(yaw, 0, 0)).landmarks for yaw in (15, -15))
    np.testing.assert_allclose(left[MIRROR] * [-1, 1], right, atol=1e-6)


def test_items_are_the_papers_crops():
    samples = sample_faces().head(3)
    box = samples[["x0", "y0", "x1", "y1"]].to_numpy()
    item = FaceDataset(samples, size=64)[1]
    from emokit.data import load_image

    expected = crop_face(load_image(samples["image"][1]), box[1], 64)
    assert np.abs(item["image"].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1
    assert item["landmarks"].min() > 0 and item["landmarks"].max() < 64
    assert item["valence"] == pytest.approx(samples["valence"][1])
    wide = FaceDataset(samples, size=64, context=1.5)[1]
    assert wide["image"].shape == (3, 96, 96)
    cut, landmarks = STILL(wide["image"][None] / 255, wide["landmarks"][None], 64)
    torch.testing.assert_close(landmarks[0], item["landmarks"], rtol=0, atol=1e-3)
    assert ((cut[0] * 255 - item["image"]).abs() < 2).float().mean() > 0.99


def test_tables_that_cannot_be_trained_on_are_named():
    samples = sample_faces().head(2)
    with pytest.raises(ValueError, match=r"'s00000_01' \(row 1\) shows 'bored', which is none of neutral"):
        FaceDataset(samples.assign(expression=["happy", "bored"]))
    with pytest.raises(ValueError, match=r"'s00000_00' \(row 0\) has neither landmarks nor a box"):
        FaceDataset(samples[["id", "image"]])
    assert FaceDataset(samples.assign(expression=["happy", None])).expression.tolist() == [1, -1]
    bare = FaceDataset(samples[["id", "image", "x0", "y0", "x1", "y1"]], size=64)[0]
    assert bare["expression"] == -1 and bare["valence"].isnan() and bare["landmarks"].isnan().all()
