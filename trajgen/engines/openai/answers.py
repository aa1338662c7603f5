"""What servers say: completions, model lists, and accounts of what went wrong.

Crash rule: plain functions of what came over the wire; nothing is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from trajgen.engines import Completion
from trajgen.engines.tokens import estimate, estimate_text
from trajgen.json_text import received
from trajgen.records import Json, Message

RETRY_AFTER_CAP_S = 120.0
_OTHERWISE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Problem:
    """A server's account of a failure: its words, the field it names, its machine-read marks."""

    text: str
    param: str = ""
    marks: frozenset[str] = frozenset()


def problem(raw: bytes) -> Problem:
    """The account in an answer that is none, whatever form the server gives it."""
    text = raw.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return Problem(text)
    found = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(found, dict):
        return Problem(found if isinstance(found, str) else text)
    words = found.get("message") or found.get("detail") or found
    param = str(found.get("param") or "")
    marks = frozenset(str(found.get(key)) for key in ("code", "type", "param"))
    return Problem(words if isinstance(words, str) else text, param.partition(".")[0], marks)


def completion(raw: bytes, messages: Sequence[Message]) -> Completion:
    """The Completion in an answer to `messages`. Raises ValueError when there is none."""
    try:
        return _completion(received(raw), messages)
    except _OTHERWISE as error:
        raise ValueError("no chat completion") from error


def _completion(data: Json, messages: Sequence[Message]) -> Completion:
    (choice,) = data["choices"]
    if choice.get("finish_reason") in ("abort", "error"):
        raise ValueError("the server gave the answer up")
    text = _content(choice["message"].get("content"))
    usage = data.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return Completion(
        text=text,
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=_number(usage.get("prompt_tokens"), lambda: sum(estimate(messages))),
        generated_tokens=_number(usage.get("completion_tokens"), lambda: estimate_text(text)),
        cached_tokens=_number(details.get("cached_tokens"), lambda: 0),
    )


def _content(content: Json) -> str:
    if isinstance(content, list):  # some servers send parts
        content = "".join(part.get("text") or "" for part in content)
    if not isinstance(content, str | None):
        raise TypeError("the content is no text")
    # JSON can carry half a surrogate pair, which no file can hold.
    return (content or "").encode("utf-8", "replace").decode("utf-8")


def _number(value: Json, otherwise: Callable[[], int]) -> int:
    return value if type(value) is int and value >= 0 else otherwise()


def listed(raw: bytes) -> dict[str, bool] | None:
    """The names of a /models answer, and which are adapters; None when it is no such list."""
    try:
        models = json.loads(raw)["data"]
        return {str(model["id"]): bool(model.get("parent")) for model in models}
    except _OTHERWISE:
        return None


def retry_after(headers: Mapping[str, str]) -> float:
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
