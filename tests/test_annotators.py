import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.data import sample_faces
from emokit.data.annotators import Annotator, draw_annotators, simulated_ratings, true_agreement

FACES = sample_faces()
# Bold enough to be clipped, and with every kind of blind spot.
THREE = [
    Annotator("plain", noise=(0.2, 0.3)),
    Annotator("bold", bias=(0.1, -0.2), scale=(1.6, 1.4), confuses={"fear": "surprise"}, slips=0.2, missing=0.3),
    Annotator("shy", scale=(0.5, 0.7), noise=(0.05, 0.1), never_rates=("happy", "anger"), slips=0),
]


def many(samples, times, key="id"):
    """``samples`` over and over, each time with ids (and persons or recordings) of its own."""
    copies = [samples.assign(**{k: samples[k] + f"/{n}" for k in {"id", key}}) for n in range(times)]
    return pd.concat(copies, ignore_index=True)


def observed(ratings, first, second):
    """The paper's metrics of one pair, by pandas and NumPy."""
    sides = [ratings[ratings["annotator"] == name].set_index("item") for name in (first, second)]
    both = sides[0].merge(sides[1], on="item")
    found = (
        {("expression", "accuracy"): (both["expression_x"] == both["expression_y"]).mean()}
        if "expression" in ratings
        else {}
    )
    for target in ("valence", "arousal"):
        x, y = both[f"{target}_x"], both[f"{target}_y"]
        found[target, "RMSE"] = ((x - y) ** 2).mean() ** 0.5
        found[target, "SAGR"] = (np.sign(x) == np.sign(y)).mean()
        found[target, "PCC"] = x.corr(y)
        covariance = np.cov(x, y, bias=True)[0, 1]
        found[target, "CCC"] = 2 * covariance / (x.var(ddof=0) + y.var(ddof=0) + (x.mean() - y.mean()) ** 2)
    return pd.Series(found)


@pytest.mark.parametrize(("first", "second"), [("plain", "bold"), ("plain", "shy"), ("bold", "shy")])
def test_true_agreement_is_what_endless_rating_tends_to(first, second):
    ratings = simulated_ratings(many(FACES, 300), THREE, seed=1)
    truth = true_agreement(FACES, THREE).query("first == @first and second == @second")
    truth = truth.set_index(["target", "metric"])["value"]
    found = observed(ratings, first, second)
    # Some 20,000 pairs of ratings: the standard error of every metric is below 0.004.
    pd.testing.assert_series_equal(found, truth[found.index], check_names=False, atol=0.012, rtol=0)
    assert ratings[["valence", "arousal"]].abs().to_numpy().max() == 1


def test_true_agreement_of_traces_holds_lag_and_slow_noise():
    time = np.arange(60) / 10
    frames = [
        pd.DataFrame({"id": [f"{k}/{n}" for n in range(60)], "recording": f"r{k}", "time": time})
        .assign(valence=0.7 * np.sin(time + k), arousal=0.5 * np.cos(1.7 * time - k))
        for k in range(5)
    ]  # fmt: skip
    samples = pd.concat(frames, ignore_index=True)
    pair = [Annotator("quick", lag=0.1), Annotator("late", lag=0.9, bias=(0.1, 0), noise=(0.2, 0.4))]
    ratings = simulated_ratings(many(samples, 200, "recording"), pair, seed=2)
    assert list(ratings) == ["item", "annotator", "valence", "arousal", "recording", "time"]
    truth = true_agreement(samples, pair).set_index(["target", "metric"])["value"]
    found = observed(ratings, "quick", "late")
    pd.testing.assert_series_equal(found, truth[found.index], check_names=False, atol=0.015, rtol=0)
    together = true_agreement(samples, [Annotator("quick"), Annotator("late", noise=(0.2, 0.4))])
    assert truth["valence", "PCC"] < together.set_index(["target", "metric"])["value"]["valence", "PCC"] - 0.05


def test_blind_spots_are_as_told():
    ratings = simulated_ratings(FACES, THREE, seed=3).merge(
        FACES, left_on="item", right_on="id", suffixes=("", "_true")
    )
    shy, bold = (ratings[ratings["annotator"] == name] for name in ("shy", "bold"))
    assert set(shy["expression_true"]) == set(FACES["expression"]) - {"happy", "anger"}
    assert (shy["expression"] == shy["expression_true"]).all()
    assert 0.55 < len(bold) / len(FACES) < 0.85
    said = bold.loc[bold["expression_true"] == "fear", "expression"].value_counts()
    assert said.index[0] == "surprise"
    again = simulated_ratings(FACES, THREE, seed=3)
    pd.testing.assert_frame_equal(again, simulated_ratings(FACES, THREE, seed=3))
    assert not again.equals(simulated_ratings(FACES, THREE, seed=4))


def test_those_who_rate_no_face_in_common_have_no_agreement():
    rest = tuple(set(FACES["expression"]) - {"happy"})
    truth = true_agreement(FACES, [Annotator("a", never_rates=("happy",)), Annotator("b", never_rates=rest)])
    assert len(truth) == 9 and truth["value"].isna().all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_random_annotators_agree_decently(seed):
    truth = true_agreement(FACES, draw_annotators(3, seed)).set_index("metric")["value"]
    assert truth["CCC"].le(truth["PCC"].to_numpy() + 1e-12).all() and truth["PCC"].between(0.4, 1).all()
    assert truth["SAGR"].between(0.5, 1).all() and truth["accuracy"].between(0.4, 1).all()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: Annotator("a", noise=(0.1, 0)), "noise of annotator 'a' must be above 0"),
        (lambda: Annotator("a", slips=1.5), r"slips of annotator 'a' is in \[0, 1\), got 1.5"),
        (lambda: Annotator("a", confuses={"joy": "happy"}), "annotator 'a': no expression 'joy'"),
        (lambda: simulated_ratings(FACES.drop(columns="arousal"), THREE), "no column 'arousal'"),
        (lambda: simulated_ratings(FACES.assign(expression="joy"), THREE), "row 0: no expression 'joy'"),
        (lambda: true_agreement(FACES.assign(valence=np.nan), THREE), "row 0: valence or arousal is empty"),
        (lambda: simulated_ratings(FACES.assign(time=0.0), THREE), "row 1: time of trace 's00000' does not rise"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_said(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()
