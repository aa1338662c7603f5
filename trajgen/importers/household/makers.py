"""Wishes of every kind, drawn for one house.

A goal belongs to a split as a house does, by its hash: no held-out goal is ever trained, and
none of the shipped seeds' goals is in either.

Crash rule: nothing is kept; the same stream draws the same wish again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from random import Random

from trajgen.goals import holds
from trajgen.importers.household.choices import Chooser
from trajgen.importers.household.houses import kind_of, split_of
from trajgen.importers.household.kinds import (
    DOORS,
    FOOD,
    MEALS,
    MICROWAVE,
    STOVE,
    SWITCHES,
    THINGS,
)
from trajgen.importers.household.wishes import MADE, Errand, Goal, Setting, Wish, unsafe
from trajgen.json_text import canonical
from trajgen.loading import shipped
from trajgen.records import Json

Maker = Callable[[Chooser], Wish | None]
_TRIES = 60  # for one kind; then another is drawn


def wish(state: dict[str, Json], split: str, taken: set[str], draw: Random) -> Wish:
    """A wish for this house whose goal is of the split, not reached yet, and not in `taken`
    (goals as `task` names them), where it is then added."""
    chooser = Chooser(state, draw)
    while True:
        make = draw.choices([maker for maker, _ in MAKERS], [weight for _, weight in MAKERS])[0]
        for _ in range(_TRIES):
            found = make(chooser)
            name = task(found.goal()) if found else ""
            if not found or split_of(name) != split or name in taken or name in _shipped_tasks():
                continue
            if not all(holds(state, condition) for condition in found.goal()):
                taken.add(name)
                return found


def task(goal: Goal) -> str:
    """One text for one goal, whatever the order of its conditions."""
    return canonical(sorted(map(canonical, goal)))


@cache
def _shipped_tasks() -> frozenset[str]:
    text = (shipped("seeds") / "household" / "trajectories.jsonl").read_text("utf-8")
    return frozenset(task(tuple(json.loads(line)["goal"])) for line in text.splitlines())


def _one(kind: str) -> Maker:
    """A thing moved, after what the kind says was done with it."""

    def make(chooser: Chooser) -> Wish | None:
        errand = chooser.errand("" if kind == "move" else kind)
        return Wish(kind, (errand,)) if errand else None

    return make


def _back(chooser: Chooser) -> Wish | None:
    errand = chooser.errand(chooser.draw.choice(list(MADE)), back=True)
    return Wish("back", (errand,)) if errand else None


def _two(chooser: Chooser) -> Wish | None:
    first = chooser.errand(chooser.draw.choice(("", "", "clean")))
    second = chooser.errand(chooser.draw.choice(("", "", "cool")))
    if not first or not second or first.thing == second.thing:
        return None
    return Wish("two", (first, second))


def _switch(chooser: Chooser) -> Wish | None:
    chosen = chooser.of(lambda p: kind_of(p) in SWITCHES and p != STOVE, 2)
    found = [Setting(p, "power", chooser.draw.choice(("on", "off"))) for p in chosen]
    return Wish("switch", tuple(found)) if found else None


def _door(chooser: Chooser) -> Wish | None:
    """Open or close containers; no fridge or microwave is asked to be left open."""
    chosen = chooser.of(lambda p: kind_of(p) in DOORS and chooser.free(p), 2)
    shut = ("fridge", "microwave")
    found = [
        Setting(p, "open", kind_of(p) not in shut and chooser.draw.random() < 0.6) for p in chosen
    ]
    return Wish("door", tuple(found))


def _stove(chooser: Chooser) -> Wish | None:
    """A stove that was left on goes off, and perhaps something else is to be done."""
    off = Setting(STOVE, "power", "off")
    errand = chooser.errand() if chooser.draw.random() < 0.6 else None
    return Wish("stove", (off, errand) if errand else (off,))


def _absent(chooser: Chooser) -> Wish | None:
    """The thing is not in the house."""
    thing = f"{chooser.draw.choice(list(THINGS))}_{chooser.draw.randint(1, 4)}"
    if thing in chooser.lies:
        return None
    told = {chooser.holder(): None for _ in range(chooser.draw.choice((1, 2)))}
    return Wish("absent", (Errand(thing, tuple(told), chooser.holder(told)),), "failure")


def _locked(chooser: Chooser) -> Wish | None:
    """The thing is behind a lock, or is to go there."""
    locked = [place for place in chooser.places if not chooser.free(place)]
    inside = [thing for thing, place in chooser.lies.items() if place in locked]
    thing = chooser.thing()
    if inside and chooser.draw.random() < 0.6:
        thing = chooser.draw.choice(inside)
        where = chooser.lies[thing]
        return Wish("locked", (Errand(thing, (where,), chooser.holder((where,))),), "failure")
    if not locked or thing is None:
        return None
    errand = Errand(thing, (chooser.lies[thing],), chooser.draw.choice(locked))
    return Wish("locked", (errand,), "failure")


def _nowhere(chooser: Chooser) -> Wish | None:
    """The place is not in the house."""
    thing = chooser.thing()
    to = f"{kind_of(chooser.holder())}_{chooser.draw.randint(2, 6)}"
    if thing is None or to in chooser.places or kind_of(to) == "hallway":
        return None
    return Wish("nowhere", (Errand(thing, (chooser.lies[thing],), to),), "failure")


def _unsafe(chooser: Chooser) -> Wish | None:
    """Metal in the microwave, or on the stove what burns there."""
    at = chooser.draw.choice((MICROWAVE, STOVE))

    def fits(thing: str) -> bool:
        return kind_of(thing) in MEALS - FOOD and unsafe(chooser.known(thing)["material"], at)

    thing = chooser.thing(fits)
    if thing is None:
        return None
    where = chooser.lies[thing]
    to = where if chooser.draw.random() < 0.3 else chooser.holder((where,))
    errand = Errand(thing, (where,), to, "heat", at, back=to == where)
    return Wish("unsafe", (errand,), "refusal")


def _burning(chooser: Chooser) -> Wish | None:
    """Something is to stand on the stove, and the stove to be on with nobody there."""
    thing = chooser.thing(lambda t: kind_of(t) in MEALS and chooser.lies[t] != STOVE)
    if thing is None:
        return None
    errand = Errand(thing, (chooser.lies[thing],), STOVE)
    return Wish("burning", (errand, Setting(STOVE, "power", "on")), "refusal")


MAKERS: tuple[tuple[Maker, int], ...] = (
    (_one("move"), 24),
    (_one("clean"), 17),
    (_one("heat"), 15),
    (_one("cool"), 10),
    (_back, 9),
    (_two, 8),
    (_switch, 6),
    (_door, 5),
    (_stove, 3),
    (_absent, 2),
    (_locked, 3),
    (_nowhere, 1),
    (_unsafe, 4),
    (_burning, 1),
)
