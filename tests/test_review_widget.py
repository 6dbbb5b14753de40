"""The review widget from the kernel's side: what it sends, what it writes, what it keeps to itself."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emokit.cleaning.pace import AWAY, Pace
from emokit.cleaning.shown import face_shown
from emokit.cleaning.store import Store
from emokit.cleaning.widget import Review
from emokit.data import crop_face, load_image, sample_faces

FACES = sample_faces()
STATIC = Path(__file__).parents[1] / "emokit" / "cleaning" / "static"


class View:
    """A browser's side of a widget: what it was sent last, and keys to press."""

    def __init__(self, store, annotator="anna", *args, **options):
        self.review = Review(store, annotator, *args, **options)
        self.store, self.sent = store, []
        self.review.send = self.receive
        self.say("hello")

    def receive(self, content, buffers=()):
        # What would go over the wire: strict JSON, and bytes beside it.
        self.sent.append(json.loads(json.dumps(content, allow_nan=False)) | {"buffers": list(buffers)})

    def say(self, what, **message):
        self.review._hear(self.review, {"do": what, **message}, [])

    def press(self, what, **message):
        self.say(what, step=self.state["step"], **message)

    def last(self, kind):
        return next(m for m in reversed(self.sent) if m["kind"] == kind)

    @property
    def state(self):
        return self.last("state")

    @property
    def now(self):
        return self.state["now"]

    def face(self, item):
        self.say("face", item=item)
        return self.last("face")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "review.db")
    store.add(FACES.head(24))
    yield store
    store.close()


def project(folder, faces, **options):
    store = Store(folder / "project.db", **options)
    store.add(faces)
    return store


def verdicts(store):
    return store.decisions().set_index("id")["verdict"].to_dict()


def test_a_decision_is_on_disk_before_the_next_face_shows(store, tmp_path):
    view = View(store)
    (first,) = view.now
    seen = []
    receive = view.receive
    # A second connection sees what is on disk at the moment at which the next face is told.
    other = Store(tmp_path / "review.db")
    view.review.send = lambda content, buffers=(): (seen.append((content, verdicts(other))), receive(content, buffers))
    view.press("decide", verdict="wrong", expression="sad", valence=-0.5, note="brows")
    told, on_disk = seen[0]
    assert told["kind"] == "state" and told["now"] == [FACES["id"][1]]
    assert on_disk == {first: "wrong"}
    row = store.decisions().iloc[0]
    assert (row["expression"], row["valence"], row["note"]) == ("sad", -0.5, "brows")
    assert row["arousal"] == FACES["arousal"][0]


def test_a_failed_write_is_shown_and_the_face_stays(store, monkeypatch):
    view = View(store)
    before = view.state

    def full(*_, **__):
        raise OSError("the disk is full; nothing was saved")

    with monkeypatch.context() as patch:
        patch.setattr(store, "decide", full)
        view.press("decide", verdict="correct")
    assert view.sent[-1] == {"kind": "failed", "text": "the disk is full; nothing was saved", "buffers": []}
    assert view.state == before
    view.press("decide", verdict="correct")
    assert verdicts(store) == {before["now"][0]: "correct"}


def test_a_page_that_fails_midway_keeps_its_rest(store, monkeypatch):
    view = View(store, mode="grid", where={"expression": "happy"})
    page = view.now
    decide, calls = store.decide, iter([True, False])
    with monkeypatch.context() as patch:
        patch.setattr(store, "decide", lambda *a: decide(*a) if next(calls) else (_ for _ in ()).throw(OSError("full")))
        view.press("page", marks={page[0]: "wrong"})
    assert [m["kind"] for m in view.sent[-2:]] == ["state", "failed"]
    assert verdicts(store) == {page[0]: "wrong"} and view.now == page[1:]
    view.press("page", marks={})
    assert verdicts(store) == dict.fromkeys(page[1:], "correct") | {page[0]: "wrong"}


def test_what_no_longer_shows_is_not_decided(store):
    view = View(store)
    step = view.state["step"]
    for _ in range(3):  # a key that bounces, or a second view that has not heard yet
        view.say("decide", step=step, verdict="correct")
    assert len(store.log()) == 1 and view.state["done"] == 1


