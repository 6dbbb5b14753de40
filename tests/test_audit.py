"""Figures, tests and verdicts of an audit."""

import sys
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from emokit.data import write_table
from emokit.evaluation import audit, by_region, ccc, ccc_decomposition, confusions, decompositions, join_groups
from emokit.evaluation import confusion as confusion_matrix
from emokit.evaluation.audit import faces as audit_faces
from emokit.evaluation.audit.details import REGIONS
from emokit.evaluation.audit.differences import TESTED, _features, _figures, permutation_p
from emokit.evaluation.audit.faces import METRICS, blocks
from emokit.evaluation.audit.figures import Drawn, scale
from emokit.evaluation.audit.run import faces_of
from emokit.evaluation.audit.shares import lacking
from emokit.evaluation.audit.statements import limits, method
from emokit.models import EXPRESSIONS
from emokit.plots import intersections

NAMES = list(EXPRESSIONS[8])
QUICK = {"n_resamples": 100, "n_permutations": 200}
GROUPS = {"age_band": ("young", "middle", "older"), "skin_tone": ("light", "dark")}


def study(persons=90, frames=6, seed=0, shift=0.0, noise=0.0):
    """Predictions, in another order, and samples of persons; older ones are read too high, or noisily."""
    rng = np.random.default_rng(seed)
    n, who = persons * frames, np.arange(persons).repeat(frames)
    samples = pd.DataFrame({"id": [f"f{k}" for k in range(n)], "subject": [f"s{k}" for k in who]})
    for column, groups in GROUPS.items():
        samples[column] = rng.permutation(np.resize(groups, persons))[who]
    samples["expression"] = rng.choice(NAMES, n)
    said = samples[["id", "expression"]].copy()
    said.loc[rng.random(n) < 0.3, "expression"] = "neutral"
    older = (samples["age_band"] == "older").to_numpy()
    for name in ("valence", "arousal"):
        samples[name] = np.clip(rng.normal(0, 0.2, persons)[who] + rng.normal(0, 0.3, n), -0.8, 0.8)
        error = rng.normal(0, 0.1, n) + rng.normal(0, 0.03, persons)[who]
        said[name] = np.clip(samples[name] + error + older * (shift + rng.normal(0, 1, n) * noise), -1, 1)
    return said.sample(frac=1, random_state=seed), samples


def row(found, group, target, metric, table="findings"):
    table = getattr(found, table)
    return table[(table["group"] == group) & (table["target"] == target) & (table["metric"] == metric)].squeeze()


def joined(said, samples):
    return said.set_index("id").loc[samples["id"]].reset_index()


def test_every_group_and_intersection_has_every_metric_as_fairlearn_gives_it():
    said, samples = study()
    found = audit(said, samples, list(GROUPS), **QUICK)
    assert found.groups.groupby("columns", sort=False).size().to_dict() == {
        "age_band": 3 * 14, "skin_tone": 2 * 14, "age_band × skin_tone": 6 * 14
    }  # fmt: skip
    pred = joined(said, samples)
    for target in ("expression", "valence", "arousal"):
        frame = MetricFrame(
            metrics=METRICS[target],
            y_true=samples[target],
            y_pred=pred[target],
            sensitive_features=samples[list(GROUPS)],
        )
        for (age, skin), figures_ in frame.by_group.iterrows():
            for metric, value in figures_.items():
                assert row(found, f"{age}, {skin}", target, metric, "groups")["value"] == pytest.approx(
                    value, abs=1e-12
                )


def test_sums_give_the_figures_of_the_metrics_and_of_their_rest():
    said, samples = study()
    pred = joined(said, samples)
    for faces in faces_of(samples, pred, ["age_band"], None, 1):
        drawn = Drawn(faces, 3, 0)
        np.testing.assert_allclose(drawn.value, faces.values(), atol=1e-12)
        for k, group in enumerate(faces.partitions[0].groups):
            rest = (samples["age_band"] != group).to_numpy()
            expected = [metric(faces.true[rest], faces.pred[rest]) for metric in METRICS[faces.target].values()]
            np.testing.assert_allclose(drawn.rest[k], expected, atol=1e-12)


