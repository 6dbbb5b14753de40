"""The review widget in a real browser: annotators at work in JupyterLab."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from browsing import READY, chromium, jupyterlab, needs_chromium, open_notebook, run_cell, run_first_cell, screenshot

from emokit.cleaning.store import Store
from emokit.data import sample_faces

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=120_000)
pytestmark = needs_chromium

FACES = sample_faces()
IDS = FACES["id"].tolist()
EVIL = "<img src=x onerror=\"window.ran='{}'\"><script>window.ran='{}'</script>"

PRELUDE = """
import os
from pathlib import Path
import ipywidgets
from emokit.cleaning import Review, Store
Path("pid").write_text(str(os.getpid()))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def lab(folder):
    with jupyterlab(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, lab, folder):
    """A notebook of two cells, of which the first is rewritten by every test."""
    page = open_notebook(browser, lab, folder, PRELUDE, "other = 1")
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    return page


def show(page, source):
    """The widget that ``source`` ends with."""
    page.locator(".jp-NotebookPanel .jp-Cell .cm-content").first.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)
    number = page.locator(".jp-NotebookPanel .jp-InputPrompt").first
    before = number.inner_text()
    run_cell(page)
    expect(number).not_to_have_text(before)
    expect(number).to_have_text(re.compile(r"\[\d+\]:"))
    return ready(page)


def ready(page):
    expect(page.locator(".emo[data-ready]").first).to_be_visible()
    return page.locator(".emo").first


def notebook_cells(page):
    """Type and source of every cell: of the notebook itself, since JupyterLab draws only the cells in view."""
    return page.evaluate("""() => {
      const cells = jupyterapp.shell.currentWidget.content.model.cells;
      return Array.from(cells, cell => [cell.type, cell.sharedModel.getSource()]);
    }""")


def has_cells(page, number):
    page.wait_for_function("number => jupyterapp.shell.currentWidget.content.model.cells.length === number", arg=number)


def project(folder, name, faces=FACES, **options):
    store = Store(folder / name, **options)
    store.add(faces)
    return store


def press(desk, *keys):
    """Keys of which the last takes a step, which is waited for."""
    before = desk.get_attribute("data-step")
    for key in keys:
        desk.page.keyboard.press(key)
    expect(desk).not_to_have_attribute("data-step", before)


def click_plane(desk, valence, arousal):
    plane = desk.locator(".emo-circumplex")
    box = plane.bounding_box()
    x, y = ((1.22 + v) / 2.44 for v in (valence, -arousal))
    plane.click(position={"x": x * box["width"], "y": y * box["height"]})


