import os
import re
import shutil
import sqlite3
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import postgres
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import DBAPIError

import emokit
from emokit.cleaning import Store, database, intake, replay, store_bench
from emokit.cleaning.assignment import places
from emokit.cleaning.history import standing
from emokit.cleaning.schema import assignments, cells, items, log, pools
from emokit.cleaning.store import VERDICTS
from emokit.cleaning.store_bench import annotate_together, kill_writers, queue
from emokit.data import read_table, sample_faces, write_table
from emokit.evaluation import coefficients, pairwise

_number = count()


@pytest.fixture(scope="session")
def postgresql():
    if postgres.programs() is None:
        yield None
        return
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    """A project that is not there yet, on either database."""
    if request.param == "sqlite":
        return tmp_path / "review.db"
    url = request.getfixturevalue("postgresql")
    if url is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return emptied(url)


def emptied(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url


def faces(n=6, **columns):
    number = np.arange(n)
    labels = {"expression": np.resize(["happy", "sad"], n), "valence": np.resize([0.5, np.nan, 0], n), "arousal": 0.1}
    return pd.DataFrame({"id": [f"f{k}" for k in number], **labels, **columns})


def counted(store):
    """What the project keeps counted, against a count of it."""
    with store._database.reading() as connection:
        kept = connection.execute(select(pools).where(pools.c.n > 0)).all()
        grouped = select(items.c.cell, items.c.holders, func.count(), func.min(items.c.position))
        assert sorted(kept) == sorted(
            connection.execute(grouped.where(items.c.open).group_by(items.c.cell, items.c.holders)).all()
        )
        held = select(items.c.holders, items.c.open, cells.c.places, items.c.position).join(
            cells, cells.c.number == items.c.cell
        )
        for holders, is_open, most, position in connection.execute(held).all():
            who = connection.scalars(select(assignments.c.annotator).where(assignments.c.position == position)).all()
            assert {int(number) for number in holders.split(",") if number} == set(who)
            assert is_open == (len(who) < most)


@pytest.mark.parametrize("suffix", ["", ".csv", ".parquet"])
def test_tables_come_back_as_they_were_added(where, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(intake, "CHUNK", 7)
    table = (
        sample_faces().head(20).assign(score=np.linspace(0, 1, 20), count=np.arange(20), fine=np.arange(20) % 3 == 0)
    )
    table.loc[3, ["valence", "subject"]] = np.nan
    table["landmarks"] = [None, *table["landmarks"][1:]]
    given = table
    if suffix:
        given = tmp_path / f"queue{suffix}"
        write_table(table, given)
    store = Store(where)
    assert store.add(given) == 20
    expected = read_table(given).astype({"id": "str"})
    pd.testing.assert_frame_equal(store.items(expected["id"]), expected, check_dtype=False)
    one = store.items(["7"] if "7" in set(expected["id"]) else [expected["id"][7]])
    pd.testing.assert_frame_equal(one, expected[7:8].reset_index(drop=True), check_dtype=False)
    assert (one.dtypes == expected.dtypes)[["id", "valence", "x0", "expression", "score", "count"]].all()
    assert store.items([]).columns.tolist() == expected.columns.tolist()
    assert store.take("anna", 20) == expected["id"].tolist()


def test_an_interrupted_addition_goes_on_where_it_was(where, tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "CHUNK", 2)
    path, table = tmp_path / "queue.csv", faces(7).assign(landmarks=[None] * 5 + ["1;2", None])
    table.to_csv(path, index=False)
    store = Store(where)
    with pytest.raises(ValueError, match=r"queue.csv, row 5: landmarks are 136 numbers"):
        store.add(path)
    assert store.progress().total == 4
    table.drop(columns="landmarks").assign(expression="anger").to_csv(path, index=False)
    assert store.add(path) == 3 and store.add(path) == 0
    found = store.items(store.take("anna", 7))
    assert found["id"].tolist() == table["id"].tolist()
    assert found["expression"].tolist() == [*table["expression"][:4], "anger", "anger", "anger"]
    counted(store)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valence": [0, 2, 0]}, "the table, row 1: valence is 2.*rescale"),
        ({"arousal": ["0.5", "calm", None]}, "row 1: arousal is calm"),
        ({"id": ["a", "b", "a"]}, "row 2: a repeated id"),
        ({"id": pd.Series(["7", 7, "8"], dtype=object)}, "row 1: id 7 reads as"),
        ({"score": ["high", "low", "low"]}, "'score' holds a text here, and a number in the project"),
    ],
)
def test_impossible_tables_are_refused_whole(where, change, message):
    store = Store(where)
    store.add(pd.DataFrame({"id": ["before"], "score": [1.5]}))
    with pytest.raises(ValueError, match=message):
        store.add(pd.DataFrame({"id": ["a", "b", "c"]} | change))
    assert store.take("anna", 9) == ["before"]