def test_a_planted_shift_is_found_where_it_is_and_the_rest_is_left_alone():
    found = audit(*study(shift=0.1), list(GROUPS), n_resamples=400)
    first = found.findings.iloc[0]
    assert (first["group"], first["metric"], first["verdict"], first["worse"]) == (
        "older",
        "signed error",
        "differs",
        True,
    )
    assert first["low"] < 0.1 < first["high"] and first["value"] - first["rest"] == pytest.approx(first["difference"])
    skin = found.findings[found.findings["columns"] == "skin_tone"]
    assert (skin["p_adjusted"] > 0.05).all()
    # Next to a harmed group others look better: they are not listed as harmed.
    young = row(found, "young", "valence", "signed error")
    assert young["difference"] < 0 and not young["worse"]
    assert row(found, "older", "valence", "signed error", "groups")["best"] != "older"


def test_noise_lowers_the_ccc_of_the_group_that_has_it():
    found = audit(*study(noise=0.25), ["age_band"], targets=["valence", "arousal"])
    older = row(found, "older", "arousal", "CCC")
    assert older["verdict"] == "differs" and older["worse"] and older["difference"] < -0.1
    best = row(found, "older", "arousal", "CCC", "groups")
    assert best["to_best"] < 0 and best["to_best_high"] < 0 and best["best"] in ("young", "middle")


def test_every_permutation_of_few_persons_gives_the_p_value_that_drawn_ones_approach():
    rng = np.random.default_rng(1)
    samples = pd.DataFrame(
        {"id": range(14), "subject": np.arange(7).repeat(2), "g": np.array(list("aaabbbb")).repeat(2)}
    )
    samples["valence"] = rng.uniform(-0.8, 0.8, 14)
    said = samples[["id"]].assign(
        valence=(samples["valence"] + rng.normal(0, 0.2, 14) + 0.2 * (samples["g"] == "a")).clip(-1, 1)
    )

    def statistic(groups):
        error = (said["valence"] - samples["valence"]).to_numpy().reshape(7, 2).mean(axis=1)
        a, b = error[groups == "a"], error[groups == "b"]
        return abs(a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / 3 + b.var(ddof=1) / 4)

    labels = np.array(list("aaabbbb"))
    all_of_them = {p for p in permutations("aaabbbb")}
    exact = np.mean([statistic(np.array(p)) >= statistic(labels) - 1e-9 for p in all_of_them])
    faces = faces_of(samples, said, ["g"], None, 1)
    p = permutation_p(faces, 20_000, 0)["valence", "signed error"]
    assert p[0] == p[1] == pytest.approx(exact, abs=0.02)


def test_the_variance_of_a_difference_is_that_of_the_bootstrap():
    said, samples = study(persons=400, frames=4)
    pred = joined(said, samples)
    for faces in faces_of(samples, pred, ["age_band"], None, 1):
        drawn = Drawn(faces, 3000, 0)
        member = np.zeros((400, 3))
        member[faces.persons, faces.partitions[0].codes] = 1
        sums = member.T @ _features(faces)
        for metric, (_, variance) in zip(TESTED[faces.target], _figures(faces.target, sums), strict=True):
            cloud = scale(metric)(drawn.many[..., drawn.metrics.index(metric)])
            np.testing.assert_allclose(np.sqrt(variance), cloud.std(axis=0), rtol=0.1)


def test_twenty_copies_of_every_frame_change_nothing_but_n():
    said, samples = study(shift=0.05)
    many = pd.concat([samples.assign(id=samples["id"] + f"_{k}") for k in range(20)])
    much = pd.concat([said.assign(id=said["id"] + f"_{k}") for k in range(20)])
    one, copied = (audit(p, s, ["age_band"], **QUICK).findings for p, s in ((said, samples), (much, many)))
    assert (copied["n"] == 20 * one["n"]).all()
    pd.testing.assert_frame_equal(copied.drop(columns="n"), one.drop(columns="n"))


