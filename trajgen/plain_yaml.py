"""YAML files as plain data, bounded.

Plain data is text, numbers, true, false, null, lists, and mappings with text keys. What else
YAML can say is refused with its line: dates, tags, numbers that JSON's readers cannot hold,
keys given twice. So is what would stall the reader: a huge file, deep nesting, and anchors
that stand for more than they say.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trajgen.errors import InputError

MAX_BYTES = 2**20
MAX_DEPTH = 64
MAX_VALUES = 50_000  # with every anchor written out
MAX_DIGITS = 40
MAX_INTEGER = 2**63
_TAG = "tag:yaml.org,2002:"
_SHOWN = 60


def read_yaml(path: Path) -> Any:
    """The data of a YAML file. Raises InputError with the line that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"is larger than {MAX_BYTES} bytes; no file of ours is", str(path))
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The data of a YAML text; None of an empty one. Raises InputError with `where:line`."""
    try:
        loader = _Composer(text)
        node = loader.get_single_node()
        return None if node is None else _Reader(loader).value(node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise InputError(f"this is not valid YAML: {problem}", f"{where}{line}") from error


class NotPlain(yaml.error.MarkedYAMLError):
    """What is YAML and still no plain data, at a place of the text and a key of the data."""

    def __init__(self, problem: str, mark: Any, path: tuple[str, ...] = ()) -> None:
        place = f"{_cut('.'.join(path))}: " if path else ""
        super().__init__(problem=place + problem, problem_mark=mark)


class _Composer(yaml.SafeLoader):
    """Text -> nodes, as long as they are few and flat enough to be looked at."""

    depth = count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self.depth += 1
        self.count += 1
        if self.depth > MAX_DEPTH:
            raise NotPlain(f"it nests deeper than {MAX_DEPTH} levels", mark)
        if self.count > MAX_VALUES:
            raise NotPlain(f"it holds more than {MAX_VALUES} values", mark)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Nodes -> plain data. An anchor's node is read again wherever it is named, and counts."""

    def __init__(self, composer: _Composer) -> None:
        self.composer, self.count = composer, 0

    def value(self, node: Node, path: tuple[str, ...]) -> Any:
        """The plain data of `node`, which is found under the keys `path`. Raises NotPlain."""
        self.count += 1
        if len(path) >= MAX_DEPTH:
            raise NotPlain(f"its anchors nest deeper than {MAX_DEPTH} levels", node.start_mark)
        if self.count > MAX_VALUES:
            what = f"its anchors stand for more than {MAX_VALUES} values"
            raise NotPlain(what, node.start_mark)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.value(item, (*path, str(i))) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, kind, path)
        raise NotPlain(f"{_cut(node.tag)!r} is no plain data", node.start_mark, path)

    def _mapping(self, node: MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                for one in item.value if isinstance(item, SequenceNode) else [item]:
                    merged = self._merged(one, path) | merged
                continue
            name = self.value(key, (*path, "?"))
            if not isinstance(name, str):
                what = f"the key {_cut(str(name))} is no text; put it in quotes"
                raise NotPlain(what, key.start_mark, path)
            if name in own:
                raise NotPlain(f"the key {_cut(name)!r} is given twice", key.start_mark)
            own[name] = self.value(item, (*path, name))
        return merged | own

    def _merged(self, node: Node, path: tuple[str, ...]) -> dict[str, Any]:
        value = self.value(node, (*path, "<<"))
        if not isinstance(value, dict):
            raise NotPlain("what << merges is a mapping", node.start_mark, path)
        return value

    def _scalar(self, node: ScalarNode, kind: str, path: tuple[str, ...]) -> Any:
        if kind == "null":
            return None
        if kind == "str":
            value: Any = _text(node.value)
            what = "it holds a character that no file can hold"
        else:
            value = self._number(node, kind)
            what = f"{_cut(node.value)!r} is no {_NAMES.get(kind, f'plain data ({kind})')}"
        if value is None:
            raise NotPlain(what, node.start_mark, path)
        return value

    def _number(self, node: ScalarNode, kind: str) -> bool | int | float | None:
        """The number or truth that the node says; None when it says something else."""
        read = {
            "bool": self.composer.construct_yaml_bool,
            "int": self.composer.construct_yaml_int,
            "float": self.composer.construct_yaml_float,
        }.get(kind)
        if read is None or len(node.value) > MAX_DIGITS:
            return None
        try:
            value: bool | int | float = read(node)
        except (ValueError, KeyError, IndexError):  # under a tag that is not its own
            return None
        fits = isinstance(value, float) or -MAX_INTEGER <= value < MAX_INTEGER
        return value if fits and math.isfinite(value) else None


_NAMES = {
    "int": "number within 64 bits",
    "float": "finite number",
    "bool": "true or false",
    "timestamp": "plain data but a date; put it in quotes",
}


def _text(text: str) -> str | None:
    """`text`, or None where it holds half a surrogate pair."""
    return None if any("\ud800" <= character <= "\udfff" for character in text) else text


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
