"""What the benchmarks compare with: the floor, the bounds, the counts and the mock endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import comparing
from benchmarks.comparing import Bar, Benchmark, in_turn, median, table
from benchmarks.endpoint.floor import play as play_floor
from benchmarks.endpoint.mock import QUICK_S, SLOW_S, Book, Conversation, latency_s, read_answers
from benchmarks.engine.bare import Turn, play
from benchmarks.engine.kept import Kept, conversations
from benchmarks.prefix.cache import Blocks, Prompt, count
from benchmarks.tail.bound import least, list_schedule
from benchmarks.tail.engine import is_long
from trajgen.config.engine import EngineConfig
from trajgen.engines import Request
from trajgen.engines.scripted import ScriptedEngine

# systems in turn, and their bars


def test_each_round_begins_with_the_next_system() -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[], dict[str, float]]:
        return lambda: order.append(name) or {"value": float(len(order))}

    found = in_turn({name: noting(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert median(found["a"], "value") == 6
    assert median(found["a"], "nothing") is None


def test_a_bar_that_was_not_measured_is_not_met() -> None:
    assert Bar("x", 0.85, at_least=0.85).met
    assert not Bar("x", 0.84, at_least=0.85).met
    assert Bar("x", 1.1, at_most=1.1).met
    assert not Bar("x", 1.11, at_most=1.1).met
    assert not Bar("x", None, at_least=0.85).met


def one_benchmark(value: float) -> Benchmark:
    return Benchmark(
        "tried",
        "",
        lambda parser: None,
        lambda given: {"value": value, "bars": [Bar("value", value, at_most=2).json()]},
        lambda found: table(("value",), [(found["value"],)]),
        lambda found, path: path.write_bytes(b"a picture"),
    )


def test_the_page_takes_the_figures_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- figures: tried -->\nold\n<!-- end -->\nafter\n", "utf-8")
    monkeypatch.setattr(comparing, "PAGE", page)
    assert one_benchmark(1.5).main(["--page"]) == 0
    text = page.read_text("utf-8")
    assert text.startswith("before\n<!-- figures: tried -->\n\nTaken on ")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| 1.5 |" in text
    assert "old" not in text
    assert json.loads((tmp_path / "performance" / "tried.json").read_text("utf-8"))["value"] == 1.5


def test_a_missed_bar_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert one_benchmark(2.5).main([]) == 1
    assert "| value | at most 2 | 2.5 | no |" in capsys.readouterr().out


# endpoint


def seed_that_takes(seconds: float) -> int:
    return next(n for n in range(1000) if latency_s(str(n).encode()) == seconds)


def test_one_answer_in_five_is_slow() -> None:
    slow = sum(latency_s(str(seed).encode()) == SLOW_S for seed in range(10_000))
    assert 1900 < slow < 2100


def test_the_mock_answers_by_seed_and_keeps_what_it_was_asked(tmp_path: Path) -> None:
    quick, slow = seed_that_takes(QUICK_S), seed_that_takes(SLOW_S)
    lines = [
        {"seed": seed, "text": f"to {seed}", "prompt": 3, "generated": 2} for seed in (quick, slow)
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    bodies = [json.dumps({"messages": [], "seed": seed}).encode() for seed in (quick, slow)]
    unknown = json.dumps({"seed": 10**9}).encode()
    with (tmp_path / "kept.jsonl").open("wb") as kept:
        book = Book(read_answers(path), kept)
        asyncio.run(asked(book, [bodies, [unknown]]))
    found = json.loads(book.stats())
    assert (found["answered"], found["unknown"], found["now"]) == (2, 1, 0)
    assert found["last"] - found["first"] >= QUICK_S + SLOW_S
    assert found["latencies_s"] == pytest.approx(QUICK_S + SLOW_S)
    assert (tmp_path / "kept.jsonl").read_bytes().splitlines() == bodies
    assert json.loads(book.stats())["answered"] == 0


async def asked(book: Book, requests: list[list[bytes]]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(book), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await play_floor(f"http://127.0.0.1:{port}/v1", iter(requests))


# tail


def test_list_scheduling_fills_each_free_place_at_once() -> None:
    assert list_schedule([4, 1, 1, 1, 1], 2) == 4
    assert list_schedule([1, 1, 1, 1, 4], 2) == 6
    assert least([1, 1, 1, 1, 4], 2) == 4
    assert least([1, 1, 1, 1], 2) == 2
    assert list_schedule([], 3) == 0


def test_one_task_in_twenty_is_long() -> None:
    assert 400 < sum(is_long(f"task-{number}") for number in range(10_000)) < 600


# prefix


def numbers(*ranges: tuple[int, int]) -> tuple[int, ...]:
    return tuple(n for first, last in ranges for n in range(first, last))


def test_append_only_prompts_cost_what_is_new_and_a_part_of_a_block() -> None:
    first = Prompt("a", numbers((0, 40)), numbers((40, 50)))
    then = Prompt("a", numbers((0, 60)))
    counted = count([first, then], shared=False, block=16)
    assert counted.asked == 100
    assert counted.computed == 40 + 12  # 48 of the 50 tokens that were there are whole blocks
    assert counted.least == 40 + 10


def test_a_prompt_that_changes_at_its_beginning_is_computed_whole() -> None:
    first, then = Prompt("a", numbers((0, 64))), Prompt("a", numbers((1, 80)))
    assert count([first, then], shared=False, block=16).computed == 64 + 79


def test_only_a_shared_cache_serves_another_conversation() -> None:
    both = [Prompt("a", numbers((0, 64))), Prompt("b", numbers((0, 64)))]
    assert count(both, shared=False, block=16).computed == 128
    assert count(both, shared=True, block=16).computed == 64 + 16  # the last token never is served
    assert count(both, shared=True, block=16).least == 64 + 1


def test_a_block_counts_only_after_the_blocks_before_it() -> None:
    blocks = Blocks(2)
    assert blocks.computed(Prompt("a", (1, 2, 3, 4, 5))) == 5
    assert blocks.computed(Prompt("a", (9, 9, 3, 4, 5))) == 5
    assert blocks.computed(Prompt("a", (1, 2, 3, 4, 6))) == 1


# engine


def test_the_bare_loop_keeps_the_order_within_a_conversation() -> None:
    now, most, seen = 0, 0, list[str]()

    async def generate(turn: Turn, name: str) -> AsyncIterator[Any]:
        nonlocal now, most
        seen.append(name)
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        yield turn

    asked_for = [[Turn((1,), 5)] * 3 for _ in range(4)]
    asyncio.run(play(asked_for, generate, 2))
    assert most == 2
    for number in range(4):
        assert [n for n in seen if n.startswith(f"{number}/")] == [
            f"{number}/{i}" for i in range(3)
        ]


def test_a_kept_engine_tells_what_it_was_asked_and_stays_open() -> None:
    async def run() -> Kept:
        kept = Kept(ScriptedEngine(EngineConfig(kind="scripted")))
        await kept.start()
        for key in ("t1/user/0/1", "t2/user/0/1", "t1/user/1/1"):
            request = Request(key, "user", ({"role": "user", "content": "x"},), 0, 10, context={})
            await kept.complete(request)
            await kept.close()
        return kept

    kept = asyncio.run(run())
    found = conversations(kept.answered, lambda request: (len(request.id),))
    assert [len(turns) for turns in found] == [2, 1]
    assert all(turn.generated > 0 for turns in found for turn in turns)