def test_groups_that_cross_persons_are_tested_by_bootstrap():
    said, samples = study()
    samples["light"] = np.resize(["day", "night"], len(samples))
    found = audit(said, samples, ["age_band", "light"], **QUICK)
    tests = found.findings.groupby("columns")["test"].unique().map(list).to_dict()
    assert tests == {"age_band": ["permutation"], "light": ["bootstrap"], "age_band × light": ["bootstrap"]}
    # Persons who are in both groups cancel: by faces, their leanings would not.
    assert row(found, "day", "valence", "signed error")["subjects"] == 90


@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_and_permutation_agree(monkeypatch, seed):
    said, samples = study(persons=300, frames=2, seed=seed, shift=0.02)
    options = {"n_resamples": 2000, "n_permutations": 2000, "intersections": 1}
    shuffled = audit(said, samples, ["age_band"], **options).findings
    monkeypatch.setattr(sys.modules["emokit.evaluation.audit.findings"], "MOST_CLUSTERS", 100)
    drawn = audit(said, samples, ["age_band"], **options).findings
    key = ["group", "target", "metric"]
    both = shuffled.merge(drawn, on=key, suffixes=("", "_drawn"))
    assert set(both["test"]) == {"permutation"} and set(both["test_drawn"]) == {"bootstrap"}
    np.testing.assert_allclose(both["p"], both["p_drawn"], atol=0.08)  # equal accuracies count as reached


def test_bundles_of_many_persons_keep_the_errors():
    said, samples = study(persons=3000, frames=1)
    faces = faces_of(samples, joined(said, samples), ["age_band"], ["valence"], 1)[0]
    clusters, n = blocks(faces.persons, 3000, 0)
    assert n == audit_faces.MOST_CLUSTERS and np.bincount(clusters).max() == 2
    drawn = Drawn(faces, 1000, 0)
    error = drawn.many[..., drawn.metrics.index("signed error")].std(axis=0)
    own = [np.std((faces.pred - faces.true)[mask]) / np.sqrt(mask.sum()) for *_, mask in faces.each()]
    np.testing.assert_allclose(error, own, rtol=0.1)


def test_one_test_for_two_groups_and_holm_over_the_family():
    found = audit(*study(shift=0.05), ["skin_tone"], **QUICK)
    assert found.tests == 5 and len(found.findings) == 10
    pairs = found.findings.pivot(index=["target", "metric"], columns="group", values="p_adjusted")
    assert (pairs["dark"] == pairs["light"]).all()
    light = found.findings[found.findings["group"] == "dark"]
    np.testing.assert_allclose(light["p_adjusted"], multipletests(light["p"], method="holm")[1])
    softer = audit(*study(shift=0.05), ["skin_tone"], correction="fdr_bh", **QUICK).findings
    assert (softer.sort_index()["p_adjusted"].sum()) <= found.findings["p_adjusted"].sum()


def test_too_few_to_say_names_what_could_be_found():
    said, samples = study()
    samples.loc[samples["subject"].isin(["s1", "s2", "s3"]), "age_band"] = "very old"
    found = audit(said, samples, ["age_band"], **QUICK)
    few = found.findings[found.findings["group"] == "very old"]
    assert set(few["verdict"]) == {"too few to say"} and few[["p", "p_adjusted"]].isna().all(axis=None)
    many = found.findings[found.findings["group"] == "young"].set_index(["target", "metric"])["detectable"]
    few = few.set_index(["target", "metric"])["detectable"]
    assert (few > 2 * many[few.index]).all() and np.isfinite(many).all()
    assert found.tests == 15


