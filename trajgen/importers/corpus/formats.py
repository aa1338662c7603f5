"""The formats a row may have, and which of them it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trajgen.importers.corpus import atif, hermes, openai, react, sharegpt, tags
from trajgen.importers.corpus.exact import decoded
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.records import Json

Reader = Callable[[Any, bool], dict[str, Json] | Problem]

FORMATS: dict[str, Reader] = {
    "openai": openai.normalised,
    "sharegpt": sharegpt.normalised,
    "hermes": hermes.normalised,
    "react": react.normalised,
    "atif": atif.normalised,
}
_CALL_TURNS = {name for name, kind in sharegpt.SPEAKERS.items() if kind == "call"}


def format_of(row: Any) -> str:
    """The name of the format that `row` has, or ""."""
    if not isinstance(row, dict):
        return ""
    if str(row.get("schema_version", "")).startswith("ATIF"):
        return "atif"
    if "conversations" in row:
        return "sharegpt"
    if _is_completion(row):
        return "openai"
    if "messages" in row:
        return _of_messages(row["messages"])
    if isinstance(text := row.get("text"), str):
        return "hermes" if "<|im_start|>" in text else "react" if react.writes_so(text) else ""
    return ""


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` in our form by the format that it has, or why it has none."""
    if isinstance(row, dict) and _is_completion(row):
        row = {**row, "messages": [*row["prompt"], *row["completion"]]}
    if name := format_of(row):
        return FORMATS[name](row, from_columns)
    if not isinstance(row, dict):
        return Problem("a row must be a JSON object")
    if {"simulations", "info"} <= row.keys():
        return Problem("a file of tau2 simulations: name it tau2:FILE")
    keys = ", ".join(sorted(map(str, row))[:8])
    return Problem(f"no known format (keys here: {keys}; known: {', '.join(FORMATS)})")


def _is_completion(row: dict[str, Any]) -> bool:
    """Whether the messages are divided into `prompt` and `completion`, as TRL has them."""
    return "messages" not in row and all(
        isinstance(row.get(name), list) for name in ("prompt", "completion")
    )


def _of_messages(messages: Any) -> str:
    try:
        messages = decoded(messages, "messages")
        items = [decoded(m, "a message") for m in messages] if isinstance(messages, list) else []
    except Refused:
        items = []
    items = [item for item in items if isinstance(item, dict)]
    if any("from" in item or item.get("role") in _CALL_TURNS for item in items):
        return "sharegpt"
    if not any(item.get("tool_calls") for item in items):
        texts = [m["content"] for m in items if _speaks(m)]
        if any(tags.CALL in text and tags.CALL_END in text for text in texts):
            return "hermes"
        if any(map(react.writes_so, texts)):
            return "react"
    return "openai"


def _speaks(message: dict[str, Any]) -> bool:
    return message.get("role") == "assistant" and isinstance(message.get("content"), str)
