"""A conversation against itself and against the state it began with; no stored steps needed.

Each answer is about what was asked, agrees with the latest word on it, and with the given
state as long as no write may have touched that. Where a failed write alone explains a
change, the refusal was the lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from trajgen.filters import claims, first_reads, spoken, writing
from trajgen.filters.answers import denies, is_transient, words_of
from trajgen.filters.given import Record, is_id, plain, stem_of, strings_in, world_of
from trajgen.filters.observed import Answer, Heard, Observed, Word, heard
from trajgen.filters.reading import Exchange, parsed, turns
from trajgen.filters.views import (
    Identity,
    difference,
    first_difference,
    identified,
    records,
    same_answer,
)
from trajgen.filters.writing import Shown
from trajgen.json_text import canonical
from trajgen.pointers import MISSING
from trajgen.records import Call, Domain, Json, Reason, Trajectory

_SHARED = 3  # keys that two tools' records must share before they count as views of one entity


def check(trajectory: Trajectory, domain: Domain, found: Sequence[Exchange]) -> Iterator[Reason]:
    """Every answered call in order; planned faults say nothing of the world."""
    settled = {step.call_id for step in trajectory.steps if step.fault or step.verdicts}
    asked = [at for at, turn in enumerate(turns(trajectory.messages)) if turn.role == "user"]
    observed = Observed(world_of(trajectory, domain), bool(trajectory.steps))
    told = [heard(e, domain) for e in found if e.at is not None and e.call.id not in settled]
    echoes = spoken.Echoes(told)
    for call in told:
        again = list(_again(call, observed, asked))
        yield from again
        if call.result == "failed":
            yield from _refused(call, observed)
            observed.failed += [] if call.reads else [call]
        else:
            wrong = list(_answered(call, observed, echoes))
            yield from () if again else wrong


def _answered(call: Heard, observed: Observed, echoes: spoken.Echoes) -> Iterator[Reason]:
    worked = call.result == "ok"
    shown = identified(call.call, call.data, whole=call.reads)
    if worked:
        wrong = list(_another(call)) or list(echoes.another(call))
        wrong = wrong or list(echoes.borrowed(call))
        if call.reads:
            wrong = wrong or list(_against_words(call, shown, observed))
            wrong = wrong or list(first_reads.check(call, observed))
            wrong = wrong or list(spoken.misplaced(call, observed))
        yield from wrong[:1] or writing.impossible(call, observed)
    observed.texts.append(call.text)
    if call.reads:
        for identity, record in shown:
            names = call.names | {identity[1]}
            observed.keep(identity, Word(call.call, call.at, record, call.text, names, False))
        return
    before = writing.known_before(call, shown, observed)
    yield from writing.repeated(call, observed) if worked else ()
    observed.wrote(call)
    yield from writing.written(call, shown, before, observed) if worked else ()


def _again(call: Heard, observed: Observed, asked: Sequence[int]) -> Iterator[Reason]:
    """The same call as before, while nothing that it names was written to."""
    made, text = call.call, call.text
    key = made.tool, canonical(made.arguments)
    earlier = observed.answers.get(key)
    if call.result == "failed" and is_transient(text):
        return
    if earlier is not None and call.reads and earlier.worked:
        if call.result == "ok" and not same_answer(earlier.text, text):
            detail = f"{made.tool} again: {first_difference(earlier.text, text)}"
            new = strings_in([call.data]) - strings_in([parsed(earlier.text)])
            yield from _blamed(call, earlier.at, call.names, new, detail, observed)
        elif call.result == "failed":
            detail = f"{made.tool} worked at message {earlier.at}, now is answered {text[:80]!r}"
            yield Reason("false_refusal", made.message, detail)
        return
    if earlier is not None and not earlier.worked and call.result == "ok":
        yield from _after_refusal(call, earlier, observed, asked)
    if call.result != "unclear" and (call.reads or call.result == "failed"):
        worked = call.result == "ok"
        observed.answers[key] = Answer(made, call.at, text, worked, call.names, call.data)


def _after_refusal(
    call: Heard, earlier: Answer, observed: Observed, asked: Sequence[int]
) -> Iterator[Reason]:
    """A call that failed and now works, though nothing at all happened in between."""
    tool, at = call.call.tool, call.call.message
    since = any(write.at > earlier.at for write in observed.writes)
    if since or any(earlier.at < turn < at for turn in asked):
        return
    if call.reads:
        detail = f"{tool} works at message {at}; found {earlier.text[:80]!r}"
        yield Reason("false_refusal", earlier.call.message, detail)
    else:
        detail = f"{tool} was refused at message {earlier.at}, and nothing changed since"
        yield Reason("precondition_violated", at, detail)


def _refused(heard_: Heard, observed: Observed) -> Iterator[Reason]:
    """ "Not found", of something that is known to be there."""
    call, text = heard_.call, heard_.text
    if not denies(text) or is_transient(text):
        return
    ids = [(k, v) for k, v in call.arguments.items() if is_id(k, v)]
    kinds = {e.kind for _, v in ids for e in observed.world.of(v)}
    rest = [v for k, v in call.arguments.items() if not is_id(k, v) and str(v) not in kinds]
    if not ids or (rest and not any(plain(v) in text.casefold() for _, v in ids)):
        return
    gone = {name for w in observed.writes if _ends(w.call) for name in w.names}
    for field, value in ids:
        if str(value) in gone or not _is_known(call, field, value, observed):
            return
    field, value = ids[0]
    detail = f"{call.tool} /{field}: {value} is known; found {text[:80]!r}"
    yield Reason("false_refusal", call.message, detail)


def _is_known(call: Call, field: str, value: Json, observed: Observed) -> bool:
    """Whether the state or an answer has this id, in the collection that the call names."""
    if observed.world.holds(field, value) or observed.knows(field, value):
        return True
    if stem_of(field):
        return False
    named = {v for v in call.arguments.values() if isinstance(v, str)} | set(words_of(call.tool))
    asked = {k for k in observed.world.kinds() if any(k.startswith(w) for w in named if len(w) > 3)}
    kinds = {entity.kind for entity in observed.world.of(value)}
    return bool(kinds & asked if asked else kinds)


def _ends(call: Call) -> bool:
    return not {"delete", "remove", "cancel", "close"}.isdisjoint(words_of(call.tool))


def _another(heard_: Heard) -> Iterator[Reason]:
    """An answer that names another entity where the call named one."""
    call, at, data = heard_.call, heard_.at, heard_.data
    if data is MISSING:
        return
    names = {plain(name) for name in heard_.names}
    for field, value in call.arguments.items():
        if not is_id(field, value):
            continue
        whole = _about(data, field)
        shown = [(key, whole[key]) for key in _fields_of(call, field) if key in whole][:1]
        shown += [] if shown else [(field, row[field]) for row in _rows(data, field)]
        for key, other in shown:
            if not is_id(key, other) or plain(other) == plain(value):
                continue
            if plain(other) not in names or (key in whole and not _renamed(call, field, other)):
                detail = f"/{key}: expected {canonical(value)}, found {canonical(other)}"
                yield Reason("contradicts_observation", at, f"{call.tool} {detail}"[:300])
                return


def _renamed(call: Call, field: str, shown: Json) -> bool:
    """Whether the call itself gives what `field` names the id that is shown (`new_order_id`)."""
    return any(
        key != field and key.endswith(field) and plain(value) == plain(shown)
        for key, value in call.arguments.items()
        if is_id(key, value)
    )


def _about(data: Json, field: str) -> Record:
    """The record that an answer is, or wraps, or has under the name of the entity."""
    if not isinstance(data, dict):
        return {}
    inner = data.get(stem_of(field))
    if inner is None and len(data) == 1:
        inner = next(iter(data.values()))
    return inner if isinstance(inner, dict) and field not in data else data


def _fields_of(call: Call, field: str) -> Iterator[str]:
    """Where an answer shows the id: under the same name, or as the `id` of what was asked."""
    yield field
    words = [w for w in words_of(call.tool) if w not in ("details", "info", "by", "id")]
    if words and stem_of(field) == words[-1]:
        yield "id"


def _rows(data: Json, field: str) -> Iterator[Record]:
    """Items of a list that have an id of their own before `field`."""
    for record in records(data):
        ids = [key for key, value in record.items() if is_id(key, value)]
        if record is not data and field in ids[1:]:
            yield record


def _against_words(call: Heard, shown: Shown, observed: Observed) -> Iterator[Reason]:
    """What a read shows of an entity against the latest words on it."""
    for identity, record in shown:
        for word in observed.fresh(identity):
            if found := _unlike(word, call.call, record, identity):
                new = strings_in(record) - strings_in(word.record)
                yield from _blamed(call, word.at, word.names, new, found, observed)
                return
        if observed.writes:
            yield from claims.unmet(call, identity, record, observed)
            yield from writing.as_before(identity, record, call, observed)
            for word in observed.old(identity):
                yield from writing.unstable(call, identity, record, word.record, observed)


def _unlike(word: Word, call: Call, record: Record, identity: Identity) -> str:
    if record == word.record:
        return ""
    shared = record.keys() & word.record.keys()
    same_view = word.call.tool == call.tool or record.keys() == word.record.keys()
    if not same_view and len(shared) < _SHARED and not word.written:
        return ""
    path = f"/{identity[1]}"
    found = difference(record, word.record, path, strict=same_view)
    if found or not same_view:
        return found
    other = next((k for k in shared if canonical(record[k]) != canonical(word.record[k])), None)
    return f"{path}/{other}: the items differ" if other is not None else ""


def _blamed(
    call: Heard, since: int, names: Set[str], new: Set[str], detail: str, observed: Observed
) -> Iterator[Reason]:
    """The read is wrong, or a write that was refused in between did happen after all: what is
    `new` is what that write asked for."""
    shown = {value.casefold() for value in new}
    for failed in observed.failed:
        wanted = {name.casefold() for name in failed.names}
        verb = words_of(failed.call.tool)[:1]
        told = bool(shown & wanted) or any(v.startswith(w[:5]) for v in shown for w in verb)
        if since < failed.at < call.at and failed.names & names and told:
            text = f"{failed.call.tool} was refused, yet {call.call.tool} shows it done; {detail}"
            yield Reason("false_refusal", failed.call.message, text[:300])
            return
    yield Reason("contradicts_observation", call.at, f"{detail} (message {since})")
