import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.cleaning import RULES, check, read_rules
from emokit.cleaning.rules import contradiction
from emokit.data import sample_faces, write_table
from emokit.data.rendered import consistent
from emokit.models import EXPRESSIONS

number = st.one_of(st.floats(-1, 1), st.sampled_from([-1, -0.3, -0.2, -0.16, -0.12, 0, 0.12, 0.16, 0.2, 0.3, 1]))


def faces(*rows):
    table = pd.DataFrame(rows, columns=["expression", "valence", "arousal"])
    return table.assign(id=[f"face {k}" for k in range(len(table))])


def by_hand(expression, v, a):
    """The issue's sentence, in whole millionths, so that 0.12 and 0.16 make 0.2."""
    v, a = round(v * 1e6), round(a * 1e6)
    i, weak, strong = v * v + a * a, 200_000**2, 300_000**2
    return {
        "neutral": i < weak,
        "happy": v > 0 and i > weak,
        "sad": v < 0 and i > weak,
        "surprise": a > 0 and i > weak,
        "fear": a >= 0 and v <= 0 and i > weak,
        "disgust": v < 0 and i > strong,
        "anger": a > 0 and i > weak,
        "contempt": v < 0 and i > weak,
    }[expression]


@given(st.lists(st.tuples(st.sampled_from(EXPRESSIONS[8]), number, number), min_size=1, max_size=50))
@settings(max_examples=150, deadline=None)
def test_the_rules_are_those_of_the_papers_release(rows):
    # Within a millionth of a threshold, rounding decides.
    rows = [(e, round(v, 4), round(a, 4)) for e, v, a in rows]
    found = check(faces(*rows))
    expected = [by_hand(*row) for row in rows]
    assert found["consistent"].tolist() == expected
    assert [reason == "" for reason in found["reason"]] == expected
    assert [consistent(*row) for row in rows] == expected


@pytest.mark.parametrize(
    ("expression", "valence", "arousal"),
    [
        ("neutral", 0.2, 0), ("neutral", 0.12, -0.16), ("happy", 0.2, 0), ("happy", 0, 0.5), ("sad", -0.12, -0.16),
        ("surprise", 0.5, 0), ("surprise", 0, 0.2), ("fear", 0, 0.2), ("disgust", -0.3, 0), ("disgust", -0.18, 0.24),
        ("anger", -0.5, 0), ("contempt", 0, 0.9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_a_label_on_a_strict_boundary_fails(expression, valence, arousal, precision):
    table = faces((expression, valence, arousal)).astype({"valence": precision, "arousal": precision})
    assert not check(table)["consistent"][0]


def test_the_boundary_of_fear_holds():
    assert check(faces(("fear", 0, 0.21), ("fear", -0.21, 0)))["consistent"].all()


def test_reasons_say_what_fails_and_by_how_much():
    found = check(faces(("fear", 0.4, -0.5), ("happy", -0.35, 0.1), ("sad", -0.5, 0)))
    assert found["reason"].tolist() == [
        "fear needs arousal >= 0, has arousal -0.5; needs valence <= 0, has valence 0.4",
        "happy needs valence > 0, has valence -0.35",
        "",
    ]


def test_what_cannot_be_checked_is_said_and_not_blamed():
    rules = {name: text for name, text in RULES.items() if name != "sad"}
    found = check(faces(("sad", 0.5, 0), (None, 0, 0), ("happy", np.nan, 0), ("happy", 0.1, None)), rules)
    assert found["consistent"].all()
    assert found["reason"].tolist() == [
        f"not checked: no {what}" for what in ("rule for sad", "expression", "valence", "arousal")
    ]


def test_rules_are_data_that_can_be_edited(tmp_path):
    labels = faces(("happy", 0.05, 0.4), ("joy", -0.5, -0.4), ("joy", 0.5, 0.4))
    mine = RULES | {"happy": "valence > 0.1", "joy": "(valence > 0 or arousal > 0) and -0.9 < arousal <= 0.9"}
    assert check(labels, mine)["consistent"].tolist() == [False, False, True]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(mine))
    assert read_rules(tmp_path / "rules.yaml") == mine
    pd.testing.assert_frame_equal(check(labels, tmp_path / "rules.yaml"), check(labels, mine))


BAD = {
    "__import__('os').system('true')": "is no comparison",
    "valence.real > 0": "neither a name nor a number",
    "valence > 0 and": "invalid syntax",
    "valence == 0": "another sign",
    "happiness > 0": "'happiness' is none of valence, arousal, intensity",
    "valence + arousal > 0": "neither a name nor a number",
    "valence > True": "neither a name nor a number",
    "valence": "is no comparison",
    "not valence > 0": "is no comparison",
    "1 > 0": "speaks of none of valence",
    "valence > 0; arousal > 0": "invalid syntax",
    "(" * 300: "",
    "valence > 0 and " * 40 + "valence > 0": "at most 500 characters",
    "": "",
}


@pytest.mark.parametrize("text", [*BAD, None, 0.2, ["valence > 0"]])
def test_a_bad_rule_is_named(text, tmp_path):
    problem = BAD.get(text, "no text") if isinstance(text, str) else "no text"
    with pytest.raises(ValueError, match="^sad: the rule") as caught:
        check(faces(("happy", 0.5, 0)), RULES | {"sad": text})
    assert problem in str(caught.value) and repr(text) in str(caught.value)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"sad": text}))
    with pytest.raises(ValueError, match="mine.yaml: sad: the rule"):
        read_rules(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["sad: [", "- sad", "", "sad", "sad: valence < 0\nsad: valence < 0.1"])
