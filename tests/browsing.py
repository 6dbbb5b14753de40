"""JupyterLab, headless Chromium and a notebook in it, for the tests of widgets."""

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

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which .ci/run installs")


@contextmanager
def jupyterlab(folder):
    """Address of a JupyterLab in ``folder``."""
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
        "--expose-app-in-browser",
    ]
    environment = os.environ | {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "RUNTIME")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address):
    for _ in range(360):
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"{address} does not answer")


@contextmanager
def chromium():
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def open_notebook(browser, lab, folder, *sources, name="notebook", **options):
    """A page of JupyterLab with a notebook of these cells; the first of them runs."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}},
    )
    nbformat.write(notebook, folder / f"{name}.ipynb")
    page = browser.new_page(**({"viewport": {"width": 1400, "height": 1000}} | options))
    page.set_default_timeout(90_000)
    # A workspace of its own, which does not bring back the tabs of another page.
    page.goto(f"{lab}/lab/workspaces/{name}/tree/{name}.ipynb")
    run_first_cell(page)
    return page


READY = """() => {
  const session = jupyterapp.shell.currentWidget?.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def run_first_cell(page):
    """Run the notebook's first cell, once its kernel is ready."""
    page.locator(".jp-NotebookPanel .jp-Cell").first.click()
    # A cell that runs before that is lost, or makes JupyterLab ask for a kernel.
    page.wait_for_function(READY)
    run_cell(page)


def run_cell(page):
    """Run the cell that the cursor is in."""
    page.evaluate("void jupyterapp.commands.execute('notebook:run-cell')")


@contextmanager
def running(lab, folder, source, shows=".widget-image"):
    """A page of JupyterLab with a notebook of one cell, which has run and shows a widget."""
    with chromium() as browser:
        page = open_notebook(browser, lab, folder, source)
        page.locator(shows).wait_for(state="visible")
        yield page


def screenshot(page, name):
    """For people: where EMOKIT_SCREENSHOTS says."""
    if folder := os.environ.get("EMOKIT_SCREENSHOTS"):
        Path(folder).mkdir(exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png")
