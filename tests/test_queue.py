import copy
import sys

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from cleanlab.rank import get_label_quality_scores

from emokit.cleaning import (
    check,
    frozen_features,
    image_signatures,
    out_of_fold,
    queue_curve,
    review_queue,
)
from emokit.cleaning.duplicates import near_duplicates
from emokit.cleaning.queue import main
from emokit.cleaning.rules import contradiction
from emokit.data import ImageError, noisy_labels, sample_faces, write_table
from emokit.data.tables import BOX
from emokit.models import EXPRESSIONS, FAN, ResNet18
from emokit.plots import review_curve

SAMPLES = sample_faces()
PLANTED = noisy_labels(SAMPLES, wrong=0.1, seed=1)
LABELS = ["expression", "valence", "arousal"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """One folder for what tests keep, apart from the user's cache."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda _: folder)
    return folder


@pytest.fixture(scope="module")
def judged(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    return {part: out_of_fold(PLANTED, demo, part=part, folder=folder) for part in ("fan", "head")} | {"folder": folder}


def model_says(samples, share=0.9):
    """Predictions by one who knows the truth and is ``share`` sure of it."""
    names = list(EXPRESSIONS[8])
    shares = np.where(samples["true_expression"].to_numpy()[:, None] == names, share, (1 - share) / 7)
    return pd.DataFrame(shares, columns=[f"p_{name}" for name in names]).assign(
        id=samples["id"], expression=samples["true_expression"], valence=samples["true_valence"], arousal=samples["true_arousal"]
    )  # fmt: skip


# Features and folds


def test_fan_features_know_no_affect_label(demo, judged):
    """They stay the same whatever the affect head has learnt."""
    few, other = SAMPLES.head(6), copy.deepcopy(demo)
    for parameter in other.head_parameters():
        torch.nn.init.normal_(parameter)
    for part, same in (("fan", True), ("head", False)):
        mine, theirs = (np.array(frozen_features(few, model, part)) for model in (demo, other))
        assert np.isfinite(mine).all() and len(mine) == 6
        assert np.array_equal(mine, theirs) == same


def test_features_are_what_the_last_layer_reads(demo):
    few = SAMPLES.head(5)
    seen = torch.from_numpy(np.array(frozen_features(few, demo, "head"), np.float32))
    small = ResNet18(width=8, input_size=64).eval()
    assert frozen_features(few, small, "head").shape == (5, 64)
    scores = demo.emo_fc_2(seen)
    said = [demo.expressions[k] for k in scores[:, :8].argmax(dim=1)]
    assert said == few["expression"].tolist()


@pytest.mark.parametrize(("model", "part"), [(ResNet18(width=8), "fan"), (FAN(16), "head"), (FAN(16), "all")])
def test_parts_that_a_network_lacks_are_named(model, part):
    with pytest.raises(ValueError, match="part"):
        frozen_features(SAMPLES, model, part)


def test_a_stopped_extraction_goes_on(demo, tmp_path):
    few, broken = SAMPLES.head(10).copy(), tmp_path / "late.jpg"
    few.loc[8, "image"] = str(broken)
    with pytest.raises(ImageError, match=f"sample '{few['id'][8]}'.*late.jpg"):
        frozen_features(few, demo, batch_size=4, folder=tmp_path)
    cv2.imwrite(str(broken), cv2.imread(SAMPLES["image"][8]))
    seen = []
    hook = demo.conv1.register_forward_pre_hook(lambda _, images: seen.append(len(images[0])))
    try:
        found = frozen_features(few, demo, batch_size=4, folder=tmp_path)
        assert seen == [2]  # the last batch only
        np.testing.assert_array_equal(frozen_features(few, demo, batch_size=4, folder=tmp_path), found)
        assert seen == [2]
    finally:
        hook.remove()
    np.testing.assert_allclose(found[:8], frozen_features(few.head(8), demo, folder=tmp_path), atol=0.01)


def test_no_face_is_judged_by_a_model_that_saw_its_label(demo, judged):
    """Another label in a fold changes no prediction there, and does elsewhere."""
    before = judged["fan"]
    inside = before["fold"] == 2
    changed = PLANTED.copy()
    changed.loc[inside, "expression"] = np.roll(changed.loc[inside, "expression"], 1)
    changed.loc[inside, ["valence", "arousal"]] *= -1
    after = out_of_fold(changed, demo, folder=judged["folder"])
    numbers = [name for name in before if name not in ("id", "expression", "fold")]
    pd.testing.assert_frame_equal(after[inside], before[inside])
    assert (np.abs(after.loc[~inside, numbers] - before.loc[~inside, numbers]).max() > 1e-6).all()


def test_persons_share_a_fold_and_strangers_are_on_their_own(demo, judged):
    assert judged["fan"].groupby(PLANTED["subject"])["fold"].nunique().eq(1).all()
    holed = PLANTED.assign(subject=PLANTED["subject"].where(PLANTED.index % 2 > 0))
    fold = out_of_fold(holed, demo, folder=judged["folder"])["fold"]
    known = holed["subject"].notna()
    assert fold[known].groupby(holed["subject"]).nunique().eq(1).all()
    assert (fold[~known].groupby(PLANTED["subject"]).nunique() > 1).any()


def test_predictions_are_a_predictions_table(judged):
    table = judged["head"]
    shares = table[[f"p_{name}" for name in EXPRESSIONS[8]]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert (shares.idxmax(axis=1).str[2:] == table["expression"]).all() and table["id"].equals(PLANTED["id"])
    assert table[["valence", "arousal"]].abs().max(axis=None) <= 1
    assert (table["expression"] == SAMPLES["expression"]).mean() > 0.9
    assert np.corrcoef(table["valence"], SAMPLES["valence"])[0, 1] > 0.9


def test_data_without_expressions_are_judged_too(demo, judged):
    plain = PLANTED.drop(columns=["expression", "true_expression"])
    plain.loc[::5, "valence"] = np.nan
    table = out_of_fold(plain, demo, folder=judged["folder"])
    assert table.columns.tolist() == ["id", "fold", "valence", "arousal"] and table.notna().all(axis=None)
    queue = review_queue(plain, table, duplicates=False)
    assert len(queue) == len(plain) and set(queue["reason"]) == {"disagreement", "audit", "rest"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=LABELS), "no labels to judge"),
        (lambda t: t.assign(expression="sad"), "have one expression to learn from"),
        (lambda t: t.assign(valence=t["valence"].where(t["subject"] == "s00000")), "have no valence to learn from"),
        (lambda t: t.assign(subject="anna"), "5 folds need as many persons"),
    ],
)
def test_what_cannot_be_judged_is_said(demo, judged, change, message):
    with pytest.raises(ValueError, match=message):
        out_of_fold(change(PLANTED), demo, folder=judged["folder"])


# Look-alikes


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Ten faces again: compressed hard, or at half the size."""
    folder, rows = tmp_path_factory.mktemp("copies"), []
    for k, face in enumerate(SAMPLES.head(10).to_dict("records")):
        image, scale = cv2.imread(face["image"]), 1 - 0.5 * (k % 2)
        path = folder / f"{k}.jpg"
        cv2.imwrite(
            str(path),
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
            [cv2.IMWRITE_JPEG_QUALITY, 30],
        )
        rows.append(
            face
            | {"id": f"copy {k}", "image": str(path), "landmarks": face["landmarks"] * scale}
            | {c: face[c] * scale for c in BOX}
        )
    return pd.concat([SAMPLES.head(40), pd.DataFrame(rows)], ignore_index=True)


def test_copies_are_found_and_nothing_else(copies):
    pairs = np.concatenate(list(near_duplicates(image_signatures(copies))))
    assert sorted(map(tuple, pairs.tolist())) == [(k, 40 + k) for k in range(10)]


@pytest.mark.parametrize("near", [0.3, 0.8, 1.2])
def test_near_duplicates_are_those_that_all_pairs_give(near, monkeypatch):
    monkeypatch.setattr("emokit.cleaning.duplicates._CHUNK", 7)
    monkeypatch.setattr("emokit.cleaning.duplicates._PAIRS", 11)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 63)).astype(np.float32) * np.linspace(2, 0, 63) ** 2
    points[:20] = points[20:40] + rng.normal(0, 0.1, (20, 63))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[[5, 50]] = 0  # without contrast: alike, but not the same picture
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    expected = {
        (i, j) for i, j in np.argwhere(distance < near).tolist() if i < j and i != 5 and j != 50 and i != 50 and j != 5
    }
    found = [tuple(pair) for pairs in near_duplicates(points, near) for pair in pairs.tolist()]
    assert set(found) == expected and len(found) == len(expected) > 5


