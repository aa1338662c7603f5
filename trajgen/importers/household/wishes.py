"""What users want done in a house, and the goal that says when it is.

A goal belongs to a split as a house does, by its hash: no held-out goal is ever trained.

Crash rule: nothing is kept; the same stream draws the same wish again.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from random import Random

from trajgen.goals import holds
from trajgen.ids import canonical
from trajgen.importers.household.houses import kind_of, split_of
from trajgen.importers.household.kinds import (
    BURNS,
    DOORS,
    FOOD,
    MEALS,
    METALS,
    MICROWAVE,
    STOVE,
    SWITCHES,
    THINGS,
    UNWASHED,
)
from trajgen.records import Json

Goal = tuple[dict[str, Json], ...]
MADE = {
    "clean": ("condition", "clean"),
    "heat": ("temperature", "hot"),
    "cool": ("temperature", "cold"),
}
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Errand:
    """`thing` is to be in or on `to`, first washed, heated or cooled if `do` says so.

    `told` are the places where the user thinks that it is; `at` is the appliance that the
    user names for heating; `back`: it goes back to where it was.
    """

    thing: str
    told: tuple[str, ...]
    to: str
    do: str = ""
    at: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """`place` is to be switched or opened or closed: its `field` is to have `value`."""

    place: str
    field: str
    value: str | bool


@dataclass(frozen=True, slots=True)
class Wish:
    """All that a user wants in one conversation; `outcome` is how it has to end."""

    kind: str
    errands: tuple[Errand, ...] = ()
    settings: tuple[Setting, ...] = ()
    outcome: str = "success"

    def goal(self) -> Goal:
        """The conditions that hold when the wish is fulfilled."""
        wanted = [_brought(errand) for errand in self.errands]
        wanted += [
            {"path": f"/places/{s.place}/{s.field}", "equals": s.value} for s in self.settings
        ]
        return tuple(wanted)


def _brought(errand: Errand) -> dict[str, Json]:
    path = f"/places/{errand.to}/contents/{errand.thing}"
    if errand.do:
        field, value = MADE[errand.do]
        return {"path": f"{path}/{field}", "equals": value}
    return {"path": path, "exists": True}


class Chooser:
    """Draws from what one house has."""

    def __init__(self, state: dict[str, Json], draw: Random) -> None:
        self.draw, self.state = draw, state
        self.places: dict[str, Json] = state["places"]
        self.lies = {t: p for p, known in self.places.items() for t in known.get("contents", {})}

    def free(self, place: str) -> bool:
        """Whether nothing keeps a robot from what lies there."""
        return not self.places[place].get("locked", False)

    def material(self, thing: str) -> str:
        """What a thing is made of."""
        return str(self.places[self.lies[thing]]["contents"][thing]["material"])

    def thing(self, fits: Callable[[str], bool]) -> str | None:
        """Some thing in reach that fits."""
        found = [t for t, p in self.lies.items() if self.free(p) and fits(t)]
        return self.draw.choice(found) if found else None

    def holder(self, without: Container[str] = ()) -> str:
        """Some place in reach that holds things; the microwave and the stove seldom."""
        found = [p for p, k in self.places.items() if "contents" in k and self.free(p)]
        found = [p for p in found if p not in without]
        usual = [p for p in found if p not in (MICROWAVE, STOVE)]
        return self.draw.choice(usual if self.draw.random() < 0.9 else found)

    def told(self, thing: str) -> tuple[str, ...]:
        """Where the user thinks it is: one in seven thinks of a wrong place first."""
        where = self.lies[thing]
        if self.draw.random() >= 0.16:
            return (where,)
        others = [p for p, k in self.places.items() if "contents" in k and p != where]
        return self.draw.choice(others), where

    def brought(self, do: str, back: bool = False) -> Errand | None:
        """An errand about some thing for which `do` makes sense."""
        thing = self.thing(lambda t: self.suits(t, do))
        if thing is None:
            return None
        where = self.lies[thing]
        at = self.appliance(thing) if do == "heat" and self.draw.random() < 0.5 else ""
        return Errand(
            thing, self.told(thing), where if back else self.holder((where,)), do, at, back
        )

    def suits(self, thing: str, do: str) -> bool:
        """Whether somebody would have this done to it; mostly it needs it."""
        if do == "clean":
            likely = self.material(thing) not in UNWASHED
        else:
            likely = not do or kind_of(thing) in MEALS
        if not likely or not do:
            return likely
        field, value = MADE[do]
        known = self.places[self.lies[thing]]["contents"][thing]
        return known[field] != value or self.draw.random() < 0.1

    def appliance(self, thing: str) -> str:
        """A safe one to heat it with."""
        safe = [place for place in (MICROWAVE, STOVE) if not unsafe(self.material(thing), place)]
        return self.draw.choice(safe)


def unsafe(material: str, place: str) -> bool:
    """Whether the policy forbids to heat this material there."""
    banned = {"microwave": METALS, "stove": BURNS}.get(kind_of(place), frozenset())
    return material in banned


def wish(state: dict[str, Json], split: str, taken: set[str], draw: Random) -> Wish:
    """A wish for this house whose goal is of the split, not true yet, and not in `taken`
    (canonical goals), where it is then added."""
    chooser = Chooser(state, draw)
    while True:
        make = draw.choices(list(MAKERS), MAKERS.values())[0]
        for _ in range(_TRIES):
            found = make(chooser)
            if found is None:
                continue
            goal = found.goal()
            key = canonical(sorted(map(canonical, goal)))
            if split_of(key) != split or key in taken or all(holds(state, c) for c in goal):
                continue
            taken.add(key)
            return found


def _move(chooser: Chooser) -> Wish | None:
    errand = chooser.brought("")
    return errand and Wish("move", (errand,))


def _clean(chooser: Chooser) -> Wish | None:
    errand = chooser.brought("clean")
    return errand and Wish("clean", (errand,))


def _heat(chooser: Chooser) -> Wish | None:
    errand = chooser.brought("heat")
    return errand and Wish("heat", (errand,))


def _cool(chooser: Chooser) -> Wish | None:
    errand = chooser.brought("cool")
    return errand and Wish("cool", (errand,))


def _back(chooser: Chooser) -> Wish | None:
    errand = chooser.brought(chooser.draw.choice(list(MADE)), back=True)
    return errand and Wish("back", (errand,))


def _two(chooser: Chooser) -> Wish | None:
    first = chooser.brought(chooser.draw.choice(("", "", "clean")))
    second = chooser.brought(chooser.draw.choice(("", "", "cool")))
    if not first or not second or first.thing == second.thing:
        return None
    return Wish("two", (first, second))


def _switch(chooser: Chooser) -> Wish | None:
    lamps = [p for p in chooser.places if kind_of(p) in SWITCHES and kind_of(p) != "stove"]
    count = min(len(lamps), chooser.draw.choice((1, 1, 2)))
    if not count:
        return None
    chosen = chooser.draw.sample(lamps, count)
    return Wish(
        "switch",
        settings=tuple(Setting(p, "power", chooser.draw.choice(("on", "off"))) for p in chosen),
    )


def _door(chooser: Chooser) -> Wish | None:
    doors = [p for p in chooser.places if kind_of(p) in DOORS and chooser.free(p)]
    count = min(len(doors), chooser.draw.choice((1, 1, 2)))
    values = [(p, chooser.draw.random() < 0.6) for p in chooser.draw.sample(doors, count)]
    found = [Setting(p, "open", v and kind_of(p) not in ("fridge", "microwave")) for p, v in values]
    return Wish("door", settings=tuple(found))


def _stove(chooser: Chooser) -> Wish | None:
    off = Setting(STOVE, "power", "off")
    if chooser.places[STOVE]["power"] == "off":
        return None
    errand = chooser.brought("") if chooser.draw.random() < 0.5 else None
    return Wish("stove", (errand,) if errand else (), (off,))


def _impossible(chooser: Chooser) -> Wish | None:
    make = chooser.draw.choice((_absent, _locked, _nowhere, _unsafe, _unsafe, _burning))
    return make(chooser)


def _absent(chooser: Chooser) -> Wish | None:
    """The thing is not in the house."""
    thing = f"{chooser.draw.choice(list(THINGS))}_{chooser.draw.randint(1, 4)}"
    if thing in chooser.lies:
        return None
    told = tuple(chooser.holder() for _ in range(chooser.draw.choice((1, 2))))
    return Wish(
        "absent",
        (Errand(thing, tuple(dict.fromkeys(told)), chooser.holder(told)),),
        outcome="failure",
    )


def _locked(chooser: Chooser) -> Wish | None:
    """The thing is behind a lock, or is to go there."""
    locked = [p for p in chooser.places if not chooser.free(p)]
    inside = [t for t, p in chooser.lies.items() if p in locked]
    if inside and chooser.draw.random() < 0.6:
        thing = chooser.draw.choice(inside)
        where = chooser.lies[thing]
        return Wish(
            "locked", (Errand(thing, (where,), chooser.holder((where,))),), outcome="failure"
        )
    reached = chooser.thing(lambda thing: True)
    if not locked or reached is None:
        return None
    errand = Errand(reached, (chooser.lies[reached],), chooser.draw.choice(locked))
    return Wish("locked", (errand,), outcome="failure")


def _nowhere(chooser: Chooser) -> Wish | None:
    """The place is not in the house."""
    thing = chooser.thing(lambda thing: True)
    to = f"{kind_of(chooser.holder())}_{chooser.draw.randint(2, 6)}"
    if thing is None or to in chooser.places or to.startswith("hallway"):
        return None
    return Wish("nowhere", (Errand(thing, (chooser.lies[thing],), to),), outcome="failure")


def _unsafe(chooser: Chooser) -> Wish | None:
    """Metal in the microwave, or something on the stove that burns."""
    at = chooser.draw.choice((MICROWAVE, STOVE))
    thing = chooser.thing(lambda t: kind_of(t) in MEALS - FOOD and unsafe(chooser.material(t), at))
    if thing is None:
        return None
    where = chooser.lies[thing]
    to = where if chooser.draw.random() < 0.3 else chooser.holder((where,))
    errand = Errand(thing, (where,), to, "heat", at, to == where)
    return Wish("unsafe", (errand,), outcome="refusal")


def _burning(chooser: Chooser) -> Wish | None:
    """The stove is to be on with nobody there."""
    return Wish("burning", settings=(Setting(STOVE, "power", "on"),), outcome="refusal")


MAKERS: dict[Callable[[Chooser], Wish | None], int] = {
    _move: 24,
    _clean: 18,
    _heat: 15,
    _cool: 10,
    _two: 8,
    _back: 9,
    _switch: 6,
    _door: 5,
    _stove: 4,
    _impossible: 9,
}
