"""The widgets in a real browser: headless Chromium drives JupyterLab."""

import re

import pytest
from browsing import needs_chromium, running, screenshot

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium

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
    with running(lab, tmp_path, TRAINING.replace("EPOCHS", "12")) as page:
        page.get_by_text(re.compile(r"epoch ([2-9]|\d\d) of 12")).wait_for()  # the second may pass unseen
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("paused in epoch").wait_for()
        said = page.get_by_text("paused in epoch").inner_text()
        page.wait_for_timeout(1000)
        assert page.get_by_text("paused in epoch").inner_text() == said
        screenshot(page, "training_paused")
        before = page.locator(".widget-image").get_attribute("src")
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("finished", exact=True).wait_for(timeout=300_000)
        page.wait_for_function("document.querySelector('.widget-image').naturalWidth > 600")
        sync_api.expect(page.locator(".widget-image")).not_to_have_attribute("src", before)
        sync_api.expect(page.get_by_role("button", name="Pause")).to_be_disabled()
        screenshot(page, "training")
