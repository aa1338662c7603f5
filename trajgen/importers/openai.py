"""OpenAI-style JSONL: one conversation a line, read as a stream.

What our messages hold is what comes out: `arguments` a dict, `content` a string, no null
keys. What cannot be represented is a problem with its line, never a guess and never `{}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen.errors import InputError
from trajgen.records import Json

_BOM = "\ufeff"


class Problem(str):
    """Why a row cannot be represented; `code` as the filters know it, `at` the message."""

    code: str
    at: int | None

    def __new__(cls, text: str, code: str = "bad_role_order", at: int | None = None) -> Problem:
        problem = super().__new__(cls, text)
        problem.code, problem.at = code, at
        return problem


class _Refused(ValueError):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def read(path: Path) -> Iterator[tuple[int, dict[str, Json] | Problem]]:
    """(line number from 1, row or problem) for every line that is not blank.

    A row is the line's object with `messages` and `tools` normalised, its other keys as
    they are. Raises InputError when the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _row(line)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from error


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none.

    `from_columns`: the row comes from typed columns, where a null says that a key is
    absent (of an argument too); in JSON a null argument is a value and stays.
    """
    try:
        return _normalised(row, from_columns)
    except _Refused as refused:
        return refused.problem


def _row(line: bytes) -> dict[str, Json] | Problem:
    try:
        row = json.loads(line.decode("utf-8").removeprefix(_BOM), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Problem(f"not a line of JSON in UTF-8 ({str(error)[:120]})")
    return normalised(row)


def _normalised(row: Any, from_columns: bool) -> dict[str, Json]:
    if not isinstance(row, dict):
        raise _Refused(Problem("a line must hold one JSON object"))
    if row.get("functions"):
        raise _Refused(Problem("`functions` is deprecated; use `tools`", "unknown_tool"))
    messages = _decoded(row.get("messages"), "messages")
    if not isinstance(messages, list):
        keys = ", ".join(sorted(map(str, row))[:8])
        raise _Refused(Problem(f"no list of `messages` (keys here: {keys})"))
    result = {**row, "messages": [_message(m, i, from_columns) for i, m in enumerate(messages)]}
    tools = _decoded(row.get("tools"), "tools")
    result.pop("tools", None)
    if tools:
        result["tools"] = _tools(tools, from_columns)
    return result


def _message(message: Any, at: int, from_columns: bool) -> dict[str, Json]:
    message = _decoded(message, "a message", at)
    if not isinstance(message, dict):
        raise _Refused(Problem("a message must be an object", at=at))
    kept = {key: value for key, value in message.items() if value is not None}
    if kept.get("function_call") or kept.get("role") == "function":
        raise _Refused(Problem("`function_call` is deprecated; use `tool_calls`", at=at))
    kept["content"] = _content(kept.get("content", ""), at)
    if kept.get("role") == "developer":  # the newer name of the same role
        kept["role"] = "system"
    calls = kept.pop("tool_calls", None)
    if calls:
        if not isinstance(calls, list):
            raise _Refused(Problem("`tool_calls` must be a list", at=at))
        kept["tool_calls"] = [_call(call, at, from_columns) for call in calls]
    return kept


def _content(content: Any, at: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part["text"] for part in content)
    raise _Refused(Problem("content must be text or a list of text parts", at=at))


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _call(call: Any, at: int, from_columns: bool) -> dict[str, Json]:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise _Refused(Problem("a tool call must hold a function", at=at))
    if call.get("type") not in (None, "function"):
        raise _Refused(Problem(f"a tool call of type {call['type']!r} is not supported", at=at))
    function = {key: value for key, value in call["function"].items() if value is not None}
    arguments = _arguments(function.get("arguments"), str(function.get("name")), at)
    function["arguments"] = _without_nulls(arguments) if from_columns else arguments
    kept = {key: value for key, value in call.items() if value is not None}
    return {**kept, "type": "function", "function": function}


def _arguments(arguments: Any, name: str, at: int) -> dict[str, Json]:
    """The arguments as a dict; JSON text is parsed, and must not say a key twice."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(
                arguments, parse_constant=_no_constant, object_pairs_hook=_no_doubles
            )
        except (ValueError, RecursionError) as error:
            detail = f"{name}: the arguments are not JSON ({str(error)[:100]})"
            raise _Refused(Problem(detail, "bad_arguments", at)) from error
    if not isinstance(arguments, dict):
        found = type(arguments).__name__
        detail = f"{name}: the arguments must be an object, found {found}"
        raise _Refused(Problem(detail, "bad_arguments", at))
    return arguments


def _tools(tools: Any, from_columns: bool) -> list[Json]:
    if not isinstance(tools, list):
        raise _Refused(Problem("`tools` must be a list", "unknown_tool"))
    return [_tool(_decoded(tool, "a tool"), from_columns) for tool in tools]


def _tool(tool: Any, from_columns: bool) -> Json:
    """{"type", "function"}; the flat form of the Responses API is the same, unnested."""
    if isinstance(tool, dict) and isinstance(tool.get("name"), str) and "function" not in tool:
        flat = {key: value for key, value in tool.items() if key != "type"}
        tool = {"type": "function", "function": flat}
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _Refused(Problem("a tool must be a function with a name", "unknown_tool"))
    return _without_nulls(tool) if from_columns else tool


def _decoded(value: Any, what: str, at: int | None = None) -> Any:
    """JSON text where a list or an object belongs, as columns of text hold it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Refused(Problem(f"{what}: not JSON ({str(error)[:100]})", at=at)) from error


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _no_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key comes twice")
    return result


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")