def test_one_person_with_most_frames_is_no_group():
    said, samples = study(persons=60)
    crowd = samples[samples["subject"] == "s0"]
    copies = pd.concat([crowd.assign(id=crowd["id"] + f"_{k}") for k in range(200)])
    answers = pd.concat(
        [said[said["id"].isin(crowd["id"])].assign(id=lambda t, k=k: t["id"] + f"_{k}") for k in range(200)]
    )
    found = audit(pd.concat([said, answers]), pd.concat([samples, copies]), ["age_band"], min_size=10, **QUICK)
    group = crowd["age_band"].iloc[0]
    own = found.findings[found.findings["group"] == group].iloc[0]
    assert own["subjects"] == 20 and own["effective"] < 2 and own["verdict"] == "too few to say"


def test_a_group_of_one_face_has_figures_where_they_are_defined():
    said, samples = study()
    samples.loc[7, "age_band"] = "only one"
    found = audit(said, samples, ["age_band"], **QUICK)
    one = found.groups[found.groups["group"] == "only one"].set_index(["target", "metric"])
    assert (one["n"] == 1).all() and one["low"].isna().all()
    error = joined(said, samples)["valence"][7] - samples["valence"][7]
    assert one.at[("valence", "RMSE"), "value"] == pytest.approx(abs(error)) and np.isnan(
        one.at[("valence", "PCC"), "value"]
    )
    assert np.isinf(found.findings.loc[found.findings["group"] == "only one", "detectable"]).all()


def test_one_group_has_no_rest():
    said, samples = study()
    found = audit(said, samples.assign(site="here"), ["site"], **QUICK)
    assert found.tests == 0 and set(found.findings["verdict"]) == {"too few to say"}
    assert row(found, "here", "valence", "CCC", "groups")["value"] == pytest.approx(
        ccc(samples["valence"], joined(said, samples)["valence"])
    )


def test_all_equal_predictions_serve_nobody():
    said, samples = study()
    found = audit(said.assign(valence=0.1, arousal=0.1, expression="happy"), samples, ["age_band"], **QUICK)
    equal = found.findings[found.findings["metric"] == "CCC"]
    assert (equal["difference"].abs() < 1e-9).all() and set(equal["verdict"]) == {"undefined"}
    assert found.tests == 9 and "no large difference" not in set(equal["verdict"])
    said_of_it = [text for text in limits(found) if text.startswith("The model is constant")]
    assert len(said_of_it) == 3 and "it says 0.10 for the valence of every face" in "".join(said_of_it)
    assert not any("constant" in text for text in limits(audit(said, samples, ["age_band"], **QUICK)))
    assert (found.groups.loc[found.groups["metric"] == "PCC", "value"]).isna().all()
    # Perfect ones too.
    perfect = audit(samples, samples, ["age_band"], **QUICK).findings
    assert (perfect["p"] == 1).all() and (perfect["difference"] == 0).all()


