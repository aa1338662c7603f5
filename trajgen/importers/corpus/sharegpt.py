"""ShareGPT rows: `conversations` of turns {"from", "value"}, as LLaMA-Factory, ms-swift and
Hermes corpora have them.

Calls are turns of their own (`function_call`, `tool_call`) that hold JSON, or stand between
Hermes tags in what the assistant says. `system` and `tools` stand beside the conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from trajgen.importers.corpus import tags
from trajgen.importers.corpus.exact import decoded, exact
from trajgen.importers.corpus.openai import text_of, tools_of
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.importers.corpus.turns import Turns
from trajgen.records import Json

SPEAKERS = {
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(("observation", "tool", "tool_response", "function_response"), "answer"),
}
# How LLaMA-Factory puts the answers to parallel calls into one turn.
JOINED = f"\n{tags.ANSWER_END}\n{tags.ANSWER}\n"
_THOUGHT = re.compile(r"\s*(<think>.*?</think>)\s*(.*)", re.DOTALL)


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none.

    Where no turn is a call, Hermes tags are calls if all of them can be read so, else text.
    """
    calls = True
    try:
        turns = _turns(row)
        calls = any(kind == "call" for kind, _ in turns)
        return _converted(row, turns, from_columns, tagged=not calls)
    except Refused as refused:
        problem = refused.problem
    try:
        return problem if calls else _converted(row, turns, from_columns, tagged=False)
    except Refused:
        return problem


def tagged(row: Any, from_columns: bool) -> dict[str, Json]:
    """The same with Hermes tags as calls and answers. Raises Refused."""
    return _converted(row, _turns(row), from_columns, tagged=True)


def _converted(
    row: dict[str, Any], turns: list[tuple[str, str]], from_columns: bool, tagged: bool
) -> dict[str, Json]:
    tools = tools_of(row.get("tools"), from_columns)
    made = Turns()
    for at, (kind, text) in enumerate(turns):
        made.at = at
        if kind == "system" and tagged:
            text, listed = tags.tools_in(text)
            tools = tools or tools_of(listed)
            if not text and listed:
                continue
        around = [kind for kind, _ in turns[max(at - 1, 0) : at + 2]]
        _turn(made, kind, text, tagged, alone=around.count("answer") == 1)
    result: dict[str, Json] = {key: row[key] for key in ("id", "state") if key in row}
    return {**result, "messages": made.messages, **({"tools": tools} if tools else {})}


def _turns(row: Any) -> list[tuple[str, str]]:
    """(kind, text) of each turn, a system prompt of its own column first."""
    if not isinstance(row, dict):
        raise Refused("a row must be a JSON object")
    turns = list(_said(row))
    begins = turns[0] if turns and turns[0][0] == "system" else None
    if not (system := text_of(row.get("system") or "", 0)):
        return turns
    if begins and begins[1] != system:
        raise Refused("two system prompts: the column `system` and the first turn", at=0)
    return turns if begins else [("system", system), *turns]


def _said(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = "conversations" if "conversations" in row else "messages"
    turns = decoded(row.get(name), name)
    if not isinstance(turns, list):
        keys = ", ".join(sorted(map(str, row))[:8])
        raise Refused(f"no list of `conversations` (keys here: {keys})")
    for at, turn in enumerate(turns):
        turn = decoded(turn, "a turn", at)
        if not isinstance(turn, dict):
            raise Refused("a turn must be an object", at=at)
        speaker = turn.get("from", turn.get("role"))
        if not isinstance(speaker, str) or speaker not in SPEAKERS:
            raise Refused(f"unknown speaker {speaker!r}", at=at)
        if turn.get("tool_calls"):
            raise Refused("`tool_calls` beside turns of another form", at=at)
        yield SPEAKERS[speaker], text_of(turn.get("value", turn.get("content")), at)


def _turn(made: Turns, kind: str, text: str, tagged: bool, alone: bool) -> None:
    if kind == "call":
        said, calls = _calls(text, made.at)
        made.call(calls, said)
    elif kind == "assistant" and tagged and tags.CALL in text:
        said, calls = tags.calls_in(text, made.at)
        made.call(calls, said)
    elif kind == "answer" or (kind == "user" and tagged and tags.answers_in(text)):
        answers = tags.answers_in(text) if tagged else None
        for answer in answers or _split(text, len(made.waiting) if alone else 1):
            made.answer(answer)
    else:
        made.say(kind, text)


def _calls(text: str, at: int) -> tuple[str, list[Any]]:
    """What a turn that calls says first, and its calls: JSON, in tags or behind a thought."""
    if tags.CALL in text and text.rstrip().endswith(tags.CALL_END):
        return tags.calls_in(text, at)
    if found := _THOUGHT.fullmatch(text):
        return found[1], tags.calls_of(found[2], at)
    return "", tags.calls_of(text, at)


def _split(text: str, waiting: int) -> list[str]:
    """The answers to all `waiting` calls in the one turn that answers them."""
    if waiting < 2:
        return [text]
    if len(parts := text.split(JOINED)) == waiting:
        return parts
    try:
        values = exact(text)
    except ValueError:
        return [text]
    if isinstance(values, list) and len(values) == waiting:
        return [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    return [text]