def test_another_notebook_goes_on_where_this_one_stopped(store, tmp_path):
    view = View(store)
    for verdict in ("correct", "unsure", "no face"):
        view.press("decide", verdict=verdict)
    again = View(Store(tmp_path / "review.db"))
    assert again.state["now"] == view.now == [FACES["id"][3]]
    assert (again.state["done"], again.state["total"]) == (3, 24)
    again.press("undo")
    assert again.now == [FACES["id"][2]] and len(store.decisions()) == 2


def test_undo_and_redo_walk_back_and_forth(store):
    view = View(store)
    ids = FACES["id"].tolist()
    view.press("decide", verdict="correct")
    view.press("skip")
    view.press("decide", verdict="wrong")
    for item in (ids[2], ids[1], ids[0]):
        view.press("undo")
        assert view.now == [item]
    view.press("undo")
    assert view.last("failed")["text"] == "There is nothing to undo." and view.now == [ids[0]]
    for item in (ids[1], ids[2], ids[3]):
        view.press("redo")
        assert view.now == [item]
    assert verdicts(store) == {ids[0]: "correct", ids[2]: "wrong"}
    view.press("redo")
    assert view.last("failed")["text"] == "There is nothing to redo."


def test_a_skipped_face_comes_last(store):
    view = View(store)
    view.press("skip")
    seen = []
    while view.now:
        seen += view.now
        view.press("decide", verdict="correct")
    assert seen == [*FACES["id"][1:24], FACES["id"][0]]
    assert view.state["done"] == view.state["total"] == 24


def test_the_grid_shows_pages_of_one_class(store):
    view = View(store, mode="grid", page=2)
    label = FACES.set_index("id")["expression"]
    pages = []
    while view.now:
        page = view.now
        assert {label[item] for item in page} == {view.state["where"]["expression"]}
        pages.append(page)
        view.press("page", marks={page[0]: "bad crop"})
    assert sorted(sum(pages, [])) == sorted(FACES["id"][:24])
    assert verdicts(store) == {
        item: "correct" if place else "bad crop" for page in pages for place, item in enumerate(page)
    }
    # Undo takes back whole pages, of their own class again.
    for page in pages[:-3:-1]:
        view.press("undo")
        assert view.now == page and view.state["where"] == {"expression": label[page[0]]}
    view.press("redo")
    assert len(store.decisions()) == 24 - len(pages[-1])


def test_filters(store):
    chosen = FACES[:24].query("age_band == 'older'")["id"].tolist()
    view = View(store, where={"age_band": "older"})
    assert len(chosen) and [*view.now, *view.state["next"]] == chosen[:9]
    assert view.last("choices")["choices"]["expression"] == sorted(set(FACES["expression"]))
    view.press("start", mode="one", where={"age_band": "", "expression": "fear"})
    assert FACES.set_index("id")["expression"][[*view.now, *view.state["next"]]].eq("fear").all()
    view.press("start", mode="one", where={"age_band": "unborn"})
    assert "unborn" in view.last("failed")["text"] and view.state["where"] == {"expression": "fear"}
    with pytest.raises(ValueError, match="cannot be filtered by 'hair'"):
        Review(store, "anna", where={"hair": "red"})
    with pytest.raises(ValueError, match="mode is one of one, grid, adjudicate, got 'two'"):
        Review(store, "anna", "two")


def test_the_model_is_silent_until_asked_or_decided(tmp_path):
    queue = FACES.head(4).assign(reason="disagreement", why="the model says 0.987654 anger")
    model = FACES.head(4).assign(expression="contempt", valence=0.123456, arousal=0.654321, p_contempt=0.5)
    view = View(project(tmp_path, queue), predictions=model.drop(columns="landmarks"))
    first, second = queue["id"][:2]

    def heard():
        everything = json.dumps([m for m in view.sent if not m["buffers"]]) + json.dumps(
            view.review.get_state(), default=str
        )
        return [figure for figure in ("0.123456", "0.654321", "0.987654") if figure in everything]

    view.face(first), view.face(second)
    assert heard() == [] and "why" not in view.last("choices")["choices"]
    view.press("decide", verdict="correct")
    assert heard() == ["0.123456", "0.654321"]
    assert view.state["last"]["opinion"] == {
        "expression": "contempt",
        "valence": 0.123456,
        "arousal": 0.654321,
        "probability": 0.5,
    }
    view.sent.clear()
    view.say("opinion", item=second)
    assert view.last("opinion")["opinion"]["expression"] == "contempt"
    assert (view.last("opinion")["reason"], view.last("opinion")["why"]) == ("disagreement", queue["why"][1])
    view.say("hello")
    view.press("decide", verdict="correct")
    view.press("undo")
    view.press("decide", verdict="wrong")
    view.press("decide", verdict="wrong")
    # Asked for; seen after the decision that was undone; not seen.
    log = view.store.log()
    assert log.loc[log["action"] == "decide", "informed"].tolist() == [False, True, True, False]


