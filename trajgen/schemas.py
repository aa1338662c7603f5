"""JSON schemas: the tools' arguments, compiled once, and the typed answer of each role.

Tool schemas come from data, so they are bounded before any engine compiles a grammar from
them. The answers' schemas are few and reused: a grammar costs seconds the first time.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from trajgen.bounds import MAX_ALL_CHARS, depth, guide, out_of_bounds
from trajgen.effects import OPS
from trajgen.goals import CONDITIONS
from trajgen.json_text import canonical
from trajgen.records import Json, Reason, Tool
from trajgen.remembered import Remembered

MAX_TOOLS = 256
MAX_CALLS = 4
MAX_ANSWER_DEPTH = 64
MAX_INTEGER = 2**63
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class BadAnswer(ValueError):
    """A completion that is not the typed JSON its role must give; the text says why."""


@lru_cache(maxsize=4096)
def _compiled(schema: str) -> Any:
    return jsonschema_rs.validator_for(json.loads(schema))


def _shared(schema: Mapping[str, Json]) -> Any:
    return _compiled(canonical(schema))


_validators = Remembered(_shared, 1024)


def validator(schema: Mapping[str, Json]) -> Any:
    """The compiled validator of `schema`, shared by equal schemas. A schema is made into text
    once and not for each answer; schemas are never changed in place."""
    return _validators(schema)


def tool_problems(tools: Json) -> list[str]:
    """What is wrong with a domain's tool list; [] when engines may see it."""
    if not isinstance(tools, list):
        return ["tools must be a list of OpenAI function schemas"]
    if len(tools) > MAX_TOOLS:
        return [f"{len(tools)} tools; at most {MAX_TOOLS}"]
    problems = [p for i, tool in enumerate(tools) for p in _tool_problems(i, tool)]
    if problems:
        return problems
    names = Counter(tool["function"]["name"] for tool in tools)
    size = sum(len(canonical(tool["function"]["parameters"])) for tool in tools)
    if size > MAX_ALL_CHARS:
        problems = [f"all parameters take {size} characters; at most {MAX_ALL_CHARS}"]
    return problems + [f"tool {name!r} is there twice" for name in names if names[name] > 1]


def _tool_problems(index: int, tool: Json) -> Iterable[str]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        yield f"tool {index}: not {{'type': 'function', 'function': {{'name', 'parameters'}}}}"
        return
    name, parameters = function["name"], function.get("parameters")
    if not _TOOL_NAME.fullmatch(name):
        yield f"tool {index}: {name!r} is no function name"
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        yield f"tool {name}: parameters must be a JSON schema of type object"
        return
    yield from _bounds(name, parameters)


def _bounds(name: str, parameters: dict[str, Json]) -> Iterable[str]:
    if problem := out_of_bounds(parameters):
        yield f"tool {name}: {problem}"
        return
    try:
        validator(parameters)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        yield f"tool {name}: parameters are no valid JSON schema ({str(error).splitlines()[0]})"


def _object(**properties: Json) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STRING: dict[str, Json] = {"type": "string"}
# Grammar compilers take a pattern for the whole string: "^/" alone would allow nothing but "/".
POINTER = STRING | {"pattern": '^/[^"\\\\]*$'}


def _effect(path: Json) -> dict[str, Json]:
    return {**_object(op={"enum": list(OPS)}, path=path, value={}), "required": ["op", "path"]}


EFFECT, EFFECT_GUIDE = _effect(STRING), _effect(POINTER)  # what is wrong is told by the ledger
CONDITION: dict[str, Json] = {
    "anyOf": [_object(path=POINTER, **{test: {}}) for test in CONDITIONS]
}  # of a goal
USER = _object(
    say=STRING, done={"type": "boolean"}, outcome={"enum": ["success", "refusal", "failure"]}
)
USER_FIRST = _object(**{**USER["properties"], "done": {"const": False}})  # they begin
INSTRUCTION_CHARS = 600  # two to five sentences


def scenario(may_change_state: bool, may_state_goal: bool, guide: bool) -> dict[str, Json]:
    """The user's instruction and, where allowed, effects that prepare the world and the goal
    as conditions on the final state.

    As a `guide` it bounds the instruction, so that a weak model comes to an end; what an
    answer is held to does not, and lets effects be left out. A goal may always be left out.
    """
    properties = {"instruction": STRING | {"maxLength": INSTRUCTION_CHARS} if guide else STRING}
    if may_change_state:
        items = EFFECT_GUIDE if guide else EFFECT
        properties["effects"] = {"type": "array", "items": items, "maxItems": 6}
    required = list(properties) if guide else ["instruction"]
    if may_state_goal:
        items = CONDITION if guide else {"type": "object"}  # what is wrong is told in words
        properties["goal"] = {"type": "array", "items": items, "maxItems": 6}
    return {**_object(**properties), "required": required}


