"""YAML files -> pipelines, with every mistake told by file, line and key.

`${VAR}` takes a value from the environment. Secrets come from there alone: a field that
is secret refuses literal text, and is in no message or traceback.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trajgen.config import STRATEGIES, Pipeline
from trajgen.config.model import Model
from trajgen.errors import InputError
from trajgen.plain_yaml import parse_yaml, read_yaml
from trajgen.records import cut

File = TypeVar("File", bound=BaseModel)

MISTAKES = 10  # told at once
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load_pipeline(
    path: Path, overrides: list[str] | None = None, limit: int | None = None
) -> Pipeline:
    """The pipeline in the YAML file `path`, with `a.b=value` overrides laid over it. Raises
    InputError naming file, key and the nearest known key."""
    pipeline = load_file(path, Pipeline, overrides, "See docs/pipeline.md.")
    if limit is None:
        return pipeline
    if limit < 1:
        raise InputError("--limit must be at least 1")
    return pipeline.model_copy(update={"max_tasks": min(limit, pipeline.max_tasks)})


def load_file(
    path: Path, model: type[File], overrides: Sequence[str] | None = None, advice: str = ""
) -> File:
    """The YAML file `path` as a `model`, overrides and `${VAR}` laid in. Raises InputError."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"a {model.__name__.lower()} file is a mapping of keys", str(path))
    for override in overrides or ():
        _override(data, override)
    _refuse_literal_secrets(data, path)
    try:
        found = model.model_validate(expand(data, str(path)))
    except ValidationError as error:
        raise InputError(explain(error, model), str(path), advice) from error
    except InputError as error:
        raise InputError(error.what, str(path), error.fix) from error
    if isinstance(found, Model):
        found.note_written(data)
    return found


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every mistake of a file on a line of its own, unknown keys with the nearest known one;
    of a file that is wrong all over, the first MISTAKES."""
    lines = []
    for mistake in error.errors()[:MISTAKES]:
        keys = [cut(str(key), 60) for key in mistake["loc"]]
        if mistake["type"] == "extra_forbidden":
            close = _closest(keys[-1], _keys_at(model, keys[:-1]))
            lines.append(f"unknown key {'.'.join(keys)!r}{close}")
        elif keys[-1:] == ["[key]"] and mistake["type"] == "literal_error":
            lines.append(f"unknown key {'.'.join(keys[:-1])!r}{_closest(keys[-2], STRATEGIES)}")
        else:
            what = mistake["msg"].removeprefix("Value error, ")
            lines.append(f"{'.'.join(keys) or 'file'}: {cut(what)}")
    if error.error_count() > MISTAKES:
        lines.append(f"and {error.error_count() - MISTAKES} more mistakes")
    return "\n  ".join(lines)


def _closest(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"


def _keys_at(model: Any, keys: list[str]) -> list[str]:
    for key in keys:
        field = model.model_fields.get(key)
        nested = _models_in(field.annotation) if field else [model]
        if nested:
            model = nested[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _models_in(a)]


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set wants a.b=value, got {text!r}")
    *parents, last = key.split(".")
    for parent in parents:
        below = data.get(parent)
        if isinstance(below, str) and "roles" in parents:
            below = {"engine": below}
        if not isinstance(below, dict | None):
            raise InputError(f"--set {key}: {parent!r} holds no mapping")
        data[parent] = {} if below is None else dict(below)
        data = data[parent]
    try:
        data[last] = parse_yaml(value, "")
    except InputError as error:
        problem = error.what.removeprefix("this is not valid YAML: ")
        raise InputError(f"--set {key}: {value!r} is not valid YAML: {problem}") from error


def _refuse_literal_secrets(data: Any, path: Path) -> None:
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        if key == "api_key" and not _VARIABLE.fullmatch(str(value)):
            advice = f"Secrets come from the environment: {key}: ${{MY_KEY}}"
            raise InputError(f"{key} holds literal text", str(path), advice)
        _refuse_literal_secrets(value, path)


def expand(value: Any, where: str) -> Any:
    """`value` with every `${VAR}` in its texts from the environment. Raises InputError that names
    the variable and `where`."""
    if isinstance(value, dict):
        return {key: expand(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, where) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda m: _variable(m[1], where), value)
    return value


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise InputError(f"${{{name}}} is not set in the environment", where, f"export {name}=…")
    return os.environ[name]
