"""What the agent sees of a declared call, compiled once.

    reads: /orders/{id}              what is there, as JSON; {name: pointer} for several
    says: You open {place}.          text, or a list of parts: text or {when, text}
    returns: {id: "{id}", ok: true}  JSON, or a list of cases {when, value}: the first that holds

Placeholders are filled from the state after the call's effects. A tool that `says` fails in
text that begins with one of the domain's failure prefixes, any other one as {"error": text}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trajgen.declared.conditions import Check, condition
from trajgen.declared.placeholders import (
    Fill,
    Malformed,
    View,
    literal_head,
    nearest,
    pointer,
    rendered,
    spoken,
    text,
    value,
)
from trajgen.pointers import MISSING, EffectError
from trajgen.records import Json

Show: TypeAlias = Callable[[View], str]
DONE = '{"ok": true}'  # of a write that shows nothing of its own
UNSAID = "this call does not apply"
NOTHING_FITS = "what it shows names what is not there"


@dataclass(frozen=True, slots=True)
class Form:
    """How a tool answers: as JSON or in text, and what failures in text begin with."""

    in_json: bool
    prefixes: Sequence[str]

    def failure(self, said: Json) -> str:
        """The observation of a call that fails for the reason `said`."""
        if isinstance(said, Mapping):
            return written(said if says_failure(said) else {**said, "error": UNSAID})
        return written({"error": said or UNSAID}) if self.in_json else str(said)

    def broken(self, why: str) -> str:
        """The observation where a declaration itself does not fit the state."""
        return self.failure(why if self.in_json else f"{self.prefixes[0].rstrip(': ')}: {why}")

    def refusal(self, data: Json, place: str, names: Sequence[str]) -> Fill:
        """The compiled words of a failure. Raises Malformed where readers could not tell that
        it is one."""
        if not isinstance(data, str | Mapping):
            raise Malformed(place, f"is text or a JSON object, found {data!r}")
        if isinstance(data, Mapping) and not (self.in_json and says_failure(data)):
            raise Malformed(
                place, "a failure in JSON has an `error` (only beside reads or returns)"
            )
        if isinstance(data, str) and not self.in_json and not self.begins(data):
            known = ", ".join(map(repr, self.prefixes))
            raise Malformed(place, f"{data!r} begins with none of failure_prefixes ({known})")
        if isinstance(data, str) and not data.strip():
            raise Malformed(place, "says nothing")
        return (
            value(data, place, names) if isinstance(data, Mapping) else _words(data, place, names)
        )

    def begins(self, said: str) -> bool:
        """Whether the text begins as failures of the domain do, whatever the call is."""
        head = literal_head(said).lstrip().casefold()
        return any(head.startswith(prefix.casefold()) for prefix in self.prefixes)


def observation(declared: Mapping[str, Json], form: Form, place: str, names: Sequence[str]) -> Show:
    """What a call that applies shows. Raises Malformed; the result raises EffectError."""
    if "says" in declared:
        return _says(declared["says"], form, f"{place}.says", names)
    if "returns" in declared:
        return _returns(declared["returns"], f"{place}.returns", names)
    if "reads" in declared:
        return _reads(declared["reads"], f"{place}.reads", names)
    return lambda view: DONE


def written(data: Json) -> str:
    """JSON as an observation holds it."""
    return json.dumps(data, ensure_ascii=False)


def says_failure(data: Json) -> bool:
    """Whether a JSON observation says that its call failed, as the filters understand it."""
    if not isinstance(data, Mapping):
        return False
    return bool(data.get("error")) or data.get("success") is False or data.get("ok") is False


def _words(data: str, place: str, names: Sequence[str]) -> Fill:
    """A template whose filling is text, even where it is one placeholder."""
    fill = text(data, place, names)
    return lambda view: MISSING if (found := fill(view)) is MISSING else spoken(found)


def _reads(data: Json, place: str, names: Sequence[str]) -> Show:
    if isinstance(data, Mapping) and data:
        each = {str(k): _there(pointer(p, f"{place}.{k}", names)) for k, p in data.items()}
        return lambda view: written({key: fill(view) for key, fill in each.items()})
    one = _there(pointer(data, place, names))
    return lambda view: written(one(view))


def _there(where: Callable[[View], tuple[str, ...] | None]) -> Fill:
    def fill(view: View) -> Json:
        keys = where(view)
        found = view.at(keys)
        if found is MISSING:
            raise EffectError(rendered(keys or ()), "does not exist")
        return found

    return fill


def _says(data: Json, form: Form, place: str, names: Sequence[str]) -> Show:
    items = data if isinstance(data, list) else [data]
    places = [f"{place}.{i}" for i in range(len(items))] if isinstance(data, list) else [place]
    parts = [_part(item, "text", at, names) for item, at in zip(items, places, strict=True)]
    first = items[0] if items else ""
    said = first.get("text", "") if isinstance(first, Mapping) else first
    if not parts or not str(said).strip():
        raise Malformed(place, "says nothing")
    if form.begins(str(said)):
        raise Malformed(place, f"{said!r} begins as a failure of this domain does")

    def show(view: View) -> str:
        found = [spoken(needed(fill, view)) for when, fill in parts if when is None or when(view)]
        if not "".join(found).strip():
            raise EffectError("", NOTHING_FITS)
        return "".join(found)

    return show


def _returns(data: Json, place: str, names: Sequence[str]) -> Show:
    cases = data if isinstance(data, list) else [{"value": data}]
    if not cases:
        raise Malformed(place, "is a template, or a list of cases {when, value}")
    places = [f"{place}.{i}" for i in range(len(cases))] if isinstance(data, list) else [place]
    parts = [_part(case, "value", at, names) for case, at in zip(cases, places, strict=True)]

    def show(view: View) -> str:
        for when, fill in parts:
            if when is None or when(view):
                return written(needed(fill, view))
        raise EffectError("", "none of the cases it returns holds")

    return show


def _part(data: Json, key: str, place: str, names: Sequence[str]) -> tuple[Check | None, Fill]:
    """A part of `says`, or a case of `returns`, with its `when`."""
    if key == "text" and isinstance(data, str):
        data = {"text": data}
    if not isinstance(data, Mapping) or key not in data:
        kind = "text or {when, text}" if key == "text" else "a case {when, value}"
        raise Malformed(place, f"is {kind}, found {data!r}")
    if unknown := [k for k in data if k not in (key, "when")]:
        advice = nearest(str(unknown[0]), (key, "when"))
        raise Malformed(place, f"unknown key {unknown[0]!r}; {advice}")
    found = data[key]
    if key == "text" and not isinstance(found, str):
        raise Malformed(f"{place}.text", f"is text, found {found!r}")
    if key == "value" and says_failure(found):
        raise Malformed(f"{place}.value", "says that the call failed; a failure is an `else`")
    when = condition(data["when"], f"{place}.when", names) if "when" in data else None
    fill = text(found, place, names) if key == "text" else value(found, place, names)
    return when, fill


def needed(fill: Fill, view: View) -> Json:
    """What a template fills in with. Raises EffectError for what is not there."""
    found = fill(view)
    if found is MISSING:
        raise EffectError("", NOTHING_FITS)
    return found
