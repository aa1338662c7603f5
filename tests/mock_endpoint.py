"""A small OpenAI-compatible endpoint with faults on demand, in process or on its own.

python -m tests.mock_endpoint --port 0 --fault-rate 0.1 --latency-ms 20

prints its port and serves /v1/models and /v1/chat/completions; an answer repeats the last
message of the request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

from aiohttp import web

TRANSIENT = ("429", "500", "503", "reset", "half", "bad_json", "wrong_shape")
Fault = Callable[[int, dict[str, Any]], str | None]


def echo(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


class MockEndpoint:
    """Serves until closed; `seen` holds the chat requests as (headers, body), in order.

    `fault(n, body)` names what goes wrong with the n-th chat request (from 0), or None.
    """

    def __init__(
        self,
        models: Any = ("mock",),
        fault: Fault = lambda n, body: None,
        answer: Callable[[dict[str, Any]], Any] = echo,
        latency: Callable[[int], float] = lambda n: 0.0,
        usage: Any = "count",
        list_statuses: tuple[int, ...] = (),
    ) -> None:
        self.models, self.fault, self.answer, self.latency = models, fault, answer, latency
        self.usage, self.list_statuses = usage, list(list_statuses)
        self.seen: list[tuple[Any, dict[str, Any]]] = []
        self.busiest = self._now = 0

    async def __aenter__(self) -> MockEndpoint:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, port: int = 0) -> MockEndpoint:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if self.list_statuses:
            return _refusal(self.list_statuses.pop(0), "not now")
        if self.models is None:
            return _refusal(404, "no such page")
        listed = [m if isinstance(m, dict) else {"id": m} for m in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        n = len(self.seen)
        self.seen.append((request.headers.copy(), body))
        self._now += 1
        self.busiest = max(self.busiest, self._now)
        try:
            await asyncio.sleep(self.latency(n))
            return await self._answer(request, body, self.fault(n, body))
        finally:
            self._now -= 1

    async def _answer(
        self, request: web.Request, body: dict[str, Any], fault: str | None
    ) -> web.StreamResponse:
        text = json.dumps(self._completion(body))
        if fault in ("reset", "half"):
            return await _cut(request, text, 0 if fault == "reset" else len(text) // 2)
        if fault == "slow":
            await asyncio.sleep(5)
        if fault == "bad_json":
            text = text[:-7]
        if fault == "wrong_shape":
            text = '{"error": {"message": "overloaded"}}'
        if fault == "not_utf8":
            return web.Response(body=b'{"choices": "\xff\xfe"}', content_type="application/json")
        if fault and fault.isdigit():
            wait = {"Retry-After": "0.2"} if fault == "429" else {}
            said = f"no: {request.headers.get('Authorization', '')}"
            return _refusal(int(fault), said, wait)
        if fault and fault.startswith("refuse "):
            return _refusal(400, fault, param=fault.removeprefix("refuse "))
        if fault == "refused":
            return _refusal(400, "something in here is not known")
        if fault == "too_long":
            return _refusal(400, "too many tokens", code="context_length_exceeded")
        return web.Response(text=text, content_type="application/json")

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        content = self.answer(body)
        words = len(str(content).split())
        usage = {
            "prompt_tokens": sum(len(str(m["content"]).split()) for m in body["messages"]),
            "completion_tokens": words,
            "prompt_tokens_details": {"cached_tokens": 1},
        }
        most = body.get("max_tokens", body.get("max_completion_tokens"))
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        if most is not None and words > most:
            message["content"] = " ".join(str(content).split()[:most])
            choice["finish_reason"] = "length"
        return {
            "object": "chat.completion",
            "model": body["model"],
            "choices": [choice],
            **({"usage": usage} if self.usage == "count" else {"usage": self.usage}),
        }


def _refusal(
    status: int,
    message: str,
    headers: dict[str, str] | None = None,
    param: str | None = None,
    code: str | None = None,
) -> web.Response:
    error = {"message": message, "type": "error", "param": param, "code": code or status}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _cut(request: web.Request, text: str, length: int) -> web.StreamResponse:
    """Promise the whole of `text`, send `length` of it, then reset the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(len(text))})
    if length:
        await response.prepare(request)
        await response.write(text[:length].encode())
        await asyncio.sleep(0.01)
    if request.transport is not None:
        request.transport.abort()
    return response


async def _serve(port: int, rate: float, latency_ms: float, models: list[str]) -> None:
    def fault(n: int, body: dict[str, Any]) -> str | None:
        chance = random.Random(n)
        return chance.choice(TRANSIENT) if chance.random() < rate else None

    endpoint = MockEndpoint(models, fault, latency=lambda n: latency_ms / 1000)
    await endpoint.start(port)
    print(endpoint.port, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible endpoint with faults.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--model", action="append")
    given = parser.parse_args()
    asyncio.run(_serve(given.port, given.fault_rate, given.latency_ms, given.model or ["mock"]))


if __name__ == "__main__":
    main()
