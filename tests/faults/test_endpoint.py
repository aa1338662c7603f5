"""A whole run against a server that fails in every way: the rows are those of one that does not.

The server's answers follow from what it is asked, so an answer that is lost, doubled or given
to another request would show in a row.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.mock_endpoint import TRANSIENT, Fault, MockEndpoint
from tests.small_pipeline import made, write_pipeline
from trajgen.engines.openai import connection
from trajgen.ids import digest
from trajgen.records import DETAIL_CHARS
from trajgen.verify import verify

TASKS = 24
TOLD = ("run.json", "manifest.json", "README.md")  # they hold the address


@contextmanager
def serving(fault: Fault, answer: Callable[[dict[str, Any]], Any]) -> Iterator[MockEndpoint]:
    """The endpoint in a thread of its own."""
    endpoint, up, over = MockEndpoint(fault=fault, answer=answer), threading.Event(), []

    async def serve() -> None:
        async with endpoint:
            over.append((asyncio.get_running_loop(), stop := asyncio.Event()))
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(60)
    try:
        yield endpoint
    finally:
        loop, stop = over[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)


def plays(body: dict[str, Any]) -> str:
    """Each role's answer, in words of the whole prompt."""
    role = body["response_format"]["json_schema"]["name"]
    words = f"mark {digest(body['messages'])[:16]} and so on until it is done"
    if role == "scenario":
        return json.dumps({"instruction": f"Please tidy up. {words}"})
    if role == "agent":
        return json.dumps({"say": f"I will. {words}", "calls": []})
    done = len(body["messages"]) > 4
    say = "" if done else f"Please. {words}"
    return json.dumps({"say": say, "done": done, "outcome": "success"})


def played(
    folder: Path, fault: Fault, answer: Callable[[dict[str, Any]], Any] = plays, **changes: Any
) -> tuple[trajgen.Run, int]:
    """The run against the endpoint, and how many requests that took."""
    with serving(fault, answer) as endpoint:
        engine = {"kind": "openai", "base_url": endpoint.url, "retries": 30, "max_num_seqs": 8}
        given = {"max_tasks": TASKS, "near_duplicate": None, "engines": {"main": engine | changes}}
        run = trajgen.run(write_pipeline(folder, **given), folder / "run")
        requests = len(endpoint.seen)
    status = run.status()
    assert status["kept"] + status["rejected"] + status["dead"] == TASKS
    assert verify(run.path) == []
    return run, requests


def rows(run: trajgen.Run) -> dict[str, str]:
    return {name: mark for name, mark in made(run.path).items() if name not in TOLD}


@pytest.mark.slow
def test_faults_that_pass_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF_S", 0.01)
    hit: Counter[str] = Counter()

    def fault(n: int, body: dict[str, Any]) -> str | None:
        draw = random.Random(n)
        if draw.random() < 0.5:
            return None
        kind = draw.choice([*TRANSIENT, "not_utf8"])
        hit[kind] += 1
        return kind

    whole, needed = played(tmp_path / "a", lambda n, body: None)
    struck, took = played(tmp_path / "b", fault)
    assert whole.status()["dead"] == 0
    assert rows(struck) == rows(whole)
    assert set(hit) == {*TRANSIENT, "not_utf8"}
    assert took == needed + sum(hit.values())


@pytest.mark.slow
def test_what_does_not_pass_is_dead_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some tasks meet a server that is never well again for them."""
    monkeypatch.setattr(connection, "BACKOFF_S", 0.01)

    def fault(n: int, body: dict[str, Any]) -> str | None:
        return "500" if digest(body["messages"][:2])[0] in "01" else None

    run, _ = played(tmp_path, fault, retries=2)
    deaths = list(run.dead())
    assert 0 < len(deaths) < TASKS
    assert {death["error"] for death in deaths} == {"timeout"}
    assert all("the server answered 500" in death["message"] for death in deaths)


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    ["", " ", "x" * 1_000_000, '{"say": "' + "so " * 300_000, '{"say": "\\ud800"}', "\ud800", "[]"],
    ids=["empty", "blank", "a megabyte", "half a megabyte", "escaped", "surrogate", "list"],
)
def test_a_model_that_says_nothing_of_use_has_its_rows_rejected(tmp_path: Path, said: str) -> None:
    run, _ = played(tmp_path, lambda n, body: None, lambda body: said)
    assert run.status()["rejected"] == TASKS
    assert {*run.status()["reasons"]} <= {"bad_answer", "truncated"}
    for row in run.rows(rejected=True):
        assert all(len(reason["detail"]) <= DETAIL_CHARS for reason in row.scores["reasons"])
    assert sum(path.stat().st_size for path in (run.path / "rejects").iterdir()) < 200_000