def test_look_alikes_are_doubted_where_their_labels_differ(copies):
    changed = copies.copy()
    changed.loc[40, "expression"] = "happy" if copies["expression"][40] != "happy" else "sad"
    changed.loc[43, "valence"] = -copies["valence"][43] - 0.5
    queue = review_queue(changed, audit=0).set_index("id")
    doubted = queue.index[queue["reason"] == "duplicate"]
    assert set(doubted) == {copies["id"][0], "copy 0", copies["id"][3], "copy 3"}
    assert (queue.loc[["copy 0", copies["id"][0]], "score"] >= 0.5).all()
    assert f"looks like {copies['id'][0]}, labelled neutral at" in queue.loc["copy 0", "why"]
    assert queue.index[0] in doubted


# The queue


def test_every_face_is_in_the_queue_once(judged):
    queue = review_queue(PLANTED, judged["fan"])
    assert sorted(queue["id"]) == sorted(PLANTED["id"]) and set(PLANTED) <= set(queue)
    back = queue.set_index("id").loc[PLANTED["id"]]
    pd.testing.assert_series_equal(back["valence"].reset_index(drop=True), PLANTED["valence"])
    assert queue["score"].between(0, 1).all()
    doubted = ~queue["reason"].isin(["audit", "rest"])
    assert queue.loc[~queue["reason"].eq("audit"), "score"].is_monotonic_decreasing
    assert (queue["why"] != "").equals(queue["reason"] != "rest") and doubted.any()
    spoken = queue["why"].str.contains("model says")
    assert queue["doubted"].equals(spoken) and (queue["doubted"] & (queue["reason"] == "rule")).any()
    failing = set(PLANTED["id"][~check(PLANTED)["consistent"]])
    assert set(queue["id"][queue["reason"] == "rule"]) == failing