def test_an_annotator_works_and_finds_everything_after_a_kill(browser, lab, folder):
    store = project(folder, "work.db")
    source = PRELUDE + "Review(Store('work.db'), 'anna')"
    page = open_notebook(browser, lab, folder, source, name="work")
    desk = ready(page)
    expect(desk.locator(".emo-hint")).to_be_visible()
    desk.locator(".emo-stage").click()
    expect(desk.locator(".emo-hint")).to_be_hidden()

    press(desk, "a")
    press(desk, "3", "ArrowLeft", "ArrowLeft", "Shift+ArrowUp", "Enter")
    click_plane(desk, -0.5, 0.25)
    expect(desk.get_by_role("button", name="Save correction")).to_be_visible()
    press(desk, "a")
    for key in ("x", "f", "n", "b", "d", "Space"):
        press(desk, key)
    desk.page.keyboard.press("m")
    page.keyboard.type("a, x and space: hard <b>light</b>")
    page.keyboard.press("Enter")
    press(desk, "x")
    press(desk, "a")
    press(desk, "Backspace")
    press(desk, "Shift+Backspace")
    press(desk, "Control+z")
    expect(desk).to_have_attribute("data-item", IDS[10])
    desk.get_by_role("button", name="Wrong").click()
    expect(desk).to_have_attribute("data-item", IDS[11])

    expected = ["correct", "wrong", "wrong", "wrong", "unsure", "no face", "bad crop", "duplicate", "wrong", "wrong"]
    ids = [*IDS[:8], *IDS[9:11]]

    def saved():
        decisions = store.decisions().set_index("id").loc[ids]
        assert decisions["verdict"].tolist() == expected
        sad, moved = decisions.iloc[1], decisions.iloc[2]
        label = FACES.iloc[1]
        assert sad["expression"] == "sad"
        assert sad["valence"] == pytest.approx(round(label["valence"] - 0.1, 2), abs=0.011)
        assert sad["arousal"] == pytest.approx(label["arousal"] + 0.2, abs=0.011)
        assert (moved["valence"], moved["arousal"]) == pytest.approx((-0.5, 0.25), abs=0.02)
        assert moved["expression"] == FACES["expression"][2]
        assert decisions["note"][ids[8]] == "a, x and space: hard <b>light</b>"

    saved()
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    desk.locator(".emo-stage").click()
    page.keyboard.press("a")
    expect(desk.locator(".emo-alert")).to_contain_text("Run the cell again: all that was saved is there.")
    expect(desk).to_have_attribute("data-item", IDS[11])

    page.goto(page.url)
    run_first_cell(page)
    desk = ready(page)
    expect(desk).to_have_attribute("data-item", IDS[11])
    expect(desk.locator(".emo-pace")).to_have_text("10 of 128")
    saved()
    desk.locator(".emo-stage").click()
    press(desk, "Backspace")
    expect(desk).to_have_attribute("data-item", IDS[10])
    assert len(store.decisions()) == 9
    page.close()


def test_keys_stay_in_the_widget(page, folder):
    store = project(folder, "keys.db")
    desk = show(page, "Review(Store('keys.db'), 'anna')")
    cells = notebook_cells(page)
    desk.locator(".emo-stage").click()
    # In JupyterLab's command mode: delete, insert above and below, cut, merge, undo, change to text …
    for key in ("d", "d", "a", "b", "x", "f", "Enter", "n", "Space"):
        press(desk, key)
    for key in (
        "z",
        "z",
        "l",
        "o",
        "1",
        "Escape",
        "h",
        "h",
        "y",
        "c",
        "v",
        "Shift+m",
        "ArrowDown",
        "Escape",
        "/",
        "Escape",
    ):
        page.keyboard.press(key)
    assert cells[1] == ["code", "other = 1"] and notebook_cells(page) == cells
    assert store.decisions()["verdict"].tolist() == [
        "duplicate", "duplicate", "correct", "bad crop", "wrong", "unsure", "correct", "no face",
    ]  # fmt: skip
    expect(desk).to_be_focused()
    # Tab reaches the buttons; there Space presses them, and is no skip.
    page.keyboard.press("Tab")
    expect(desk.get_by_role("button", name="One by one")).to_be_focused()
    desk.get_by_role("button", name="No face").focus()
    before = store.log()
    press(desk, "Space")
    assert store.log()["verdict"][len(before)] == "no face"

    # Elsewhere, the same keys are JupyterLab's.
    step = desk.get_attribute("data-step")
    page.locator(".jp-NotebookPanel .jp-Cell .jp-InputPrompt").nth(1).click()
    expect(desk.locator(".emo-hint")).to_be_visible()
    page.keyboard.press("b")
    has_cells(page, 3)
    page.keyboard.press("d")
    page.keyboard.press("d")
    has_cells(page, 2)
    assert desk.get_attribute("data-step") == step and len(store.log()) == len(before) + 1


NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02_clean_labels.ipynb"


