"""One pooled HTTP session to an endpoint, which tries again what may pass by itself.

Each try has its own time limit; between tries (429, 5xx, resets, half answers) there is
back-off with jitter. All that cannot pass leaves as an error of this package or as Refused.

Crash rule: a request is asked again as a whole, never continued; nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import aiohttp
from yarl import URL

from trajgen.config.model import names_a_variable
from trajgen.engines import Completion
from trajgen.engines.concurrency import ConcurrencyLimit
from trajgen.engines.openai.answers import completion, listed, problem, retry_after
from trajgen.errors import (
    EngineDead,
    InputError,
    PromptTooLong,
    RequestError,
    RolloutError,
    Timeout,
)
from trajgen.json_text import sent
from trajgen.records import Json

if TYPE_CHECKING:
    from trajgen.config.engine import EngineConfig

_log = logging.getLogger(__name__)

BACKOFF_S = 0.5  # the first wait is at most this; each further one at most twice the last
BACKOFF_CAP_S = 30.0
CONNECT_S = 30.0
LIST_S = 30.0
_BUSY = (408, 409, 425, 429)
_CROWDED = (429, 503, 529)
_TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "input_tokens", "input_text"}
_LOADING = (502, 503, 504)  # what servers, and proxies before them, say while a model loads
_NO_LIST = (404, 405, 501)
_ADVICE = {401: "Check api_key.", 403: "Check api_key.", 404: "Check base_url and model."}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Body = dict[str, Json]
Got = TypeVar("Got")


class Refused(Exception):
    """The server does not take the request as it is; `param` is the field it names, if any."""

    def __init__(self, error: RequestError, param: str = "") -> None:
        super().__init__(str(error))
        self.error, self.param = error, param


class _Again(Exception):
    """A failed try; `error` is what it becomes when it was the last one."""

    def __init__(self, error: RolloutError, wait_s: float = 0.0, status: int = 0) -> None:
        super().__init__(str(error))
        self.error, self.wait_s, self.status = error, wait_s, status


class Connection:
    """To the endpoint of `config`; `where` names it in messages, without query or key."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._url = _checked_url(config.base_url)
        self._key = config.api_key.get_secret_value().strip() if config.api_key else ""
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError("the API key holds characters that no header can carry", "api_key")
        self._hidden = _hidden(config, self._url, self._key)
        self.where = self._without_secrets(str(self._url.with_query(None)))
        self._chat, self._limits = self._below("chat/completions"), _limits(config.timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self.concurrency = ConcurrencyLimit(config.max_num_seqs)

    def open(self) -> None:
        """Begin a session; must be called where an event loop runs."""
        headers = {"Content-Type": "application/json", "User-Agent": "trajgen"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self.concurrency = ConcurrencyLimit(self._config.max_num_seqs)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._config.max_num_seqs, keepalive_timeout=30),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._url.host not in _LOOPBACK,  # proxies
        )

    async def close(self) -> None:
        """End the session; requests under way end as EngineDead or Timeout."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def complete(self, body: Body) -> Completion:
        """The answer to a chat completion. Raises RequestError, EngineDead, Timeout or Refused."""
        return await self._persist(lambda: self._complete(body))

    async def models(self) -> dict[str, bool] | None:
        """The names that the endpoint lists, and which are adapters; None without a list.

        Waits `start_timeout_s` while the server loads. Raises as `complete` does.
        """
        return await self._persist(self._models, self._config.start_timeout_s)

    def clean(self, text: str) -> str:
        """`text` on one short line, without the key."""
        text = self._without_secrets(text)
        line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
        return line[:300] + "…" if len(line) > 300 else line or "(nothing)"

    def _without_secrets(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text

    async def _persist(self, once: Callable[[], Awaitable[Got]], patience_s: float = 0) -> Got:
        """Try at most `retries` times more, or for `patience_s` while the server loads."""
        deadline = time.monotonic() + patience_s
        attempt = 0
        while True:
            try:
                return await once()
            except _Again as again:
                loading = again.status in _LOADING and time.monotonic() < deadline
                if attempt >= self._config.retries and not loading:
                    raise again.error from None  # what aiohttp says may hold the address
                if patience_s and attempt == 0:
                    _log.warning("%s, waiting for it", again.error)
                await asyncio.sleep(pause(attempt, again.wait_s))
                attempt += 1

    async def _complete(self, body: Body) -> Completion:
        status, headers, raw = await self._send("POST", self._chat, self._limits, body)
        if status != 200:
            raise self._failure(status, headers, raw)
        self.concurrency.answered()
        try:
            return completion(raw, body["messages"])
        except ValueError as error:
            what = f"an answer that is no chat completion: {self.clean(problem(raw).text)}"
            raise _Again(Timeout(what, self.where)) from error

    async def _models(self) -> dict[str, bool] | None:
        limits = _limits(min(LIST_S, self._config.timeout_s))
        status, headers, raw = await self._send("GET", self._below("models"), limits)
        if status in _NO_LIST:
            return None
        if status != 200:
            raise self._failure(status, headers, raw)
        return listed(raw)

    async def _send(
        self, method: str, url: URL, limits: aiohttp.ClientTimeout, body: Body | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = None if body is None else sent(body)
        async with self.concurrency:
            if self._session is None or self._session.closed:
                raise EngineDead("the engine is not started", self.where)
            try:
                async with self._session.request(
                    method, url, data=data, allow_redirects=False, timeout=limits
                ) as response:
                    if response.status in _CROWDED:
                        self.concurrency.crowded()
                    return response.status, response.headers, await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise _Again(self._broken(error, limits.total or 0.0)) from error

    def _below(self, path: str) -> URL:
        return (self._url / path).with_query(self._url.query)

    def _broken(self, error: Exception, limit: float) -> RolloutError:
        """What a connection without an answer is."""
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            what = f"the endpoint cannot be reached ({self.clean(str(error))})"
            return EngineDead(what, self.where, "Is the server up?")
        if isinstance(error, TimeoutError):
            return Timeout(f"no answer within {limit:g} s", self.where, "Raise timeout_s.")
        return Timeout(f"the connection broke ({type(error).__name__})", self.where)

    def _failure(self, status: int, headers: Mapping[str, str], raw: bytes) -> Exception:
        """What an answer with another status than 200 is."""
        told = problem(raw)
        what = f"the server answered {status}: {self.clean(told.text)}"
        if status in _BUSY or status >= 500:
            return _Again(Timeout(what, self.where), retry_after(headers), status)
        if told.marks & _TOO_LONG:
            return PromptTooLong(what, self.where, "Lower limits.tokens or max_tokens.")
        if status < 400:
            what += f" (it points to {self.clean(headers.get('Location', ''))})"
        error = RequestError(what, self.where, _ADVICE.get(status, ""))
        return Refused(error, told.param) if status in (400, 422) else error


def _limits(total_s: float) -> aiohttp.ClientTimeout:
    """Of one try."""
    return aiohttp.ClientTimeout(total=total_s, sock_connect=min(CONNECT_S, total_s))


def pause(attempt: int, at_least_s: float) -> float:
    """Seconds to wait: full jitter, so that many clients do not come back together."""
    return at_least_s + random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2 ** min(attempt, 20)))


def _hidden(config: EngineConfig, url: URL, key: str) -> list[str]:
    """What no message may hold: the key and, of an address that `${VAR}` is in, all that does
    not stand in the file itself; the longest first."""
    parts = {key}
    if names_a_variable(written := config.written("base_url")):
        given = {config.base_url, url.host or "", *url.parts, *url.query.values()}
        parts |= {part for part in given if part not in written}
        parts |= {part for part in (*url.raw_parts, url.raw_query_string) if part not in written}
    return sorted(parts - {"", "/"}, key=len, reverse=True)


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
