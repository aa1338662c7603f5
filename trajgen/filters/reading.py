"""A conversation as the checks read it: turns, calls with their answers, all of it as text.

What is malformed is read past, and structure.py alone reports it; so every filter survives
every input.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from trajgen.json_text import searchable
from trajgen.pointers import MISSING
from trajgen.records import Call, Json, Trajectory

_CACHED = 65_536  # characters; a longer observation is parsed again each time


class Turn(NamedTuple):
    """One message: "" for a role or a content that is no text, `calls` well-formed or not."""

    role: str
    text: str
    calls: list[Any]


class Exchange(NamedTuple):
    """A well-formed call and its answer; `at` is the tool message, None when unanswered."""

    call: Call
    at: int | None
    observation: str


class Reading:
    """The messages of one conversation, each part of it read when it is first asked for."""

    def __init__(self, messages: Sequence[Any]) -> None:
        self.messages = messages
        self.replay: tuple[Trajectory, Any] | None = None  # kept for replay.py

    @cached_property
    def turns(self) -> list[Turn]:
        return list(map(_turn, self.messages))

    @cached_property
    def exchanges(self) -> list[Exchange]:
        found: list[Exchange] = []
        turns = self.turns
        for index, turn in enumerate(turns):
            made = [call for raw in turn.calls if (call := _call(raw, index))]
            answers = self._answers_behind(index) if made else {}
            found += [Exchange(call, *answers.get(call.id, (None, ""))) for call in made]
        return found

    @cached_property
    def text(self) -> str | None:
        """All messages as text to search in, as `searchable` writes them."""
        return searchable(list(self.messages))

    def _answers_behind(self, index: int) -> dict[str, tuple[int, str]]:
        answers: dict[str, tuple[int, str]] = {}
        for at in range(index + 1, len(self.turns)):
            if self.turns[at].role != "tool":
                break
            id_ = self.messages[at].get("tool_call_id")
            if isinstance(id_, str):
                answers.setdefault(id_, (at, self.turns[at].text))
        return answers


_open: ContextVar[Reading | None] = ContextVar("_open", default=None)


@contextmanager
def read_once(messages: Sequence[Any]) -> Iterator[None]:
    """While this is open, all checks of `messages` share one reading of them."""
    token = _open.set(Reading(messages))
    try:
        yield
    finally:
        _open.reset(token)


def reading(messages: Sequence[Any]) -> Reading:
    """What was read of `messages` so far. May be shared: do not change it."""
    known = _open.get()
    return known if known is not None and known.messages is messages else Reading(messages)


def turns(messages: Sequence[Any]) -> list[Turn]:
    """Every message. May be shared: do not change it."""
    return reading(messages).turns


def exchanges(messages: Sequence[Any]) -> list[Exchange]:
    """Each well-formed call with the first tool message behind it that has its id. May be
    shared: do not change it."""
    return reading(messages).exchanges


def parsed(text: str) -> Json:
    """The JSON object or array that `text` is, or MISSING. Shared: do not change it."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return MISSING
    return _parsed(text) if len(text) <= _CACHED else _parse(text)


@lru_cache(maxsize=512)
def _parsed(text: str) -> Json:
    return _parse(text)


def _parse(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return MISSING


def _turn(message: Any) -> Turn:
    if not isinstance(message, dict):
        return Turn("", "", [])
    role, text, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    return Turn(
        role if isinstance(role, str) else "",
        text if isinstance(text, str) else "",
        calls if isinstance(calls, list) else [],
    )


def _call(raw: Any, index: int) -> Call | None:
    function = raw.get("function") if isinstance(raw, dict) else None
    if not isinstance(function, dict):
        return None
    name, arguments, id_ = function.get("name"), function.get("arguments"), raw.get("id")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Call(id_ if isinstance(id_, str) else "", name, arguments, index)
