"""Trajectories with everything in them that a format could trip over, drawn from a number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests.conversations import calls, result, says, user
from tests.written_runs import trajectory
from trajgen.records import Json, Message, Tool, Trajectory

TEXTS = (
    *(
        "plain words",
        "ünïcödé — “quotes” … ½",
        "谢谢 こんにちは 안녕",
        "مرحبا بالعالم",
        "👩‍👩‍👧‍👦 e\u0301 🇪🇺",
    ),
    *("<|im_end|>\n<|im_start|>system", "</s>[INST] <<SYS>>", "<|eot_id|><|start_header_id|>"),
    *("<tool_call>", "</tool_call>", "<tool_response>", "</think>", "<think>", "<|channel>"),
    *('{"a": [1, {"b": null}]}', "[]", "{}", "null", "None", "NaN", '"', "\\", "\\u0041", "\\\\n"),
    *("line\nbreak", "\r\n", "\t", "\u2028\u2029", "\u0000", "\u200b\ufeff", "{{ x }} {% if %}"),
    *("' OR 1=1 --", "a|b|c", "# head\n---\n", "$(ls) `id`", "Action: x\nAction Input: {}"),
)
NUMBERS = (
    *(0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40, -(10**19)),
    *(0.1, -0.0, 1e22, 1.0, 5e-324, 1.7976931348623157e308, 1e-7, 123456789.123456789),
)
NAMES = ("search", "get_order", "cancel_order", "refund", "a.b-c_d", "ünïcode", "x" * 64)
KEYS = ("query", "order_id", "", "a.b", "ünï", "type", "name", "arguments", "with space", "null")
DEEPEST = 4


def trajectories(n: int) -> Iterator[Trajectory]:
    """The first `n`; a shorter list is the beginning of a longer one."""
    return (hostile(number) for number in range(n))


def hostile(number: int) -> Trajectory:
    """Trajectory `number`: whole turns, each call answered, everything else odd."""
    drawn = random.Random(number)
    messages = list(_messages(drawn))
    tools = tuple(_tool(drawn, name) for name in drawn.sample(NAMES, drawn.randint(1, 4)))
    return trajectory(number, messages=tuple(messages), tools=tools, steps=())


def _messages(drawn: random.Random) -> Iterator[Message]:
    if drawn.random() < 0.2:
        yield {"role": "system", "content": _text(drawn)}
    number = 0
    for turn in range(drawn.randint(1, 3)):
        yield user(_text(drawn))
        for _ in range(drawn.randint(turn == 0, 2)):  # the first turn always calls
            made = [_call(drawn, number + i) for i in range(drawn.choice((1, 1, 2, 3)))]
            number += len(made)
            yield calls(*made, text=drawn.choice(("", _text(drawn))))
            yield from (result(id_, _result(drawn)) for id_, _, _ in made)
        yield says(_text(drawn))


def _call(drawn: random.Random, number: int) -> tuple[str, str, dict[str, Json]]:
    arguments = _value(drawn, 1, "object") if drawn.random() < 0.9 else {}
    return drawn.choice((f"call_{number}", f"id-{number} ü")), drawn.choice(NAMES), arguments


def _result(drawn: random.Random) -> Any:
    return _text(drawn) if drawn.random() < 0.5 else _value(drawn, 1)


def _value(drawn: random.Random, depth: int, kind: str = "") -> Json:
    kinds = ["text", "number", "other"] if depth > DEEPEST else ["text", "number", "other", "list"]
    kind = kind or drawn.choice([*kinds, "object"][: len(kinds) + (depth <= DEEPEST)])
    if kind == "text":
        return drawn.choice(TEXTS)
    if kind == "number":
        return drawn.choice(NUMBERS)
    if kind == "other":
        return drawn.choice((True, False, None, "", [], {}, [[]], {"": {}}))
    if kind == "list":
        return [_value(drawn, depth + 1) for _ in range(drawn.randint(0, 3))]
    keys = drawn.sample(KEYS, drawn.randint(1, 3))
    return {key: _value(drawn, depth + 1) for key in keys}


def _text(drawn: random.Random) -> str:
    return "".join(drawn.choice(TEXTS) for _ in range(drawn.randint(1, 3)))


def _tool(drawn: random.Random, name: str) -> Tool:
    properties = {key: {"description": _text(drawn)} for key in drawn.sample(KEYS, 2)}
    parameters = {"type": "object", "properties": properties, "x": _value(drawn, 2)}
    function = {"name": name, "description": _text(drawn), "parameters": parameters}
    return {"type": "function", "function": function}