def right_and_wrong(n, right, each=1, seed=0):
    """Faces of two groups: n persons each with ``each`` faces, of whom a share is right."""
    rng = np.random.default_rng(seed)
    group = np.repeat(list(n), list(n.values())).repeat(each)
    samples = pd.DataFrame({"id": range(len(group)), "subject": np.arange(len(group)) // each, "g": group})
    samples["expression"] = "happy"
    hits = rng.random(len(group)) < samples["g"].map(right)
    return samples[["id"]].assign(expression=np.where(hits, "happy", "sad")), samples


def test_a_group_without_an_error_is_not_known_to_be_served_alike():
    found = audit(*right_and_wrong({"a": 20, "b": 200}, {"a": 1, "b": 1}), ["g"], **QUICK)
    few = found.findings.iloc[0]
    assert few["verdict"] == "can't tell" and few["difference"] == 0 and few["p"] == 1
    # One in ten may err of whom twenty have not: 0.9 ** 20 = 0.12.
    assert few["low"] < -0.1 and few["high"] > 0.1 and few["detectable"] > 0.1
    own = row(found, "a", "expression", "accuracy", "groups")
    assert own["value"] == own["high"] == 1 and 0.8 < own["low"] < 0.9 and own["to_best_low"] < -0.1
    many = audit(*right_and_wrong({"a": 3000, "b": 3000}, {"a": 1, "b": 1}), ["g"], **QUICK).findings.iloc[0]
    assert many["verdict"] == "no large difference" and many["detectable"] < 0.01


def test_the_bootstrap_does_not_take_no_error_for_certainty(monkeypatch):
    """20 of 20 against 170 of 200 is chance once in ten times."""
    monkeypatch.setattr(sys.modules["emokit.evaluation.audit.findings"], "MOST_CLUSTERS", 10)
    said, samples = right_and_wrong({"a": 20, "b": 200}, {"a": 1, "b": 1})
    said.loc[said.index >= 190, "expression"] = "sad"
    assert 0.02 < audit(said, samples, ["g"], **QUICK).findings["p"][0] < 0.2


def test_shares_with_errors_keep_the_variance_of_the_bootstrap():
    for each, share, persons in ((1, 0.8, 100), (6, 0.7, 60), (6, 0.3, 60)):
        for effect in (1, each):
            variance = effect * share * (1 - share) / (each * persons)
            assert lacking(share, variance, each * persons, persons) < 0.04 * variance
    # Next to none: more than the bootstrap of one error tells, less than where there is none.
    one, none = (lacking(p, v, 180, 30) + v for p, v in ((179 / 180, 1 / 180**2), (1.0, 0.0)))
    assert 1 / 180**2 < one < none == pytest.approx(32 / 34 * 2 / 34 / 34)


def test_what_no_resample_moves_can_not_be_told():
    _, samples = study()
    perfect = audit(samples, samples, ["age_band"], **QUICK)
    assert set(perfect.findings.loc[perfect.findings["metric"] != "accuracy", "verdict"]) == {"can't tell"}
    assert (
        perfect.findings.loc[perfect.findings["metric"] == "CCC", ["low", "high", "detectable"]].isna().all(axis=None)
    )


def test_constant_labels_leave_the_ccc_undefined():
    said, samples = study()
    flat = samples.assign(valence=0.25)
    found = audit(said.assign(valence=0.25), flat, ["age_band"], targets=["valence"], **QUICK)
    assert set(found.findings.loc[found.findings["metric"] == "CCC", "verdict"]) == {"undefined"}


def test_faces_without_a_group_are_in_no_rest():
    said, samples = study()
    unknown = samples.copy()
    unknown.loc[unknown["age_band"] == "middle", "age_band"] = None
    found = audit(said, unknown, ["age_band"], **QUICK)
    without = audit(said, samples[samples["age_band"] != "middle"], ["age_band"], **QUICK)
    key = ["group", "target", "metric"]
    both = found.findings.merge(without.findings, on=key)
    np.testing.assert_allclose(both["difference_x"], both["difference_y"])
    assert "None" not in set(found.groups["group"]) and "nan" not in set(found.groups["group"])


def test_persons_of_whom_some_faces_have_no_group_are_not_shuffled():
    said, samples = study()
    samples.loc[::6, "age_band"] = None
    found = audit(said, samples, GROUPS, **QUICK)
    tests = found.findings.groupby("columns")["test"].unique().map(list).to_dict()
    assert tests["age_band"] == ["bootstrap"] and tests["skin_tone"] == ["permutation"]


def test_missing_labels_count_per_target():
    said, samples = study()
    samples.loc[:99, "arousal"] = np.nan
    found = audit(said, samples, ["age_band"], **QUICK)
    n = found.findings.groupby(["target", "metric"])["n"].sum()
    assert n["arousal", "CCC"] == 440 and n["valence", "CCC"] == 540
    assert by_region(found)["n"].sum() == 2 * 440


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ["age"]}, "samples have no column 'age' of groups; they have id, subject"),
        ({"groups": []}, "groups are one or more columns"),
        ({"groups": "age_band"}, "groups are one or more columns"),
        ({"groups": ["subject"]}, "'subject' tells faces apart, not groups"),
        ({"groups": ["valence"]}, "column 'valence' has 3. different values, more than 30 groups; put them in bands"),
        ({"groups": ["empty"]}, "column 'empty' is empty for every sample"),
        ({"alpha": 5}, "alpha, power and level lie between 0 and 1"),
        ({"min_size": 1}, "min_size, n_resamples and n_permutations are at least 2"),
        ({"correction": "none"}, "correction is one of holm, fdr_bh"),
        ({"worth": {"RMSE": 0.1}}, "worth is above 0 for CCC, signed error, accuracy"),
        ({"intersections": 0}, "crossed at least 1 deep"),
        ({"targets": ["dominance"]}, "no labels of 'dominance'"),
    ],
)
def test_wrong_options_and_columns_are_named(change, message):
    said, samples = study(persons=6)
    options = {"groups": ["age_band"]} | change
    with pytest.raises(ValueError, match=message):
        audit(said, samples.assign(empty=None), options.pop("groups"), **options)