def test_further_columns_and_numeric_ids(where):
    store = Store(where)
    store.add(pd.DataFrame({"id": [1, 2], "valence": [0.1, -1]}))
    store.add(pd.DataFrame({"id": [3], "group": ["a"]}))
    found = store.items([3, "1"])
    assert found["id"].tolist() == ["3", "1"] and found["group"].tolist()[0] == "a" and found["group"].isna()[1]
    assert np.isnan(found["valence"][0]) and found["valence"][1] == 0.1
    assert store.take("anna", where={"group": "a"}) == ["3"]
    with pytest.raises(ValueError, match="no item 'f9'; add"):
        store.items(["1", "f9"])


def test_each_item_goes_to_one_annotator_in_the_order_of_the_queue(where):
    store = Store(where)
    store.add(faces())
    assert store.take("anna", 2) == ["f0", "f1"]
    assert store.take("bob", 3) == ["f2", "f3", "f4"]
    assert store.take("anna", 3) == ["f0", "f1", "f5"]
    assert store.take("carla", 3) == []
    store.decide("f0", "anna", "correct")
    assert store.take("anna", 3) == ["f1", "f5"]
    assert (store.progress("anna"), store.progress("bob"), store.progress("carla")) == ((1, 3), (0, 3), (0, 0))
    assert store.progress() == (1, 6)


def test_filters(where):
    store = Store(where)
    store.add(
        faces(
            8, group=[*"aabbaabb"], fine=[True, False] * 4, why=[f"{k}" for k in range(8)], subject=range(8),
            band=[1, 2, 1, None] * 2, share=[0.5, 1.5] * 4,
        ).assign(image="x.png")
    )  # fmt: skip
    expected = {"expression": ["happy", "sad"], "group": ["a", "b"], "fine": ["False", "True"], "band": ["1", "2"]}
    assert store.choices() == expected
    assert store.take("anna", 9, {"group": "b"}) == ["f2", "f3", "f6", "f7"]
    assert store.take("bob", 9, {"expression": "sad"}) == ["f1", "f5"]
    assert store.take("anna", 1, {"expression": "sad", "group": "b"}) == ["f3"]
    assert store.take("carla", 2, {"fine": True}) == ["f0", "f4"]
    assert store.take("bob", 9, {"band": 2}) == ["f1", "f5"]
    store.decide("f3", "anna", "correct")
    assert store.progress("anna", {"group": "b"}) == (1, 4)
    assert store.progress("anna", {"group": "b", "expression": "happy"}) == (0, 2)
    assert store.progress(where={"group": "b"}) == (1, 4)
    with pytest.raises(ValueError, match="no item has the group 'c'; there are a, b"):
        store.take("anna", where={"group": "c"})
    with pytest.raises(ValueError, match="cannot be filtered by 'why', only by expression, group, fine"):
        store.progress("anna", {"why": "1"})


def test_skipped_items_come_last_and_undone_ones_first(where):
    store = Store(where)
    store.add(faces(5))
    store.take("anna", 2)
    store.skip("f0", "anna")
    store.skip("f1", "anna")
    assert store.take("anna", 9) == ["f2", "f3", "f4", "f0", "f1"]
    store.decide("f3", "anna", "correct")
    store.decide("f2", "anna", "correct")
    assert [store.undo("anna") for _ in range(3)] == ["f2", "f3", "f1"]
    assert store.take("anna", 9) == ["f1", "f3", "f2", "f4", "f0"]
    assert [store.redo("anna") for _ in range(2)] == ["f1", "f3"]
    assert store.take("anna", 9) == ["f2", "f4", "f0", "f1"]
    store.decide("f4", "anna", "correct")
    assert store.redo("anna") is None
    assert [store.undo("anna") for _ in range(5)] == ["f4", "f3", "f1", "f0", None]


