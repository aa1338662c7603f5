"""What a write claims, and what has to be true around it.

A write that worked was possible: what it names is there, and is not done twice. What it
says by its arguments (`set_address(city=...)`) shows in later reads; what it has no word
for (a name, a birthday, an owner) stays. All from the conversation and the given state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from trajgen.filters.answers import words_of
from trajgen.filters.claims import SETS, Before, claim, made_otherwise, unmet
from trajgen.filters.given import Record, is_id, plain, stem_of, strings_in
from trajgen.filters.observed import Heard, Observed, Word, is_telling
from trajgen.filters.views import Identity, difference
from trajgen.json_text import canonical
from trajgen.pointers import equal
from trajgen.records import Call, Json, Reason

_ENDS = frozenset({"cancel", "delete", "terminate", "close", "archive", "deactivate"})
_ONCE = _ENDS | {"return", "exchange", "redeem", "open", "unlock", "lock", "take"}
_BY_HAND = frozenset({"open", "close", "unlock", "lock", "take"})  # of things without an id
_UNDONE = {
    "open": {"close", "shut", "lock"},
    "close": {"open", "reopen", "create"},
    "unlock": {"lock", "close"},
    "lock": {"unlock", "open"},
}
_MAKES = frozenset(
    {"create", "add", "register", "new", "make", "book", "open", "insert", "save", "set", "put"}
)
_STABLE = re.compile(
    r"(?:first_|last_|full_|user_|customer_)?name|e?mail|dob|(?:date_of_)?birth\w*|created\w*"
    r"|placed_on|brand|title|currency|sku|(?:user|customer|owner|member|patient|student)_id"
)
_REPORTS = frozenset({"status", "state", "result", "message", "success", "ok", "code"})
_WENT = re.compile(
    r"(?:success\w*|ok|done|accepted|submitted|confirmed|completed?|processed)", re.I
)
_NOTHING = {"", "[]", "{}", "null", "none", "0"}
Shown = list[tuple[Identity, Record]]


def impossible(heard: Heard, observed: Observed) -> Iterator[Reason]:
    """A call that worked on something that is not there, or is at an end already."""
    call, text, reads = heard.call, heard.text, heard.reads
    made = not reads and not _MAKES.isdisjoint(words_of(call.tool))
    for field, value in call.arguments.items():
        if not is_id(field, value) or text.strip().casefold() in _NOTHING:
            continue
        if not made and observed.world.lacks(field, value) and not observed.met(str(value)):
            detail = f"{call.tool} /{field}: the state has no {stem_of(field)} {value}"
            yield Reason("precondition_violated", call.message, detail)
        elif not reads:
            yield from _over(call, field, value, observed)


def _over(call: Call, field: str, value: Json, observed: Observed) -> Iterator[Reason]:
    """A cancellation of what is known to be cancelled."""
    verb = words_of(call.tool)[:1]
    if not verb or verb[0] not in _ENDS or stem_of(field) not in call.tool:
        return
    for record in _records_of(field, value, observed):
        status = record.get("status")
        if isinstance(status, str) and status.casefold().startswith(_past(verb[0])):
            detail = f"{call.tool} /{field}: {value} is {status!r} already"
            yield Reason("precondition_violated", call.message, detail)
            return


def _past(verb: str) -> str:
    return verb.removesuffix("e") + "ed" if verb != "cancel" else "cancel"


def _records_of(field: str, value: Json, observed: Observed) -> Iterator[Record]:
    """The latest word on an entity, else the state's, if no write touched it."""
    fresh = [word.record for word in observed.fresh((field, str(value)))]
    yield from fresh[:1]
    for entity in observed.world.of(value) if not fresh else ():
        if observed.untouched([str(value)], entity.record):
            yield entity.record


def repeated(heard: Heard, observed: Observed) -> Iterator[Reason]:
    """What can be done once, done twice, with nothing in between that undoes it."""
    call = heard.call
    verb = words_of(call.tool)[0] if words_of(call.tool) else ""
    told = any(map(is_telling, heard.names))
    mine = _essence(call, verb) if verb in _ONCE and (told or verb in _BY_HAND) else ""
    for write in reversed(observed.writes) if mine else ():
        earlier = write.call
        if earlier.tool == call.tool and _essence(earlier, verb) == mine:
            detail = f"{call.tool} worked at message {earlier.message} already: {mine[:100]}"
            yield Reason("precondition_violated", call.message, detail)
            return
        if _undoes(write, heard, verb) or (earlier.tool == call.tool and not told):
            return


def _undoes(write: Heard, heard: Heard, verb: str) -> bool:
    """Whether a write in between may have made it possible once more: it names the same
    thing, and where one word undoes another it is that word."""
    first = next((str(v) for v in heard.call.arguments.values()), "")
    if first not in write.names:
        return False
    undone = _UNDONE.get(verb)
    return undone is None or not undone.isdisjoint(words_of(write.call.tool))


def _essence(call: Call, verb: str) -> str:
    """The arguments that say what is done; of an end only what it ends."""
    arguments = call.arguments
    if verb in _ENDS:
        arguments = {k: v for k, v in arguments.items() if is_id(k, v)} or arguments
    return canonical(arguments) if arguments else ""


