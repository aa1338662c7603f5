"""The report in a real browser (slow): what rows hold never acts, and everybody can read it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import chromium, opening_s, picture
from tests.conversations import calls, says, user
from tests.test_review_report import HOSTILE, make_run, row
from trajgen.records import Trajectory
from trajgen.review.report import write_report
from trajgen.review.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SHOTS = os.environ.get("TRAJGEN_SCREENSHOTS")  # a folder for pictures of what is tested
SIZES = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}
OPENS_S = 2.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose run is hostile throughout: names, texts and a message of a megabyte."""
    folder = tmp_path_factory.mktemp("report")
    names = ("seed_id", "strategy", "persona", "fault", "outcome", "agent_model")
    wild: dict[str, Any] = dict.fromkeys(names, HOSTILE)
    wild["messages"] = (
        user(HOSTILE),
        says("word " * 200_000),
        calls(("c", HOSTILE, {HOSTILE: HOSTILE}), text="ok"),
    )
    rows = [row(i, n_turns=1 + i % 4, n_tokens=900 + 37 * i) for i in range(30)]
    rows += [row(30 + i, "repetition", *(["too_long"] if i % 2 else [])) for i in range(6)]
    rows += [row(50, **wild), row(51, HOSTILE, **wild)]
    return write_report(Run.open(make_run(folder / "run", rows, dead=2)))


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Callable[[str], Page]]:
    """Opens the report as it looks to one of SIZES; nothing may be refused or asked for."""
    pages: list[Page] = []
    wrong: list[str] = []

    def open_(look: str) -> Page:
        width, scheme = SIZES[look]
        size = {"width": width, "height": 900}
        page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(60_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: wrong.append(request.url) if pages else None)
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()
    assert wrong == []


@pytest.mark.parametrize("look", SIZES)
def test_it_reads_at_every_size_and_in_both_themes(
    look: str, opened: Callable[[str], Page]
) -> None:
    page = opened(look)
    picture(page, f"report-{look}")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[look][0]  # wide tables scroll, the page does not
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[look][0]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if look == "dark" else "rgb(255, 255, 255)")


@pytest.mark.parametrize("look", SIZES)
def test_no_barrier_is_found_by_axe(look: str, browser: Browser, file: Path) -> None:
    axe = pytest.importorskip("axe_core_python")
    script = next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text("utf-8")
    width, scheme = SIZES[look]
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        bypass_csp=True,
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate(script)
    found = page.evaluate("axe.run()")
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20
    context.close()


def test_what_rows_hold_is_text(opened: Callable[[str], Page]) -> None:
    page = opened("light")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    text = page.inner_text("body")
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in text
    assert r"\x1b[2J\u202eevil\u2066<|im_start|>" in text
    assert "characters]" in text  # the megabyte is cut, and says so
    assert page.evaluate("document.querySelectorAll('script, img, link, iframe').length") == 0
    outside = "[...document.querySelectorAll('[href]')].filter(a => a.hash === '').length"
    assert page.evaluate(outside) == 0


def test_a_script_would_not_run_even_if_there_were_one(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    """The page's own policy holds where escaping would fail."""
    broken = tmp_path / "broken.html"
    harm = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    broken.write_text(file.read_text("utf-8").replace("<main", f"{harm}<main"), "utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())
    assert page.evaluate("window.hacked") is None
    page.close()


def test_the_keyboard_reaches_everything(opened: Callable[[str], Page]) -> None:
    page = opened("light")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.locator("#rejected ~ details > summary").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#rejected ~ details").nth(1).get_attribute("open") is not None
    wide = "[...document.querySelectorAll('.wide')].every(box => box.tabIndex === 0)"
    assert page.evaluate(wide)


def test_it_prints(opened: Callable[[str], Page], tmp_path: Path) -> None:
    page = opened("dark")
    page.emulate_media(media="print")
    assert not page.is_visible("nav")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"  # ink on paper, whatever the theme
    printed = page.pdf(path=str(tmp_path / "report.pdf"))
    assert printed.startswith(b"%PDF")
    if SHOTS:
        Path(SHOTS, "report.pdf").write_bytes(printed)


def test_it_opens_at_once_with_as_much_as_it_ever_shows(browser: Browser, tmp_path: Path) -> None:
    """Samples as long as samples get: the rest of a page does not grow with the run."""
    long = Trajectory.parse(row(0)).messages[:-1] * 20
    texts = tuple({"role": "assistant", "content": f"{i} " * 8000} for i in range(12))
    rows = [row(i, messages=(*long, *texts)) for i in range(10)]
    rows += [row(10 + i, f"reason_{i % 6}", messages=(*long, *texts)) for i in range(12)]
    file = write_report(Run.open(make_run(tmp_path / "run", rows)))
    assert 2_000_000 < file.stat().st_size < 20_000_000
    assert opening_s(browser, file.as_uri()) < OPENS_S
