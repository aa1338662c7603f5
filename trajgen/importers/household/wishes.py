"""What a user wants done in a house, and the goal that says when it is."""

from __future__ import annotations

from dataclasses import dataclass

from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import BURNS, METALS
from trajgen.records import Json

Goal = tuple[dict[str, Json], ...]
MADE = {
    "clean": ("condition", "clean"),
    "heat": ("temperature", "hot"),
    "cool": ("temperature", "cold"),
}


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

    def condition(self) -> dict[str, Json]:
        """What holds when it is done."""
        path = f"/places/{self.to}/contents/{self.thing}"
        if not self.do:
            return {"path": path, "exists": True}
        field, value = MADE[self.do]
        return {"path": f"{path}/{field}", "equals": value}


@dataclass(frozen=True, slots=True)
class Setting:
    """`place` is to be switched, opened or closed: its `field` is to have `value`."""

    place: str
    field: str
    value: str | bool

    def condition(self) -> dict[str, Json]:
        """What holds when it is done."""
        return {"path": f"/places/{self.place}/{self.field}", "equals": self.value}


Part = Errand | Setting


@dataclass(frozen=True, slots=True)
class Wish:
    """All that a user wants in one conversation, in the order in which it is asked for;
    `outcome` is how it has to end, and `kind` tells why where that is no success."""

    kind: str
    parts: tuple[Part, ...]
    outcome: str = "success"

    @property
    def errands(self) -> list[Errand]:
        """The parts that are about things."""
        return [part for part in self.parts if isinstance(part, Errand)]

    def goal(self) -> Goal:
        """The conditions that hold when the wish is fulfilled."""
        return tuple(part.condition() for part in self.parts)


def unsafe(material: str, place: str) -> bool:
    """Whether the policy forbids to heat this material there."""
    banned = {"microwave": METALS, "stove": BURNS}.get(kind_of(place), frozenset())
    return material in banned
