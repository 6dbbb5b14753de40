import math

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics.functional as torchmetrics
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from emokit.evaluation.metrics import (
    accuracy,
    ccc,
    ccc_decomposition,
    confusion,
    icc,
    macro_f1,
    pcc,
    per_class_accuracy,
    rmse,
    sagr,
)
from emokit.models import EXPRESSIONS

CONTINUOUS = (rmse, sagr, pcc, ccc, icc)
DISCRETE = (accuracy, macro_f1, per_class_accuracy, confusion)
RNG = np.random.default_rng(0)
TRUE = RNG.uniform(-1, 1, 200)
PRED = np.clip(0.7 * TRUE + RNG.normal(0.1, 0.3, 200), -1, 1)
NAMES = np.array(EXPRESSIONS[8])
SHOWN, SAID = (RNG.choice(NAMES, 200, p=p) for p in (np.full(8, 1 / 8), np.array([3, 1, 1, 1, 1, 1, 0, 0]) / 8))
# Shrout and Fleiss (1979), Table 2: six persons, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)

exact = {"rel": 0, "abs": 1e-10}


def anova_icc(ratings):
    """ICC(3,1) from the mean squares of a two-way table (n, k)."""
    n, k = ratings.shape
    rows, columns, mean = ratings.mean(axis=1), ratings.mean(axis=0), ratings.mean()
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    error = ((ratings - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (k - 1))
    return (between - error) / (between + (k - 1) * error)


def test_continuous_metrics_are_the_papers_equations():
    n = len(TRUE)
    means = sum(TRUE) / n, sum(PRED) / n
    both = sum((t - means[0]) * (p - means[1]) for t, p in zip(TRUE, PRED, strict=True)) / n
    var = [sum((x - m) ** 2 for x in values) / n for values, m in zip((TRUE, PRED), means, strict=True)]
    squares, signs = sum((TRUE - PRED) ** 2), sum((t > 0) == (p > 0) for t, p in zip(TRUE, PRED, strict=True))
    assert rmse(TRUE, PRED) == pytest.approx(math.sqrt(squares / n), **exact)
    assert sagr(TRUE, PRED) == pytest.approx(signs / n, **exact)
    assert pcc(TRUE, PRED) == pytest.approx(both / math.sqrt(var[0] * var[1]), **exact)
    assert ccc(TRUE, PRED) == pytest.approx(2 * both / (sum(var) + (means[0] - means[1]) ** 2), **exact)


def test_continuous_metrics_match_scipy_and_torchmetrics():
    true, pred = torch.tensor(TRUE), torch.tensor(PRED)
    assert pcc(TRUE, PRED) == pytest.approx(stats.pearsonr(TRUE, PRED).statistic, **exact)
    assert pcc(TRUE, PRED) == pytest.approx(torchmetrics.pearson_corrcoef(pred, true).item(), **exact)
    assert rmse(TRUE, PRED) == pytest.approx(torchmetrics.mean_squared_error(pred, true, squared=False).item(), **exact)
    # torchmetrics divides variances by n - 1, the paper by n: without a shift they agree.
    level = PRED - PRED.mean() + TRUE.mean()
    expected = torchmetrics.concordance_corrcoef(torch.tensor(level), true).item()
    assert ccc(TRUE, level) == pytest.approx(expected, **exact)


def test_icc_is_shrout_and_fleiss():
    assert anova_icc(JUDGES) == pytest.approx(0.71, abs=0.005)  # as they print it
    for i, j in ((0, 1), (0, 3), (2, 3)):
        assert icc(JUDGES[:, i], JUDGES[:, j]) == pytest.approx(anova_icc(JUDGES[:, [i, j]]), **exact)
    assert icc(TRUE, PRED) == pytest.approx(anova_icc(np.column_stack((TRUE, PRED))), **exact)


def test_zero_agrees_in_sign_with_zero_only():
    assert sagr([0, 0, 0.1, -0.1], [0, 0.2, 0.3, -0.9]) == 0.75


def test_discrete_metrics_follow_from_the_counts():
    counts = confusion(SHOWN, SAID, labels=EXPRESSIONS[8])
    assert (counts.index.name, counts.columns.name) == ("true", "predicted")
    for shown in NAMES:
        for said in NAMES:
            assert counts.loc[shown, said] == ((shown == SHOWN) & (said == SAID)).sum()
    right, shown, said = np.diag(counts), counts.sum(axis=1).to_numpy(), counts.sum(axis=0).to_numpy()
    assert accuracy(SHOWN, SAID) == pytest.approx(right.sum() / 200, **exact)
    assert macro_f1(SHOWN, SAID) == pytest.approx((2 * right / (shown + said)).mean(), **exact)
    recall = per_class_accuracy(SHOWN, SAID, labels=EXPRESSIONS[8])
    assert recall.index.tolist() == list(EXPRESSIONS[8])
    np.testing.assert_allclose(recall, right / shown, rtol=0, atol=1e-10)
    shares = confusion(SHOWN, SAID, labels=EXPRESSIONS[8], normalize="true")
    np.testing.assert_allclose(shares, counts.to_numpy() / shown[:, None], rtol=0, atol=1e-10)


def test_discrete_metrics_match_torchmetrics():
    shown, said = (torch.tensor([EXPRESSIONS[8].index(n) for n in names]) for names in (SHOWN, SAID))
    about = {"preds": said, "target": shown, "num_classes": 8}  # float32
    for metric, reference, average in (
        (accuracy, torchmetrics.classification.multiclass_accuracy, "micro"),
        (macro_f1, torchmetrics.classification.multiclass_f1_score, "macro"),
    ):
        assert metric(SHOWN, SAID) == pytest.approx(reference(**about, average=average).item(), abs=1e-6)


def test_expressions_that_nobody_shows_have_no_accuracy():
    recall = per_class_accuracy(["happy", "sad", "sad"], ["happy", "sad", "fear"])
    assert recall.index.tolist() == ["fear", "happy", "sad"] and math.isnan(recall["fear"])
    assert recall["happy"] == 1 and recall["sad"] == 0.5
    assert macro_f1(["happy", "sad", "sad"], ["happy", "sad", "fear"]) == pytest.approx((1 + 2 / 3 + 0) / 3)
    with pytest.raises(ValueError, match="'fear' is not among labels"):
        confusion(["happy", "sad"], ["happy", "fear"], labels=["happy", "sad"])


@pytest.mark.parametrize("metric", CONTINUOUS + DISCRETE)
def test_a_whole_weight_repeats_a_face(metric):
    true, pred = (TRUE, PRED) if metric in CONTINUOUS else (SHOWN, SAID)
    times = np.arange(200) % 4
    found, expected = metric(true, pred, times), metric(true.repeat(times), pred.repeat(times))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(metric(true, pred, times / 7), expected / (7 if metric is confusion else 1), atol=1e-10)


def test_the_order_of_labels_and_predictions_matters_to_the_shifts_only():
    one, other = ccc_decomposition(TRUE, PRED), ccc_decomposition(PRED, TRUE)
    assert other.scale_shift == pytest.approx(1 / one.scale_shift) and one.scale_shift < 1
    assert other.location_shift == pytest.approx(-one.location_shift) and one.location_shift > 0
    for name in ("ccc", "pcc", "bias_correction", "correlation", "scale", "location"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), **exact)