def action(tools: Iterable[Tool]) -> dict[str, Json]:
    """The agent's turn: what it says and the calls it makes, each under its tool's schema."""
    calls = [
        _object(name={"const": function["name"]}, arguments=guide(function["parameters"]))
        for function in (tool["function"] for tool in tools)
    ]
    items: Json = {"anyOf": calls} if len(calls) > 1 else calls[0] if calls else {}
    most = MAX_CALLS if calls else 0
    return _object(say=STRING, calls={"type": "array", "items": items, "maxItems": most})


ACTION = _object(
    say=STRING,
    calls={
        "type": "array",
        "maxItems": MAX_CALLS,
        "items": _object(name=STRING, arguments={"type": "object"}),
    },
)  # what every agent's answer is held to; its calls are then judged tool by tool


def call_problems(calls: list[dict[str, Json]], tools: Iterable[Tool], at: int) -> list[Reason]:
    """What is wrong with the agent's calls: `unknown_tool`, or `bad_arguments` and where."""
    parameters = {t["function"]["name"]: t["function"]["parameters"] for t in tools}
    problems = []
    for call in calls:
        if call["name"] not in parameters:
            known = ", ".join(parameters)
            problems.append(Reason("unknown_tool", at, f"{call['name']!r}; known: {known}"))
            continue
        for mistake in validator(parameters[call["name"]]).iter_errors(call["arguments"]):
            pointer = "".join(f"/{key}" for key in mistake.instance_path)
            problems.append(
                Reason("bad_arguments", at, f"{call['name']} {pointer}: {mistake.message[:300]}")
            )
    return problems


def world_answer(kind: str | None, json_observation: bool, guide: bool = False) -> dict[str, Json]:
    """The world model's answer to one call; a read is given no room for effects. As a `guide`
    it lets paths begin only as pointers do."""
    most = 0 if kind == "read" else 8
    return _object(
        applies={"type": "boolean"},
        why=STRING,
        effects={
            "type": "array",
            "items": EFFECT_GUIDE if guide else EFFECT,
            "maxItems": most,
        },
        observation={"type": ["object", "array"]} if json_observation else STRING,
    )


def _authored(agent: dict[str, Json]) -> dict[str, Json]:
    answer = world_answer(None, json_observation=False)
    answer["properties"]["observation"] = {"type": ["string", "object", "array"]}
    answers = {"type": "array", "items": answer, "minItems": 1, "maxItems": MAX_CALLS}
    turns = [
        _object(role={"const": "user"}, say=STRING),
        _object(role={"const": "agent"}, **agent["properties"]),
        _object(role={"const": "world"}, answers=answers),
    ]
    outcome = USER["properties"]["outcome"]
    return _object(turns={"type": "array", "items": {"anyOf": turns}}, outcome=outcome)


def authored(tools: Iterable[Tool]) -> dict[str, Json]:
    """A whole trajectory in one completion: turns of user, agent and world, and the outcome."""
    return _authored(action(tools))


AUTHORED = _authored(ACTION)  # what an authored answer is held to, as ACTION


_SCORES = {key: {"enum": [1, 2, 3, 4, 5]} for key in ("policy", "goal", "quality")}
JUDGED = _object(reasons=_object(**dict.fromkeys(_SCORES, STRING)), **_SCORES)


def parse_answer(text: str, schema: Mapping[str, Json]) -> dict[str, Json]:
    """The JSON object in `text` under `schema`; one code fence around it is allowed.

    Raises BadAnswer that tells a model what was wrong.
    """
    try:
        value = parse_json(_unfenced(text))
    except ValueError as error:
        raise BadAnswer(f"not valid JSON ({error})") from error
    compiled = validator(schema)
    for mistake in () if compiled.is_valid(value) else compiled.iter_errors(value):
        place = "/".join(str(key) for key in mistake.instance_path) or "the answer"
        raise BadAnswer(f"{place}: {mistake.message[:300]}")
    answer: dict[str, Json] = value
    return answer


def parse_json(text: str) -> Json:
    """`text` as JSON that any reader can hold: numbers finite and within 64 bits, characters
    that UTF-8 knows, at most MAX_ANSWER_DEPTH deep. Raises ValueError.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nests too deep") from error
    if text.count("{") + text.count("[") >= MAX_ANSWER_DEPTH and depth(value) > MAX_ANSWER_DEPTH:
        raise ValueError(f"nests deeper than {MAX_ANSWER_DEPTH}")
    if "\\u" in text or not text.isascii():  # else there is no half of a surrogate pair
        canonical(value).encode("utf-8")
    return value


def _unfenced(text: str) -> str:
    """What is inside the code fence around all of `text`; `text` itself without one."""
    head, newline, rest = text.strip().partition("\n")
    if newline and head.rstrip() in ("```", "```json") and rest.endswith("```"):
        return rest.removesuffix("```")
    return text


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > 20 or not -MAX_INTEGER <= (number := int(text)) < MAX_INTEGER:
        raise ValueError(f"the number {text[:20]} is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_integer)
