"""What a wish in one house can be about: things in reach, places for them, lamps, doors."""

from __future__ import annotations

from collections.abc import Callable, Container
from random import Random

from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import MEALS, MICROWAVE, STOVE, UNWASHED
from trajgen.importers.household.wishes import MADE, Errand, unsafe
from trajgen.records import Json

_MISTAKEN = 0.16  # of the errands name a wrong place first
_NEEDLESS = 0.1  # of the things that are clean, hot or cold already may be chosen all the same


class Chooser:
    """Draws from what one house has."""

    def __init__(self, state: dict[str, Json], draw: Random) -> None:
        self.draw = draw
        self.places: dict[str, Json] = state["places"]
        self.lies = {t: p for p, known in self.places.items() for t in known.get("contents", {})}

    def free(self, place: str) -> bool:
        """Whether no lock keeps a robot from what lies there."""
        return not self.places[place].get("locked", False)

    def of(self, fits: Callable[[str], bool], most: int) -> list[str]:
        """One or `most` of the places that fit; [] when there is none."""
        found = [place for place in self.places if fits(place)]
        return self.draw.sample(found, min(len(found), self.draw.choice((1, 1, most))))

    def known(self, thing: str) -> dict[str, str]:
        """Material, condition and temperature of a thing."""
        found: dict[str, str] = self.places[self.lies[thing]]["contents"][thing]
        return found

    def thing(self, fits: Callable[[str], bool] = lambda _: True) -> str | None:
        """Some thing in reach that fits; None when there is none."""
        found = [t for t, p in self.lies.items() if self.free(p) and fits(t)]
        return self.draw.choice(found) if found else None

    def holder(self, without: Container[str] = ()) -> str:
        """Some place in reach that holds things; the microwave and the stove seldom."""
        found = [p for p, k in self.places.items() if "contents" in k and self.free(p)]
        found = [p for p in found if p not in without]
        usual = [p for p in found if p not in (MICROWAVE, STOVE)]
        return self.draw.choice(usual if self.draw.random() < 0.9 else found)

    def told(self, thing: str, to: str) -> tuple[str, ...]:
        """Where a user who wants it at `to` thinks that it is: at one place, or first at a
        wrong one."""
        where = self.lies[thing]
        if self.draw.random() >= _MISTAKEN:
            return (where,)
        others = [p for p, k in self.places.items() if "contents" in k and p not in (where, to)]
        return self.draw.choice(others), where

    def errand(self, do: str = "", back: bool = False) -> Errand | None:
        """Something to be done with some thing; None when nothing here is fit for it."""
        thing = self.thing(lambda thing: self.suits(thing, do))
        if thing is None:
            return None
        where = self.lies[thing]
        to = where if back else self.holder((where,))
        named = do == "heat" and self.draw.random() < 0.5
        at = self.appliance(thing) if named else ""
        return Errand(thing, self.told(thing, to), to, do, at, back)

    def suits(self, thing: str, do: str) -> bool:
        """Whether somebody would have this done to it; mostly it is not yet so."""
        if not do:
            return True
        known = self.known(thing)
        if do == "clean" and known["material"] in UNWASHED:
            return False
        if do != "clean" and kind_of(thing) not in MEALS:
            return False
        field, value = MADE[do]
        return known[field] != value or self.draw.random() < _NEEDLESS

    def appliance(self, thing: str) -> str:
        """A safe one to heat it with."""
        material = self.known(thing)["material"]
        return self.draw.choice([p for p in (MICROWAVE, STOVE) if not unsafe(material, p)])
