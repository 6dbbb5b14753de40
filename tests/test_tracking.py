import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.data import write_table
from emokit.inference.smoothing import RELEASE, smooth
from emokit.inference.tracking import Tracker, overlap


def box(x, y=0, size=10):
    return [x, y, x + size, y + size]


def persons(tracker):
    return [track.person for track in tracker.tracks]


def test_overlap_is_intersection_over_union():
    np.testing.assert_allclose(overlap([box(0), box(20)], [box(5), box(0), box(10)]), [[1 / 3, 1, 0], [0, 0, 0]])
    assert overlap([], [box(0)]).shape == (0, 1)


def test_persons_keep_their_numbers_while_they_move():
    tracker = Tracker()
    assert tracker.look(0, [box(0), box(50)]).tolist() == [0, 1]
    # In another order, moved, and a third one.
    assert tracker.look(0.3, [box(90), box(53), box(3)]).tolist() == [2, 1, 0]
    assert persons(tracker) == [0, 1, 2]


def test_pairs_share_the_most_in_sum():
    """The box that fits person 1 best is person 0's only one: who chooses greedily loses a person."""
    tracker = Tracker(overlap=0.2)
    tracker.look(0, [box(0), box(6)])
    assert len(tracker.tracks) == 2
    assert tracker.look(0.1, [box(4), box(10)]).tolist() == [0, 1]


def test_a_track_ends_after_its_gap():
    tracker = Tracker(gap=1)
    tracker.look(0, [box(0)])
    tracker.look(1.0, [])
    assert persons(tracker) == [0]
    tracker.look(1.0, [box(0)])
    tracker.look(2.5, [box(0)])
    assert persons(tracker) == [1], "one who was away comes back as another"


def test_the_network_knows_better_where_a_face_is():
    tracker = Tracker()
    tracker.look(0, [box(0)])
    tracker.follow(0, 0.2, box(2))
    tracker.look(0.3, [box(1)])
    assert tracker.tracks[0].box == box(2) and tracker.tracks[0].seen == 0.3


def test_two_boxes_of_one_face_are_one_person():
    tracker = Tracker()
    tracker.look(0, [box(0), box(3, 3, 4)])
    assert persons(tracker) == [0]
    tracker.look(0.1, [box(20), box(0)])
    assert persons(tracker) == [0, 1]
    tracker.follow(1, 0.2, box(1))  # the network slipped onto the other's face
    assert tracker.merge() == {1} and persons(tracker) == [0]


def test_its_state_passes_through_json():
    tracker, other = Tracker(), Tracker()
    tracker.look(0.1, [box(0), box(1 / 3 + 20)])
    tracker.follow(1, 1 / 3, box(0.1 + 0.2 + 20))
    other.state = json.loads(json.dumps(tracker.state))
    assert other.tracks == tracker.tracks
    for each in (tracker, other):
        each.look(0.5, [box(1), box(60)])
    assert other.state == tracker.state and other.persons == 3


@pytest.mark.parametrize("options", [{"gap": -1}, {"overlap": 0}, {"overlap": 1.1}])
def test_wrong_settings_are_named(options):
    with pytest.raises(ValueError, match="gap is 0 s or more and overlap in"):
        Tracker(**options)


def table(frames, valence, person=0, **columns):
    columns = {"p_happy": 0.25, "p_sad": 0.75, "expression": "sad", "arousal": 0.0} | columns
    ids = [f"{frame}_{person}_{k}" for k, frame in enumerate(frames)]
    return pd.DataFrame({"id": ids, "frame": frames, "person": person, "valence": valence, **columns})


def test_the_releases_weights_once_five_frames_are_there():
    values = np.random.default_rng(0).uniform(-1, 1, 30)
    smoothed = smooth(table(range(30), values))["valence"]
    np.testing.assert_allclose(smoothed[4:], np.convolve(values, RELEASE[::-1], "valid"))