def test_no_opinion_of_a_face_without_prediction(store):
    view = View(store, predictions=FACES[["id", "valence"]].iloc[5:])
    view.say("opinion", item=view.now[0])
    assert view.last("opinion") == {"kind": "opinion", "item": view.now[0], "opinion": None, "buffers": []}


@pytest.fixture
def divided(tmp_path):
    """Two faces on which anna and ben disagree, of three that both judged."""
    store = project(tmp_path, FACES.head(4), overlap=1.0)
    for item in FACES["id"][:3]:
        store.decide(item, "anna", "correct")
        store.decide(item, "ben", "correct")
    store.decide(FACES["id"][1], "ben", "wrong", expression="sad", note="mouth")
    store.decide(FACES["id"][2], "ben", "no face")
    return store


def test_adjudication_shows_only_disagreements(divided):
    view = View(divided, "carla", "adjudicate")
    one, two = FACES["id"][1:3]
    assert [*view.now, *view.state["next"]] == [one, two] and view.state["total"] == 2
    anna, ben = view.face(one)["opinions"]
    assert (anna["annotator"], anna["verdict"]) == ("anna", "correct")
    assert (ben["annotator"], ben["expression"], ben["note"]) == ("ben", "sad", "mouth")
    agreement = {(f["target"], f["metric"]): f["value"] for f in view.last("agreement")["figures"]}
    # They rate two faces in common, one of them differently.
    assert agreement["expression", "accuracy"] == 0.5 and agreement["valence", "CCC"] == 1
    view.press("decide", verdict="wrong", expression="sad")
    final = divided.decisions(final=True).set_index("id")
    assert final["annotator"][one] == "carla" and final["expression"][one] == "sad"
    view.press("skip")
    assert view.now == [] and divided.disagreements() == [two]
    view.press("undo")
    assert view.now == [one] and divided.disagreements() == [one, two]


def test_an_adjudication_is_not_undone_elsewhere(divided):
    View(divided, "carla", "adjudicate").press("decide", verdict="correct")
    view = View(divided, "carla")
    view.press("undo")
    assert view.last("failed")["text"] == "The last step was made in another mode; undo it in Adjudicate."
    assert divided.disagreements() == [FACES["id"][2]]
    # Nor is it lost to a view that opens later.
    view = View(divided, "carla", "adjudicate")
    view.press("undo")
    assert view.now == [FACES["id"][1]] and len(divided.disagreements()) == 2
    view.press("skip")
    view.press("undo")
    assert view.last("failed")["text"] == "There is nothing to undo."


def test_adjudication_by_filter(divided):
    view = View(divided, "carla", "adjudicate", where={"expression": FACES["expression"][2]})
    assert [*view.now, *view.state["next"]] == [FACES["id"][2]]


def test_agreement_is_live(divided, monkeypatch):
    monkeypatch.setattr("emokit.cleaning.widget._AGREEMENT", 0.0)
    view = View(divided, "carla", "adjudicate")
    divided.decide(FACES["id"][3], "anna", "correct")
    divided.decide(FACES["id"][3], "ben", "correct")
    view.review._agreeing = 0.0
    view.press("decide", verdict="wrong", expression="sad")
    figures = {(f["target"], f["metric"]): f["value"] for f in view.last("agreement")["figures"]}
    assert figures["expression", "accuracy"] == pytest.approx(2 / 3)


@pytest.fixture
def clock(monkeypatch):
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_after_a_long_absence_nothing_is_done_twice(store, clock):
    view = View(store)
    (shown,) = view.now
    clock[0] += 61 * 60
    taken = store.take("bob", 6)
    assert taken[0] == shown
    for item in taken:
        store.decide(item, "bob", "correct")
    view.press("decide", verdict="wrong")  # is kept: nothing that was entered is lost
    while view.now:
        view.press("decide", verdict="correct")
    said = store.decisions().groupby("id")["annotator"].agg(list)
    assert said.str.len().sum() == len(FACES.head(24)) + 1 and sorted(said[shown]) == ["anna", "bob"]


