"""What a write says by its arguments: `set_address(city=...)`, and whether it is seen later."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.filters.answers import words_of
from trajgen.filters.given import Record, plain
from trajgen.filters.observed import Claim, Heard, Observed
from trajgen.filters.views import Identity
from trajgen.json_text import canonical
from trajgen.pointers import MISSING, equal, json_type
from trajgen.records import Call, Json, Reason

SETS = frozenset(
    {"set", "update", "modify", "change", "edit", "rename", "reschedule", "assign", "adjust"}
)
Before = dict[Identity, Record]


def claim(call: Call, identity: Identity, before: Before, observed: Observed) -> None:
    if not SETS.isdisjoint(words_of(call.tool)):
        known = before.get(identity, {})
        observed.claims[identity[1]] = {
            field: Claim(call, value, _found(known, field))
            for field, value in call.arguments.items()
            if field != identity[0] and value is not None
        }


def made_otherwise(heard: Heard, identity: Identity, record: Record) -> Iterator[Reason]:
    """Something new that is not as the call wanted it."""
    for field, value in heard.call.arguments.items():
        found = record.get(field, MISSING)
        if found is not MISSING and _differs(found, value, MISSING):
            expected, shown = canonical(value)[:80], canonical(found)[:80]
            detail = f"/{identity[1]}/{field}: expected {expected}, found {shown}"
            yield Reason("contradicts_observation", heard.at, detail)
            return


def unmet(heard: Heard, identity: Identity, record: Record, observed: Observed) -> Iterator[Reason]:
    """A field that a write set by name, and that shows something else."""
    for field, claim in observed.claims.get(identity[1], {}).items():
        found = _found(record, field)
        if found is not MISSING and _differs(found, claim.value, claim.before):
            by = f"{claim.call.tool} at message {claim.call.message}"
            expected, shown = canonical(claim.value)[:80], canonical(found)[:80]
            detail = f"/{identity[1]}/{field}: expected {expected} by {by}, found {shown}"
            yield Reason("contradicts_observation", heard.at, detail)
            return


def _found(record: Record, field: str) -> Json:
    """The value of a field in a record or, where it is the only one, one level down."""
    if field in record:
        return record[field]
    inner = [v[field] for v in record.values() if isinstance(v, dict) and field in v]
    return inner[0] if len(inner) == 1 else MISSING


def _differs(found: Json, claimed: Json, before: Json) -> bool:
    """Whether `found` is not what was claimed, other spellings and relative numbers aside."""
    kind = json_type(claimed)
    if json_type(found) != kind or equal(found, claimed):
        return False
    if kind == "object":
        return any(
            _differs(found[k], v, before[k] if isinstance(before, dict) and k in before else v)
            for k, v in claimed.items()
            if k in found
        )
    if kind == "string":
        one, other = plain(found), plain(claimed)
        return one != other and (found == before or not (set(one.split()) & set(other.split())))
    return kind in ("number", "boolean") and (before is MISSING or equal(found, before))
