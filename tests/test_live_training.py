"""Training beside a notebook: curves that grow, a button that pauses."""

import io
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emokit.data import sample_faces
from emokit.plots.training import LiveTraining, learning_curves
from emokit.training.config import Config
from emokit.training.run import fit

TINY = {
    "network": "resnet18",
    "modality": "O+R+C",
    "width": 16,
    "input_size": 64,
    "batch_size": 8,
    "precision": "32-true",
}


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


@pytest.fixture(scope="module")
def faces():
    samples = sample_faces()
    return samples.head(48), samples.tail(16)


def test_a_pause_changes_nothing_but_the_time(faces, tmp_path):
    live = LiveTraining(Config(**TINY, epochs=3, out=tmp_path / "live"), *faces)
    live.pause()
    wait_for(lambda: live.message.value.startswith("paused"))
    assert live.paused and live.button.description == "Go on" and not live.button.disabled
    done = live.bar.value
    time.sleep(0.3)
    assert live.bar.value == done > 0 and live._thread.is_alive()
    live.button.click()
    result = live.result()
    assert live.message.value == "finished" and live.bar.value == live.bar.max and live.button.disabled
    assert result == pytest.approx(fit(Config(**TINY, epochs=3, out=tmp_path / "call"), *faces, progress=False))
    pixels = np.asarray(Image.open(io.BytesIO(live.curves.value)))
    assert pixels.shape[1] > 600 and len(np.unique(pixels)) > 10


def test_running_the_cell_again_goes_on(faces, tmp_path):
    config = Config(**TINY, epochs=400, out=tmp_path / "live")
    first = LiveTraining(config, *faces)
    curve = config.out / "stage2" / "metrics.csv"
    wait_for(curve.exists)
    first.stop()
    assert first.message.value == "stopped" and not first._thread.is_alive()
    table = pd.read_csv(curve)
    table.loc[0, "loss"] = -1.0  # a mark that training anew would wipe out
    table.to_csv(curve, index=False)
    second = LiveTraining(config, *faces)
    wait_for(lambda: len(pd.read_csv(curve)) > len(table))
    third = LiveTraining(config, *faces)
    assert second.message.value == "stopped" and not second._thread.is_alive()
    third.stop()
    after = pd.read_csv(curve)
    assert after["epoch"].tolist() == list(range(len(after))) and after["loss"][0] == -1
    with pytest.raises(RuntimeError, match="stopped before its end"):
        third.result()


def test_what_goes_wrong_is_shown_and_raised(faces, tmp_path):
    train, validation = faces
    live = LiveTraining(Config(**TINY, epochs=1, out=tmp_path / "live"), train.assign(valence=None), validation)
    with pytest.raises(ValueError, match="has no valence"):
        live.result()
    assert "has no valence" in live.message.value and live.button.disabled


def test_curves_show_every_epoch_of_both_stages(tmp_path):
    for stage, table in {
        "stage1": {"epoch": [0, 1], "landmark_error": [0.5, 0.2]},
        "stage2": {"epoch": [0, 1, 2], "loss": [3, 2, 1.5], "ccc_valence": [0, 0.4, 0.5], "accuracy": [0.1, 0.2, 0.4]},
    }.items():
        (tmp_path / stage).mkdir()
        pd.DataFrame(table).to_csv(tmp_path / stage / "metrics.csv", index=False)
    drawn = {line.get_label(): line.get_xydata().tolist() for ax in learning_curves(tmp_path).axes for line in ax.lines}
    assert drawn["error ÷ eye distance"] == [[1, 0.5], [2, 0.2]]
    assert drawn["CCC valence"] == [[1, 0], [2, 0.4], [3, 0.5]] and "CCC arousal" not in drawn
    assert learning_curves(tmp_path / "nothing yet").axes
