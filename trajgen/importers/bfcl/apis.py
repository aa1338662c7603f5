"""BFCL's APIs of one task, with their state as JSON.

Crash rule: nothing is kept; the APIs of a task live as long as it is played.
"""

from __future__ import annotations

import copy
import inspect
import json
from typing import Any

from trajgen.importers.bfcl.data import Asked, Entry, api_class
from trajgen.records import Json

# What an API holds beside its state: how it is described and drawn, tables that never change.
_NO_STATE = {"_api_description", "_random", "long_context", "_flight_cost_lookup"}


class Apis:
    """The APIs that a task involves, where it begins."""

    def __init__(self, entry: Entry, long: bool) -> None:
        self.instances: dict[str, Any] = {name: api_class(name)() for name in entry.apis}
        for name, api in self.instances.items():
            if hasattr(api, "_load_scenario"):
                api._load_scenario(copy.deepcopy(entry.initial.get(name, {})), long_context=long)

    def state(self) -> dict[str, Json]:
        """What all of them hold now."""
        return {name: _state(api) for name, api in self.instances.items()}

    def arguments(self, asked: Asked) -> dict[str, Json]:
        """The arguments by name. Raises LookupError when no API has the function, TypeError
        when it takes no such arguments."""
        bound = inspect.signature(self._method(asked.tool)).bind(*asked.places, **asked.names)
        return {name: _plain(value) for name, value in bound.arguments.items()}

    def call(self, tool: str, arguments: dict[str, Json]) -> str:
        """What the function answers, as BFCL shows it."""
        try:
            answer = self._method(tool)(**copy.deepcopy(arguments))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return f"Error during execution: {error}"
        if not isinstance(answer, dict):
            return str(answer)
        try:
            return json.dumps(answer)
        except TypeError:  # a number of mpmath's
            return str(answer)

    def has(self, tool: str) -> bool:
        """Whether one of the APIs has the function."""
        return any(hasattr(api, tool) for api in self.instances.values())

    def users(self) -> list[str]:
        """The names of those whom messages can be sent to."""
        return [name for api in self.instances.values() for name in getattr(api, "user_map", ())]

    def _method(self, tool: str) -> Any:
        for api in self.instances.values():
            if not tool.startswith("_") and hasattr(api, tool):
                return getattr(api, tool)
        raise LookupError(f"no API of this task has {tool}")


def _state(api: Any) -> Json:
    held = {key: value for key, value in vars(api).items() if key not in _NO_STATE}
    if "root" in held:  # the file system
        root, here = held.pop("root"), held.pop("_current_dir")
        return {"root": {root.name: _tree(root)}, "current_directory": _path(here)}
    return {key.lstrip("_"): _plain(value) for key, value in held.items()}


def _tree(item: Any) -> Json:
    """A file or directory as BFCL's scenarios write it."""
    if hasattr(item, "content"):
        return {"type": "file", "content": item.content}
    contents = {name: _tree(inner) for name, inner in item.contents.items()}
    return {"type": "directory", "contents": contents}


def _path(directory: Any) -> str:
    above = f"{_path(directory.parent)}/" if directory.parent else "/"
    return f"{above}{directory.name}".replace("//", "/")


def _plain(value: Any) -> Json:
    """A value as JSON has it: keys as text, sets sorted."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value))
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
