"""Tools whose semantics the domain declares, answered exactly by code.

`domain.yaml` says for such a tool what it requires, writes and shows: plain data, whose
language the modules of this package explain. A declaration is compiled once. An answer is a
pure function of the call and the state and never raises: where the state does not have what
a declaration needs, the call fails, and a call that fails changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from trajgen.declared.conditions import SUBJECTS, Check, condition, refusal
from trajgen.declared.observations import Form, Show, needed, observation
from trajgen.declared.placeholders import Fill, Keys, Malformed, View, nearest, rendered
from trajgen.declared.writes import Write, writes, written
from trajgen.goals import CONDITIONS
from trajgen.pointers import EffectError
from trajgen.records import Call, Domain, Json, ToolKind
from trajgen.remembered import Latest

Semantics: TypeAlias = Mapping[str, Json]  # what domain.yaml says of one tool, its kind left out
KEYS = ("requires", "writes", "reads", "says", "returns")
WHY = "the state allows it"
_REMEMBERED = 64  # domains whose declarations are kept compiled


@dataclass(frozen=True, slots=True)
class Result:
    """What code answers to a call; `read` holds the keys of every place it depends on, `after`
    is the state that the effects lead to."""

    applies: bool
    why: str
    effects: tuple[dict[str, Json], ...]
    observation: str
    read: tuple[Keys, ...]
    after: Json = field(compare=False, repr=False)

    def touched(self) -> list[str]:
        """Pointers to every part of the state that the answer depends on or changes."""
        return list(dict.fromkeys(map(rendered, self.read)))


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition of `requires`: asked only `when` that holds; what is said when it fails."""

    when: Check | None
    check: Check
    otherwise: Fill


@dataclass(frozen=True, slots=True)
class Rule:
    """The compiled semantics of one tool."""

    requires: Sequence[Requirement]
    writes: Sequence[Write]
    show: Show
    form: Form

    def answer(self, arguments: Mapping[str, Json], state: Json) -> Result:
        """What a call with these arguments does in `state`, which is not changed."""
        view = View(arguments, state, [])
        try:
            for requirement in self.requires:
                if requirement.when is not None and not requirement.when(view):
                    continue
                if not requirement.check(view):
                    said = self.form.failure(needed(requirement.otherwise, view))
                    return self._failed(said, view)
            effects, after = written(self.writes, view)
            observed = self.show(View(arguments, after, view.read))
        except EffectError as error:  # the declaration does not fit this state
            return self._failed(self.form.broken(str(error).removeprefix("/: ")), view)
        return Result(True, WHY, tuple(effects), observed, tuple(view.read), after)

    def _failed(self, said: str, view: View) -> Result:
        return Result(False, said, (), said, tuple(view.read), view.state)


_answer = Latest(Rule.answer)  # a rollout asks what a call touches, then what it answers

Rules: TypeAlias = Mapping[str, Rule]
_compiled: OrderedDict[tuple[int, int, int], tuple[Domain, Rules]] = OrderedDict()


def answer(domain: Domain, call: Call, state: Json) -> Result | None:
    """What the domain declares that `call` does in `state`; None where it declares nothing.

    A call whose arguments do not fit the tool's schema is answered all the same.
    """
    if call.tool not in domain.semantics:
        return None
    return _answer(rules(domain)[call.tool], call.arguments, {} if state is None else state)


def rules(domain: Domain) -> Rules:
    """The domain's declarations, compiled once. Raises Malformed.

    Kept by identity: a domain is frozen, and comparing declarations costs more than a call.
    """
    key = id(domain.semantics), id(domain.tools), id(domain.failure_prefixes)
    if key not in _compiled:
        found = {tool: compile_rule(tool, domain) for tool in domain.semantics}
        _compiled[key] = domain, found
        while len(_compiled) > _REMEMBERED:
            _compiled.popitem(last=False)
    return _compiled[key][1]


def compile_rule(tool: str, domain: Domain) -> Rule:
    """One tool's semantics. Raises Malformed, or a subclass of it, naming the key."""
    declared, place, names = domain.semantics[tool], f"tools.{tool}", _arguments(domain, tool)
    form = _form(declared, place, domain)
    return Rule(
        requires=_requires(declared.get("requires", []), form, f"{place}.requires", names),
        writes=writes(declared["writes"], f"{place}.writes", names) if "writes" in declared else [],
        show=observation(declared, form, place, names),
        form=form,
    )


def problems(domain: Domain) -> list[str]:
    """What is wrong with a domain's declarations, one line a tool; [] when all compile."""
    found = []
    for tool in domain.semantics:
        try:
            compile_rule(tool, domain)
        except Malformed as error:
            found.append(str(error))
    return found


def undeclared(domain: Domain) -> list[str]:
    """The tools that code cannot answer."""
    names = [tool["function"]["name"] for tool in domain.tools]
    return [name for name in names if name not in domain.semantics]


def kind_of(declared: Semantics) -> ToolKind:
    """Whether a declared tool reads or writes."""
    return "write" if "writes" in declared else "read"


def _arguments(domain: Domain, tool: str) -> list[str]:
    schema = domain.tool(tool)
    if schema is None:
        known = [t["function"]["name"] for t in domain.tools]
        raise Malformed(f"tools.{tool}", f"tools.json has no such tool; {nearest(tool, known)}")
    return list(schema["parameters"].get("properties", {}))


def _form(declared: Semantics, place: str, domain: Domain) -> Form:
    for key in declared:
        if key not in KEYS:
            raise Malformed(place, f"unknown key {key!r}; {nearest(str(key), KEYS)}")
    shown = [key for key in ("says", "returns", "reads") if key in declared]
    if len(shown) > 1:
        raise Malformed(
            place, f"one of says, returns and reads is what a call shows; found {shown}"
        )
    if not shown and "writes" not in declared:
        raise Malformed(place, "neither writes nor shows anything (reads, says or returns)")
    if "says" in declared and not all(domain.failure_prefixes or [""]):
        raise Malformed(place, "a tool that `says` needs failure_prefixes to fail with")
    return Form("says" not in declared, domain.failure_prefixes)


def _requires(data: Json, form: Form, place: str, names: Sequence[str]) -> list[Requirement]:
    items = data if isinstance(data, list) else [data]
    places = [f"{place}.{i}" for i in range(len(items))] if isinstance(data, list) else [place]
    return [_requirement(item, form, at, names) for item, at in zip(items, places, strict=True)]


def _requirement(data: Json, form: Form, place: str, names: Sequence[str]) -> Requirement:
    if not isinstance(data, Mapping):
        raise Malformed(place, f"a condition is a mapping, found {data!r}")
    for key in data:
        if key not in (known := (*SUBJECTS, *CONDITIONS, "when", "else")):
            raise Malformed(place, f"unknown key {key!r}; {nearest(str(key), known)}")
    bare = {key: item for key, item in data.items() if key not in ("when", "else")}
    when = condition(data["when"], f"{place}.when", names) if "when" in data else None
    check = condition(bare, place, names)
    if "else" in data:
        return Requirement(when, check, form.refusal(data["else"], f"{place}.else", names))
    said = refusal(bare)
    said = said if form.in_json else f"{form.prefixes[0].rstrip(': ')}: {said}"
    return Requirement(when, check, form.refusal(said, place, names))
