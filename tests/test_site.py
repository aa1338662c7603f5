"""The docs site (slow): builds without a warning, its links hold, it loads nothing from elsewhere.

TRAJGEN_SCREENSHOTS names a folder for pictures of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

import trajgen
from tests.browser import chromium, picture
from tests.small_pipeline import REPO

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}
SEEN = (
    "index",
    "docs/pipeline",
    "docs/filters",
    "notebooks/01_first_run",
    "reference/python",
)
MADE = re.compile(r"_modules/|genindex|search|py-modindex")  # by the generator alone


class Page(HTMLParser):
    """What a page links to and loads, and which places of it can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if "src" in given or (tag == "link" and "href" in given):
            self.loads.append(given.get("src") or given["href"])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])


@cache
def read(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it. A warning of the generator is an error."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    pages, html = str(folder / "pages"), str(folder / "html")
    strict = ["-q", "-W", "--keep-going", "-c", "docs/site"]
    for command in (["docs/site/pages.py", pages], ["-m", "sphinx", *strict, pages, html]):
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "PYTHONPATH": str(REPO)},
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert (done.returncode, done.stderr) == (0, "")
    return Path(html)


def test_every_document_has_its_page(site: Path) -> None:
    documents = [*(REPO / "docs").glob("*.md"), *(REPO / "docs" / "design").glob("*.md")]
    wanted = {path.relative_to(REPO).with_suffix(".html") for path in documents}
    headings = re.findall(r"^## (.+)$", (REPO / "README.md").read_text("utf-8"), re.M)
    assert {path for path in wanted if not (site / path).is_file()} == set()
    assert len(list((site / "guide").glob("*.html"))) == len(headings) - 1  # one is the first page
    assert len(list((site / "notebooks").glob("*.html"))) == 3


def test_links_hold_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = [p for p in site.rglob("*.html") if not MADE.match(p.relative_to(site).as_posix())]
    assert len(pages) > 20
    broken = [
        f"{path.relative_to(site)}: {link}"
        for path in pages
        for link in read(path).links
        if not re.match(r"https?:|mailto:", link) and not _holds(path, link)
    ]
    loads = [load for path in pages for load in read(path).loads]
    for css in site.rglob("*.css"):
        loads += re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", css.read_text("utf-8"))
    assert broken == []
    assert [load for load in loads if re.match(r"https?:|//", load)] == []


def _holds(page: Path, link: str) -> bool:
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.is_file() and (not anchor or anchor in read(target).places)


def test_the_reference_is_the_code(site: Path) -> None:
    """Everything that `import trajgen` gives, every method of a run, every error, every command."""
    from trajgen.review.run import Run

    places = read(site / "reference" / "python.html").places
    public = {f"trajgen.{name}" for name in trajgen.__all__ if not name.startswith("_")}
    methods = {name for name in vars(Run) if not name.startswith("_") and name != "open"}
    assert public <= places
    assert {f"trajgen.review.run.Run.{name}" for name in methods} <= places
    assert {"trajgen.errors.InputError", "trajgen.engines.Engine", "trajgen.worlds.World"} <= places
    options = (site / "reference" / "options.html").read_text("utf-8")
    assert {w for w in ("--where", "--rejected", "--no-replay") if w not in options} == set()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", SEEN)
def test_a_page_reads_at_every_size_without_a_network(
    site: Path, browser: Browser, name: str, look: str
) -> None:
    width, scheme = LOOKS[look]
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(120_000)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((site / f"{name}.html").as_uri())
    picture(page, f"docs-{name.replace('/', '-')}-{look}")
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (look != "dark")
    page.close()
