"""The player in a real browser: headless Chromium drives JupyterLab."""

import pytest
from browsing import chromium, needs_chromium, open_notebook, screenshot
from test_shipped_data import DATA

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = needs_chromium

CELLS = [
    """
from pathlib import Path
import numpy as np, pandas as pd
from emokit.plots.player import Player
truth = pd.read_csv(CLIP / "truth.csv")
seen = truth.assign(expression=np.where(truth["valence"] > 0.3, "happy", "neutral"), landmarks=None)
player = Player(CLIP / "call.mp4", seen, truth, stop=4, height=240)
player
""",
    "print('time is', round(player.time, 2), 'of person', player.person)",
    "player.time = 3.0",
]


def test_video_and_traces_follow_each_other(lab, tmp_path):
    cells = [cell.replace("CLIP", f"Path({str(DATA / 'clip')!r})") for cell in CELLS]
    with chromium() as browser:
        page = open_notebook(browser, lab, tmp_path, *cells)
        page.wait_for_function("document.querySelector('.emokit-player video')?.readyState >= 2")
        video, plot, said = (page.locator(f".emokit-player {part}") for part in ("video", "svg", ".said"))
        box = plot.bounding_box()
        page.mouse.click(box["x"] + box["width"] * (60 + 884 / 2) / 960, box["y"] + 50)
        sync_api.expect(said).to_contain_text("2.00 s")
        assert abs(video.evaluate("v => v.currentTime") - 2) < 0.02

        page.locator(".emokit-player input").fill("1.2")
        sync_api.expect(said).to_contain_text("1.20 s")
        place = float(page.locator(".emokit-player .cursor").get_attribute("x1"))
        assert abs(place - (60 + 884 * 1.2 / 4)) < 2
        assert abs(video.evaluate("v => v.currentTime") - 1.2) < 0.02

        plot.focus()
        page.keyboard.press("ArrowRight")
        sync_api.expect(said).to_contain_text("1.25 s")
        page.locator(".emokit-player select").select_option("1")
        sync_api.expect(said).to_contain_text("not seen")

        page.wait_for_function("!document.querySelector('.emokit-player video').seeking")
        page.locator(".jp-CodeCell").nth(1).click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text("time is 1.25 of person 1").wait_for()
        page.keyboard.press("Shift+Enter")
        sync_api.expect(said).to_contain_text("3.00 s", timeout=60_000)
        assert abs(video.evaluate("v => v.currentTime") - 3) < 0.02
        screenshot(page, "player")

        page.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('.emokit-player video').ended")
        sync_api.expect(said).to_contain_text("happy")
        assert float(page.locator(".emokit-player .cursor").get_attribute("x1")) > 930
