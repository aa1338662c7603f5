"""`run.browse()` in a real browser (slow): clicks reach `reviews.parquet`, content never acts."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import trajgen
from tests.browser import browse, chromium, picture
from tests.small_pipeline import environment, write_pipeline
from trajgen.records import Reason, Step, Trajectory
from trajgen.review.browse.desk import Desk
from trajgen.review.browse.index import Index
from trajgen.review.run import Run
from trajgen.shards import ShardResult, commit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HOSTILE = (
    "</p></div><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    "<svg onload=window.hacked=1><iframe src='javascript:parent.hacked=1'></iframe>"
    "&lt;b&gt; <|im_start|>system \x1b[2J \u202egnp.exe\u202c \ud800 ${window.hacked=1} "
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1200, "height": 800})
    made.set_default_timeout(60_000)
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    yield made
    made.close()
    assert wrong == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("browsed")
    script = {"quality": {"agent": 0.95, "world": 0.95}}
    settings = {"max_tasks": 48, "shards": {"rows": 24}, "name": "seen"}
    return trajgen.run(write_pipeline(folder, script, **settings), folder / "run")


def desk_of(run: Run) -> Desk:
    (run.path / "reviews.parquet").unlink(missing_ok=True)
    return Desk(run.path, Index(run.rows(), run.rows(rejected=True)), "Ada")


def shown(page: Page) -> list[str]:
    """The ids of the rows in the list, once it is still."""
    page.wait_for_function("!document.querySelector('.told').textContent.startsWith('Looking')")
    rows = page.locator("ul.rows > li")
    return [str(rows.nth(i).get_attribute("data-id")) for i in range(rows.count())]


def choose(page: Page, name: str, value: str) -> None:
    page.select_option(f"select[name={name}]", value)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_filter_search_turn_and_judge(page: Page, run: Run, theme: str) -> None:
    browse(page, desk_of(run), theme)
    page.wait_for_selector("select[name=strategy] option:nth-child(2)", state="attached")
    everything = [t.id for t in run]
    assert shown(page) == everything[:20]
    page.get_by_text("more →").click()
    page.wait_for_function("document.querySelector('.told').textContent.startsWith('21')")
    assert shown(page)[: len(everything) - 20] == everything[20:40]
    page.get_by_text("← back").click()
    page.wait_for_function("document.querySelector('.told').textContent.startsWith('1 ')")

    choose(page, "strategy", "extend")
    page.wait_for_function("!/ of 48 rows/.test(document.querySelector('.told').textContent)")
    extended = [t.id for t in run if t.strategy == "extend"]
    assert shown(page)[: len(extended)] == extended[:20]
    page.fill("input[type=search]", "apple")
    page.wait_for_function("/looked through/.test(document.querySelector('.told').textContent)")
    assert 0 < len(shown(page)) < 20

    page.locator("button.row").first.click()
    page.wait_for_selector(".shown article li.user")
    chosen = shown(page)[0]
    assert chosen in page.inner_text(".shown article")
    page.fill(".judge input", "guesses")
    page.click(".judge .drop")
    page.wait_for_selector(".judge .drop[aria-pressed=true]")
    picture(page, f"widget_{theme}")
    told = run.reviews()
    assert told[["id", "review", "note", "by"]].values.tolist() == [
        [chosen, "drop", "guesses", "Ada"]
    ]
    page.locator("button.row").first.press("f")
    page.wait_for_selector(".judge .flag[aria-pressed=true]")
    assert run.reviews()[["id", "review"]].values.tolist() == [[chosen, "flag"]]
    page.click(".judge .flag")
    page.wait_for_function("/not judged yet/.test(document.querySelector('.judge').textContent)")
    assert run.reviews().empty


def test_keys_go_from_row_to_row_and_never_leave_the_widget(page: Page, run: Run) -> None:
    browse(page, desk_of(run))
    page.evaluate("window.heard=[]; document.addEventListener('keydown', e => heard.push(e.key))")
    page.wait_for_selector("button.row")
    page.locator("button.row").first.click()
    page.wait_for_selector(".shown article")
    for key in ("ArrowDown", "ArrowDown", "k"):
        page.keyboard.press(key)
        page.wait_for_timeout(400)
    page.wait_for_selector(".judge .keep[aria-pressed=true]")
    assert run.reviews()["id"].tolist() == [run[2].id]
    page.fill(".judge input", "dkf")  # letters in a note judge nothing
    assert run.reviews()["review"].tolist() == ["keep"]
    assert page.evaluate("heard") == []


def test_a_narrow_page_stacks_and_nothing_runs_out_of_it(page: Page, run: Run) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    browse(page, desk_of(run), "dark")
    page.wait_for_selector("button.row")
    page.locator("button.row").first.click()
    page.wait_for_selector(".shown article")
    picture(page, "widget_phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_hostile_content_is_text_in_the_widget_and_in_static_html(
    page: Page, tmp_path: Path
) -> None:
    run = _hostile_run(tmp_path / "run")
    browse(page, desk_of(run))
    page.wait_for_selector("select[name=strategy] option:nth-child(2)", state="attached")
    for number in range(2):
        page.locator("button.row").nth(number).click()
        page.wait_for_selector(f".shown article[aria-label*='{number}-id']")
        for fold in page.locator(".shown details").all():
            fold.evaluate("fold => fold.open = true")
        _is_tame(page, ".trajgen-browse")
    page.locator("button.row").nth(1).click()
    page.fill(".judge input", HOSTILE.encode("utf-8", "replace").decode())
    page.click(".judge .flag")
    page.wait_for_selector(".judge .flag[aria-pressed=true]")
    _is_tame(page, ".trajgen-browse")
    picture(page, "widget_hostile")

    page.set_content(f"<body>{run.sample(9)._repr_html_()}{run._repr_html_()}")
    _is_tame(page, "body")


def _is_tame(page: Page, root: str) -> None:
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    assert page.locator(f"{root} :is(script, img, svg, iframe, a, object, embed)").count() == 0
    text = page.inner_text(root)
    assert "<script>window.hacked=1</script>" in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert r"\u202egnp.exe" in text


def _hostile_run(folder: Path) -> Run:
    """Two kept rows that are hostile wherever a row holds text; the second has a 1 MB message."""
    from trajgen.plan_file import write_plan
    from trajgen.records import Task
    from trajgen.run_record import record_bytes

    for name in ("shards", "rejects", "dead", "logs"):
        (folder / name).mkdir(parents=True)
    data = {
        "name": HOSTILE.encode("utf-8", "replace").decode(), "run_id": "run-1", "digest": "0" * 64,
        "pipeline": {"seeds": [], "shards": {"rows": 2}, "target": 2}, "digests": {}, "planned": 2,
    }  # fmt: skip
    (folder / "run.json").write_bytes(record_bytes(data))
    rows = [_hostile_row(f"{n}-id", HOSTILE * (4000 if n else 1)) for n in range(2)]
    tasks = [Task(r.id, n, "d", "s", "extend", "", "", "", n) for n, r in enumerate(rows)]
    write_plan(folder, iter(tasks), 2, 2)
    commit(folder, ShardResult(0, 0, 2, [row.row() for row in rows], [], []))
    return Run.open(folder)


def _hostile_row(id: str, text: str) -> Trajectory:
    call = {"id": "c", "function": {"name": HOSTILE, "arguments": {HOSTILE: text}}}
    step = Step(
        1, "c", HOSTILE, False, HOSTILE, ({"op": "set", "path": f"/{HOSTILE}", "value": text},),
        "model", "a", "b", verdicts=(Reason(HOSTILE, 1, text),),
    )  # fmt: skip
    messages: tuple[dict[str, Any], ...] = (
        {"role": "user", "content": text},
        {"role": "assistant", "content": text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": text},
    )
    return Trajectory(
        id, HOSTILE, messages, steps=(step,), seed_id=HOSTILE, strategy=HOSTILE, persona=HOSTILE,
        tools=({"type": "function", "function": {"name": HOSTILE}},), outcome=HOSTILE,
        scores={"ended": HOSTILE, HOSTILE: HOSTILE},
    )  # fmt: skip


# --- in JupyterLab

NOTEBOOK = """{"cells": [{"cell_type": "code", "id": "a", "execution_count": null, "metadata": {},
 "outputs": [], "source": ["import trajgen\\n", "run = trajgen.open('run')\\n",
 "run.browse(by='Grace')"]}], "nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec":
 {"name": "python3", "display_name": "Python 3", "language": "python"}}}"""
KERNEL_NAMED = ".jp-KernelName:has-text('Python 3')"  # says "No Kernel" before it is connected
KERNEL_READY = ".jp-Notebook-ExecutionIndicator[data-status=idle]"


@pytest.fixture(scope="module")
def lab(run: Run) -> Iterator[str]:
    """The address of a JupyterLab whose folder holds the run. It asks nobody for news: without a
    network that would be one more wait."""
    home = run.path.parent
    _set(home, "notification", {"checkForUpdates": False, "fetchNews": "false"})
    settings = ["--IdentityProvider.token=", "--ServerApp.password=", "--no-browser"]
    settings += ["--allow-root", "--ip=127.0.0.1", f"--notebook-dir={home}"]
    settings += ["--ServerApp.disable_check_xsrf=True"]  # for `_start_kernel`
    places = {name: str(home / "jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    with _served("jupyterlab", *settings, home=home, places=places) as address:
        yield address


@contextmanager
def _served(
    program: str, *settings: str, home: Path, places: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of a notebook server that works in `home`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (home / f"{program}.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", program, *settings, f"--port={port}"],
            stdout=log, stderr=log, env=environment(**places or {}), cwd=home,
        )  # fmt: skip
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            with suppress(
                subprocess.TimeoutExpired
            ):  # it asks its kernels first, which can be slow
                server.wait(60)
            server.kill()
            server.wait()


def _set(home: Path, plugin: str, settings: dict[str, Any]) -> None:
    """Settings that the next page of the JupyterLab in `home` begins with."""
    folder = home / "jupyter" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(settings))


def _wait_for(port: int) -> None:
    for _ in range(480):
        with socket.socket() as line:
            if line.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError("the notebook server did not start")


def _start_kernel(lab: str, notebook: str) -> None:
    """The notebook finds its kernel running. Otherwise a page on a busy machine may open it before
    it knows which kernels there are, and ask for one, and lose the answer."""
    session = {
        "path": notebook,
        "name": notebook,
        "type": "notebook",
        "kernel": {"name": "python3"},
    }
    body = json.dumps(session).encode()
    with urllib.request.urlopen(f"{lab}/api/sessions", body, timeout=240) as answer:
        assert answer.status == 201


def run_all_cells(page: Page) -> None:
    """As somebody does who sees that nothing came of it: JupyterLab can lose the first try,
    which it takes before the kernel hears."""
    from playwright.sync_api import TimeoutError

    for _ in range(4):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("Run All Cells$")).click()
        with suppress(TimeoutError):
            page.wait_for_selector(".trajgen-browse button.row", timeout=60_000)
            return
    raise AssertionError("the widget does not show its rows")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_widget_works_in_jupyterlab(page: Page, run: Run, lab: str, theme: str) -> None:
    desk_of(run)
    _set(run.path.parent, "themes", {"theme": f"JupyterLab {theme.title()}"})
    (run.path.parent / f"{theme}.ipynb").write_text(NOTEBOOK)
    page.set_default_timeout(240_000)
    page.set_viewport_size({"width": 1500, "height": 1000})
    _start_kernel(lab, f"{theme}.ipynb")
    page.goto(f"{lab}/lab/tree/{theme}.ipynb?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    light = "true" if theme == "light" else "false"
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
    # What is run before that is lost, or asked a kernel for: "idle" is said before one is there.
    page.wait_for_selector(KERNEL_NAMED, state="attached")
    page.wait_for_selector(KERNEL_READY, state="attached")
    run_all_cells(page)
    page.wait_for_selector("select[name=strategy] option:nth-child(2)", state="attached")
    choose(page, "fate", "kept")
    page.wait_for_function(
        f"/of {len(run)} rows/.test(document.querySelector('.told').textContent)"
    )
    page.fill("input[type=search]", "apple")
    page.wait_for_function("/looked through/.test(document.querySelector('.told').textContent)")
    first = shown(page)[0]
    page.locator("button.row").first.click()
    page.wait_for_selector(".shown article")
    page.keyboard.press("d")  # JupyterLab would delete the cell at the second d
    page.wait_for_selector(".judge .drop[aria-pressed=true]")
    page.keyboard.press("d")
    page.wait_for_selector(".judge .drop[aria-pressed=false]")
    page.click(".judge .keep")
    page.wait_for_selector(".judge .keep[aria-pressed=true]")
    picture(page, f"lab_{theme}")
    assert page.locator(".jp-CodeCell").count() == 1
    assert run.reviews()[["id", "review", "by"]].values.tolist() == [[first, "keep", "Grace"]]


# --- in marimo

REACTIVE = """import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import trajgen

    trajgen.open("run").browse(by="Hopper")
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.mark.timeout(1200)
def test_the_widget_works_in_marimo(page: Page, run: Run) -> None:
    pytest.importorskip("marimo")
    desk_of(run)
    page.set_default_timeout(240_000)
    page.set_viewport_size({"width": 1500, "height": 1000})
    home = run.path.parent
    (home / "look.py").write_text(REACTIVE)
    settings = ("run", "look.py", "--headless", "--no-token", "--host=127.0.0.1")
    with _served("marimo", *settings, home=home) as address:
        page.goto(address, wait_until="domcontentloaded")
        page.wait_for_selector("button.row")  # in a shadow tree, which selectors see into
        page.wait_for_selector("select[name=strategy] option:nth-child(2)", state="attached")
        choose(page, "fate", "kept")
        told = page.locator(".told")
        told.filter(has_text=f"of {len(run)} rows").wait_for()
        page.fill("input[type=search]", "apple")
        told.filter(has_text="looked through").wait_for()
        first = page.locator("ul.rows > li").first.get_attribute("data-id")
        page.locator("button.row").first.click()
        page.wait_for_selector(".shown article")
        page.click(".judge .keep")
        page.wait_for_selector(".judge .keep[aria-pressed=true]")
        picture(page, "marimo")
    assert run.reviews()[["id", "review", "by"]].values.tolist() == [[first, "keep", "Hopper"]]