@pytest.mark.parametrize(
    "pred, cause",
    [(0.5 * TRUE + TRUE.mean() / 2, "scale"), (TRUE + 0.3, "location"), (TRUE[::-1], "correlation")],
)
def test_the_decomposition_names_the_only_cause(pred, cause):
    found = ccc_decomposition(TRUE, pred)._asdict()
    assert found[cause] == pytest.approx(1 - found["ccc"], **exact) and found[cause] > 0.1
    for other in {"scale", "location", "correlation"} - {cause}:
        assert found[other] == pytest.approx(0, abs=1e-10)


values = st.integers(-100, 100).map(lambda k: k / 100)
pairs = st.lists(st.tuples(values, values), min_size=1, max_size=20)


@given(pairs)
def test_the_decomposition_adds_up(rows):
    true, pred = np.array(rows).T
    d = ccc_decomposition(true, pred)
    if math.isnan(d.ccc):
        assert np.ptp(true) == np.ptp(pred) == 0 and true[0] == pred[0]
        return
    assert d.correlation + d.scale + d.location == pytest.approx(1 - d.ccc, **exact)
    assert min(d.correlation, d.scale, d.location) >= -1e-12 and 0 <= d.bias_correction <= 1 + 1e-12
    if not math.isnan(d.pcc):
        v, u = d.scale_shift, d.location_shift
        assert d.bias_correction == pytest.approx(2 / (v + 1 / v + u**2), **exact)
        assert d.ccc == pytest.approx(d.pcc * d.bias_correction, **exact)