def test_tables_that_do_not_fit_are_named():
    said, samples = study(persons=6)
    for predictions, labels, message in [
        (said.rename(columns={"valence": "v"}), samples, "predictions have no column 'valence'"),
        (said.iloc[1:], samples, "1 of 36 samples have no prediction"),
        (said.drop(columns="id"), samples, "predictions: the table has no column 'id'"),
        (said, samples.assign(valence=samples["valence"] * 5), "outside \\[-1, 1\\]; rescale the column"),
        (said, samples.assign(subject=None), "subject is missing"),
    ]:
        with pytest.raises(ValueError, match=message):
            audit(predictions, labels, ["age_band"], **QUICK)


def test_a_csv_of_anyone_is_audited(tmp_path):
    said, samples = study(persons=30)
    write_table(said, tmp_path / "said.csv")
    write_table(samples.drop(columns="age_band"), tmp_path / "samples.csv")
    groups = samples.drop_duplicates("subject")[["subject", "age_band"]].rename(columns={"age_band": "band"})
    groups.to_csv(tmp_path / "groups.csv", index=False)
    table = join_groups(tmp_path / "samples.csv", tmp_path / "groups.csv")
    assert (table["band"] == samples["age_band"]).all()
    found = audit(tmp_path / "said.csv", table, ["band"], min_size=5, **QUICK)
    expected = audit(said, samples, ["age_band"], min_size=5, **QUICK)
    np.testing.assert_allclose(found.findings["difference"], expected.findings["difference"], atol=1e-9)


def test_groups_are_joined_by_id_or_person_and_never_silently_wrong(tmp_path):
    _, samples = study(persons=4, frames=2)
    by_id = pd.DataFrame({"id": ["f3", "f0", "elsewhere"], "band": ["b", "a", "c"]})
    joined_ = join_groups(samples, by_id)["band"]
    assert joined_[0] == "a" and joined_[3] == "b" and joined_.isna().sum() == 6
    numbers = samples.assign(subject=np.arange(4).repeat(2))
    table = pd.DataFrame({"subject": ["0", "1", "2", "3"], "culture": list("wxyz")})
    assert list(join_groups(numbers, table)["culture"]) == list("wwxxyyzz")
    for wrong, message in [
        (table.rename(columns={"subject": "person"}), "has no column 'id' or 'subject' to join by; it has person"),
        (pd.concat([table, table.tail(1)]), "row 4: a repeated subject"),
        (table.assign(subject=None), "row 0: an empty subject"),
        (
            table.assign(subject="nobody", n=1).head(1),
            "names no subject of the samples: subjects such as 'nobody', not '0'",
        ),
        (table.assign(age_band="x"), "column 'age_band', which the samples have too"),
        (table[["subject"]], "no column of groups"),
    ]:
        with pytest.raises(ValueError, match=message):
            join_groups(numbers, wrong)
    with pytest.raises(ValueError, match="joined by subject, but the samples have no such column"):
        join_groups(numbers.drop(columns="subject"), table)