def test_the_start_and_gaps_share_out_the_weights():
    values = np.array([0.2, 0.6, -0.4, 0.8, 0.1])
    smoothed = smooth(table([0, 1, 4, 20, 25], values))["valence"]
    w = np.array(RELEASE)
    expected = [
        0.2,
        (0.25 * 0.2 + 0.4 * 0.6) / 0.65,
        (w[0] * 0.2 + w[1] * 0.6 + w[4] * -0.4) / (w[0] + w[1] + w[4]),
        0.8,  # nobody was there in the four frames before
        0.1,
    ]
    np.testing.assert_allclose(smoothed, expected)


def test_logits_are_averaged_as_in_the_release():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (12, 3))
    odds = np.exp(logits)
    found = table(range(12), 0.0, expression="a").drop(columns=["p_happy", "p_sad"])
    found[["p_a", "p_b", "p_c"]] = odds / odds.sum(axis=1, keepdims=True)
    mean = np.array(RELEASE) @ logits[7:]
    smoothed = smooth(found).iloc[11]
    np.testing.assert_allclose(smoothed[["p_a", "p_b", "p_c"]].astype(float), np.exp(mean) / np.exp(mean).sum())
    assert smoothed["expression"] == "abc"[mean.argmax()]


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_persons_and_the_order_of_rows_do_not_matter(data):
    n = data.draw(st.integers(1, 30))
    frames = data.draw(st.lists(st.integers(0, 40), min_size=n, max_size=n, unique=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    one, two = (table(frames, rng.uniform(-1, 1, n), person) for person in (3, 8))
    both = pd.concat([one, two]).sample(frac=1, random_state=n)
    smoothed = smooth(both)
    assert smoothed.index.tolist() == both.index.tolist()
    for alone in (one, two):
        mine = smoothed[smoothed["person"] == alone["person"].iloc[0]].sort_index()
        np.testing.assert_allclose(mine["valence"], smooth(alone)["valence"])
        assert mine["valence"].between(alone["valence"].min() - 1e-9, alone["valence"].max() + 1e-9).all()
        np.testing.assert_allclose(mine["p_happy"], 0.25)


def test_none_changes_nothing_and_the_input_stays(tmp_path):
    found = table(range(4), [0.1, 0.9, 0.3, 0.2])
    before = found.copy()
    pd.testing.assert_frame_equal(smooth(found, None), before)
    assert not smooth(found)["valence"].equals(before["valence"])
    pd.testing.assert_frame_equal(found, before)
    assert smooth(found.head(0)).empty
    write_table(found, tmp_path / "found.csv")
    pd.testing.assert_frame_equal(smooth(tmp_path / "found.csv"), smooth(found), check_dtype=False)


@pytest.mark.parametrize("weights", [(), (0.5, 0), (-0.1, 1), (np.nan, 1), ((1, 2),)])
def test_weights_that_are_none_are_named(weights):
    with pytest.raises(ValueError, match="weights are numbers of at least 0, the last above 0"):
        smooth(table([0], [0.1]), weights)


def test_two_videos_of_one_name_are_smoothed_apart():
    """a/call.mp4 and b/call.mp4, whose rows have the same ids."""
    one, two = (table(range(9), np.linspace(-1, end, 9)).assign(video=f"{end}/call.mp4") for end in (0, 1))
    both = pd.concat((one, two), ignore_index=True)
    found = smooth(both)
    assert found["id"].equals(both["id"])
    np.testing.assert_allclose(found["valence"], [*smooth(one)["valence"], *smooth(two)["valence"]])
    with pytest.raises(ValueError, match="a person twice.*several videos told apart by a column 'video'"):
        smooth(both.drop(columns="video"))


def test_wrong_tables_are_named():
    with pytest.raises(ValueError, match="the predictions have no column 'valence'; they have id"):
        smooth(table([0], [0.1]).drop(columns="valence"))
    with pytest.raises(ValueError, match="no column 'frame'; they have id, valence"):
        smooth(pd.DataFrame({"id": ["a"], "valence": [0.1]}))
    with pytest.raises(ValueError, match="frame 7 holds a person twice"):
        smooth(table([7, 7], [0.1, 0.2]))
