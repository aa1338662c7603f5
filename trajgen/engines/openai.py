"""Any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, hosted models.

One pooled session; each try has its own time limit, and what may pass by itself (429,
5xx, resets, half answers) is tried again with back-off and jitter. `response_format`,
`seed` and `max_tokens` are sent until a server refuses them and answers without.

Crash rule: a request is asked again as a whole, never continued; nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import aiohttp
from yarl import URL

from trajgen.engines import Completion, Request
from trajgen.engines.tokens import TokenCounter, estimate, estimate_text, load_tokenizer
from trajgen.errors import (
    EngineDead,
    InputError,
    MachineError,
    PromptTooLong,
    RequestError,
    RolloutError,
    Timeout,
)
from trajgen.records import Json, Message, Tool

if TYPE_CHECKING:
    from trajgen.config import EngineConfig

_log = logging.getLogger(__name__)

BACKOFF_S = 0.5  # the first wait is at most this; each further one at most twice the last
BACKOFF_CAP_S = 30.0
RETRY_AFTER_CAP_S = 120.0
CONNECT_S = 30.0
LIST_S = 30.0
_BUSY = (408, 409, 425, 429)
_TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "input_tokens", "input_text"}
_LOADING = (502, 503, 504)  # what servers, and proxies before them, say while a model loads

Body = dict[str, Json]


class _Again(Exception):
    """A failed try; `error` is what it becomes when it was the last one."""

    def __init__(self, error: RolloutError, wait_s: float = 0.0, status: int = 0) -> None:
        super().__init__(str(error))
        self.error, self.wait_s, self.status = error, wait_s, status


class _Refused(Exception):
    """The server does not take the request as it is; `param` is the field it names, if any."""

    def __init__(self, error: RequestError, param: str = "") -> None:
        super().__init__(str(error))
        self.error, self.param = error, param


class OpenAIEngine:
    """The engine `kind: openai`.

    Tokens are counted with `tokenizer` when the pipeline names one, else estimated (four
    UTF-8 bytes a token and 4 a message). The counts of a completion are the server's
    `usage`; where a server sends none they are the same estimate. An adapter is asked for
    by its name in place of the model's, so the server must serve it under that name.
    """

    def __init__(self, config: EngineConfig, adapters: tuple[str, ...] = ()) -> None:
        self._config, self._adapters = config, adapters
        self._url = _checked_url(config.base_url)
        self._key = config.api_key.get_secret_value().strip() if config.api_key else ""
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError("the API key holds characters that no header can carry", "api_key")
        self._where = str(self._url.with_query(None))
        self.model = config.model
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(config.max_num_seqs)
        self._refused: set[str] = set()
        self._accepted: set[str] = set()
        self._counter: TokenCounter | None = None

    async def start(self) -> None:
        """Connect, and settle which model answers. Raises MachineError when it cannot serve."""
        await self.close()
        self._places = asyncio.Semaphore(self._config.max_num_seqs)
        self._session = self._open()
        try:
            self.model = self._choose_model(await self._served())
            if self._config.tokenizer:
                await asyncio.to_thread(self._tokens)
        except BaseException:
            await self.close()
            raise

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises RequestError, EngineDead or Timeout."""
        body = _leave_out(self._body(request), self._refused)
        try:
            completion = await self._persist(body)
        except _Refused as refusal:
            return await self._ask_plainly(body, refusal)
        self._accepted.update(body)
        return completion

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens of each message by the tokenizer, or estimated when there is none."""
        return (
            self._tokens().count(messages, tools)
            if self._config.tokenizer
            else estimate(messages, tools)
        )

    async def close(self) -> None:
        """Close the session; requests under way end as EngineDead or Timeout."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _tokens(self) -> TokenCounter:
        if self._counter is None:
            self._counter = TokenCounter(load_tokenizer(self._config.tokenizer or ""))
        return self._counter

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json", "User-Agent": "trajgen"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._config.max_num_seqs, keepalive_timeout=30),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._url.host not in ("localhost", "127.0.0.1", "::1"),  # proxies
        )

    def _body(self, request: Request) -> Body:
        body: Body = {
            "model": request.adapter or self.model,
            "messages": list(request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if request.schema is not None and self._config.structured_output:
            schema = {"name": request.role, "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def _ask_plainly(self, body: Body, refusal: _Refused) -> Completion:
        """Ask without what the server may not know; what helps is left out from then on.

        A server says why it refuses only in words, so the next answer decides, not they.
        A field it took before is not forgotten: then this one request was the matter.
        """
        for dropped in self._suspects(body, refusal.param):
            try:
                completion = await self._persist(_leave_out(body, dropped))
            except _Refused:
                continue
            for name in sorted(dropped - self._accepted - self._refused):
                self._refused.add(name)
                _log.warning("%s refuses %s: asking without it from now on", self._where, name)
            return completion
        raise refusal.error

    def _suspects(self, body: Body, param: str) -> Iterator[set[str]]:
        fields = [n for n in ("response_format", "seed") if n in body]
        fields = [n for n in fields if n == "response_format" or n not in self._accepted]
        if param == "max_tokens" and "max_tokens" in body and "max_tokens" not in self._accepted:
            yield {"max_tokens"}
        for name in sorted(fields, key=lambda n: n != param):
            yield {name}
        if len(fields) > 1:
            yield set(fields)

    async def _persist(self, body: Body) -> Completion:
        """Try until there is an answer, at most `retries` times more."""
        attempt = 0
        while True:
            try:
                return await self._post(body)
            except _Again as again:
                if attempt >= self._config.retries:
                    raise again.error from again.__cause__
                await asyncio.sleep(_pause(attempt, again.wait_s))
                attempt += 1

    async def _post(self, body: Body) -> Completion:
        status, headers, raw = await self._send("POST", "chat/completions", body)
        if status != 200:
            raise self._failure(status, headers, raw)
        try:
            return _completion(json.loads(raw), body)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            what = f"an answer that is no chat completion: {self._clean(_problem(raw).text)}"
            raise _Again(Timeout(what, self._where)) from error

    async def _send(
        self, method: str, path: str, body: Body | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = None if body is None else json.dumps(body).encode()
        limit = self._config.timeout_s if body else min(LIST_S, self._config.timeout_s)
        async with self._places:
            if self._session is None or self._session.closed:
                raise EngineDead("the engine is not started", self._where)
            try:
                async with self._session.request(
                    method,
                    (self._url / path).with_query(self._url.query),
                    data=data,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=limit, sock_connect=min(CONNECT_S, limit)),
                ) as response:
                    return response.status, response.headers, await response.read()
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                what = f"the endpoint cannot be reached ({self._clean(str(error))})"
                raise _Again(EngineDead(what, self._where, "Is the server up?")) from error
            except TimeoutError as error:
                what = f"no answer within {limit:g} s"
                raise _Again(Timeout(what, self._where, "Raise timeout_s.")) from error
            except (aiohttp.ClientError, OSError) as error:
                what = f"the connection broke ({type(error).__name__})"
                raise _Again(Timeout(what, self._where)) from error

    def _failure(self, status: int, headers: Mapping[str, str], raw: bytes) -> Exception:
        problem = _problem(raw)
        what = f"the server answered {status}: {self._clean(problem.text)}"
        if status in _BUSY or status >= 500:
            return _Again(Timeout(what, self._where), _retry_after(headers), status)
        if problem.marks & _TOO_LONG:
            return PromptTooLong(what, self._where, "Lower limits.tokens or max_tokens.")
        if status < 400:
            what += f" (it points to {self._clean(headers.get('Location', ''))})"
        advice = {401: "Check api_key.", 403: "Check api_key.", 404: "Check base_url and model."}
        error = RequestError(what, self._where, advice.get(status, ""))
        return _Refused(error, problem.param) if status in (400, 422) else error

    def _clean(self, text: str) -> str:
        """`text` on one short line, without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
        return line[:300] + "…" if len(line) > 300 else line or "(nothing)"

    async def _served(self) -> dict[str, bool] | None:
        """The models that the endpoint lists; None when it has no list."""
        deadline = time.monotonic() + self._config.start_timeout_s
        attempt = 0
        while True:
            try:
                status, headers, raw = await self._send("GET", "models")
                if status == 200:
                    return _listed(raw)
                if status in (404, 405, 501):
                    return None
                raise self._failure(status, headers, raw)
            except _Again as again:
                loading = again.status in _LOADING and time.monotonic() < deadline
                if attempt >= self._config.retries and not loading:
                    raise self._cannot_start(again.error) from again
                if attempt == 0:
                    _log.warning("%s, waiting for it", again.error)
                await asyncio.sleep(_pause(attempt, again.wait_s))
                attempt += 1
            except (_Refused, RolloutError) as error:
                raise self._cannot_start(error) from error

    def _cannot_start(self, error: Exception) -> MachineError:
        error = error.error if isinstance(error, _Refused) else error
        what = error.what if isinstance(error, RolloutError) else str(error)
        return MachineError(
            what,
            self._where,
            "Start the server, or check base_url (it ends in /v1 as a rule) and api_key.",
        )

    def _choose_model(self, served: dict[str, bool] | None) -> str:
        wanted = self._config.model
        for name in (wanted, *self._adapters):
            if name and served and name not in served and f"models/{name}" not in served:
                raise self._offer(f"the model {name!r} is not served", served)
        models = [name for name, adapter in (served or {}).items() if not adapter]
        if not wanted and len(models) != 1:
            raise self._offer("no model is named", served)
        return wanted or models[0]

    def _offer(self, what: str, served: dict[str, bool] | None) -> MachineError:
        offer = ", ".join(self._clean(name) for name in list(served or {})[:20])
        return MachineError(
            what, self._where, f"Set `model`; the server offers: {offer or 'no list'}"
        )


def _checked_url(text: str) -> URL:
    try:
        url = URL(text.rstrip("/"))
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(
            "an openai engine needs the URL of its endpoint",
            "base_url",
            "For example base_url: http://127.0.0.1:8000/v1",
        )
    if url.user or url.password:
        raise InputError("the URL holds a user or password", "base_url", "Use api_key: ${MY_KEY}")
    return url


@dataclass(frozen=True, slots=True)
class _Problem:
    """A server's account of a failure: its words, the field it names, its machine-read marks."""

    text: str
    param: str = ""
    marks: frozenset[str] = frozenset()


def _problem(raw: bytes) -> _Problem:
    text = raw.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return _Problem(text)
    found = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(found, dict):
        return _Problem(found if isinstance(found, str) else text)
    words = found.get("message") or found.get("detail") or found
    param = str(found.get("param") or "")
    marks = frozenset(str(found.get(key)) for key in ("code", "type", "param"))
    return _Problem(words if isinstance(words, str) else text, param.partition(".")[0], marks)


def _leave_out(body: Body, names: set[str]) -> Body:
    """`body` without `names`; hosted models renamed max_tokens, so that one stays as a bound."""
    left = {key: value for key, value in body.items() if key not in names}
    if "max_tokens" in names and "max_tokens" in body:
        left["max_completion_tokens"] = body["max_tokens"]
    return left


def _completion(data: Json, body: Body) -> Completion:
    """A Completion from a chat completion's JSON. Raises when the JSON is something else."""
    choice = data["choices"][0]
    if choice.get("finish_reason") in ("abort", "error"):
        raise ValueError("the server gave the answer up")
    text = _content(choice["message"].get("content"))
    usage = data.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    finish: Literal["stop", "length"] = (
        "length" if choice.get("finish_reason") == "length" else "stop"
    )
    return Completion(
        text=text,
        finish=finish,
        prompt_tokens=_number(usage.get("prompt_tokens"), sum(estimate(body["messages"]))),
        generated_tokens=_number(usage.get("completion_tokens"), estimate_text(text)),
        cached_tokens=_number(details.get("cached_tokens"), 0),
    )


def _content(content: Json) -> str:
    if isinstance(content, list):  # some servers send parts
        content = "".join(part.get("text") or "" for part in content)
    if not isinstance(content, str | None):
        raise TypeError("the content is no text")
    # JSON can carry half a surrogate pair, which no file can hold.
    return (content or "").encode("utf-8", "replace").decode("utf-8")


def _number(value: Json, otherwise: int) -> int:
    return value if type(value) is int and value >= 0 else otherwise


def _listed(raw: bytes) -> dict[str, bool] | None:
    """The names of a /models answer, and which are adapters; None when it is no such list."""
    try:
        models = json.loads(raw)["data"]
        return {str(model["id"]): bool(model.get("parent")) for model in models}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _pause(attempt: int, at_least_s: float) -> float:
    """Seconds to wait: full jitter, so that many clients do not come back together."""
    return at_least_s + random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2 ** min(attempt, 20)))


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a Retry-After header asks for, capped; 0 without one."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text else 0.0
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            seconds = 0.0
    return min(seconds, RETRY_AFTER_CAP_S) if seconds > 0 else 0.0