def test_whole_numbers_beside_empty_cells_stay_whole_and_bands_keep_their_order():
    said, samples = study(persons=30)
    fold = samples["subject"].str[1:].astype(int) % 2 + 1.0
    fold[0] = np.nan
    bands = pd.Categorical(samples["age_band"], ["young", "middle", "older"], ordered=True)
    found = audit(said, samples.assign(fold=fold, age_band=bands), ["fold", "age_band"], intersections=1, **QUICK)
    assert list(dict.fromkeys(found.groups["group"])) == ["1", "2", "young", "middle", "older"]


def test_details_are_those_of_the_metrics():
    said, samples = study()
    pred = joined(said, samples)
    found = audit(said, samples, ["age_band"], **QUICK)
    own = (samples["age_band"] == "older").to_numpy()
    why = decompositions(found)
    why = why[(why["group"] == "older") & (why["target"] == "arousal")].iloc[0]
    assert why["scale"] == ccc_decomposition(samples["arousal"][own], pred["arousal"][own]).scale
    table = confusions(found)
    table = table[table["group"] == "older"].pivot(index="true", columns="predicted", values="n")
    expected = confusion_matrix(samples["expression"][own], pred["expression"][own], labels=sorted(NAMES))
    np.testing.assert_array_equal(table.loc[sorted(NAMES), sorted(NAMES)], expected)
    regions = by_region(found).set_index(["group", "region", "target"])
    v, a = samples["valence"], samples["arousal"]
    where = own & (v < 0) & (a >= 0) & (np.hypot(v, a) >= 0.2)
    angry = regions.loc[("older", "unpleasant, excited", "valence")]
    assert angry["n"] == where.sum() and angry["signed_error"] == pytest.approx((pred["valence"] - v)[where].mean())
    assert set(regions.index.get_level_values("region")) <= set(REGIONS)
    with pytest.raises(ValueError, match="need labels of both valence and arousal"):
        by_region(audit(said, samples, ["age_band"], targets=["valence"], **QUICK))
    with pytest.raises(ValueError, match="expressions were not audited"):
        confusions(audit(said, samples, ["age_band"], targets=["valence"], **QUICK))


def test_details_of_few_persons_are_marked():
    said, samples = study()
    samples.loc[samples["subject"].isin(["s1", "s2", "s3"]), "age_band"] = "very old"
    found = audit(said, samples, ["age_band"], **QUICK)
    for table in (by_region(found), confusions(found), decompositions(found)):
        assert (
            table.loc[table["group"] == "very old", "few"].all() and (table["few"] == (table["effective"] < 20)).all()
        )
    assert not decompositions(found).query("group == 'young'")["few"].any()
    # A group is large enough, but too few of it show what is asked for.
    sad = confusions(found).query("group == 'young' and true == 'sad'")["effective"].iloc[0]
    own = (samples["age_band"] == "young") & (samples["expression"] == "sad")
    faces = samples.loc[own, "subject"].value_counts()
    assert sad == pytest.approx(faces.sum() ** 2 / (faces**2).sum())


def test_what_was_made_is_said():
    said, samples = study()
    found = audit(said, samples, ["age_band"], n_resamples=30, n_permutations=50)
    # 15 tests at 5 % need at least 600 shuffles.
    assert found.permutations == 600 and "600 times" in "".join(method(found))
    crossing = audit(said, samples.assign(light=np.resize(["day", "night"], len(samples))), ["light"], **QUICK)
    assert crossing.permutations == 0
    beyond = said.assign(valence=said["valence"].where(said["id"] != "f7", 1.5))
    with pytest.warns(UserWarning, match="1 of 540"):
        found = audit(beyond, samples, ["age_band"], targets="valence", n_resamples=30, n_permutations=50)
    assert "1 of 540 predictions of valence lay outside [-1, 1] and were clipped." in limits(found)


