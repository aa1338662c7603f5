"""OpenAI-style rows: `messages` and `tools`.

What our messages hold is what comes out: `arguments` a dict, `content` a string, no null
keys. What cannot be represented is a problem with its line, never a guess and never `{}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen.importers.corpus import json_files
from trajgen.importers.corpus.exact import arguments_of, decoded, without_nulls
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.records import Json


def read(path: Path) -> Iterator[tuple[int, dict[str, Json] | Problem]]:
    """(number from 1, row or problem) for every row of a JSON or JSONL file.

    A row is the object with `messages` and `tools` normalised, its other keys as they are.
    Raises InputError when the file cannot be opened.
    """
    for number, row in json_files.read(path):
        yield number, row if isinstance(row, Problem) else normalised(row)


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none.

    `from_columns`: the row comes from typed columns, where a null says that a key is
    absent (of an argument too); in JSON a null argument is a value and stays.
    """
    try:
        return _normalised(row, from_columns)
    except Refused as refused:
        return refused.problem


def tools_of(tools: Any, from_columns: bool = False) -> list[Json]:
    """A tool list in our form: OpenAI's, nested or flat; JSON text is parsed. Raises Refused."""
    columns = from_columns and not isinstance(tools, str)
    tools = decoded(tools, "tools")
    if not tools:
        return []
    if not isinstance(tools, list):
        raise Refused("`tools` must be a list", "unknown_tool")
    return [_tool(tool, columns) for tool in tools]


def text_of(content: Any, at: int | None) -> str:
    """A content as text: a string, or a list of text parts. Raises Refused."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part["text"] for part in content)
    raise Refused("content must be text or a list of text parts", at=at)


def _normalised(row: Any, from_columns: bool) -> dict[str, Json]:
    if not isinstance(row, dict):
        raise Refused("a row must be a JSON object")
    if row.get("functions"):
        raise Refused("`functions` is deprecated; use `tools`", "unknown_tool")
    columns = from_columns and not isinstance(row.get("messages"), str)
    messages = decoded(row.get("messages"), "messages")
    if not isinstance(messages, list):
        keys = ", ".join(sorted(map(str, row))[:8])
        raise Refused(f"no list of `messages` (keys here: {keys})")
    result = {**row, "messages": [_message(m, i, columns) for i, m in enumerate(messages)]}
    result.pop("tools", None)
    if tools := tools_of(row.get("tools"), from_columns):
        result["tools"] = tools
    return result


def _message(message: Any, at: int, from_columns: bool) -> dict[str, Json]:
    from_columns = from_columns and not isinstance(message, str)  # text keeps its nulls
    message = decoded(message, "a message", at)
    if not isinstance(message, dict):
        raise Refused("a message must be an object", at=at)
    kept = {key: value for key, value in message.items() if value is not None}
    if kept.get("function_call") or kept.get("role") == "function":
        raise Refused("`function_call` is deprecated; use `tool_calls`", at=at)
    kept["content"] = text_of(kept.get("content", ""), at)
    if kept.get("role") == "developer":  # the newer name of the same role
        kept["role"] = "system"
    calls = kept.pop("tool_calls", None)
    if calls:
        if not isinstance(calls, list):
            raise Refused("`tool_calls` must be a list", at=at)
        kept["tool_calls"] = [_call(call, at, from_columns) for call in calls]
    return kept


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _call(call: Any, at: int, from_columns: bool) -> dict[str, Json]:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise Refused("a tool call must hold a function", at=at)
    if call.get("type") not in (None, "function"):
        raise Refused(f"a tool call of type {call['type']!r} is not supported", at=at)
    function = {key: value for key, value in call["function"].items() if value is not None}
    given = function.get("arguments")
    arguments = arguments_of(given, str(function.get("name")), at)
    columns = from_columns and not isinstance(given, str)
    function["arguments"] = without_nulls(arguments) if columns else arguments
    kept = {key: value for key, value in call.items() if value is not None}
    return {**kept, "type": "function", "function": function}


def _tool(tool: Any, from_columns: bool) -> Json:
    """{"type", "function"}; the flat form of the Responses API is the same, unnested."""
    from_columns = from_columns and not isinstance(tool, str)
    tool = decoded(tool, "a tool")
    if isinstance(tool, dict) and isinstance(tool.get("name"), str) and "function" not in tool:
        flat = {key: value for key, value in tool.items() if key != "type"}
        tool = {"type": "function", "function": flat}
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Refused("a tool must be a function with a name", "unknown_tool")
    return without_nulls(tool) if from_columns else tool
