"""JSON as it is written, or an error: what two readers could take in two ways is refused."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from trajgen.importers.corpus.problem import Refused
from trajgen.records import Json

SHOWN = 100  # characters of an error


def exact(text: str) -> Json:
    """`text` as JSON. Raises ValueError, for a key given twice and NaN too."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nests too deep") from error


def decode_from(text: str, start: int) -> tuple[Json, int]:
    """The JSON value that begins at `start`, and where it ends. Raises ValueError."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("nests too deep") from error


def literal(text: str) -> Json:
    """`text` as JSON or, where that fails, as the Python literal of a JSON value, which some
    corpora hold instead. Raises ValueError."""
    try:
        return exact(text)
    except ValueError as error:
        value = _python(text)
        if value is None:
            raise error from None
        return value


def decoded(value: Any, what: str, at: int | None = None) -> Any:
    """JSON text where a list or an object belongs, as columns of text hold it; anything else
    as it is. Raises Refused."""
    if not isinstance(value, str):
        return value
    try:
        return exact(value)
    except ValueError as error:
        raise Refused(f"{what}: not JSON ({str(error)[:SHOWN]})", at=at) from error


def arguments_of(value: Any, name: str, at: int | None) -> dict[str, Json]:
    """The arguments of a call of `name` as an object; JSON text is parsed. Raises Refused."""
    if isinstance(value, str):
        try:
            value = exact(value)
        except ValueError as error:
            detail = f"{name}: the arguments are not JSON ({str(error)[:SHOWN]})"
            raise Refused(detail, "bad_arguments", at) from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else type(value).__name__
        detail = f"{name}: the arguments must be an object, found {found}"
        raise Refused(detail, "bad_arguments", at)
    return value


def without_nulls(value: Json) -> Json:
    """`value` without the keys that are null, which typed columns give to what is absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _python(text: str) -> Json:
    """An object or list written as Python writes it; None when it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if _is_json(value) else None


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) for k in value) and all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or type(value) in (str, bool, int, float)


def _no_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key comes twice")
    return result


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_doubles
)