def known_before(heard: Heard, shown: Shown, observed: Observed) -> Before:
    """The records of what a write is about, as they were known before it."""
    found: Before = {}
    for identity, _ in shown:
        for word in (*observed.old(identity), *observed.fresh(identity)):
            found[identity] = word.record
    ids = [(k, str(v)) for k, v in heard.call.arguments.items() if is_id(k, v)]
    for identity in {*ids, *found}:
        known = [*observed.old(identity), *observed.fresh(identity)]
        record = known[-1].record if known else next(_records_of(*identity, observed), None)
        if record is not None:
            found.setdefault(identity, record)
    return found


def written(heard: Heard, shown: Shown, before: Before, observed: Observed) -> Iterator[Reason]:
    """What a write's own answer shows, and what later reads will have to show."""
    call = heard.call
    for field, value in call.arguments.items():
        if is_id(field, value):
            claim(call, (field, str(value)), before, observed)
    for identity, record in shown:
        known = before.get(identity)
        if known is not None:
            yield from unstable(heard, identity, record, known, observed)
            yield from _nothing_done(call, record, known, observed)
        yield from unmet(heard, identity, record, observed)
        if identity[1] not in heard.names and not _MAKES.isdisjoint(words_of(call.tool)):
            yield from made_otherwise(heard, identity, record)
        kept = {k: v for k, v in record.items() if not _reports(call, k, v)}
        names = frozenset({identity[1]})
        observed.keep(identity, Word(call, heard.at, kept, heard.text, names, True))


def _reports(call: Call, key: str, value: Json) -> bool:
    """Whether a field speaks of the call (`status: success`, an argument) and not the entity."""
    if key in _REPORTS and isinstance(value, str | bool):
        return isinstance(value, bool) or bool(_WENT.fullmatch(value)) or key == "message"
    echoed = key in call.arguments and not is_id(key, value)
    return echoed and SETS.isdisjoint(words_of(call.tool))


def _nothing_done(
    call: Call, record: Record, known: Record, observed: Observed
) -> Iterator[Reason]:
    """An answer that shows all as it was, though the call asked for something else."""
    if observed.replayed or not _changes(call):
        return
    if len(record) < 3 or not record.keys() <= known.keys():
        return
    same = all(equal(value, known[key]) for key, value in record.items())
    if same and not _asked_for_nothing(call, known):
        detail = f"{call.tool} worked, and its answer shows nothing changed"
        yield Reason("effect_missing", call.message, detail)


def _changes(call: Call) -> bool:
    return not (SETS | _ENDS | {"exchange", "return"}).isdisjoint(words_of(call.tool))


def _asked_for_nothing(call: Call, known: Record) -> bool:
    """Whether a call sets what is there already; an end or a return always asks for more."""
    verbs = words_of(call.tool)
    if not (_ENDS | {"exchange", "return"}).isdisjoint(verbs):
        return False
    there = {text.casefold() for text in strings_in(known)}
    given = {k: v for k, v in call.arguments.items() if not is_id(k, v)}
    return bool(given) and all(
        _holds(known[k], v)
        if k in known
        else {text.casefold() for text in strings_in([v])} <= there
        for k, v in given.items()
    )


def _holds(known: Json, wanted: Json) -> bool:
    """Whether all that is wanted is known: keys of an object, items of a list."""
    if isinstance(wanted, dict) and isinstance(known, dict):
        return all(k in known and _holds(known[k], v) for k, v in wanted.items())
    if isinstance(wanted, list) and isinstance(known, list):
        return all(any(_holds(item, value) for item in known) for value in wanted)
    return equal(known, wanted) or plain(known) == plain(wanted)


def as_before(
    identity: Identity, record: Record, heard: Heard, observed: Observed
) -> Iterator[Reason]:
    """A read that shows an entity as it was before a write that worked on it."""
    made = [write for write in observed.writes if identity[1] in write.names]
    last = made[-1].call if made else None
    stem = stem_of(identity[0])
    if observed.replayed or last is None or not _changes(last):
        return
    if not stem or stem not in words_of(last.tool):
        return
    if next(observed.fresh(identity), None) is not None:
        return  # its own answer, or a read behind it, is the later word
    old = [word.record for word in observed.old(identity) if word.at < last.message]
    old += [] if old else [entity.record for entity in observed.world.of(identity[1])]
    for known in old:
        if len(record) < 3 or not record.keys() <= known.keys() or _asked_for_nothing(last, known):
            continue
        if all(equal(value, known[key]) for key, value in record.items()):
            detail = f"/{identity[1]}: as it was before {last.tool} at message {last.message}"
            yield Reason("contradicts_observation", heard.at, detail)
            return


def unstable(
    heard: Heard, identity: Identity, record: Record, known: Record, observed: Observed
) -> Iterator[Reason]:
    """A name, a birthday or an owner that changed though no write speaks of it."""
    keys = [k for k in record.keys() & known.keys() if _is_stable(k) and record[k] != known[k]]
    calls = [heard.call, *(write.call for write in observed.writes)] if keys else []
    spoken = {word for call in calls for word in _spoken(call)}
    for key in sorted(keys):
        if {key, *key.split("_")} & spoken - {"id", "user"}:
            continue
        if found := difference(record[key], known[key], f"/{identity[1]}/{key}", strict=False):
            yield Reason("contradicts_observation", heard.at, found)
            return


@lru_cache(maxsize=4096)
def _is_stable(key: str) -> bool:
    return _STABLE.fullmatch(key) is not None


def _spoken(call: Call) -> Iterator[str]:
    """The words by which a write may say that it changes a field."""
    yield from words_of(call.tool)
    yield from (k for k, v in call.arguments.items() if not is_id(k, v))