def test_quality_is_the_product_of_cleanlabs_scores_and_the_rules():
    said = model_says(PLANTED, 0.7)
    queue = review_queue(PLANTED, said, duplicates=False).set_index("id").loc[PLANTED["id"]]
    codes = pd.Categorical(PLANTED["expression"], categories=list(EXPRESSIONS[8])).codes
    quality = get_label_quality_scores(codes.astype(int), said[[f"p_{n}" for n in EXPRESSIONS[8]]].to_numpy())
    for name in ("valence", "arousal"):
        quality = quality * np.exp(-np.abs(PLANTED[name] - said[name]))
    quality = quality * np.exp(-contradiction(PLANTED))
    np.testing.assert_allclose(queue["score"], 1 - quality)


def test_most_planted_errors_come_first(judged):
    for part, least in (("head", 0.8), ("fan", 0.5)):  # 100 faces are few for heads on FAN's features
        queue = review_queue(PLANTED, judged[part])
        curve = queue_curve(queue, queue["wrong"])
        assert curve["found"][10] >= least > curve["high"][10]


def test_a_random_share_is_audited_along_the_way():
    queue = review_queue(PLANTED, model_says(PLANTED), duplicates=False, audit=0.2, seed=3)
    audited = (queue["reason"] == "audit").to_numpy()
    for n in range(5, 126, 5):
        assert audited[:n].sum() == n // 5
    again = review_queue(PLANTED, model_says(PLANTED), duplicates=False, audit=0.2, seed=3)
    pd.testing.assert_frame_equal(queue, again)
    other = review_queue(PLANTED, model_says(PLANTED), duplicates=False, audit=0.2, seed=4)
    assert set(other["id"][other["reason"] == "audit"]) != set(queue["id"][audited])
    assert not review_queue(PLANTED, duplicates=False, audit=0)["reason"].eq("audit").any()
    everything = review_queue(SAMPLES, duplicates=False, audit=1)
    assert everything["reason"].eq("audit").all() and everything["id"].tolist() != SAMPLES["id"].tolist()


def test_the_audit_estimates_the_errors_that_are_left():
    """Over seeds, the share of errors among audited faces is that of all undoubted faces."""
    blind = PLANTED.assign(
        true_expression=PLANTED["expression"], true_valence=PLANTED["valence"], true_arousal=PLANTED["arousal"]
    )
    shares = []
    for seed in range(30):
        queue = review_queue(blind, model_says(blind), rules={}, duplicates=False, audit=0.3, seed=seed)
        shares.append(queue.loc[queue["reason"] == "audit", "wrong"].mean())
        left = queue.loc[queue["reason"].isin(["audit", "rest"]), "wrong"].mean()
    assert abs(np.mean(shares) - left) < 0.02


def test_contradictions_come_first_without_a_model():
    swapped = SAMPLES.assign(expression=SAMPLES["expression"].where(SAMPLES.index != 9, "neutral"))
    queue = review_queue(swapped, duplicates=False)
    assert queue["id"][0] == SAMPLES["id"][9] and queue["reason"][0] == "rule"
    assert queue["why"][0].startswith("neutral needs intensity < 0.2")


