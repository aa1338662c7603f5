"""A conversation against itself and against the state it began with; no stored steps needed.

Each answer is about what was asked, agrees with the latest word on it, and with the given
state as long as no write may have touched that. Where a failed write alone explains a
change, the refusal was the lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from trajgen.filters import spoken, writing
from trajgen.filters.answers import denies, is_transient, kind_of, outcome, words_of
from trajgen.filters.given import Entity, Record, is_id, plain, stem_of, strings_in, world_of
from trajgen.filters.observed import Answer, Observed, Word, names_of
from trajgen.filters.structure import Exchange, parsed, role_of
from trajgen.filters.views import (
    Identity,
    difference,
    first_difference,
    identified,
    records,
    same_answer,
)
from trajgen.ids import canonical
from trajgen.pointers import MISSING, split
from trajgen.records import Call, Domain, Json, Reason, Trajectory

_SHARED = 3  # keys that two tools' records must share before they count as views of one entity


def check(trajectory: Trajectory, domain: Domain, found: Sequence[Exchange]) -> Iterator[Reason]:
    """Every answered call in order; planned faults say nothing of the world."""
    faults = {step.call_id for step in trajectory.steps if step.fault is not None}
    turns = [i for i, message in enumerate(trajectory.messages) if role_of(message) == "user"]
    observed = Observed(world_of(trajectory, domain), bool(trajectory.steps))
    told = [e for e in found if e.at is not None and e.call.id not in faults]
    echoes = spoken.echoes(told, domain)
    for exchange in told:
        again = list(_again(exchange, domain, observed, turns))
        yield from again
        if outcome(exchange.observation, domain) == "failed":
            yield from _refused(exchange, observed)
            if kind_of(exchange.call.tool, domain) != "read":
                observed.failed.append((exchange.call, exchange.call.message))
            continue
        found_ = list(_answered(exchange, domain, observed, echoes))
        yield from () if again else found_


def _answered(
    exchange: Exchange, domain: Domain, observed: Observed, echoes: spoken.Echoes
) -> Iterator[Reason]:
    call, at, text = exchange
    at, data = at or 0, parsed(text)
    worked = outcome(text, domain) == "ok"
    reads = kind_of(call.tool, domain) == "read"
    if worked:
        wrong = list(_another(call, at, data)) or list(echoes.another(exchange))
        if reads:
            wrong = wrong or list(_against_words(call, at, data, observed))
            wrong = wrong or list(_against_given(call, at, data, observed))
            wrong = wrong or list(spoken.misplaced(exchange, observed))
        yield from wrong[:1]
        if not wrong:
            yield from writing.impossible(exchange, observed, reads)
    observed.texts.append(text)
    if reads:
        _remember(call, at, data, text, observed)
    else:
        before = writing.known_before(call, data, observed)
        yield from writing.repeated(call, observed) if worked else ()
        observed.wrote(call, at, text)
        yield from writing.written(call, at, data, before, observed) if worked else ()


def _remember(call: Call, at: int, data: Json, text: str, observed: Observed) -> None:
    for identity, record in identified(call, data):
        names = names_of(call.arguments) | {identity[1]}
        observed.keep(identity, Word(call, at, record, text, names, False))


def _again(
    exchange: Exchange, domain: Domain, observed: Observed, turns: Sequence[int]
) -> Iterator[Reason]:
    """The same call as before, while nothing that it names was written to."""
    call, at, text = exchange
    key, at = (call.tool, canonical(call.arguments)), at or 0
    reads, result = kind_of(call.tool, domain) == "read", outcome(text, domain)
    earlier = observed.answers.get(key)
    if earlier is not None and reads and earlier.worked and result == "ok":
        if not same_answer(earlier.text, text):
            detail = f"{call.tool} again: {first_difference(earlier.text, text)}"
            yield Reason("contradicts_observation", at, detail)
        return
    if earlier is not None and reads and earlier.worked and not is_transient(text):
        if result == "failed":
            detail = f"{call.tool} worked at message {earlier.at}, now is answered {text[:80]!r}"
            yield Reason("false_refusal", call.message, detail)
        return
    if earlier is not None and not earlier.worked and result == "ok":
        yield from _after_refusal(call, earlier, reads, observed, turns)
    if result != "unclear" and (reads or result == "failed") and not is_transient(text):
        observed.answers[key] = Answer(call, at, text, result == "ok")


def _after_refusal(
    call: Call, earlier: Answer, reads: bool, observed: Observed, turns: Sequence[int]
) -> Iterator[Reason]:
    """A call that failed and now works, though nothing at all happened in between."""
    since = [at for _, at in observed.writes if at > earlier.at]
    if since or any(earlier.at < turn < call.message for turn in turns):
        return
    if reads:
        detail = f"{call.tool} works at message {call.message}; found {earlier.text[:80]!r}"
        yield Reason("false_refusal", earlier.call.message, detail)
    else:
        detail = f"{call.tool} was refused at message {earlier.at}, and nothing changed since"
        yield Reason("precondition_violated", call.message, detail)


def _refused(exchange: Exchange, observed: Observed) -> Iterator[Reason]:
    """ "Not found", of something that is known to be there."""
    call, _, text = exchange
    if not denies(text) or is_transient(text):
        return
    ids = [(k, v) for k, v in call.arguments.items() if is_id(k, v)]
    rest = [v for k, v in call.arguments.items() if not is_id(k, v)]
    if not ids or (rest and not any(plain(v) in text.casefold() for _, v in ids)):
        return
    gone = set().union(*(names_of(c.arguments) for c, _ in observed.writes if _ends(c)), ())
    for field, value in ids:
        if str(value) in gone or not (
            observed.world.holds(field, value) or observed.knows(field, value)
        ):
            return
    field, value = ids[0]
    detail = f"{call.tool} /{field}: {value} is known; found {text[:80]!r}"
    yield Reason("false_refusal", call.message, detail)


def _ends(call: Call) -> bool:
    return not {"delete", "remove", "cancel", "close"}.isdisjoint(words_of(call.tool))


def _another(call: Call, at: int, data: Json) -> Iterator[Reason]:
    """An answer that names another entity where the call named one."""
    names = {plain(name) for name in names_of(call.arguments)}
    whole = data if isinstance(data, dict) else {}
    if len(whole) == 1 and isinstance(inner := next(iter(whole.values())), dict):
        whole = inner
    for field, value in call.arguments.items():
        if not is_id(field, value):
            continue
        shown = [(key, whole[key]) for key in _fields_of(call, field) if key in whole][:1]
        shown += [(field, row[field]) for row in _rows(data, field)]
        for key, other in shown:
            if is_id(key, other) and plain(other) != plain(value) and plain(other) not in names:
                detail = f"/{key}: expected {canonical(value)}, found {canonical(other)}"
                yield Reason("contradicts_observation", at, f"{call.tool} {detail}"[:300])
                return


def _fields_of(call: Call, field: str) -> Iterator[str]:
    """Where an answer shows the id: under the same name, or as the `id` of what was asked."""
    yield field
    words = [w for w in words_of(call.tool) if w not in ("details", "info", "by", "id")]
    if words and stem_of(field) == words[-1]:
        yield "id"


def _rows(data: Json, field: str) -> Iterator[Record]:
    """Items of a list that have an id of their own before `field`."""
    for record in records(data) if data is not MISSING else ():
        ids = [key for key, value in record.items() if is_id(key, value)]
        if record is not data and field in ids[1:]:
            yield record


def _against_words(call: Call, at: int, data: Json, observed: Observed) -> Iterator[Reason]:
    """What a read shows of an entity against the latest words on it."""
    for identity, record in identified(call, data):
        for word in observed.fresh(identity):
            if difference_ := _unlike(word, call, record, identity):
                yield from _blamed(call, at, word, record, difference_, observed)
                return
        yield from writing.unmet(call, at, identity, record, observed)
        yield from writing.as_before(call, at, identity, record, observed)
        for word in observed.old(identity):
            yield from writing.unstable(call, at, identity, record, word.record, observed)


def _unlike(word: Word, call: Call, record: Record, identity: Identity) -> str:
    shared = record.keys() & word.record.keys()
    if word.call.tool != call.tool and len(shared) < _SHARED and not word.written:
        return ""
    return difference(record, word.record, f"/{identity[1]}", strict=False)


def _blamed(
    call: Call, at: int, word: Word, record: Record, detail: str, observed: Observed
) -> Iterator[Reason]:
    """The read is wrong, or a write that was refused in between did happen after all."""
    new = {str(v) for v in strings_in(record)} - strings_in(word.record)
    for failed, message in observed.failed:
        named = names_of(failed.arguments) & word.names
        shown = {v.casefold() for v in new}
        wanted = {v.casefold() for v in names_of(failed.arguments)}
        verb = words_of(failed.tool)[:1]
        told = bool(shown & wanted) or any(v.startswith(w[:5]) for v in shown for w in verb)
        if word.at < message < at and named and told:
            text = f"{failed.tool} was refused, yet {call.tool} shows it done; {detail}"
            yield Reason("false_refusal", message, text[:300])
            return
    yield Reason("contradicts_observation", at, f"{detail} (message {word.at})")


def _against_given(call: Call, at: int, data: Json, observed: Observed) -> Iterator[Reason]:
    """What a read shows of an entity against the state, before any write touched it."""
    named = names_of(call.arguments)
    for record in records(data) if data is not MISSING else ():
        mine = named if record is data or len(data) == 1 else frozenset()
        subjects = _subjects(record, mine, observed)
        if subjects and all(_free(entity, observed) for entity in subjects):
            found = [difference(record, e.record, e.path, strict=True) for e in subjects]
            if all(found):
                yield Reason("contradicts_state", at, found[0])
                return
        if record is data and any(is_id(k, v) for k, v in record.items()):
            return  # a record of its own; what it holds is compared as a part of it


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