def test_words_of_a_csv_are_groups(tmp_path):
    said, samples = study(persons=12)
    samples["band"] = np.resize(["n/a", "None", "", "12", "2"], len(samples))
    write_table(samples, tmp_path / "samples.csv")
    found = audit(said, tmp_path / "samples.csv", ["band"], n_resamples=10, n_permutations=10)
    assert found.groups.drop_duplicates("group").set_index("group")["n"].to_dict() == {
        "12": 14, "2": 14, "None": 15, "n/a": 15
    }  # fmt: skip
    samples[["id", "band"]].to_csv(tmp_path / "groups.csv", index=False)
    table = join_groups(samples.drop(columns="band"), tmp_path / "groups.csv")["band"]
    assert (table == samples["band"].replace("", None)).equals(samples["band"] != "") and table.isna().sum() == 14
    samples["band"] = np.resize(["10", "9", "2"], len(samples))
    write_table(samples, tmp_path / "samples.csv")
    found = audit(said, tmp_path / "samples.csv", ["band"], n_resamples=10, n_permutations=10)
    assert list(dict.fromkeys(found.groups["group"])) == ["2", "9", "10"]


def test_names_with_commas_stay_apart():
    said, samples = study(persons=12)
    samples["x"], samples["y"] = np.resize(["a", "a, b"], len(samples)), np.resize(["b, c", "c", "c"], len(samples))
    found = audit(said, samples, ["x", "y"], n_resamples=10, n_permutations=10)
    part = found.faces[0].partitions[-1]
    assert part.members == [("a", "b, c"), ("a", "c"), ("a, b", "b, c"), ("a, b", "c")]
    assert part.groups == ['a, "b, c"', "a, c", '"a, b", "b, c"', '"a, b", c']
    ax = intersections(found, ["x", "y"])
    assert ax.figure and len(ax.patches) == 4  # all too few
    with pytest.raises(ValueError, match="reads like two columns that cross"):
        audit(said, samples.rename(columns={"x": "x × z"}), ["x × z"], **QUICK)


def test_a_table_without_a_row_is_named(tmp_path):
    said, samples = study(persons=6)
    write_table(samples.head(0), tmp_path / "samples.csv")
    with pytest.raises(ValueError, match=r"samples.csv has a header and no row"):
        audit(said, tmp_path / "samples.csv", ["age_band"], **QUICK)


def test_the_seed_decides():
    said, samples = study()
    first, again, other = (audit(said, samples, ["age_band"], seed=seed, **QUICK).findings for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["p"].equals(other["p"])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(0.05, 1))
def test_any_table_gets_an_answer(seed, groups, spread):
    """Intervals hold their figure, p-values are shares, and Holm only raises them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 80))
    samples = pd.DataFrame({"id": range(n), "g": rng.integers(groups, size=n), "subject": rng.integers(n, size=n)})
    samples["valence"] = rng.uniform(-1, 1, n).round(1)
    said = samples[["id"]].assign(valence=np.clip(samples["valence"] + rng.normal(0, spread, n), -1, 1).round(1))
    found = audit(said, samples, ["g"], min_size=3, n_resamples=30, n_permutations=50)
    table, tested = found.groups, found.findings.dropna(subset="p")
    ends = table.dropna(subset=["low", "high"])
    assert (ends["low"] <= ends["value"] + 1e-9).all() and (ends["value"] <= ends["high"] + 1e-9).all()
    assert tested["p"].between(0, 1).all() and (tested["p_adjusted"] >= tested["p"] - 1e-12).all()
    assert table.groupby("metric")["n"].sum().eq(n).all()