def walk_through(page):
    """Run the notebook as far as its review."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (last,) = [number for number, cell in enumerate(cells) if "Review(mine" in "".join(cell["source"])]
    page.wait_for_function(READY)
    page.evaluate(
        """last => {
          const { content } = jupyterapp.shell.currentWidget;
          content.activeCellIndex = last + 1;
          void jupyterapp.commands.execute('notebook:run-all-above').then(() => content.scrollToItem(last, 'start'));
        }""",
        last,
    )
    return ready(page)


def test_the_notebook_goes_on_after_a_kill(browser, lab, folder):
    walk = folder / "walk"
    walk.mkdir()
    shutil.copy(NOTEBOOK, walk)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    page.goto(f"{lab}/lab/workspaces/walk/tree/walk/{NOTEBOOK.name}")
    desk = walk_through(page)
    desk.locator(".emo-stage").click()
    for key in ("a", "x", "a"):
        press(desk, key)
    shown = desk.get_attribute("data-item")
    screenshot(page, "notebook")
    here = [p for p in psutil.process_iter(["cmdline", "cwd"]) if p.info["cwd"] == str(walk)]
    (kernel,) = [p for p in here if "ipykernel_launcher" in p.info["cmdline"]]
    kernel.kill()
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    page.goto(page.url)
    desk = walk_through(page)
    expect(desk).to_have_attribute("data-item", shown)
    expect(desk.locator(".emo-pace")).to_have_text("3 of 128")
    assert Store(walk / "out" / "review.sqlite").decisions()["verdict"].tolist() == ["correct", "wrong", "correct"]
    # What the annotator must not know, there is no filter for.
    desk.page.keyboard.press("/")
    names = desk.locator(".emo-filters select").evaluate_all("all => all.map(each => each.name)")
    assert "reason" in names and not {"wrong", "true_expression"} & set(names)
    page.close()


def test_a_held_key_judges_one_face(page, folder):
    store = project(folder, "held.db")
    desk = show(page, "Review(Store('held.db'), 'anna')")
    desk.locator(".emo-stage").click()
    before = desk.get_attribute("data-step")
    page.keyboard.down("a")
    expect(desk).not_to_have_attribute("data-step", before)
    for _ in range(5):
        page.keyboard.down("a")  # repeats, until the key is up
    page.keyboard.up("a")
    press(desk, "x")
    assert store.log()["verdict"].tolist() == ["correct", "wrong"]


def test_two_views_of_one_widget_decide_once(page, folder):
    store = project(folder, "views.db")
    show(page, "review = Review(Store('views.db'), 'anna')\ndisplay(review)\ndisplay(review)")
    views = page.locator(".emo")
    expect(views).to_have_count(2)
    expect(page.locator(".emo[data-ready]")).to_have_count(2)
    # At the same moment, before either has an answer.
    page.evaluate("""() => document.querySelectorAll('.emo').forEach(
        (desk) => desk.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', code: 'KeyA', bubbles: true})))""")
    for view in (views.nth(0), views.nth(1)):
        expect(view).to_have_attribute("data-item", IDS[1])
    views.nth(1).locator(".emo-stage").click()
    press(views.nth(1), "x")
    expect(views.nth(0)).to_have_attribute("data-item", IDS[2])
    assert store.log()["item"].tolist() == IDS[:2]


def test_names_notes_and_labels_are_text(page, folder):
    evil = {column: EVIL.format(column, column) for column in ("id", "image", "expression", "reason")}
    faces = FACES.head(3).assign(reason="rule")
    for column, value in evil.items():
        faces.loc[0, column] = value
    store = project(folder, "evil.db", faces, overlap=1.0)
    name, note = (EVIL.format(part, part) for part in ("name", "note"))
    store.decide(evil["id"], name, "wrong", expression="sad", note=note)
    store.decide(evil["id"], "ben", "unsure")
    model = f"__import__('pandas').DataFrame({{'id': [{evil['id']!r}], 'expression': [{name!r}]}})"
    desk = show(page, f"Review(Store('evil.db'), 'anna', 'adjudicate', predictions={model})")
    expect(desk.locator(".emo-missing")).to_contain_text(evil["image"])  # and why there is no picture
    expect(desk.locator(".emo-name")).to_have_text(evil["id"])
    expect(desk.locator(".emo-now")).to_contain_text(evil["expression"])
    expect(desk.locator(".emo-annotators")).to_contain_text(name)
    expect(desk.locator(".emo-annotators")).to_contain_text(note)
    desk.locator(".emo-stage").click()
    page.keyboard.press("o")
    expect(desk.locator(".emo-opinion")).to_contain_text(evil["reason"])
    page.keyboard.press("/")
    expect(desk.locator("select[name=reason] option")).to_have_text(["all", evil["reason"], "rule"])
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    page.keyboard.type(note)
    page.keyboard.press("Enter")
    press(desk, "n")
    expect(desk.locator(".emo-last")).to_contain_text(name)
    assert store.decisions(final=True)["note"].tolist() == [note]
    assert desk.locator("script, [onerror]").count() == 0
    assert page.evaluate("window.ran") is None


def test_a_grid_by_mouse_and_keyboard(page, folder):
    store = project(folder, "grid.db")
    desk = show(page, "Review(Store('grid.db'), 'anna', 'grid', where={'expression': 'fear'}, page=12)")
    cells = desk.locator(".emo-cell")
    expect(cells).to_have_count(12)
    cells.nth(3).click()
    cells.nth(5).click()
    cells.nth(5).click()  # by mistake
    for key in ("ArrowRight", "b", "ArrowRight", "x"):
        page.keyboard.press(key)
    screenshot(page, "review_grid")
    press(desk, "Enter")
    fear = FACES[FACES["expression"] == "fear"]["id"].tolist()
    marks = {fear[3]: "wrong", fear[6]: "bad crop", fear[7]: "wrong"}
    assert store.decisions().set_index("id")["verdict"].to_dict() == dict.fromkeys(fear[:12], "correct") | marks
    expect(cells).to_have_count(4)
    press(desk, "Backspace")
    expect(cells).to_have_count(12)
    expect(desk.locator(".emo-cell[data-odd]")).to_have_count(3)  # as they were picked
    assert store.decisions().empty


def test_a_failed_write_keeps_the_face(page, folder):
    store = project(folder, "full.db")
    desk = show(
        page,
        """
store = Store('full.db')
decide = store.decide
def full_disk(*decision, **labels):
    if Path('full').exists():
        raise OSError('the disk is full')
    return decide(*decision, **labels)
store.decide = full_disk
Review(store, 'anna')""",
    )
    (folder / "full").touch()
    desk.locator(".emo-stage").click()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(desk.locator(".emo-alert")).to_have_text("Not saved: the disk is full")
    expect(desk).to_have_attribute("data-item", IDS[0])
    (folder / "full").unlink()
    press(desk, "Enter")
    expect(desk.locator(".emo-alert")).to_be_hidden()
    assert store.decisions()["expression"].tolist() == ["surprise"]


# As a run of fast and certain keys: each as soon as its face shows.
RUN = """async (n) => {
  const desk = document.querySelector('.emo'), times = [];
  desk.focus();
  for (let i = 0; i < n; i++) {
    const step = desk.dataset.step, start = performance.now();
    await new Promise((resolve) => {
      const watch = new MutationObserver(() => {
        if (desk.dataset.step === step || !desk.hasAttribute('data-ready')) return;
        watch.disconnect();
        requestAnimationFrame(resolve);  // painted
      });
      watch.observe(desk, {attributes: true});
      desk.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', code: 'KeyA', bubbles: true}));
    });
    times.push(performance.now() - start);
  }
  return times;
}"""


def test_a_long_run_is_saved_whole_and_holds_few_pictures(page, folder):
    store = project(folder, "run.db")
    page.evaluate("""() => {
      window.held = 0;
      const {createObjectURL, revokeObjectURL} = URL;
      URL.createObjectURL = (blob) => (window.held++, createObjectURL.call(URL, blob));
      URL.revokeObjectURL = (url) => (window.held--, revokeObjectURL.call(URL, url));
    }""")
    show(page, "Review(Store('run.db'), 'anna')")
    times = np.array(page.evaluate(RUN, 60))
    print(f"\n{1000 / times.mean():.1f} faces a second by keyboard, median step {np.median(times):.0f} ms")
    log = store.log()
    assert log["item"].tolist() == IDS[:60] and set(log["verdict"]) == {"correct"}
    assert page.evaluate("window.held") <= 2 * 8 + 2


def test_two_annotators_side_by_side(page, browser, lab, folder):
    store = project(folder, "team.db")
    other = open_notebook(browser, lab, folder, PRELUDE + "Review(Store('team.db'), 'ben')", name="ben")
    desks = [show(page, "Review(Store('team.db'), 'anna')"), ready(other)]
    for desk in desks:
        desk.locator(".emo-stage").click()
    for _ in range(10):
        # Both keys are on their way before either is answered.
        before = [desk.get_attribute("data-step") for desk in desks]
        for desk in desks:
            desk.page.keyboard.press("a")
        for desk, step in zip(desks, before, strict=True):
            expect(desk).not_to_have_attribute("data-step", step)
    decisions = store.decisions()
    assert decisions["id"].is_unique and decisions["annotator"].value_counts().to_dict() == {"anna": 10, "ben": 10}
    other.close()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_is_readable_wide_and_narrow_in_light_and_dark(page, folder, theme):
    project(folder, f"{theme}.db")
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    desk = show(page, f"review = Review(Store('{theme}.db'), 'anna')\nreview")
    name = theme.split()[1].lower()
    desk.locator(".emo-stage").click()
    for key in ("l", "6", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    screenshot(page, f"review_{name}")
    for text in (
        ".emo-now b",
        ".emo-pace",
        ".emo-name",
        ".emo-main",
        ".emo-wrong",
        ".emo-expression .emo-label",
        "kbd",
    ):
        assert contrast(desk.locator(text).first) >= 4.5, text
    page.keyboard.press("l")
    page.keyboard.press("h")
    expect(desk.get_by_role("dialog", name="Keys")).to_be_focused()
    screenshot(page, f"review_help_{name}")
    page.keyboard.press("Escape")
    expect(desk).to_be_focused()

    desk = show(page, "ipywidgets.Box([review], layout={'width': '360px'})")
    assert desk.bounding_box()["width"] <= 360
    inside = "desk => [...desk.querySelectorAll('button, svg, kbd')].every(node => !node.offsetParent && !node.ownerSVGElement || node.getBoundingClientRect().right <= desk.getBoundingClientRect().right)"
    assert desk.evaluate(inside)
    screenshot(page, f"review_narrow_{name}")


def contrast(element):
    """WCAG's contrast of an element's text against what is behind it."""
    colours = element.evaluate("""node => {
      let behind = node;
      while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
      const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
      return [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor].map((colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
      });
    }""")
    linear = (np.array(colours) / 255 + 0.055) / 1.055
    dark, light = sorted(linear**2.4 @ [0.2126, 0.7152, 0.0722])
    return (light + 0.05) / (dark + 0.05)


def test_screen_readers_have_names_for_everything(page, folder):
    project(folder, "heard.db")
    desk = show(page, "Review(Store('heard.db'), 'anna')")
    assert desk.evaluate("desk => [...desk.querySelectorAll('button')].every(node => node.textContent.trim())")
    plane = desk.get_by_role("slider", name="Valence and arousal")
    label = FACES.iloc[0]
    assert plane.get_attribute("aria-valuetext").startswith(f"valence +{label['valence']:.2f}, arousal")
    expect(desk.get_by_role("progressbar", name="Faces judged")).to_have_attribute("aria-valuemax", "128")
    expect(desk.locator(".emo-live")).to_contain_text(f"Labelled {label['expression']}")
    expect(desk.get_by_role("button", name=label["expression"])).to_have_attribute("aria-pressed", "true")


def test_nothing_was_asked_of_another_server(page, lab):
    assert page.requested and all(url.startswith((lab, "blob:", "data:")) for url in page.requested)
