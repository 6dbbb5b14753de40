"""The widgets in a real browser: headless Chromium drives JupyterLab."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which .ci/run installs")

EXPLORER = """
from skimage.data import astronaut, coffee
from emokit.models import load_emofan
from emokit.plots import Explorer
explorer = Explorer(load_emofan("demo"), {"astronaut": astronaut(), "coffee": coffee()})
explorer
"""

TRAINING = """
from emokit.data import sample_faces
from emokit.plots.training import LiveTraining
from emokit.training import Config
faces = sample_faces()
config = Config(network="resnet18", modality="O+R+C", width=16, input_size=64, batch_size=8, epochs=EPOCHS, out="run")
live = LiveTraining(config, faces.head(48), faces.tail(16))
live
"""


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab in ``tmp_path``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--port-retries=0",
    ]
    environment = os.environ | {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "RUNTIME")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api", timeout=2)
            break
        except OSError:
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(20)


@contextmanager
def running(lab, tmp_path, source):
    """A page of JupyterLab with a notebook of one cell, which runs."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}},
    )
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(90_000)
        page.goto(f"{lab}/lab/tree/notebook.ipynb")
        page.locator(".jp-NotebookPanel .jp-Cell").first.click()
        page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'")
        page.keyboard.press("Control+Enter")
        page.locator(".widget-image").wait_for(state="visible")
        yield page
        browser.close()


def screenshot(page, name):
    """For people: where EMOKIT_SCREENSHOTS says."""
    if folder := os.environ.get("EMOKIT_SCREENSHOTS"):
        Path(folder).mkdir(exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png")


def test_the_explorer_answers_in_jupyterlab(lab, tmp_path):
    from PIL import Image
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "mine.png")
    with running(lab, tmp_path, EXPLORER) as page:
        slide = page.locator(".widget-image")
        first = slide.get_attribute("src")
        assert page.get_by_text("1 face", exact=True).is_visible()

        page.locator(".widget-dropdown select").select_option("coffee")
        page.get_by_text("no face found", exact=True).wait_for()
        with page.expect_file_chooser() as chooser:
            page.locator(".widget-upload").click()
        chooser.value.set_files(tmp_path / "mine.png")
        page.get_by_text("1 face", exact=True).wait_for()
        assert page.locator(".widget-dropdown select").input_value() == "mine.png"
        page.wait_for_function("document.querySelector('.widget-image').naturalWidth > 900")
        assert slide.get_attribute("src") != first
        screenshot(page, "explorer")


def test_training_pauses_and_goes_on_in_jupyterlab(lab, tmp_path):
    with running(lab, tmp_path, TRAINING.replace("EPOCHS", "60")) as page:
        page.get_by_text("epoch 2 of 60").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused in epoch").wait_for()
        said = page.get_by_text("paused in epoch").inner_text()
        page.wait_for_timeout(1000)
        assert page.get_by_text("paused in epoch").inner_text() == said
        screenshot(page, "training_paused")
        before = page.locator(".widget-image").get_attribute("src")
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("finished", exact=True).wait_for()
        page.wait_for_function("document.querySelector('.widget-image').naturalWidth > 600")
        sync_api.expect(page.locator(".widget-image")).not_to_have_attribute("src", before)
        sync_api.expect(page.get_by_role("button", name="Pause")).to_be_disabled()
        screenshot(page, "training")