@pytest.mark.parametrize("k", [2, 3])
def test_the_overlap_is_seen_by_exactly_so_many(where, k):
    store = Store(where, overlap=0.4, annotators_per_item=k)
    store.add(faces(40))
    seen = {f"f{n}": [] for n in range(40)}
    left = [*"abcd"]
    while left:
        name = left.pop(0)
        for item in store.take(name, 3):
            seen[item].append(name)
            store.decide(item, name, "correct")
        left += [name] * (store.progress(name).done < store.progress(name).total)
    assert {item: len(names) for item, names in seen.items()} == {item: places(item, 0.4, k) for item in seen}
    assert all(len(set(names)) == len(names) for names in seen.values())
    assert 0 < sum(len(names) == k for names in seen.values()) < 40
    assert store.progress() == (total := sum(map(len, seen.values())), total)
    counted(store)


def test_the_share_of_the_overlap():
    share = np.mean([places(f"f{k}", 0.25, 2) == 2 for k in range(4000)])
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)
    assert {places(f"f{k}", share, 5) for share, k in [(0, 0), (0, 1)]} == {1}
    assert {places(f"f{k}", 1, 5) for k in range(99)} == {5}


@pytest.fixture
def clock(monkeypatch):
    """Minutes, in hand."""
    now = [0.0]
    monkeypatch.setattr("time.time", lambda: 60 * now[0])
    return now


def test_what_an_absent_annotator_has_open_returns(where, clock):
    store = Store(where, lease=30)
    store.add(faces())
    store.take("anna", 4)
    store.decide("f0", "anna", "correct")
    store.decide("f1", "anna", "correct")
    store.decide("f1", "anna", "unsure")
    store.undo("anna")  # wants to think again, and has still decided
    store.skip("f2", "anna")
    assert store.take("bob", 9) == ["f4", "f5"]
    clock[0] = 29
    assert store.take("bob", 9) == ["f4", "f5"]
    clock[0] = 31
    assert store.take("bob", 9) == ["f4", "f5", "f2", "f3"]
    assert store.progress("anna") == (2, 2)
    store.decide("f3", "anna", "wrong")  # what comes late counts, too
    assert store.opinions("f3")["annotator"].tolist() == ["anna"]
    assert store.decisions()["id"].tolist() == ["f0", "f1", "f3"]
    counted(store)
    for clock[0] in range(31, 120, 20):
        assert store.take("bob", 1) == ["f2"]  # who is at work keeps what they have
        assert store.take("anna") == []


def test_a_row_of_the_log(where):
    store = Store(where)
    store.add(faces())
    before = pd.Timestamp.now(tz="UTC")
    assert store.current("f0", "anna") is None
    seq = store.decide("f0", " anna ", "wrong", expression="sad", arousal=-1, note="frowns")
    after = pd.Timestamp.now(tz="UTC")
    (row,) = store.log().to_dict("records")
    assert before <= row.pop("time") <= after and row.pop("target") is None
    assert row == {
        "seq": seq, "annotator": "anna", "item": "f0", "action": "decide",
        "old_expression": "happy", "old_valence": 0.5, "old_arousal": 0.1,
        "new_expression": "sad", "new_valence": 0.5, "new_arousal": -1,
        "verdict": "wrong", "note": "frowns", "informed": False, "version": emokit.__version__,
    }  # fmt: skip
    decision = store.current("f0", "anna")
    assert list(decision) == ["id", "annotator", "time", "verdict", "expression", "valence", "arousal", "note"]
    assert (decision["expression"], decision["valence"], decision["arousal"]) == ("sad", 0.5, -1)


def test_the_last_decision_counts_and_the_log_keeps_all(where):
    store = Store(where)
    store.add(faces())
    for verdict in VERDICTS:
        store.decide("f1", "anna", verdict)
    assert store.log()["verdict"].tolist() == list(VERDICTS)
    assert store.decisions()["verdict"].tolist() == ["duplicate"]
    store.undo("anna")
    assert store.decisions()["verdict"].tolist() == ["bad crop"] and store.take("anna") == ["f1"]
    assert np.isnan(store.current("f1", "anna")["valence"])