def test_models_of_other_classes_doubt_what_they_can_name():
    five = model_says(PLANTED)[["id", "expression", *(f"p_{name}" for name in EXPRESSIONS[5])]]
    queue = review_queue(PLANTED, five, duplicates=False, rules={}).set_index("id").loc[PLANTED["id"]]
    unnamed = ~PLANTED["expression"].isin(EXPRESSIONS[5]).to_numpy()
    assert queue.loc[unnamed, "score"].eq(0).all() and queue.loc[unnamed, "reason"].isin(["audit", "rest"]).all()
    assert queue.loc[~unnamed, "score"].gt(0).all()


def test_predictions_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=f"1 of 128 samples have no prediction, such as '{PLANTED['id'][127]}'"):
        review_queue(PLANTED, model_says(PLANTED).head(127), duplicates=False)
    with pytest.raises(ValueError, match="no columns p_<class>"):
        review_queue(PLANTED, model_says(PLANTED)[["id", "expression"]], duplicates=False)
    with pytest.raises(ValueError, match="audit is a share"):
        review_queue(PLANTED, audit=2)


def test_the_index_of_a_table_does_not_matter(copies):
    copies = copies.assign(valence=copies["valence"].where(copies.index != 41, 1))
    queue = review_queue(copies.set_axis([0, 1] * 25), audit=0.1)
    pd.testing.assert_frame_equal(queue, review_queue(copies, audit=0.1))


def test_tables_may_be_files(tmp_path):
    said = model_says(PLANTED)
    write_table(PLANTED, tmp_path / "samples.parquet")
    write_table(said, tmp_path / "said.csv")
    queue = review_queue(tmp_path / "samples.parquet", tmp_path / "said.csv", duplicates=False)
    assert queue["id"].tolist() == review_queue(PLANTED, said, duplicates=False)["id"].tolist()


# The curve


def test_the_curve_counts_errors_found():
    queue = pd.DataFrame({"id": [f"f{k}" for k in range(200)]})
    curve = queue_curve(queue, [f"f{k}" for k in (0, 3, 19, 150)])
    assert curve["found"].iloc[[0, 1, 2, 10, 74, 76, 100]].tolist() == [0, 0.25, 0.5, 0.75, 0.75, 1, 1]
    assert curve["faces"].tolist() == list(range(0, 201, 2))
    np.testing.assert_allclose(curve["random"], np.linspace(0, 1, 101))
    pd.testing.assert_frame_equal(curve, queue_curve(queue, queue.index.isin([0, 3, 19, 150])))


def test_random_orders_stay_within_their_band():
    curve = queue_curve(pd.DataFrame({"id": [f"f{k}" for k in range(300)]}), [f"f{k}" for k in range(30)])
    hits, rng = np.arange(300) < 30, np.random.default_rng(0)
    found = np.array([rng.permutation(hits)[:60].sum() / 30 for _ in range(4000)])
    inside = (found >= curve["low"][20]) & (found <= curve["high"][20])
    assert 0.945 < inside.mean() < 0.985 and abs(found.mean() - curve["random"][20]) < 0.01


def test_errors_that_are_not_there_are_named():
    queue = pd.DataFrame({"id": ["a", "b"]})
    with pytest.raises(ValueError, match="1 of 2 errors are not in the queue, such as 'x'"):
        queue_curve(queue, ["a", "x"])
    for nothing in ([], [False, False]):
        with pytest.raises(ValueError, match="no error to find"):
            queue_curve(queue, nothing)


def test_the_curve_is_drawn_beside_random_order():
    queue = review_queue(PLANTED, model_says(PLANTED), duplicates=False)
    curve = queue_curve(queue, queue["wrong"])
    ax = review_curve({"all evidence": curve, "backwards": queue_curve(queue[::-1], queue["wrong"][::-1])})
    lines = {line.get_label().split(":")[0]: line.get_ydata() for line in ax.get_lines()}
    np.testing.assert_allclose(lines["all evidence"], curve["found"])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "backwards: 0%" in labels and "in the first 10%" in ax.get_title(loc="left")
    plt.close(ax.figure)


def test_the_command_prints_the_share_found(monkeypatch, capsys):
    monkeypatch.setattr("emokit.cleaning.queue.rendered_faces", lambda n, seed: SAMPLES.head(n))
    monkeypatch.setattr(sys, "argv", ["queue", "--seeds", "5", "--faces", "48", "--part", "head"])
    main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split("  ")[-1].strip() == "first 30 %" and printed[3].split()[:2] == ["5", "5"]
    assert float(printed[3].split()[-1]) >= 0.8
