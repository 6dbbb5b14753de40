from pathlib import Path

import cv2
import numpy as np
import pytest

from emokit.data.crops import crop_face, crop_matrix, tight_box, to_photograph

REFERENCE = np.load(Path(__file__).parent / "parity" / "crops.npz")


@pytest.mark.parametrize("i", range(3))
def test_crops_match_the_reference(i):
    image = cv2.resize(REFERENCE["image_coarse"], (640, 480), interpolation=cv2.INTER_LINEAR)
    box = REFERENCE["boxes"][i]
    np.testing.assert_allclose(crop_matrix(box), REFERENCE[f"matrix_{i}"], rtol=0, atol=1e-12)
    difference = crop_face(image, box)[::8, ::8].astype(int) - REFERENCE[f"crop_{i}"]
    assert np.abs(difference).max() <= 1


def test_points_map_to_the_photograph_and_back():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(50, 300, (68, 2))
    box = tight_box(landmarks)
    matrix = crop_matrix(box, 128)
    inside = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(to_photograph(inside, box, 128), landmarks)


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [1, 2, 3], [0, 0, np.nan, 1]])
def test_a_wrong_box_is_named(box):
    with pytest.raises(ValueError, match="x0, y0, x1, y1"):
        crop_matrix(box)