@given(pairs)
def test_agreement_is_never_better_than_consistency_nor_that_than_correlation(rows):
    true, pred = np.array(rows).T
    found = [abs(metric(true, pred)) for metric in (ccc, icc, pcc)]
    if not math.isnan(found[2]):
        assert np.diff(found).min() > -1e-12 and found[2] <= 1


@given(st.lists(values, min_size=2, max_size=20).filter(lambda v: len(set(v)) > 1))
def test_labels_agree_with_themselves(true):
    assert rmse(true, true) == 0 and sagr(true, true) == 1
    for metric in (pcc, ccc, icc):
        assert metric(true, true) == pytest.approx(1, abs=1e-12)
    assert sum(ccc_decomposition(true, true)[-3:]) == pytest.approx(0, abs=1e-12)


def test_constants_have_no_correlation_but_may_disagree():
    flat = np.full(7, 0.1)  # whose mean is not 0.1 in floating point
    varied = np.linspace(-1, 1, 7)
    for true, pred in ((varied, flat), (flat, varied)):
        assert math.isnan(pcc(true, pred)) and ccc(true, pred) == icc(true, pred) == 0
        parts = ccc_decomposition(true, pred)
        assert parts.correlation == 0 and parts.scale + parts.location == pytest.approx(1)
        assert math.isnan(parts.location_shift)
    assert all(math.isnan(metric(flat, flat)) for metric in (pcc, ccc, icc))
    assert ccc(flat, flat + 0.5) == 0 and math.isnan(icc(flat, flat + 0.5))
    assert all(map(math.isnan, ccc_decomposition(flat, flat)))
    # A face of weight 0 does not make labels vary.
    assert math.isnan(pcc([0.5, *flat], [0.3, *varied], [0] + [0.3] * 7))


def test_any_range_will_do():
    assert rmse(10 * TRUE, 10 * PRED) == pytest.approx(10 * rmse(TRUE, PRED))
    for metric in (sagr, pcc, ccc, icc):
        assert metric(10 * TRUE, 10 * PRED) == pytest.approx(metric(TRUE, PRED), **exact)


def test_series_lists_and_arrays_are_alike():
    for metric in CONTINUOUS:
        assert metric(pd.Series(TRUE), list(PRED)) == metric(TRUE, PRED)
    assert accuracy(pd.Categorical(SHOWN), pd.Series(SAID)) == accuracy(SHOWN, SAID)
    assert accuracy([0, 1, 7], [0, 2, 7]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", (*CONTINUOUS, ccc_decomposition, *DISCRETE))
def test_what_cannot_be_measured_is_named(metric):
    good, missing = ([0.5, 0.2], [0.5, math.nan]) if metric not in DISCRETE else (["sad", "fear"], ["sad", None])
    with pytest.raises(ValueError, match="no face to measure"):
        metric([], [])
    with pytest.raises(ValueError, match=r"y_true \(2,\), y_pred \(1,\)"):
        metric(good, good[:1])
    with pytest.raises(ValueError, match=r"y_true \(2, 1\)"):
        metric(np.array(good)[:, None], np.array(good)[:, None])
    with pytest.raises(ValueError, match="y_pred is missing or not finite for 1 of 2 faces, first at position 1"):
        metric(good, missing)
    with pytest.raises(ValueError, match="y_true is missing"):
        metric(missing, good)
    with pytest.raises(ValueError, match=r"sample_weight \(3,\)"):
        metric(good, good, [1, 1, 1])
    for weight in ([1, -1], [0, 0], [1, math.nan]):
        with pytest.raises(ValueError, match="weights are finite and not negative"):
            metric(good, good, weight)


def test_infinities_and_text_are_not_numbers():
    with pytest.raises(ValueError, match="y_true is missing or not finite"):
        rmse([math.inf, 0], [0, 0])
    with pytest.raises(ValueError, match="could not convert"):
        rmse(["happy"], ["sad"])
    with pytest.raises(ValueError, match="Mix of label input types"):
        accuracy(["happy"], [1])
