"""What the `bfcl-eval` package brings: questions, ground-truth calls, function documents.

Only its data and the modules of the APIs are used; what it needs to run models is not.
"""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from trajgen.errors import InputError
from trajgen.records import Json, Tool

_INSTALL = 'pip install ".[bfcl]" && pip install --no-deps bfcl-eval'


class Asked(NamedTuple):
    """One call of the ground truth: arguments by place and by name."""

    tool: str
    places: tuple[Json, ...]
    names: dict[str, Json]


class Entry(NamedTuple):
    """One task: what the user says and the calls wanted, turn by turn; how its APIs begin."""

    id: str
    turns: tuple[tuple[str, tuple[Asked, ...]], ...]
    apis: tuple[str, ...]
    initial: dict[str, Json]
    changes_tools: bool


def entries(category: str) -> Iterator[Entry]:
    """The tasks of a multi-turn category, in their order. Raises InputError without package."""
    answers = {
        row["id"]: row["ground_truth"] for row in _rows(f"possible_answer/{_file(category)}")
    }
    for row in _rows(_file(category)):
        said = ["\n".join(m["content"] for m in turn) for turn in row["question"]]
        wanted = [tuple(map(_asked, calls)) for calls in answers[row["id"]]]
        yield Entry(
            id=row["id"],
            turns=tuple(zip(said, wanted, strict=True)),
            apis=tuple(sorted(row["involved_classes"])),
            initial=row["initial_config"],
            changes_tools="missed_function" in row,
        )


def api_class(name: str) -> Any:
    """The class of an API. Raises InputError when it cannot be loaded."""
    try:
        return getattr(importlib.import_module(_backend().CLASS_FILE_PATH_MAPPING[name]), name)
    except ImportError as error:
        raise InputError(f"cannot be loaded ({error})", f"bfcl {name}", _INSTALL) from error


def tools_of(api: str) -> list[Tool]:
    """The functions of an API as schemas; what they answer is told in the description."""
    files = _backend().MULTI_TURN_FUNC_DOC_FILE_MAPPING
    return [_tool(row) for row in _rows(f"multi_turn_func_doc/{files[api]}")]


def _tool(row: dict[str, Json]) -> Tool:
    response = json.dumps(row["response"], ensure_ascii=False)
    described = f"{row['description']} The response field has the following schema: {response}"
    function = {"name": row["name"], "description": described}
    return {"type": "function", "function": {**function, "parameters": _schema(row["parameters"])}}


def _schema(value: Json) -> Json:
    """A parameter document as JSON schema: the types by their names there."""
    if not isinstance(value, dict):
        return value
    from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI as known

    made = {key: item for key, item in value.items() if key != "optional"}
    if "properties" in made:
        made["properties"] = {name: _schema(item) for name, item in made["properties"].items()}
    if "items" in made:
        made["items"] = _schema(made["items"])
    if isinstance(made.get("type"), str):
        made["type"] = known[made["type"]]
    return made


def _asked(text: str) -> Asked:
    """A call as its source text: `mv(source='a', destination='b')`. It is read, never run."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise InputError(f"no call: {text[:80]}", "bfcl")
    names = {str(given.arg): ast.literal_eval(given.value) for given in call.keywords}
    return Asked(call.func.id, tuple(map(ast.literal_eval, call.args)), names)


def categories() -> list[str]:
    """The multi-turn categories: those whose calls an API can answer. Raises InputError when
    the package is not installed."""
    return list(_mapping().MULTI_TURN_CATEGORY)


def _file(category: str) -> str:
    return f"{_mapping().VERSION_PREFIX}_{category}.json"


@cache
def _rows(name: str) -> list[dict[str, Any]]:
    text = (resources.files("bfcl_eval") / "data" / name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _backend() -> Any:
    from bfcl_eval.constants import executable_backend_config

    return executable_backend_config


def _mapping() -> Any:
    try:
        from bfcl_eval.constants import category_mapping
    except ImportError as error:
        raise InputError("the package bfcl-eval is not installed", "bfcl", _INSTALL) from error
    return category_mapping
