import shutil
from functools import partial

import av
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import traitlets
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from test_shipped_data import DATA

from emokit.data import read_table, write_table
from emokit.evaluation import ccc, rolling_ccc
from emokit.inference import VideoError
from emokit.inference.decoding import Frame, read_frames
from emokit.plots import COLOURS, Player, affect_traces, annotate, annotate_video, ccc_over_time, trajectory
from emokit.plots.annotate import CircumplexPanel, annotated

CALL = DATA / "clip" / "call.mp4"


@pytest.fixture(scope="module")
def table():
    """The truth as a predictions table."""
    truth = read_table(DATA / "clip" / "truth.csv")
    return truth.assign(expression=np.where(truth["valence"] > 0.3, "happy", "sad"), landmarks=None)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_traces_show_every_person_and_every_reading(table):
    figure = affect_traces(table, table.assign(valence=0.5), table)
    assert len(figure.axes) == 6
    valence = figure.axes[3]
    assert valence.get_title("left") == "Person 1"
    assert [line.get_label() for line in valence.lines[:3]] == ["per frame", "smoothed", "truth"]
    truth = table[table["person"] == 1]
    np.testing.assert_allclose(valence.lines[2].get_xydata(), truth[["time", "valence"]])
    assert set(valence.lines[1].get_ydata()) == {0.5}


def test_traces_end_where_frames_are_missing(table):
    one = table[(table["person"] == 0) & ~table["frame"].between(50, 59)].sample(frac=1, random_state=0)
    *lines, ribbon = affect_traces(one).axes
    for ax in lines:
        x = ax.lines[0].get_xdata()
        assert np.flatnonzero(np.isnan(x)).tolist() == [50] and len(x) == 151
    covered = sum(np.ptp(path.vertices[:, 0]) for band in ribbon.collections for path in band.get_paths())
    assert covered == pytest.approx(150 / 20, rel=0.03)
    with pytest.raises(ValueError, match="nobody is seen"):
        affect_traces(table.head(0))


def test_the_ccc_over_time_is_that_of_each_window(table):
    rng = np.random.default_rng(0)
    found = table.assign(valence=table["valence"] + rng.normal(0, 0.1, len(table)))
    curve = rolling_ccc(found.drop(index=found.index[found["frame"] == 77]), table, window=1.0)
    assert curve.groupby("person")["time"].min().tolist()[0] == 0.5 and curve["arousal"].min() > 1 - 1e-9
    row = curve[(curve["person"] == 0) & (curve["frame"] == 80)].iloc[0]
    near = (table["person"] == 0) & table["frame"].between(70, 90) & (table["frame"] != 77)
    assert row["valence"] == pytest.approx(ccc(table["valence"][near], found["valence"][near]))
    with pytest.raises(ValueError, match="window is a number of seconds above 0, got 0"):
        rolling_ccc(found, table, 0)
    with pytest.raises(ValueError, match="no person and frame is in both"):
        rolling_ccc(found, table.assign(person=9))
    figure = ccc_over_time({"per frame": found, "exact": table}, table)
    assert [ax.get_title("left") for ax in figure.axes[2:]] == ["valence, person 1", "arousal, person 1"]
    noisy, exact = figure.axes[0].lines[:2]
    assert (noisy.get_label(), exact.get_label()) == ("per frame", "exact")
    assert np.nanmax(noisy.get_ydata()) < np.nanmin(exact.get_ydata())
    with pytest.raises(ValueError, match="as long as the window, 60 s; make it shorter"):
        ccc_over_time({"exact": table}, table, 60)


def test_a_trajectory_is_one_persons(table):
    one = table[(table["person"] == 0) & (table["frame"] != 80)]
    way = next(c for c in trajectory(one).collections if isinstance(c, LineCollection))
    assert len(way.get_segments()) == 159 - 2 and way.get_array().max() == pytest.approx(7.9)
    np.testing.assert_allclose(way.get_segments()[0], one[["valence", "arousal"]].iloc[:2])
    for wrong in (table, table.head(0)):
        with pytest.raises(ValueError, match="a trajectory is one person's, got [02] persons"):
            trajectory(wrong)


def test_the_annotated_video_keeps_times_and_shows_boxes(table, tmp_path):
    out = annotate_video(CALL, table, tmp_path / "out.mp4", height=161, start=1.9, stop=2.4, progress=False)
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(10) / 20, atol=1e-3)
    assert (frames[0].width, frames[0].height) == (320 + 160, 160)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_faces_are_where_the_table_says(table):
    frame = next(read_frames(CALL, 60))
    rows = table[table["frame"] == 60].assign(landmarks=None)
    points = np.tile(rows[["x0", "y0"]].iloc[0].to_numpy(float) + 20, 68).astype(np.float32)
    rows["landmarks"] = pd.Series([points, None], index=rows.index, dtype=object)
    pixels = annotated(frame, rows, (640, 320)).astype(int)
    for _, row in rows.iterrows():
        colour = 255 * np.array(to_rgb(COLOURS[row["expression"]]))
        x, y = round(row["x0"] + row["x1"]), round(2 * row["y1"])
        assert np.abs(pixels[y - 1 : y + 2, x] - colour).max(axis=1).min() < 3
    x, y = np.round(2 * points[:2]).astype(int)
    assert np.abs(pixels[y, x] - [0, 229, 255]).max() < 40


