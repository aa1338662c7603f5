"""A request as bytes. What was sent before is not encoded again: a conversation's messages come
back in every turn, and the requests of a role share their schema.

Crash rule: a cache of what is encoded; nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from trajgen.json_text import sent
from trajgen.records import Json

LONGEST = 32_768  # characters of a text that is kept
TEXTS = 4096  # kept: what some hundred conversations hold
SCHEMAS = 256


class Encoder:
    """Bodies of chat requests as JSON. A schema that comes again as the same object is kept:
    schemas are never changed in place."""

    def __init__(self) -> None:
        self._schemas: dict[int, tuple[Mapping[str, Json], bytes]] = {}

    def encode(self, body: Mapping[str, Json]) -> bytes:
        """The bytes of `body`."""
        parts = [b"%b:%b" % (_text(key), self._value(key, value)) for key, value in body.items()]
        return b"{%b}" % b",".join(parts)

    def _value(self, key: str, value: Json) -> bytes:
        if key == "messages":
            return b"[%b]" % b",".join(map(_message, value))
        if key == "response_format" or key == "json_schema":
            return self.encode(value)
        return self._schema(value) if key == "schema" else sent(value)

    def _schema(self, schema: Mapping[str, Json]) -> bytes:
        kept = self._schemas.get(id(schema))
        if kept is None:
            if len(self._schemas) >= SCHEMAS:
                self._schemas.clear()
            kept = self._schemas[id(schema)] = schema, sent(dict(schema))
        return kept[1]  # its object is held, so no other one has its id


def _message(message: Mapping[str, Json]) -> bytes:
    if list(message) == ["role", "content"] and len(content := message["content"]) <= LONGEST:
        return b'{"role":%b,"content":%b}' % (_text(message["role"]), _text(content))
    return sent(message)


@lru_cache(TEXTS)
def _text(text: str) -> bytes:
    return sent(text)