@pytest.mark.parametrize(
    ("entered", "message"),
    [
        ({"item": "f9"}, "no item 'f9'; add"),
        ({"verdict": "good"}, "'good' is no verdict; choose one of correct, wrong, unsure"),
        ({"annotator": " "}, "the annotator is ' '; give a name"),
        ({"annotator": None}, "the annotator is None"),
        ({"valence": 1.01}, r"valence is 1.01; give a number in \[-1, 1\]"),
        ({"arousal": float("nan")}, "arousal is nan; give a number"),
        ({"valence": "high"}, "valence is 'high'"),
        ({"expression": ""}, "expression is ''; give its name"),
        ({"expression": 3}, "expression is 3; give its name"),
        ({"expression": "hapy"}, "'hapy' is no expression; choose one of neutral, happy"),
        ({"note": None}, "the note is None; give text"),
    ],
)
def test_nothing_impossible_is_written(where, entered, message):
    store = Store(where)
    store.add(faces())
    for decide in (store.decide, store.adjudicate):
        with pytest.raises(ValueError, match=message):
            decide(**{"item": "f0", "annotator": "anna", "verdict": "correct"} | entered)
    if set(entered) <= {"item", "annotator"}:
        with pytest.raises(ValueError, match=message):
            store.skip(**{"item": "f0", "annotator": "anna"} | entered)
    assert store.log().empty and store.decisions().empty and store.decisions(final=True).empty
    assert store.disagreements() == [] and store.agreement().empty and replay(store.log()).empty
    for n in (0, 1001):
        with pytest.raises(ValueError, match="take from 1 to 1000"):
            store.take("anna", n)


def test_notes_and_names_of_any_characters(where):
    store = Store(where)
    store.add(pd.DataFrame({"id": ["a"]}))

    @settings(max_examples=30, deadline=None)
    @given(entered=st.text(st.characters(), min_size=1))
    @example(entered="<script>alert('x')</script> \"; DROP TABLE cleaning_log; --")
    @example(entered="line\r\nline\ttab\0nul\\u0000")
    @example(entered="\ufeffmark")
    @example(entered="👩🏽‍🦰 ﷽ e\u0301")
    @example(entered="half\ud83d")
    def come_back(entered):
        name = f"a{entered}z"
        store.decide("a", name, "wrong", note=entered)
        expected = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in entered)
        said = store.current("a", name)
        assert (said["annotator"], said["note"]) == (f"a{expected}z", expected)
        store.undo(name)

    come_back()
    assert len(store.log()) >= 60 and store.decisions().empty


def test_ids_and_columns_of_any_characters(where):
    odd = ["<b>&amp;", "a'b\"c", "x\ny", "nul\0", "7", "ü😀"]
    table = pd.DataFrame({"id": odd, 'who\'s "group"': odd})
    store = Store(where)
    store.add(table)
    pd.testing.assert_frame_equal(store.items(odd), table)
    assert store.choices() == {'who\'s "group"': sorted(odd)}
    for item in odd:
        assert store.take("anna", 9, {'who\'s "group"': item}) == [item]
        store.decide(item, "anna", "correct")
    assert store.decisions()["id"].tolist() == odd


def test_the_log_is_append_only(where):
    store = Store(where)
    store.add(faces())
    store.decide("f0", "anna", "correct")
    changes = [log.update().values(note="forged"), log.delete()]
    if "://" in str(where):
        changes.append(text("TRUNCATE cleaning_log"))
    for change in changes:
        with pytest.raises(DBAPIError, match="append-only"), store._database.writing() as connection:
            connection.execute(change)
    assert store.log()["note"].tolist() == [""]


def test_a_commit_waits_for_the_disk(where):
    store = Store(where)
    with store._database.writing() as connection:
        if "://" in str(where):
            assert connection.scalar(text("SHOW synchronous_commit")) == "on"
        else:
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
            assert connection.scalar(text("PRAGMA synchronous")) == 2


