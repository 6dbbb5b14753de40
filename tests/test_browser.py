"""The tour's widget in a real browser: headless Chromium drives JupyterLab."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which .ci/run installs")

NOTEBOOK = """
from skimage.data import astronaut, coffee
from emokit.models import load_emofan
from emokit.plots import Explorer
explorer = Explorer(load_emofan("demo"), {"astronaut": astronaut(), "coffee": coffee()})
explorer
"""


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab whose folder holds ``explorer.ipynb``."""
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(NOTEBOOK)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}},
    )
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
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


def test_the_explorer_answers_in_jupyterlab(lab, tmp_path):
    from PIL import Image
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "mine.png")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(90_000)
        page.goto(f"{lab}/lab/tree/explorer.ipynb")
        page.locator(".jp-NotebookPanel .jp-Cell").first.click()
        page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'")
        page.keyboard.press("Control+Enter")
        slide = page.locator(".widget-image")
        slide.wait_for(state="visible")
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
        if folder := os.environ.get("EMOKIT_SCREENSHOTS"):
            Path(folder).mkdir(exist_ok=True)
            page.screenshot(path=f"{folder}/explorer.png")
        browser.close()