def test_a_page_after_a_long_absence_leaves_to_others_what_is_theirs(store, clock):
    view = View(store, mode="grid", page=3)
    page, where = view.now, view.state["where"]
    clock[0] += 61 * 60
    store.decide(*store.take("bob", 1, where), "bob", "correct")
    view.press("page", marks={page[2]: "wrong"})
    assert store.decisions().groupby("annotator")["id"].agg(list).to_dict() == {"bob": page[:1], "anna": page[1:]}
    view.press("undo")
    assert view.now == page[1:]


def test_a_skip_after_a_long_absence_takes_nothing_back(store, clock):
    view = View(store)
    clock[0] += 61 * 60
    (shown,) = store.take("bob", 1)
    view.press("skip")
    assert view.now != [shown] and store.log().empty


def test_a_grid_says_what_has_no_class(tmp_path):
    faces = FACES.head(3).assign(expression=["happy", None, None])
    view = View(project(tmp_path, faces), mode="grid")
    view.press("page", marks={})
    assert view.now == [] and (view.state["done"], view.state["total"]) == (1, 3)


def test_a_project_by_its_path(tmp_path):
    project(tmp_path, FACES.head(2)).close()
    assert Review(tmp_path / "project.db", "anna").desk.now == [FACES["id"][0]]


def test_a_face_is_sent_as_it_is_shown(store):
    view = View(store)
    face = view.face(FACES["id"][0])
    sent = load_image_bytes(face["buffers"][0])
    assert sent.shape[:2] == (face["height"], face["width"]) and max(sent.shape) <= 768
    row = FACES.iloc[0]
    assert (face["expression"], face["valence"], face["arousal"]) == (row["expression"], row["valence"], row["arousal"])
    points = np.reshape(face["landmarks"], (68, 2))
    x, y, side = face["crop"]
    assert ((points > (x, y)) & (points < (x + side, y + side))).all()


def test_a_large_picture_is_cut_and_shrunk_around_the_face(tmp_path):
    from PIL import Image

    pixels = np.zeros((1500, 2000, 3), np.uint8)
    pixels[400:1200, 600:1400] = 200
    Image.fromarray(pixels).save(tmp_path / "large.png")
    points = np.stack(np.meshgrid(np.linspace(800, 1200, 17), np.linspace(600, 1000, 4)), -1).reshape(-1)
    row = {
        "id": "large",
        "image": tmp_path / "large.png",
        "x0": 800,
        "y0": 600,
        "x1": 1200,
        "y1": 1000,
        "landmarks": points,
    }
    face, jpeg = face_shown(row, size=300, context=1.5)
    assert max(face["width"], face["height"]) == 300
    # The crop of the browser's picture is the crop that the network reads.
    x, y, side = face["crop"]
    shown = load_image_bytes(jpeg).astype(float)[round(y) : round(y + side), round(x) : round(x + side)]
    read = crop_face(pixels, [800, 600, 1200, 1000], shown.shape[0]).astype(float)
    assert np.abs(shown - read).mean() < 3
    scale = side / (200 * 800 / 220)
    np.testing.assert_allclose(
        np.reshape(face["landmarks"], (68, 2))[:, 0].min(), x + (800.5 - 636.86) * scale, atol=0.6
    )


def load_image_bytes(jpeg):
    import io

    return load_image(io.BytesIO(jpeg))


def test_faces_without_a_usable_picture_can_be_judged(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    odd = FACES.head(5).astype({"valence": object})
    odd["image"] = [str(tmp_path / "gone.jpg"), str(tmp_path / "broken.jpg"), str(tmp_path), *FACES["image"][3:5]]
    odd.loc[3, ["x0", "valence", "expression"]] = None
    odd.at[4, "landmarks"] = np.full(136, np.nan, np.float32)
    view = View(project(tmp_path, odd))
    problems = [view.face(item)["problem"] for item in odd["id"][:3]]
    assert "gone.jpg does not exist" in problems[0]
    assert "broken.jpg" in problems[1]
    assert "is a folder" in problems[2]
    assert face_shown({"id": "imageless"}, 768)[0]["problem"] == "The table names no picture for this face."
    boxless, pointless = (view.face(item) for item in odd["id"][3:])
    assert boxless["crop"] is None and boxless["valence"] is None and boxless["expression"] is None
    assert (boxless["width"], boxless["height"]) == load_image(FACES["image"][3]).shape[1::-1]
    assert pointless["landmarks"] is None and pointless["crop"] is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view.store, "items", lambda _: 1 / 0)
        view.review._faces.clear()
        assert view.face(odd["id"][0])["problem"] == "division by zero"
        view.press("decide", verdict="no face")
    for _ in range(4):
        view.press("decide", verdict="no face")
    assert len(store_rows := verdicts(view.store)) == 5 and set(store_rows.values()) == {"no face"}