def test_killed_writers_lose_nothing(where):
    Store(where).add(queue(2000))
    kills = 20 if "://" in str(where) else 200
    writers = kill_writers(where, kills)
    assert len(writers.told) >= kills and writers.lost == []
    store = Store(where)
    # What was being written when a kill came may be there, too.
    assert len(store.log()) <= len(writers.told) + kills
    decided = store.decisions()["id"].tolist()
    assert {item for _, item, _ in writers.told} <= set(decided)
    assert [*decided, *store.take("anna", 1)] == queue(len(decided) + 1)["id"].tolist()
    counted(store)


def test_annotators_at_once_share_nothing_but_the_overlap(where):
    Store(where, overlap=0.2).add(queue(100))
    names = [*"abcdefg", "g"]  # g has two tabs open
    writers = annotate_together(where, names)
    assert writers.lost == []
    store = Store(where)
    said = store.decisions()
    wanted = {item: places(item, 0.2, 2) for item in queue(100)["id"]}
    assert said.groupby("id")["annotator"].nunique().to_dict() == wanted
    assert len(store.log()) == len(writers.told) and store.progress() == (len(said), len(said))
    counted(store)


def test_eight_open_a_new_project_at_once(where):
    writers = annotate_together(where, [*"abcdefgh"])
    assert writers.told == [] and Store(where).log().empty


class Annotating(RuleBasedStateMachine):
    """The store against lists. Each example has items and annotators of its own in one project."""

    store: Store

    @initialize(n=st.integers(1, 6))
    def begin(self, n):
        self.where = {"group": f"g{next(_number)}"}
        self.items = [f"{self.where['group']}/{k}" for k in range(n)]
        self.store.add(pd.DataFrame({"id": self.items, "expression": "happy"} | self.where))
        self.names = [f"{name} of {self.where['group']}" for name in ("anna", "bob")]
        self.turns = {name: {} for name in self.names}  # item: its place in the queue, None once decided
        self.done = {name: [] for name in self.names}
        self.undone = {name: [] for name in self.names}
        self.last, self.clock = (self.items[0], self.names[0]), count(1)
        self.past = [{}]  # what counted before each row of the log

    def wanting(self, name, item):
        holders = sum(item in turns for turns in self.turns.values())
        return item not in self.turns[name] and holders < places(item, 0.5, 2)

    def said(self):
        return {(item, name): said for name in self.names for item, said in self.done[name] if said}

    def entered(self, name, item, turn):
        self.turns[name][item], self.last = turn, (item, name)
        self.past.append(self.said())

    @rule(who=st.integers(0, 1), n=st.integers(1, 4))
    def take(self, who, n):
        name, turns = self.names[who], self.turns[self.names[who]]
        queue = [(turn, item) for item, turn in turns.items() if turn]
        queue += [((2, k), item) for k, item in enumerate(self.items) if self.wanting(name, item)]
        expected = [item for _, item in sorted(queue)[:n]]
        assert self.store.take(name, n, self.where) == expected
        for item in expected:
            turns.setdefault(item, (1, self.items.index(item)))

    @rule(who=st.integers(0, 1), k=st.integers(0, 5), verdict=st.sampled_from([*VERDICTS, None]))
    def decide_or_skip(self, who, k, verdict):
        name, item = self.names[who], self.items[k % len(self.items)]
        if verdict:
            self.store.decide(item, name, verdict)
        else:
            self.store.skip(item, name)
        self.done[name].append((item, verdict))
        self.undone[name].clear()
        self.entered(name, item, None if verdict else (3, next(self.clock)))

    @rule(who=st.integers(0, 1))
    def undo(self, who):
        name = self.names[who]
        item = self.store.undo(name)
        if item is None:
            assert not self.done[name]
            return
        self.undone[name].append(self.done[name].pop())
        assert self.undone[name][-1][0] == item
        self.entered(name, item, (0, -next(self.clock)))

    @rule(who=st.integers(0, 1))
    def redo(self, who):
        name = self.names[who]
        item = self.store.redo(name)
        if item is None:
            assert not self.undone[name]
            return
        self.done[name].append(self.undone[name].pop())
        assert self.done[name][-1][0] == item
        self.entered(name, item, None if self.done[name][-1][1] else (3, next(self.clock)))

    @invariant()
    def what_counts_and_what_is_open(self):
        current = self.store.current(*self.last)
        assert (current and current["verdict"]) == self.said().get(self.last)
        for name, turns in self.turns.items():
            done = sum(turn is None for turn in turns.values())
            wanting = sum(self.wanting(name, item) for item in self.items)
            assert self.store.progress(name, self.where) == (done, len(turns) + wanting)

    def teardown(self):
        log, said = self.store.log(), self.store.decisions()
        log, said = log[log["item"].isin(self.items)], said[said["id"].isin(self.items)]
        assert len(log) == len(self.past) - 1
        rows = list(log.itertuples(index=False))
        for n, expected in enumerate(self.past):
            assert {key: row.verdict for key, row in standing(rows[:n]).items()} == expected
        order = {"by": ["id", "annotator"], "ignore_index": True}
        pd.testing.assert_frame_equal(replay(log).sort_values(**order), said.sort_values(**order), check_dtype=False)
        counted(self.store)