def test_files_that_hold_no_rules_are_named(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match="mine.yaml"):
        read_rules(tmp_path / "mine.yaml")


def test_labels_that_are_none_are_named():
    with pytest.raises(ValueError, match=r"'face 1' \(row 1\): valence -2.0 is outside \[-1, 1\]"):
        check(faces(("happy", 0.5, 0), ("happy", -2.0, 0)))
    with pytest.raises(ValueError, match="'face 1' .*arousal 'low' is no number"):
        check(faces(("happy", 0.5, "0"), ("happy", 0.5, "low")))
    with pytest.raises(ValueError, match="'face 0' .*expression 'joy' is none of neutral"):
        check(faces(("joy", 0.5, 0)))
    with pytest.raises(ValueError, match="no column 'arousal'"):
        check(faces(("happy", 0.5, 0)).drop(columns="arousal"))


def test_any_table_is_checked(tmp_path):
    samples = sample_faces().assign(valence=lambda t: -t["valence"])
    found = check(samples)
    write_table(samples, tmp_path / "samples.parquet")
    pd.testing.assert_frame_equal(check(tmp_path / "samples.parquet"), found)
    assert 0 < found["consistent"].sum() < len(samples) and found["id"].equals(samples["id"])


@given(st.sampled_from(EXPRESSIONS[8]), st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=60, deadline=None)
def test_contradictions_are_as_large_as_the_way_to_what_the_rule_admits(expression, valence, arousal):
    label = faces((expression, valence, arousal))
    (distance,) = contradiction(label)
    assert (distance > 0) == (not check(label)["consistent"][0])
    # Whatever lies nearer fails too.
    angle = np.linspace(0, 2 * np.pi, 12)
    near = np.clip(np.column_stack((np.cos(angle), np.sin(angle))) * max(0, distance - 0.015), -1, 1)
    if distance > 0.015:
        around = faces(*[(expression, v, a) for v, a in np.clip(near + [valence, arousal], -1, 1)])
        assert not check(around)["consistent"].any()


def test_a_rule_that_admits_nothing_contradicts_everything():
    assert contradiction(faces(("sad", 0, 0), ("sad", -1, 1)), {"sad": "valence > 1"}).tolist() == [2, 2]
