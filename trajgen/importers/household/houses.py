"""Houses without end: rooms, places and things, drawn anew for every number.

A house is `train` or `held_out` by the hash of what it is: its layout, and which thing lies
where. So no house can be in both, however many are drawn.

Crash rule: nothing is kept; the same split and number give the same house again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from trajgen.ids import digest, stream
from trajgen.importers.household.kinds import (
    DOORS,
    FOOD,
    LOCKS,
    ROOMS,
    START,
    SWITCHES,
    THINGS,
    USES,
)
from trajgen.loading import shipped
from trajgen.records import Json

SPLITS = ("train", "held_out")
APPLIANCES = ("sink", "fridge", "microwave", "stove")
_FEWEST, _MOST = 12, 20  # places of a house
_SHARE = 2  # tenths of all houses and of all goals that are held out


@dataclass(frozen=True, slots=True)
class House:
    """A house as every job in it begins; `state` is a whole state of the household domain."""

    split: str
    number: int
    state: dict[str, Json]

    @property
    def name(self) -> str:
        """What rows call it."""
        return f"{self.split}-{self.number}"


def house(split: str, number: int) -> House:
    """House `number` of a split: 12 to 20 places, 15 to 25 things."""
    draw = stream("household", split, number)
    places = _places(draw)
    while split_of(layout(places)) != split or layout(places) == _shipped_layout():
        places = _places(draw)
    things = _things(places, draw)
    while split_of(sorted(things.items())) != split:
        things = _things(places, draw)
    _furnish(places, things, draw)
    return House(split, number, {"agent": {"at": START, "hand": {}}, "places": places})


def split_of(content: Json) -> str:
    """The split that a layout, the things' places or a goal belongs to, by its hash."""
    return "held_out" if int(digest(content)[:8], 16) % 10 < _SHARE else "train"


def layout(places: dict[str, Json]) -> list[list[str]]:
    """Every place with its room."""
    return sorted([place, known["room"]] for place, known in places.items())


def pairs(places: dict[str, Json]) -> list[list[str]]:
    """Every thing with its place."""
    return sorted([thing, place] for place, k in places.items() for thing in k.get("contents", {}))


def kind_of(name: str) -> str:
    """`mug_2` is a mug."""
    return name.rpartition("_")[0]


@cache
def _shipped_layout() -> list[list[str]]:
    text = (shipped("seeds") / "household" / "state.json").read_text("utf-8")
    return layout(json.loads(text)["places"])


def _places(draw: Random) -> dict[str, Json]:
    """Places without things; redrawn until there are neither too few nor too many."""
    found: dict[str, Json] = {}
    while not _FEWEST <= len(found) <= _MOST:
        counted: Counter[str] = Counter()
        found = {}
        for room, kind in _furniture(draw):
            counted[kind] += 1
            found[f"{kind}_{counted[kind]}"] = _place(room, kind, draw)
    return found


def _furniture(draw: Random) -> Iterator[tuple[str, str]]:
    """Each room with each kind of place in it; the kitchen comes first and has the appliances."""
    yield "hallway", kind_of(START)
    yield from (("kitchen", kind) for kind in APPLIANCES)
    others = [room for room in ROOMS if room not in ("hallway", "kitchen")]
    for room in ("hallway", "kitchen", *draw.sample(others, draw.randint(3, 5))):
        for _ in range(draw.randint(0, 1) if room == "hallway" else draw.randint(1, 4)):
            anywhere = draw.random() < 0.1
            yield room, draw.choice(ROOMS[draw.choice(others) if anywhere else room])


def _place(room: str, kind: str, draw: Random) -> dict[str, Json]:
    place: dict[str, Json] = {"room": room}
    if kind in DOORS:
        place["open"] = draw.random() < 0.15
        if kind in LOCKS and not place["open"] and draw.random() < 0.12:
            place["locked"] = True
    if kind in SWITCHES:
        place["power"] = "on" if draw.random() < (0.2 if kind == "stove" else 0.45) else "off"
    if kind in USES:
        place["use"] = USES[kind]
    if kind == "stove" or kind not in SWITCHES:
        place["contents"] = {}
    return place


def _things(places: dict[str, Json], draw: Random) -> dict[str, str]:
    """The place of each thing; two in three lie where one would look for them."""
    holders = [place for place, known in places.items() if "contents" in known]
    wanted, found = draw.randint(15, 25), dict[str, str]()
    kinds = list(THINGS)
    while len(found) < wanted:
        kind = draw.choice(kinds)
        homes = [place for place in holders if kind_of(place) in THINGS[kind].homes]
        sensible = homes and draw.random() < 0.65
        found[f"{kind}_{draw.randint(1, 4)}"] = draw.choice(homes if sensible else holders)
    return found


def _furnish(places: dict[str, Json], things: dict[str, str], draw: Random) -> None:
    for thing, place in sorted(things.items()):
        kind = kind_of(thing)
        chilled = kind_of(place) == "fridge" and draw.random() < 0.9
        usual = "cold" if chilled else "room"
        places[place]["contents"][thing] = {
            "material": draw.choice(THINGS[kind].materials),
            "condition": "dirty" if draw.random() < (0.15 if kind in FOOD else 0.45) else "clean",
            "temperature": usual if draw.random() < 0.85 else draw.choice(("hot", "cold")),
        }