def test_a_box_at_the_upper_edge_keeps_its_name(table):
    row = table.head(1).assign(x0=10.0, y0=1.0, x1=60.0, y1=60.0)
    frame = Frame(0, 0.0, np.zeros((100, 100, 3), np.uint8))
    sad = np.abs(annotated(frame, row, (100, 100)) - 255 * np.array(to_rgb(COLOURS["sad"]))).max(axis=2) < 3
    assert sad[4:14].sum() > 200


def test_the_way_on_the_circumplex_fades(table):
    panel = CircumplexPanel(200, trail=0.5)
    blue = []
    for time, place in ((0.0, -0.8), (0.3, 0.8), (0.7, 0.8)):
        row = table.head(1).assign(valence=place, arousal=0.0, expression="sad")
        pixels = panel(time, row).astype(int)
        blue.append((np.abs(pixels - 255 * np.array(to_rgb(COLOURS["sad"]))).max(axis=2) < 3).sum())
    assert pixels.shape == (200, 200, 3)
    assert blue[1] > blue[0] + 100 and abs(blue[2] - blue[0]) < 30


def test_what_cannot_be_annotated_is_named_and_leaves_nothing(table, tmp_path):
    for options, kind, message in (
        ({"out": tmp_path / "out.avi"}, ValueError, "does not end in .mp4"),
        ({"start": 50}, ValueError, "has no frame from 50 to inf s"),
        ({"video": tmp_path / "missing.mp4"}, VideoError, "does not exist"),
    ):
        options = {"video": CALL, "predictions": table, "out": tmp_path / "out.mp4", "progress": False} | options
        with pytest.raises(kind, match=message):
            annotate_video(**options)
    assert not list(tmp_path.iterdir())


def test_the_video_itself_is_not_overwritten(table, tmp_path):
    video, link = tmp_path / "call.mp4", tmp_path / "link.mp4"
    shutil.copy(CALL, video)
    link.symlink_to(video)
    for out in (video, link):
        with pytest.raises(ValueError, match=f"{out.name} is the video itself"):
            annotate_video(video, table, out, progress=False)
    assert video.read_bytes() == CALL.read_bytes()


def test_missing_columns_are_named_before_anything_is_drawn(table, tmp_path, monkeypatch):
    monkeypatch.setattr(annotate, "read_frames", None)
    for column in ("frame", "person", "x0", "expression", "arousal", "landmarks"):
        for draw in (partial(annotate_video, out=tmp_path / "out.mp4"), Player):
            with pytest.raises(ValueError, match=f"the predictions have no column '{column}'"):
                draw(CALL, table.drop(columns=column))
    for column in ("frame", "person", "time", "expression", "arousal"):
        with pytest.raises(ValueError, match=f"the predictions have no column '{column}'"):
            affect_traces(table.drop(columns=column))
    with pytest.raises(ValueError, match="the true ones have no column 'time'"):
        affect_traces(table, truth=table.drop(columns="time"))
    with pytest.raises(ValueError, match="the true ones have no column 'valence'"):
        Player(CALL, table, table.drop(columns="valence"))
    for height in (0, 99.5):
        with pytest.raises(ValueError, match="height is a whole number of pixels, at least 64; got"):
            annotate_video(CALL, table, tmp_path / "out.mp4", height=height)
    two = pd.concat((table, table)).assign(video=["a.mp4"] * len(table) + ["b.mp4"] * len(table))
    with pytest.raises(ValueError, match=r"of 2 videos; choose one: table\[table\['video'\] == 'a.mp4'\]"):
        affect_traces(two)


def test_traces_are_read_from_files(table, tmp_path):
    write_table(table, tmp_path / "table.parquet")
    lines = affect_traces(tmp_path / "table.parquet", truth=DATA / "clip" / "truth.csv").axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), lines[1].get_ydata(), atol=0.01)


def test_the_player_holds_what_the_page_needs(table):
    missing = table[~((table["person"] == 0) & (table["frame"] == 43))]
    player = Player(CALL, missing, DATA / "clip" / "truth.csv", start=2, stop=2.5, height=120)
    assert player.person == 0 and player.time == 2 and player._video[4:8] == b"ftyp"
    persons = player._traces["persons"]
    assert list(persons) == ["0", "1"]
    found = persons["0"]["found"]
    assert found["time"] == [2.0, 2.05, 2.1, None, 2.2, 2.25, 2.3, 2.35, 2.4, 2.45]
    assert found["expression"][3] is None and found["valence"][0] == pytest.approx(table["valence"][40], abs=0.01)
    assert len(persons["1"]["truth"]["arousal"]) == 10
    with pytest.raises(traitlets.TraitError, match="no person 2 is seen; there are 0, 1"):
        player.person = 2
    with pytest.raises(ValueError, match="nobody is seen from 20 to inf s"):
        Player(CALL, table, start=20)
