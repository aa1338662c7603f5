"""An engine that breaks its protocol is found in time, and no answer reaches another's task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.watched import WatchedEngine
from trajgen.errors import EngineDead, Timeout

LIMIT_S = 0.2


def request(number: int = 0) -> Request:
    return Request(f"task-{number}/user/0/1", "user", (), number, 16)


def answer(text: Any = "yes", id_: str = "") -> Completion:
    return Completion(text, "stop", 1, 1, request_id=id_)


class Engine:
    """Answers with what a function gives."""

    model = "m"

    def __init__(self, answers: Callable[[Request], Any]) -> None:
        self.answers = answers

    async def start(self) -> None:
        self.model = "learnt"

    async def complete(self, asked: Request) -> Any:
        found = self.answers(asked)
        return await found if isinstance(found, Awaitable) else found

    def count_tokens(self, messages: Any, tools: Any) -> list[int]:
        return [1]

    async def close(self) -> None:
        await forever()


async def forever() -> None:
    await asyncio.Event().wait()


def watched(answers: Callable[[Request], Any]) -> WatchedEngine:
    config = EngineConfig(kind="tests:Engine", timeout_s=LIMIT_S)
    return WatchedEngine(Engine(answers), config, margin_s=0)


def asked(answers: Callable[[Request], Any]) -> Completion:
    return asyncio.run(watched(answers).complete(request()))


def test_a_right_answer_is_the_engines_own() -> None:
    right = answer(id_=request().id)
    assert asked(lambda _: right) is right
    assert asked(lambda _: answer()).text == "yes"  # engines need not say whose answer it is
    assert asked(lambda _: answer("")).text == ""


@pytest.mark.parametrize(
    "wrong",
    [None, "yes", (), [answer()], [answer(), answer()], answer(None), answer(b"yes"), {"text": ""}],
)
def test_what_is_no_answer_is_the_engines_death(wrong: Any) -> None:
    with pytest.raises(EngineDead, match="something else"):
        asked(lambda _: wrong)


def test_half_characters_are_mended() -> None:
    assert asked(lambda _: answer("a\ud800b")).text == "a?b"


def test_answers_out_of_order_reach_no_task() -> None:
    """Four requests at once; the engine gives each the answer of its neighbour."""
    engine = watched(lambda r: answer(id_=request((r.seed + 1) % 4).id))

    async def all_of_them() -> list[Any]:
        asking = (engine.complete(request(number)) for number in range(4))
        return await asyncio.gather(*asking, return_exceptions=True)

    found = asyncio.run(all_of_them())
    assert [type(error) for error in found] == [EngineDead] * 4
    assert all(f"task-{(n + 1) % 4}/" in str(error) for n, error in enumerate(found))


def test_one_late_answer_of_many_is_a_timeout() -> None:
    async def late_if_odd(asked: Request) -> Completion:
        if asked.seed % 2:
            await forever()
        return answer()

    engine = watched(late_if_odd)

    async def both() -> list[Any]:
        async def soon() -> Completion:
            await asyncio.sleep(LIMIT_S / 2)
            return await engine.complete(request(0))

        return await asyncio.gather(engine.complete(request(1)), soon(), return_exceptions=True)

    late, fine = asyncio.run(both())
    assert isinstance(late, Timeout)
    assert isinstance(fine, Completion)


def test_an_engine_that_answers_nothing_is_dead_in_time() -> None:
    engine = watched(lambda _: forever())

    async def all_of_them() -> list[Any]:
        asking = (engine.complete(request(number)) for number in range(8))
        return await asyncio.gather(*asking, return_exceptions=True)

    began = time.monotonic()
    found = asyncio.run(all_of_them())
    assert LIMIT_S <= time.monotonic() - began < LIMIT_S + 1
    assert all(isinstance(error, EngineDead) for error in found)
    assert "no request was answered" in str(found[0])


def test_an_engine_that_says_timeout_to_everything_is_dead_too() -> None:
    """As an endpoint does whose every try fails."""

    def late(_: Request) -> Completion:
        raise Timeout("the server answered 502")

    with pytest.raises(EngineDead, match="502"):
        asked(late)


def test_a_cancelled_request_is_cancelled() -> None:
    async def cancelled() -> None:
        asking = asyncio.ensure_future(watched(lambda _: forever()).complete(request()))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asking

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_another_number_of_token_counts() -> None:
    engine = watched(lambda _: answer())
    message = {"role": "user", "content": "hi"}
    assert engine.count_tokens((message,), ()) == [1]
    with pytest.raises(EngineDead, match="counts 1 messages, not 2"):
        engine.count_tokens((message, message), ())


def test_the_model_is_what_the_engine_learns_at_its_start() -> None:
    engine = watched(lambda _: answer())
    assert engine.model == "m"
    asyncio.run(engine.start())
    assert engine.model == "learnt"


def test_closing_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trajgen.engines.watched.CLOSE_S", 0.05)
    began = time.monotonic()
    asyncio.run(watched(lambda _: answer()).close())  # hangs inside
    assert time.monotonic() - began < 1


def test_an_error_in_close_goes_no_further(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Engine) -> None:
        raise RuntimeError("a bug of its own")

    monkeypatch.setattr(Engine, "close", broken)
    asyncio.run(watched(lambda _: answer()).close())
    assert "a bug of its own" in caplog.text


def test_an_endpoint_has_time_for_all_its_tries() -> None:
    limits = {"timeout_s": 10, "retries": 2}
    assert EngineConfig(kind="openai", **limits).answer_limit_s == 3 * 10 + 2 * 150
    assert EngineConfig(kind="vllm", **limits).answer_limit_s == 10
