"""What a read shows of an entity against the state, as long as no write may have touched it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import pairwise

from trajgen.filters.answers import words_of
from trajgen.filters.given import Entity, Record, is_id, stem_of
from trajgen.filters.observed import Heard, Observed
from trajgen.filters.views import difference, records
from trajgen.pointers import MISSING, split
from trajgen.records import Call, Reason

_SHARED = 3  # keys that a record and an entity must share before the one shows the other


def check(call: Heard, observed: Observed) -> Iterator[Reason]:
    """What a read shows of an entity against the state, before any write touched it."""
    data = call.data
    if not observed.world:
        return
    yield from _unheard_of(call, observed)
    for record in records(data) if data is not MISSING else ():
        mine = call.names if record is data or len(data) == 1 else frozenset()
        if any(e.record == record for name in mine for e in observed.world.of(name)):
            if record is data:
                return
            continue
        subjects = _subjects(record, mine, observed)
        if subjects and all(_free(entity, observed) for entity in subjects):
            own = _writes_numbers_as_text(call.call, record, observed)
            found = [difference(record, e.record, e.path, True, not own) for e in subjects]
            if all(found):
                yield Reason("contradicts_state", call.at, found[0])
                return
        if record is data and any(is_id(k, v) for k, v in record.items()):
            return  # a record of its own; what it holds is compared as a part of it


def _unheard_of(call: Heard, observed: Observed) -> Iterator[Reason]:
    """An answer that is, or begins with, an id of a kind that the state has, but not this."""
    if observed.writes:
        return
    words = words_of(call.call.tool)
    if isinstance(call.data, dict):
        ids = [(k, v) for k, v in call.data.items() if is_id(k, v)][:1]
    else:
        kinds = [a for a, b in pairwise(words) if b == "id"] if call.data is MISSING else []
        ids = [(f"{kind}_id", call.text.strip()) for kind in kinds]
    for field, value in ids:
        asked = str(value) in call.names
        if not asked and stem_of(field) in words and observed.world.lacks(field, value):
            detail = f"{call.call.tool}: the state has no {stem_of(field)} {str(value)[:40]}"
            yield Reason("contradicts_state", call.at, detail)


def _writes_numbers_as_text(call: Call, record: Record, observed: Observed) -> bool:
    """Whether this tool showed the same fields as numbers before, and now as text."""
    texts = [k for k, v in record.items() if isinstance(v, str) and v[-1:].isdecimal()]
    earlier = [w[call.tool].record for w in observed.words.values() if call.tool in w]
    return any(isinstance(known.get(k), int | float) for known in earlier for k in texts)


def _subjects(record: Record, named: Set[str], observed: Observed) -> list[Entity]:
    """The entities that a record can be about: of those with its id or the call's, the ones
    that share most keys with it, the call's own first."""
    own = {str(v): k for k, v in record.items() if is_id(k, v)}
    found = [(e, name) for name in {*named, *own} for e in observed.world.of(name)]
    found = [
        (e, name)
        for e, name in found
        if name in named
        or e.kind.startswith(stem_of(own[name]).rpartition("_")[2].rstrip("y") or "\0")
        or e.record.get(own[name]) == record[own[name]]
    ]
    shared = [(len(record.keys() & e.record.keys()), e, name) for e, name in found]
    most = max((n for n, _, _ in shared), default=0)
    if most < min(_SHARED, len(record)):
        return []
    best = [(e, name) for n, e, name in shared if n == most]
    asked = [(e, name) for e, name in best if name in named]
    return [e for e, name in asked if name in own] or [e for e, _ in asked or best]


def _free(entity: Entity, observed: Observed) -> bool:
    return observed.untouched(split(entity.path)[1:], entity.record)