def test_against_a_model(where):
    Annotating.store = Store(where, overlap=0.5)
    examples = 3 if "://" in str(where) else 15
    run_state_machine_as_test(
        Annotating, settings=settings(max_examples=examples, stateful_step_count=20, deadline=None)
    )


def reviewed(where, said):
    """A project in which annotators have said of f0, f1, …: verdict, expression, valence."""
    store = Store(where, overlap=1, annotators_per_item=3)
    store.add(faces(len(said)).assign(valence=0.0))
    for k, opinions in enumerate(said):
        for name, (verdict, expression, valence) in opinions.items():
            store.decide(f"f{k}", name, verdict, expression=expression, valence=valence, note=f"{name}'s")
    return store


def test_disagreements_and_what_holds_in_the_end(where):
    same, near, far = ("correct", None, None), ("correct", None, 0.2), ("correct", None, 0.3)
    store = reviewed(
        where,
        [
            {"a": same, "b": same},
            {"a": same, "b": near},
            {"a": same, "b": far},
            {"a": same, "b": ("wrong", "anger", None)},
            {"a": same, "b": near, "c": ("no face", None, None)},
            {"a": same, "b": far, "c": ("no face", None, None)},
            {"a": same},
        ],
    )
    assert store.disagreements() == ["f2", "f3", "f4", "f5"]
    assert store.disagreements(tolerance=0.1) == ["f1", "f2", "f3", "f4", "f5"]
    assert store.disagreements({"expression": "sad"}) == ["f3", "f5"]
    final = store.decisions(final=True).set_index("id")
    assert final.index.tolist() == ["f0", "f1", "f4", "f6"]
    assert final["annotator"].tolist() == ["a, b", "a, b", "a, b", "a"]
    assert final["valence"].tolist() == [0, 0.1, 0.1, 0] and final["note"]["f4"] == "a's\nb's"
    assert store.decisions(final=True, tolerance=1)["id"].tolist() == ["f0", "f1", "f2", "f4", "f5", "f6"]

    store.adjudicate("f3", "judge", "wrong", expression="fear", valence=-0.5)
    store.adjudicate("f0", "judge", "bad crop")
    assert store.disagreements() == ["f2", "f4", "f5"]
    final = store.decisions(final=True).set_index("id")
    assert final.index.tolist() == ["f0", "f1", "f3", "f4", "f6"]
    assert final.loc["f3", ["annotator", "expression", "valence"]].tolist() == ["judge", "fear", -0.5]
    assert len(store.decisions()) == 15 and len(store.opinions("f3")) == 2
    assert store.undo("judge") == "f0" and store.decisions(final=True)["verdict"][0] == "correct"
    counted(store)


def test_the_last_adjudication_that_is_left_counts(where):
    store = reviewed(where, [{"a": ("correct", None, None), "b": ("unsure", None, None)}])

    def ruling():
        return store.decisions(final=True)["verdict"].tolist()

    store.adjudicate("f0", "one", "wrong")
    store.adjudicate("f0", "two", "no face")
    assert store.undo("one") == "f0" and ruling() == ["no face"]
    assert store.undo("two") == "f0" and ruling() == [] and store.disagreements() == ["f0"]
    assert store.redo("one") == "f0" and ruling() == ["wrong"]
    assert store.redo("two") == "f0" and ruling() == ["no face"]
    assert store.log()["action"].tolist() == ["decide"] * 2 + ["adjudicate"] * 2 + ["undo"] * 2 + ["redo"] * 2


