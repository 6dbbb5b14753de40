import numpy as np

from emokit.data.rendered import draw_person
from emokit.data.rendered_clips import rendered_clip, simulated_traces


def test_clips_are_smooth_seeded_and_labelled():
    images, rows = zip(*rendered_clip(1, 2, 0, 20, size=48), strict=True)
    again = [image for image, _ in rendered_clip(1, 2, 0, 20, size=48)]
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))
    affect = np.array([[row["valence"], row["arousal"]] for row in rows])
    assert (np.hypot(*affect.T) <= 1).all() and np.ptp(affect, axis=0).max() > 0.2
    steps = np.abs(np.diff(affect, axis=0)).max()
    assert steps < 0.3
    moves = np.linalg.norm(np.diff([row["landmarks"] for row in rows], axis=0), axis=2)
    assert 0 < moves.max() < 3
    groups, _, _ = draw_person(np.random.default_rng([1, 2]))
    assert rows[0]["age_band"] == groups["age_band"]


def test_annotators_follow_the_truth_late():
    rate = 20
    truth = np.sin(np.arange(600) / rate)
    ratings = simulated_traces(truth, 4, rate, seed=0)
    assert ratings.shape == (600, 4) and np.abs(ratings).max() <= 1
    for trace in ratings.T:
        lags = [np.corrcoef(truth[: 600 - k], trace[k:])[0, 1] for k in range(20)]
        assert 0.15 <= np.argmax(lags) / rate <= 0.65 and max(lags) > 0.97
    np.testing.assert_array_equal(ratings, simulated_traces(truth, 4, rate, seed=0))
