"""Each call of a conversation with its answer, as most checks read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from trajgen.filters.structure import raw_calls, text_of
from trajgen.records import Call


class Exchange(NamedTuple):
    """A well-formed call and its answer; `at` is the tool message, None when unanswered."""

    call: Call
    at: int | None
    observation: str


_read: ContextVar[tuple[Sequence[Any], list[Exchange]] | None] = ContextVar("_read", default=None)


@contextmanager
def read_once(messages: Sequence[Any]) -> Iterator[None]:
    """While this is open, all checks of `messages` share one list of their exchanges."""
    token = _read.set((messages, exchanges(messages)))
    try:
        yield
    finally:
        _read.reset(token)


def exchanges(messages: Sequence[Any]) -> list[Exchange]:
    """Each well-formed call with the first tool message behind it that has its id. May be
    shared: do not change it."""
    known = _read.get()
    if known is not None and known[0] is messages:
        return known[1]
    found: list[Exchange] = []
    for index, message in enumerate(messages):
        if isinstance(message, dict) and "tool_calls" in message:
            made = [call for raw in raw_calls(message) if (call := _call(raw, index))]
            answers = _answers_behind(messages, index) if made else {}
            found += [Exchange(call, *answers.get(call.id, (None, ""))) for call in made]
    return found


def _call(raw: Any, index: int) -> Call | None:
    function = raw.get("function") if isinstance(raw, dict) else None
    if not isinstance(function, dict):
        return None
    name, arguments, id_ = function.get("name"), function.get("arguments"), raw.get("id")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Call(id_ if isinstance(id_, str) else "", name, arguments, index)


def _answers_behind(messages: Sequence[Any], index: int) -> dict[str, tuple[int, str]]:
    answers: dict[str, tuple[int, str]] = {}
    for at in range(index + 1, len(messages)):
        message = messages[at]
        if not isinstance(message, dict) or message.get("role") != "tool":
            break
        id_ = message.get("tool_call_id")
        if isinstance(id_, str):
            answers.setdefault(id_, (at, text_of(message)))
    return answers