def test_agreement_of_those_who_vouch_for_labels(where):
    kept, mended = ("correct", None, None), ("wrong", "anger", -0.5)
    store = reviewed(
        where,
        [
            {"a": kept, "b": kept},
            {"a": mended, "b": mended},
            {"a": mended, "b": kept},
            {"a": kept, "b": ("unsure", None, None)},
            {"a": kept, "b": ("wrong", None, None)},
            {"a": kept},
        ],
    )
    ratings = store.agreement()
    assert ratings.columns.tolist() == ["item", "annotator", "expression", "valence", "arousal"]
    assert ratings["item"].tolist() == ["f0", "f0", "f1", "f1", "f2", "f2"]
    pairs = pairwise(ratings, n_resamples=20).set_index(["target", "metric"])["value"]
    assert pairs["expression", "accuracy"] == pytest.approx(2 / 3)
    assert pairs["valence", "RMSE"] == pytest.approx(np.sqrt(0.25 / 3))
    assert "krippendorff" in " ".join(coefficients(ratings, n_resamples=20)["coefficient"].astype(str)).lower()


def test_the_log_says_who_had_seen_the_model(where):
    store = Store(where)
    store.add(faces())
    store.decide("f0", "anna", "correct", informed=True)
    store.decide("f1", "anna", "correct")
    assert store.log()["informed"].tolist() == [True, False]


def test_a_label_of_the_project_is_an_expression(where):
    store = Store(where)
    store.add(faces().assign(expression=["bored", *["happy"] * (len(faces()) - 1)]))
    store.decide("f1", "anna", "wrong", expression="bored")
    assert store.decisions()["expression"].tolist() == ["bored"]


def test_a_project_of_the_first_format_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.db"
    store = Store(path)
    store.add(faces())
    store.decide("f0", "anna", "correct", note="kept")
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE cleaning_log DROP COLUMN informed")
        connection.execute("UPDATE cleaning_settings SET value = '1' WHERE name = 'format'")
    connection.close()
    store = Store(path)
    store.decide("f1", "anna", "correct", informed=True)
    assert store.log()["note"].tolist() == ["kept", ""] and store.log()["informed"].tolist() == [None, True]


def test_settings_are_kept(where):
    Store(where, overlap=0.25, annotators_per_item=3, lease=10).add(faces())
    assert Store(where).add(faces()) == 0
    assert Store(where, overlap=0.25, lease=10).progress() == Store(where).progress()
    for other in ({"overlap": 0.0}, {"annotators_per_item": 2}, {"lease": 60}):
        ((name, value),) = other.items()
        with pytest.raises(ValueError, match=f"made with {name}=.*, not {value!r}; leave that out"):
            Store(where, **other)
    for impossible in ({"overlap": 1.1}, {"overlap": float("nan")}, {"annotators_per_item": 0}, {"lease": 0}):
        with pytest.raises(ValueError, match=next(iter(impossible))):
            Store(where, **impossible)
    store = Store(where)
    with store._database.writing() as connection:
        connection.execute(text("UPDATE cleaning_settings SET value = '3' WHERE name = 'format'"))
    with pytest.raises(ValueError, match="made by a newer emokit"):
        Store(where)


def test_a_project_that_moves(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "images").mkdir(parents=True)
    (tmp_path / "elsewhere.png").touch()
    for k in range(2):
        (old / "images" / f"{k}.png").touch()
    write_table(faces(3, image=["images/0.png", "images/1.png", "../elsewhere.png"]), old / "queue.csv")
    store = Store(old / "review.db")
    store.add(old / "queue.csv")
    store.decide("f0", "anna", "correct")
    kept = read_table(old / "queue.csv")["image"].tolist()
    assert store.items(["f0", "f1", "f2"])["image"].tolist() == kept
    store.close()

    new.mkdir()
    shutil.copy(old / "review.db", new)  # the images stay behind
    store = Store(new / "review.db")
    assert store.items(["f0", "f1", "f2"])["image"].tolist() == kept
    assert store.decisions()["id"].tolist() == ["f0"]
    store.close()

    shutil.move(old / "images", new)  # and now they follow
    (new / "images" / "1.png").unlink()
    found = Store(new / "review.db").items(["f0", "f1", "f2"])["image"].tolist()
    assert found == [str(new / "images" / "0.png"), *kept[1:]]


