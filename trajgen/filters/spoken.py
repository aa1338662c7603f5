"""Answers in prose: is it about what was asked, is it where the state has it?

Nothing is parsed: names that calls used and ids that the state holds are looked for as
words of their own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from trajgen.filters.answers import outcome
from trajgen.filters.observed import Observed
from trajgen.filters.spellings import is_when, stands
from trajgen.filters.structure import Exchange
from trajgen.pointers import split
from trajgen.records import Domain, Reason

_SHORT = 400  # characters of an answer that is about one thing
_ID = re.compile(r"[A-Za-z]+[_-]?\d+(?:[_-]\d+)*")
Named = tuple[str, str]  # tool and argument


class Echoes:
    """Which tools repeat which argument in every answer, and all that they were asked."""

    def __init__(self, asked: dict[Named, list[tuple[str, bool]]]) -> None:
        self.asked = asked

    def another(self, exchange: Exchange) -> Iterator[Reason]:
        """An answer without the name that its tool always repeats, but with another's."""
        call, at, text = exchange
        if len(text) > _SHORT:
            return
        folded = text.casefold()
        mine = {v.casefold() for v in call.arguments.values() if isinstance(v, str)}
        for field, value in call.arguments.items():
            asked = self.asked.get((call.tool, field), [])
            if not isinstance(value, str) or stands(value.casefold(), folded):
                continue
            others = [other for other, _ in asked if other not in mine]
            echoed = [e for other, e in asked if other != value.casefold()]
            if not echoed or not all(echoed):
                continue
            for other in others:
                if stands(other, folded):
                    detail = f"{call.tool} /{field}: expected {value!r}, found {other!r}"
                    yield Reason("contradicts_observation", at, f"{detail} in the answer")
                    return


def echoes(told: Sequence[Exchange], domain: Domain) -> Echoes:
    """What each tool was asked in this conversation, and whether it repeated that."""
    asked: dict[Named, list[tuple[str, bool]]] = defaultdict(list)
    for call, _, text in told:
        if len(text) > _SHORT or outcome(text, domain) != "ok":
            continue
        folded = text.casefold()
        for field, value in call.arguments.items():
            if isinstance(value, str) and 2 < len(value) <= 64 and not is_when(value.casefold()):
                name = value.casefold()
                asked[(call.tool, field)].append((name, stands(name, folded)))
    return Echoes(dict(asked))


def misplaced(exchange: Exchange, observed: Observed) -> Iterator[Reason]:
    """Prose about one entity of the state that tells of things which lie in another."""
    call, at, text = exchange
    if text[:1] in "{[" or observed.all_touched:
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
