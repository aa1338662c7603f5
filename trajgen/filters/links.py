"""Which entities a call may change: those it names, and what they or its answer link to.

An effect elsewhere is a world that changes behind the agent's back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from trajgen.filters.given import strings_in
from trajgen.filters.reading import parsed
from trajgen.filters.spellings import is_when
from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, lookup, scalars, split
from trajgen.records import Call, Json, Reason

_WORD = re.compile(r"[\w#@.-]+")


def strangers(
    call: Call, effects: Sequence[Mapping[str, Json]], observation: str, ledger: Ledger
) -> list[Reason]:
    """Effects on an entity that neither the call, its answer nor their records name.

    `ledger` is the state before the call. New entities (`add`) name themselves.
    """
    named = {str(value) for value in scalars(call.arguments)}
    chosen = [(e, key) for e in effects for key in _chosen(e, ledger) if key not in named]
    if not chosen:
        return []
    linked = _linked(call, observation, ledger) | set(_made(effects))
    strange = [(e, key) for e, key in chosen if key not in linked]
    return [
        Reason("bad_effect", call.message, f"{e['path']}: {call.tool} does not name {key}")
        for e, key in strange[:1]
    ]


def _chosen(effect: Mapping[str, Json], ledger: Ledger) -> Iterator[str]:
    """The outermost key of the path that picks one entity of many."""
    state: Json = ledger.state
    for depth, key in enumerate(split(effect["path"])):
        if (
            depth
            and isinstance(state, dict)
            and _is_collection(state)
            and state.get(key) is not None
        ):
            if any(map(str.isdecimal, key)) and " " not in key and not is_when(key):
                yield key
            return
        state = state.get(key) if isinstance(state, dict) else None


def _is_collection(state: dict[str, Json]) -> bool:
    return all(isinstance(value, dict) for value in state.values())


def _made(effects: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    for effect in effects:
        if effect.get("op") in ("add", "append"):
            yield split(effect["path"])[-1]
            yield from strings_in([effect.get("value")])


def _linked(call: Call, observation: str, ledger: Ledger) -> set[str]:
    found = set(_WORD.findall(observation)) if parsed(observation) is MISSING else set()
    found |= strings_in([parsed(observation)]) if not found else set()
    for pointer in ledger.relevant(call.arguments):
        found |= strings_in([lookup(ledger.state, pointer)]) | set(split(pointer))
    return found | {name.strip(".,:;") for name in found}
