"""Answers in prose: is it about what was asked, is it where the state has it?

Nothing is parsed: names that calls used and ids that the state holds are looked for as
words of their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from trajgen.filters.observed import Heard, Observed
from trajgen.filters.spellings import stands
from trajgen.pointers import MISSING, split
from trajgen.records import Reason

_SHORT = 400  # characters of an answer that is about one thing
_TELLS = 12  # of one that says anything of its own
_LINE = 120  # of one that repeats a plain word
_ID = re.compile(r"[A-Za-z]+[_-]?\d+(?:[_-]\d+)*")
Named = tuple[str, str]  # tool and argument


class Echoes:
    """Which tools repeat which argument in every answer of a conversation."""

    def __init__(self, told: Sequence[Heard]) -> None:
        self.told = told

    @cached_property
    def said(self) -> dict[str, list[Heard]]:
        """The calls that each answer was given to, word for word."""
        found: dict[str, list[Heard]] = defaultdict(list)
        for call in self.told:
            found[call.text].append(call)
        return found

    def borrowed(self, call: Heard) -> Iterator[Reason]:
        """The answer to another call word for word: it names what that one asked for."""
        names = _asked_for(call)
        if len(call.text) < _TELLS or not names:
            return
        folded = call.text.casefold()
        if any(stands(name, folded) for name in names):
            return
        for other in self.said[call.text]:
            for name in sorted(_asked_for(other) - names):
                if stands(name, folded):
                    detail = f"expected an answer about {min(names)!r}, found that of"
                    detail = f"{detail} {other.call.tool} at message {other.at} about {name!r}"
                    yield Reason("contradicts_observation", call.at, detail)
                    return

    @cached_property
    def asked(self) -> dict[Named, list[tuple[str, bool]]]:
        """Each value of a tool's argument, and whether its answer repeated it."""
        found: dict[Named, list[tuple[str, bool]]] = defaultdict(list)
        for call in self.told:
            if len(call.text) > _SHORT or call.result != "ok":
                continue
            folded = call.text.casefold()
            for field, value in call.call.arguments.items():
                if isinstance(value, str) and _may_echo(value, call):
                    name = value.casefold()
                    found[(call.call.tool, field)].append((name, stands(name, folded)))
        return found

    def another(self, call: Heard) -> Iterator[Reason]:
        """An answer without the name that its tool always repeats, but with another's."""
        if len(call.text) > _SHORT:
            return
        made, folded = call.call, call.text.casefold()
        for field, value in made.arguments.items():
            if not isinstance(value, str) or stands(value.casefold(), folded):
                continue
            if not _may_echo(value, call):
                continue
            asked = self.asked.get((made.tool, field), [])
            echoed = [echo for other, echo in asked if other != value.casefold()]
            if not echoed or not all(echoed):
                continue
            mine = {v.casefold() for v in made.arguments.values() if isinstance(v, str)}
            others = {other for other, _ in asked} | set(_alike(value.casefold(), folded))
            for other in sorted(others - mine):
                if stands(other, folded):
                    detail = f"{made.tool} /{field}: expected {value!r}, found {other!r}"
                    yield Reason("contradicts_observation", call.at, f"{detail} in the answer")
                    return


def _asked_for(call: Heard) -> set[str]:
    values = (v for v in call.call.arguments.values() if isinstance(v, str))
    return {value.casefold() for value in values if _may_echo(value, call)}


def _may_echo(value: str, call: Heard) -> bool:
    """Whether an answer could be expected to repeat this: an id, or a thing in one line."""
    if len(value) < 3 or value not in call.names:
        return False
    return "_" in value or any(map(str.isdecimal, value)) or len(call.text) <= _LINE


def _alike(name: str, text: str) -> Iterator[str]:
    """Names in a text that look like this one: the same pattern of letters and digits."""
    if any(map(str.isdecimal, name)):
        shape = re.sub(r"\d|[a-z]+|.", _pattern, name)
        yield from re.findall(rf"(?<![\w-]){shape}(?![\w-])", text)


def _pattern(match: re.Match[str]) -> str:
    part = match[0]
    return r"\d" if part.isdecimal() else "[a-z]+" if part.isalpha() else re.escape(part)


def misplaced(heard: Heard, observed: Observed) -> Iterator[Reason]:
    """Prose about one entity of the state that tells of things which lie in another."""
    call, at, text = heard.call, heard.at, heard.text
    if heard.data is not MISSING or observed.all_touched or not observed.world:
        return
    homes = [e.path for v in call.arguments.values() for e in observed.world.of(v)]
    if len(homes) != 1:
        return
    for name in dict.fromkeys(_ID.findall(text)):
        places = [e for e in observed.world.of(name) if observed.untouched([name], e.record)]
        if len(places) != 1 or name in split(homes[0]) or places[0].path.count("/") < 3:
            continue
        inside = places[0].path.startswith(f"{homes[0]}/")
        inside = inside or homes[0].startswith(f"{places[0].path}/")
        if not inside and name not in str(call.arguments):
            detail = f"/{name}: expected at {places[0].path}, found at {homes[0]}"
            yield Reason("contradicts_state", at, detail)
            return
