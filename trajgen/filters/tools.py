"""Tool calls: known tools, arguments that fit their schema, one answer a call, no loops.

A schema is compiled once; what it declares is closed, so an argument that no schema
names is an error unless the schema says otherwise.
"""

from __future__ import annotations

import difflib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from trajgen.bounds import circles, depth
from trajgen.filters.loops import repeats
from trajgen.filters.reading import Turn, parsed, turns
from trajgen.json_text import canonical
from trajgen.pointers import MISSING
from trajgen.records import Domain, Json, Reason, Trajectory

if TYPE_CHECKING:
    from jsonschema_rs import Validator

_FORMATS = {"date", "email", "uuid", "ipv4", "ipv6"}
_OPEN = frozenset(  # keywords beside which an object's own list of properties is not all
    {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"}
    | {"anyOf", "oneOf", "not", "if", "$ref", "dependentSchemas"}
)
_REMEMBERED = 1024  # schemas kept ready
_WAYS = 1_000_000  # through arguments under a schema that refers to itself
_SHOWN = 3  # violations reported of one call


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Calls against the tools the trajectory was given (else the domain's)."""
    schemas = declared(trajectory.tools or domain.tools)
    known: dict[str, _Compiled | None] = {}
    read = turns(trajectory.messages)
    for index, turn in enumerate(read):
        for raw in turn.calls:
            yield from _one_call(raw, index, schemas, known)
    yield from _answers(trajectory.messages, read)
    yield from _written(read, schemas)
    yield from repeats(trajectory, domain)


def declared(tools: Sequence[Any]) -> dict[str, Json]:
    """Tool name -> its parameters' schema, as declared."""
    schemas: dict[str, Json] = {}
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schemas[function["name"]] = function.get("parameters")
    return schemas


def _one_call(
    raw: Any, index: int, schemas: Mapping[str, Json], known: dict[str, _Compiled | None]
) -> Iterator[Reason]:
    function = raw.get("function") if isinstance(raw, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        return  # structure reports it
    if name not in schemas:
        yield Reason(
            "unknown_tool", index, f"{name!r} is not among the tools{_near(name, schemas)}"
        )
        return
    if name not in known:
        known[name] = _compiled(schemas[name])
    for problem in _problems(function.get("arguments"), known[name]):
        yield Reason("bad_arguments", index, f"{name} {problem}"[:300])


class _Compiled(NamedTuple):
    """A validator, and how many references of its schema lead back (`bounds.circles`)."""

    validator: Validator
    circles: int


_ready: OrderedDict[int, tuple[Json, _Compiled | None]] = OrderedDict()


def _compiled(schema: Json) -> _Compiled | None:
    """The validator of a declared schema. Known by identity, so that the schema of a domain is
    made into text once and not for each trajectory; schemas are never changed in place."""
    kept = _ready.get(id(schema))
    if kept is None or kept[0] is not schema:
        kept = _ready[id(schema)] = schema, _validator(canonical(schema or {}))
        while len(_ready) > _REMEMBERED:
            _ready.popitem(last=False)
    return kept[1]


def _near(name: str, schemas: Mapping[str, Json]) -> str:
    close = difflib.get_close_matches(name, schemas, 1)
    return f"; near it: {close[0]!r}" if close else ""


def _problems(arguments: Any, compiled: _Compiled | None) -> list[str]:
    if not isinstance(arguments, dict):
        return [f"/: expected an object, found {type(arguments).__name__}"]
    if compiled is None:
        return ["/: the tool's schema is not a valid JSON schema"]
    validator, back = compiled
    if back > 1 and back ** depth(arguments) > _WAYS:
        return ["/: nests too deep for a schema that refers to itself"]
    try:
        if validator.is_valid(arguments):
            return []
        errors = list(islice(validator.iter_errors(arguments), _SHOWN))
    except ValueError as error:
        return [f"/: not JSON ({error})"]
    return [f"{_pointer(e.instance_path)}: {e.message}" for e in errors]


def _pointer(path: Sequence[str | int]) -> str:
    keys = (str(key).replace("~", "~0").replace("/", "~1") for key in path)
    return "/" + "/".join(keys)


@lru_cache(maxsize=4096)
def _validator(text: str) -> _Compiled | None:
    """The compiled schema; None when it is none. Never fetches a remote reference."""
    import jsonschema_rs

    schema = json.loads(text)
    back = circles(schema) if '"$ref"' in text else 0
    if back is None:
        return None
    if "allOf" not in text:
        schema = closed(schema)
    try:
        made = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
        return _Compiled(made, back)
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


def closed(schema: Json) -> Json:
    """`schema` in which every object that lists its properties has no others.

    Left open: what says so itself, and what is put together from several schemas. Formats
    that people write in several ways (times, addresses) are not enforced.
    """
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Json] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            result[key] = {name: closed(item) for name, item in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = closed(value)
        elif key in ("anyOf", "oneOf", "prefixItems") and "properties" not in schema:
            result[key] = [closed(item) for item in value] if isinstance(value, list) else value
        elif key != "format" or value in _FORMATS:
            result[key] = value
    if "properties" in result and not _OPEN & result.keys():
        result["additionalProperties"] = False
    return result


def _answers(messages: Sequence[Any], read: Sequence[Turn]) -> Iterator[Reason]:
    """Each call has exactly one tool message with its id, right behind it."""
    used: set[str] = set()
    waiting: dict[str, str] = {}
    answered: set[str] = set()
    caller = 0
    for index, (role, _, calls) in enumerate(read):
        if role == "tool":
            yield from _answer(messages[index], index, waiting, answered)
            continue
        yield from _unanswered(waiting, caller)
        waiting, answered, caller = {}, set(), index
        for raw in calls:
            id_ = raw.get("id") if isinstance(raw, dict) else None
            name = _name(raw)
            if not isinstance(id_, str) or not id_:
                yield Reason("unanswered_call", index, f"the call of {name} has no id")
            elif id_ in used:
                yield Reason("unanswered_call", index, f"the call id {id_!r} was used before")
                waiting.setdefault(id_, name)
            else:
                used.add(id_)
                waiting[id_] = name
    yield from _unanswered(waiting, caller)


def _answer(
    message: Any, index: int, waiting: dict[str, str], answered: set[str]
) -> Iterator[Reason]:
    id_, says = message.get("tool_call_id"), message.get("name")
    if not isinstance(id_, str):
        return  # structure reports it
    if id_ in waiting:
        name = waiting.pop(id_)
        answered.add(id_)
        if isinstance(says, str) and name and says != name:
            yield Reason("unanswered_call", index, f"expected an answer of {name}, found {says}")
    elif id_ in answered:
        yield Reason("unanswered_call", index, f"a second answer to the call {id_!r}")
    else:
        yield Reason("unanswered_call", index, f"answers {id_!r}, which is no call before it")


def _unanswered(waiting: Mapping[str, str], caller: int) -> Iterator[Reason]:
    for id_, name in waiting.items():
        yield Reason("unanswered_call", caller, f"no answer to {name} ({id_})")


def _name(raw: Any) -> str:
    function = raw.get("function") if isinstance(raw, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _written(read: Sequence[Turn], schemas: Mapping[str, Json]) -> Iterator[Reason]:
    """A call that stands as JSON in the assistant's text, where nothing answers it."""
    for index, (role, text, _) in enumerate(read):
        if role != "assistant" or '"name"' not in text:
            continue
        data = parsed(text.strip().removeprefix("```json").strip("`").strip())
        items = data if isinstance(data, list) else [data]
        first = items[0] if data is not MISSING and items else None
        if (
            isinstance(first, dict)
            and first.get("name") in schemas
            and ("arguments" in first or "parameters" in first)
        ):
            yield Reason("unanswered_call", index, f"a call of {first['name']} written as text")