@pytest.mark.parametrize(
    ("where", "kind", "message"),
    [
        ("{tmp}/none/review.db", FileNotFoundError, "none does not exist; create the folder"),
        ("sqlite:///{tmp}/none/review.db", FileNotFoundError, "none does not exist; create the folder"),
        ("{tmp}", ValueError, "is a folder; name a file in it"),
        ("{tmp}/text.db", ValueError, "is a file of another kind"),
        ("sqlite://", ValueError, "in memory ends with the kernel"),
        ("mysql://host/faces", ValueError, "SQLite or PostgreSQL, not in mysql"),
        ("://", ValueError, "is no database URL"),
        ("postgresql://me:secret@127.0.0.1:1/faces", ConnectionError, "does not answer; see that the server"),
        (
            "postgresql+pg8000://me:secret@/faces?unix_sock={tmp}/none",
            ConnectionError,
            "does not answer; see that the server",
        ),
    ],
)
def test_places_where_no_project_can_be(tmp_path, where, kind, message):
    (tmp_path / "text.db").write_text("id,image\n" * 200)
    with pytest.raises(kind, match=message) as error:
        Store(where.replace("{tmp}", str(tmp_path)))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_read_only_places(closed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.db"
        if closed == "file":
            store = Store(path)
            store.add(faces())
            store.close()
            path.chmod(0o444)
        os.chmod(folder, 0o555)
        if os.getuid() == 0:  # whom nothing is closed to
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match="cannot be written; nothing was saved. Get the right"):
                Store(path)
        finally:
            os.seteuid(os.getuid())
            os.chmod(folder, 0o755)


def test_a_full_disk(tmp_path):
    store = Store(tmp_path / "review.db")
    store.add(faces())
    with store._database.writing() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.execute(text(f"PRAGMA max_page_count = {pages + 4}"))
    told = []
    with pytest.raises(OSError, match="no room left on its disk; nothing was saved. Free some"):
        while True:
            told.append(store.decide("f0", "anna", "correct", note="x" * 2000))
    assert store.log()["seq"].tolist() == told
    counted(store)


def test_a_server_that_was_restarted(postgresql):
    if postgresql is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    store = Store(emptied(postgresql))
    store.add(faces())
    with store._database.reading() as connection:
        me = connection.scalar(text("SELECT pg_backend_pid()"))
    with create_engine(postgresql).connect() as connection:
        assert connection.scalar(text(f"SELECT pg_terminate_backend({me})"))
    store.decide("f0", "anna", "correct")
    assert len(store.log()) == 1


def test_the_command(tmp_path, monkeypatch, capsys):
    options = {"items": 3000, "steps": 1, "kills": 2, "annotators": 2}
    monkeypatch.setattr("sys.argv", ["bench", *(f"--{name}={n}" for name, n in options.items())])
    store_bench.main()
    said = capsys.readouterr().out
    assert (
        "added 3000 items" in said
        and "opened, with the first face, in" in said
        and said.count("disgust, duplicate") == 8
    )
    assert re.search(r"2 kills: \d+ decisions acknowledged, 0 lost", said)
    assert re.search(r"2 annotators: \d+ decisions at once in .* s, 0 lost, 0 items given to two", said)


def test_a_project_in_other_hands(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "WAIT", 0.05)
    store = Store(tmp_path / "review.db")
    store.add(faces())
    other = sqlite3.connect(tmp_path / "review.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match="in the hands of another process.*nothing was saved"):
        store.decide("f0", "anna", "correct")
    assert store.items(["f0"])["id"].tolist() == ["f0"]  # reading waits for nobody
    other.execute("ROLLBACK")
    store.decide("f0", "anna", "correct")
    assert len(store.log()) == 1
