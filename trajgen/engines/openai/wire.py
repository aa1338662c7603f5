"""A request as bytes. What was sent before is not encoded again: a conversation's messages come
back in every turn, and the requests of a role share their schema.

Crash rule: a cache of what is encoded; nothing depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from trajgen.records import Json

LONGEST = 32_768  # characters of a text that is kept
TEXTS = 4096  # kept: what some hundred conversations hold
SCHEMAS = 256


class Encoder:
    """Bodies of chat requests as `json.dumps` gives them. A schema that comes again as the same
    object is kept: schemas are never changed in place."""

    def __init__(self) -> None:
        self._schemas: dict[int, tuple[Mapping[str, Json], str]] = {}

    def encode(self, body: Mapping[str, Json]) -> bytes:
        """The bytes of `body`."""
        parts = (f"{json.dumps(key)}: {self._value(key, value)}" for key, value in body.items())
        return f"{{{', '.join(parts)}}}".encode()

    def _value(self, key: str, value: Json) -> str:
        if key == "messages":
            return f"[{', '.join(map(_message, value))}]"
        if key == "response_format" or key == "json_schema":
            inner = (f"{json.dumps(k)}: {self._value(k, v)}" for k, v in value.items())
            return f"{{{', '.join(inner)}}}"
        return self._schema(value) if key == "schema" else json.dumps(value)

    def _schema(self, schema: Mapping[str, Json]) -> str:
        kept = self._schemas.get(id(schema))
        if kept is None:
            if len(self._schemas) >= SCHEMAS:
                self._schemas.clear()
            kept = self._schemas[id(schema)] = schema, json.dumps(dict(schema))
        return kept[1]  # its object is held, so no other one has its id


def _message(message: Mapping[str, Json]) -> str:
    if list(message) == ["role", "content"] and len(content := message["content"]) <= LONGEST:
        return f'{{"role": {_text(message["role"])}, "content": {_text(content)}}}'
    return json.dumps(message)


@lru_cache(TEXTS)
def _text(text: str) -> str:
    return json.dumps(text)
