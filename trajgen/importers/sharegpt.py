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

from trajgen.importers import tags
from trajgen.importers.exact import decoded, exact
from trajgen.importers.openai import text_of, tools_of
from trajgen.importers.problem import Problem, Refused
from trajgen.importers.turns import Turns
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
    """`row` with `messages` and `tools` in our form, or why it has none."""
    try:
        return converted(row, from_columns, tagged=None)
    except Refused as refused:
        return refused.problem


def converted(row: Any, from_columns: bool, tagged: bool | None) -> dict[str, Json]:
    """The row of `conversations` or `messages` with turns of any speaker. Raises Refused.

    `tagged`: whether Hermes tags are calls and answers; None: where no turn is a call.
    """
    if not isinstance(row, dict):
        raise Refused("a row must be a JSON object")
    turns = list(_turns(row))
    if tagged is None:
        tagged = all(kind != "call" for kind, _ in turns)
    tools = tools_of(row.get("tools"), from_columns)
    made = Turns()
    system = row.get("system") or ""
    if system and turns and turns[0][0] == "system" and turns[0][1] != system:
        raise Refused("two system prompts: the column `system` and the first turn", at=0)
    if system and not (turns and turns[0][0] == "system"):
        turns.insert(0, ("system", text_of(system, 0)))
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


def _turns(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, text) of each turn."""
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
    """What a turn that calls says first, and its calls: JSON, behind a thought or in tags."""
    if found := _THOUGHT.fullmatch(text):
        return found[1], tags.calls_of(found[2], at)
    if not text.lstrip().startswith(("{", "[")) and tags.CALL in text:
        return tags.calls_in(text, at)
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
