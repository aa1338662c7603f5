"""Two views of one thing: an observation beside the state, or beside an earlier observation.

A record is an object that an observation is, lists or wraps. Only what both sides show is
compared: a view may leave out, rename and add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set

from trajgen.filters.given import is_id, stem_of
from trajgen.filters.reading import parsed
from trajgen.filters.spellings import is_when
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, join, json_type, scalars, split
from trajgen.records import Call, Json, Reason

Record = dict[str, Json]
Identity = tuple[str, str]  # field and value of an id, as in ("order_id", "W1")

MOST_RECORDS = 20  # records of one observation that are compared
_COMPARED = 400  # pairs of objects of two lists


def against_state(
    call: Call, observation: str, ledger: Ledger, text_numbers: bool = False
) -> list[Reason]:
    """Where a JSON observation's fields differ from the entity each record is about.

    Of several entities that fit a record equally, one that agrees is enough.
    """
    data, found = parsed(observation), []
    named = _named(call, ledger) if data is not MISSING else []
    for record in records(data):
        mine = named if record is data or len(data) == 1 else []
        subjects = _subjects(record, mine, ledger)
        differences = [difference(record, ledger.get(p), p, True, text_numbers) for p in subjects]
        if subjects and all(differences):
            found.append(Reason("contradicts_state", call.message, differences[0]))
        if subjects and record is data and not all(map(_nested, record.values())):
            break  # a record of its own; what it holds is compared as a part of it
    return found


def records(data: Json) -> list[Record]:
    """The observation itself, or what it lists or wraps one level down."""
    if isinstance(data, list):
        return [item for item in data[: 2 * MOST_RECORDS] if type(item) is dict][:MOST_RECORDS]
    if not isinstance(data, dict):
        return []
    found = [data]
    for value in data.values():
        if type(value) is dict:
            found.append(value)
        elif type(value) is list:
            found += [item for item in value[:MOST_RECORDS] if type(item) is dict]
    return found[:MOST_RECORDS]


def _named(call: Call, ledger: Ledger) -> list[str]:
    """Entities that the call names. A date, a small number or a plain word inside an entity
    (/flights/F1/dates/2024-05-16) names nothing unless the call names that entity too."""
    names = {str(value) for value in scalars(call.arguments)}
    return [
        pointer
        for pointer in ledger.relevant(call.arguments)
        if len(keys := split(pointer)) <= 2 or _telling(keys[-1]) or names & set(keys[1:-1])
    ]


def _telling(key: str) -> bool:
    digits = any(map(str.isdecimal, key))
    return digits and not is_when(key) and (len(key) >= 4 or not key.isdecimal())


def _subjects(record: Record, named: Sequence[str], ledger: Ledger) -> list[str]:
    """Pointers of the entities that `record` can be about: they share most keys with it.

    Among equals, what call and record both name comes first, then what the call names.
    """
    own = list(_own(record, ledger))
    shared = {p: _shared(record, ledger.get(p)) for p in [*named, *own]}
    most = max(shared.values(), default=0)
    best = [p for p in shared if shared[p] == most > 0]
    mine = [p for p in best if p in named]
    return [p for p in mine if p in own] or mine or best


def _shared(record: Record, entity: Json) -> int:
    return len(record.keys() & entity.keys()) if isinstance(entity, dict) else 0


def _own(record: Record, ledger: Ledger) -> Iterator[str]:
    ids = {k: v for k, v in record.items() if is_id(k, v)}
    for pointer in ledger.relevant(ids) if ids else ():
        *_, collection, key = ["", *split(pointer)]
        entity = ledger.get(pointer)
        for field, value in ids.items():
            same_field = isinstance(entity, dict) and entity.get(field) == value
            if str(value) == key and (same_field or collection.startswith(stem_of(field))):
                yield pointer
                break


def difference(seen: Json, known: Json, path: str, strict: bool, text_numbers: bool = False) -> str:
    """The first place where `seen` contradicts `known`; "" when it nowhere does.

    Objects are compared on shared keys, lists of objects by their ids. A container against
    a scalar is another view, no contradiction; so is text against a number unless `strict`,
    and with `text_numbers` "15.1" is 15.1 even then.
    """
    if seen is known or (type(seen) is type(known) and seen == known):
        return ""
    types = json_type(seen), json_type(known)
    if types == ("object", "object"):
        pairs = [(seen[k], known[k], k) for k in seen if k in known]
        if strict and path.count("/") > 2 and seen and known and not pairs:
            return _differs(path, sorted(known), sorted(seen))
    elif types == ("array", "array") and not any(_nested(item) for item in [*seen, *known]):
        return "" if canonical(seen) == canonical(known) else _differs(path, known, seen)
    elif types == ("array", "array"):
        pairs = _aligned(seen, known)
        if strict and (stranger := _stranger(seen, known, text_numbers)) is not MISSING:
            return _differs(path, known, stranger)
    elif "null" not in types and not {"object", "array"}.isdisjoint(types):
        return ""
    elif types[0] != types[1]:
        same = text_numbers and str(seen) == str(known)
        return _differs(path, known, seen) if strict and not same else ""
    else:
        return "" if seen == known else _differs(path, known, seen)
    found = (difference(a, b, join(path, k), strict, text_numbers) for a, b, k in pairs)
    return next(filter(None, found), "")


def _nested(value: Json) -> bool:
    return isinstance(value, dict | list)


def _aligned(seen: list[Json], known: list[Json]) -> list[tuple[Json, Json, str]]:
    """Items of both lists that carry the same id, where that id is theirs alone."""
    ours, theirs = _by_id(seen), _by_id(known)
    return [(ours[id_], theirs[id_], id_[1]) for id_ in ours if id_ in theirs]


def _stranger(seen: list[Json], known: list[Json], text_numbers: bool) -> Json:
    """The first object of `seen` that agrees with none of `known`; MISSING without one. A view
    may leave items out, and does not make any up."""
    if len(seen) * len(known) > _COMPARED:
        return MISSING
    for item in seen:
        if isinstance(item, dict) and all(
            difference(item, other, "", False, text_numbers) for other in known
        ):
            return item
    return MISSING


def _by_id(items: list[Json]) -> dict[tuple[str, str], Json]:
    ids = [
        (next(((k, str(v)) for k, v in item.items() if is_id(k, v)), None), item)
        for item in items
        if isinstance(item, dict)
    ]
    counts = Counter(id_ for id_, _ in ids)
    return {id_: item for id_, item in ids if id_ is not None and counts[id_] == 1}


def _differs(path: str, expected: Json, found: Json) -> str:
    return f"{path or '/'}: expected {canonical(expected)[:80]}, found {canonical(found)[:80]}"


def same_answer(one: str, other: str) -> bool:
    """Whether two observations say the same, whatever the order of keys or the white space."""
    if one == other:
        return True
    first, second = parsed(one), parsed(other)
    if first is MISSING or second is MISSING:
        return one.split() == other.split()
    return canonical(first) == canonical(second)


def first_difference(one: str, other: str) -> str:
    """Where two observations differ, in words."""
    first, second = parsed(one), parsed(other)
    if first is MISSING or second is MISSING:
        return f"expected {one[:80]!r}, found {other[:80]!r}"
    return difference(second, first, "", strict=True) or "keys or items differ"


def identified(call: Call, data: Json, whole: bool = True) -> list[tuple[Identity, Record]]:
    """Records with the id that is theirs alone in this observation.

    With `whole` a record counts only when every argument is an id or shows in the record:
    otherwise what it says may depend on the argument (a fare on a date).
    """
    if data is MISSING:
        return []
    wanted = {str(value) for value in scalars(call.arguments)}
    loose = {str(v) for k, v in call.arguments.items() if not is_id(k, v) for v in scalars(v)}
    found: list[tuple[Identity, Record]] = []
    for record in records(data):
        id_ = _identity(call, record, wanted)
        if id_ and (not whole or not loose or loose <= {str(v) for v in scalars(record)}):
            found.append((id_, record))
            if record is data:
                break
    if len(found) < 2:
        return found
    counts = Counter(id_ for id_, _ in found)
    return [(id_, record) for id_, record in found if counts[id_] == 1]


def own_ids(data: Json) -> set[str]:
    """The first id of each record that an observation is, lists or wraps."""
    found = (
        next((str(v) for k, v in record.items() if is_id(k, v)), "") for record in records(data)
    )
    return {id_ for id_ in found if id_}


def _identity(call: Call, record: Record, wanted: Set[str]) -> Identity | None:
    """Its first id, or one that the call asked for by the tool's own name."""
    ids = [(k, str(v)) for k, v in record.items() if is_id(k, v)]
    asked = [i for i in ids if i[1] in wanted and (i == ids[0] or stem_of(i[0]) in call.tool)]
    return asked[0] if asked else ids[0] if ids else None