def test_a_box_beside_the_picture_shows_all_of_it(tmp_path):
    row = FACES.iloc[0].to_dict() | {"x0": 5000, "y0": 5000, "x1": 5100, "y1": 5100}
    face, _ = face_shown(row, 768)
    assert (face["width"], face["height"]) == (256, 256)


steps = st.sampled_from(["correct", "wrong", "skip", "undo", "redo", "stale", "grid", "one", "page"])


@settings(max_examples=8, deadline=None)
@given(st.lists(steps, min_size=5, max_size=20))
def test_whatever_is_pressed_the_log_and_the_view_agree(tmp_path_factory, presses):
    store = project(tmp_path_factory.mktemp("any"), FACES.head(12)[["id", "expression", "valence", "arousal"]])
    view = View(store, ahead=3, page=3)
    for press in presses:
        mode, now = view.state["mode"], view.now
        if press in ("one", "grid"):
            view.press("start", mode=press, where={})
        elif press == "stale":
            view.say("decide", step=view.state["step"] - 1, verdict="wrong")
        elif press in ("undo", "redo"):
            view.press(press)
        elif press == "page" and mode == "grid":
            view.press("page", marks={})
        elif now and mode == "one":
            view.press("skip") if press == "skip" else view.press("decide", verdict=press)
        decided = set(store.decisions()["id"])
        assert not decided & {*view.now, *view.state["next"]}
        assert len(set(view.now + view.state["next"])) == len(view.now + view.state["next"])
        if view.state["mode"] == "one":
            assert view.state["done"] == len(decided) and bool(view.now) == (len(decided) < 12)
    store.close()


def test_two_annotators_never_have_the_same_face(store):
    views = [View(store, "anna"), View(store, "ben", ahead=2)]
    for turn in range(12):
        views[turn % 2].press("decide", verdict="correct")
        at_hand = [set(view.now + view.state["next"]) for view in views]
        assert not at_hand[0] & at_hand[1]
    assert store.decisions()["id"].is_unique


def test_pace():
    now = [0.0]
    pace = Pace(pause=1, clock=lambda: now[0])
    assert pace.rate is None and not pace.due
    for gap in (10, 20, 30):
        now[0] += gap
        pace.mark()
    assert pace.rate == pytest.approx(3) and pace.due
    pace.later(0.5)
    assert not pace.due
    now[0] += 30
    pace.mark(24)
    assert pace.due and pace.rate == pytest.approx(27 / 1.5)
    now[0] += AWAY + 1  # a pause: neither work nor slowness
    pace.mark()
    assert not pace.due and pace.worked == 0 and pace.rate == pytest.approx(27 / 1.5)


def test_the_pause_reminder_can_wait(store):
    view = View(store, pause=0)
    assert view.state["rest"]
    view.review.pace.pause = 10
    view.review.pace.worked = 700
    view.say("later")
    assert not view.state["rest"]


def test_the_module_is_whole_and_stays_in_the_browser():
    module = Review._esm
    assert not re.search(r"^\s*(import|export (?!default))", module, re.MULTILINE)
    addresses = set(re.findall(r"\w+://[^\"'`\s]+", module + Path(STATIC / "review.css").read_text()))
    assert addresses == {"http://www.w3.org/2000/svg"}
    # Text is set as text only.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", module)


def test_the_palette_is_that_of_the_plots():
    from emokit.plots.circumplex import COLOURS

    css = (STATIC / "review.css").read_text()
    found = dict(re.findall(r'data-expression="(\w+)"\] \{ --emo-c: (?:light-dark\()?(#\w{6})', css))
    assert found == COLOURS


def test_the_scripts_are_part_of_the_wheel():
    from hatchling.builders.wheel import WheelBuilder

    root = STATIC.parents[2]
    included = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    assert {f"emokit/cleaning/static/{path.name}" for path in STATIC.iterdir()} <= included
