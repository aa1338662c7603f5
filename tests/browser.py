"""A real browser, and the page of `run.browse()` in it without a notebook around.

The page's messages go to a desk in this process, so a test sees both ends.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trajgen.review.browse.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STATIC = Path(__file__).parents[1] / "trajgen" / "review" / "static"
HARNESS = """<!doctype html><meta charset="utf-8"><style>%(css)s</style>
<body style="background:%(paper)s;color:%(ink)s"><div id="widget"></div>
<script type="module">
  const listeners = new Set();
  const model = {
    on: (_, heard) => listeners.add(heard),
    off: (_, heard) => listeners.delete(heard),
    send: async (question) => {
      const answer = JSON.parse(await window.answer(JSON.stringify(question)));
      for (const heard of listeners) heard({ ...answer, to: question.from });
    },
  };
  const source = new Blob([%(js)s], { type: "text/javascript" });
  const widget = (await import(URL.createObjectURL(source))).default;
  widget.render({ model, el: document.getElementById("widget") });
</script>"""
TIMED = """() => {
  const [drawn] = performance.getEntriesByName("first-contentful-paint");
  const [loaded] = performance.getEntriesByType("navigation");
  return drawn && loaded.loadEventEnd ? Math.max(drawn.startTime, loaded.loadEventEnd) : 0;
}"""
PICTURE_MS = 300_000  # a picture of a whole page is drawn in software
PAPERS = {"light": ("#fff", "#111"), "dark": ("#111", "#ddd")}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


def picture(page: Page, name: str) -> None:
    """A picture of the whole page in the folder TRAJGEN_SCREENSHOTS, where that is named."""
    if folder := os.environ.get("TRAJGEN_SCREENSHOTS"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True, timeout=PICTURE_MS)


def opening_s(browser: Browser, address: str, tries: int = 5) -> float:
    """Seconds from the start of navigation until the page is drawn and loaded, as the page's own
    clock has it: the quickest of some tries, so that a busy machine is not taken for a slow page.
    """
    return min(_opened(browser, address) for _ in range(tries)) / 1000


def _opened(browser: Browser, address: str) -> float:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(address, wait_until="load")
    page.wait_for_function(f"({TIMED})() > 0")
    took: float = page.evaluate(TIMED)
    page.close()
    return took


def browse(page: Page, desk: Desk, theme: str = "light") -> None:
    """Show the widget's page, answered by `desk`."""
    paper, ink = PAPERS[theme]
    css = "\n".join((STATIC / name).read_text("utf-8") for name in ("view.css", "browse.css"))
    js = json.dumps((STATIC / "browse.js").read_text("utf-8"))
    page.expose_function("answer", lambda question: json.dumps(desk.answer(json.loads(question))))
    page.set_content(HARNESS % {"css": css, "js": js, "paper": paper, "ink": ink})
    page.wait_for_selector(".trajgen-browse .told:not(:empty)")
