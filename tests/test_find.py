import numpy as np
import pandas as pd
import pytest

from emokit.data.problems import DataError, skipped
from emokit.data.tables import BOX
from emokit.inference.faces import Faces
from emokit.inference.find import find_faces


class Scripted:
    """A detector that sees faces where the script says."""

    def __init__(self, script):
        self._script, self._calls = list(script), 0

    def __call__(self, image):
        boxes = self._script[self._calls]
        self._calls += 1
        return Faces(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), np.nan))


@pytest.fixture
def frames(tmp_path):
    from PIL import Image

    rows = []
    for k in range(6):
        path = tmp_path / f"{k}.png"
        Image.new("RGB", (40, 30), (40 * k, 0, 0)).save(path)
        rows.append({"id": f"f{k}", "image": str(path), "video": f"v{k // 4}", "time": 0.2 * (k % 4)})
    return pd.DataFrame(rows)


SCRIPT = [[], [(1, 1, 9, 9), (2, 2, 20, 20)], [], [], [], []]


def test_the_largest_face_counts_and_neighbouring_frames_help(frames, tmp_path):
    detector = Scripted(SCRIPT)
    with pytest.warns(UserWarning, match="2 of 6 pictures show no face"):
        found = find_faces(frames, detector, reach=0.45, folder=tmp_path / "cache")
    assert found["id"].tolist() == ["f0", "f1", "f2", "f3"]
    assert (found[BOX] == [2, 2, 20, 20]).all(axis=None)
    assert skipped(found)["file"].tolist() == frames["image"].tolist()[4:]
    near = find_faces(frames.head(4), Scripted(SCRIPT), reach=0.3, folder=tmp_path / "other")
    assert near["id"].tolist() == ["f0", "f1", "f2"]
    with pytest.raises(DataError, match="5.png|4.png"):
        find_faces(frames, Scripted(SCRIPT), folder=tmp_path / "third", on_error="raise")


def test_boxes_are_looked_for_once(frames, tmp_path):
    detector = Scripted([[(1, 1, 9, 9)]] * 6)
    first = find_faces(frames, detector, folder=tmp_path)
    # A second look would run over the end of the script.
    assert find_faces(frames, detector, folder=tmp_path).equals(first)


def test_no_face_at_all_is_an_error(frames, tmp_path):
    with pytest.raises(ValueError, match="no face was found"):
        find_faces(frames, Scripted([[]] * 6), folder=tmp_path)
