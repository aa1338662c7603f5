"""TextWorld's facts as a state: where the player is, how rooms connect, how things are.

One move changes one field: `at` says in which room, on or in what, or with whom a thing
is; `is` whether it is open, closed or locked; `cooked` and `cut` what was done to food.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trajgen.errors import MachineError
from trajgen.records import Json

KINDS = {
    "c": "container",
    "s": "supporter",
    "d": "door",
    "k": "key",
    "f": "food",
    "o": "object",
    "meal": "meal",
    "oven": "oven",
    "stove": "stove",
    "toaster": "toaster",
}
CARRIED, EATEN, UNMADE = "inventory", "eaten", "not made yet"
_FIELDS = {
    **dict.fromkeys(("open", "closed", "locked"), "is"),
    **dict.fromkeys(("raw", "needs_cooking", "fried", "roasted", "grilled", "burned"), "cooked"),
    **dict.fromkeys(("uncut", "chopped", "sliced", "diced"), "cut"),
}
_FLAGS = {
    "edible": ("edible", True),
    "inedible": ("edible", False),
    "drinkable": ("drinkable", True),
    "cookable": ("cookable", True),
    "cuttable": ("cuttable", True),
    "sharp": ("sharp", True),
}
_SIDES = {"north_of": "north", "south_of": "south", "east_of": "east", "west_of": "west"}
_IMPLIED = ("free", "cooking_location", "ingredient_", "cooked")  # said by other facts as well


def state_of(game: Any, facts: Iterable[Any]) -> dict[str, Json]:
    """The state that `facts` of `game` describe. Raises MachineError for an unknown fact."""
    state: dict[str, Json] = {"player": {}, "rooms": {}, "things": {}}
    named = sorted((_words(game, fact) for fact in facts), key=_order)
    for name, places, kinds in named:
        for place, kind in zip(places, kinds, strict=True):
            if kind == "r":
                state["rooms"].setdefault(place, {"exits": {}})
            elif kind in KINDS:
                state["things"].setdefault(place, {"kind": KINDS[kind]})
        _note(state, name, places, kinds)
    _with_doors(state, named)
    ordered: dict[str, Json] = _sorted(state)
    return ordered


def _order(words: tuple[str, list[str], list[str]]) -> tuple[bool, list[str], str]:
    """`out` first: it stays true of a meal that was made."""
    return words[0] != "out", words[1], words[0]


def conditions(game: Any, facts: Iterable[Any]) -> Iterator[tuple[str, str, Json]]:
    """(thing, field, value) of the facts that a quest asks for; "" is the player."""
    for name, places, kinds in (_words(game, fact) for fact in facts):
        blank: dict[str, Json] = {"player": {}, "rooms": {}, "things": {}}
        if kinds[0] in KINDS:
            blank["things"] = {places[0]: {}}
        elif kinds[0] != "P":
            continue
        _note(blank, name, places, kinds)
        yield from (("", field, value) for field, value in blank["player"].items())
        for thing, fields in blank["things"].items():
            yield from ((thing, field, value) for field, value in fields.items())


def _words(game: Any, fact: Any) -> tuple[str, list[str], list[str]]:
    """Name, readable arguments and their types, as plain strings."""
    kinds = [str(variable.type) for variable in fact.arguments]
    names = [str(variable.name) for variable in fact.arguments]
    readable = [game.infos[name].name if name in game.infos else name for name in names]
    known = [str(read or name) for read, name in zip(readable, names, strict=True)]
    return str(fact.name), known, kinds


def _note(state: dict[str, Json], name: str, places: list[str], kinds: list[str]) -> None:
    things = state["things"]
    if name == "at" and kinds[0] == "P":
        state["player"]["room"] = places[1]
    elif kinds[0] == "ingredient" or kinds[-1] == "ingredient":
        _recipe(state, name, places, kinds)
    elif name in ("at", "on", "in"):
        things[places[0]]["at"] = CARRIED if kinds[1] == "I" else places[1]
    elif name in ("eaten", "consumed"):
        things[places[0]]["at"] = EATEN
    elif name == "used":
        things[places[0]]["at"] = "meal"
    elif name == "out":
        things[places[0]]["at"] = UNMADE
    elif name in _FIELDS:
        things[places[0]][_FIELDS[name]] = name.replace("_", " ")
    elif name in _FLAGS:
        field, value = _FLAGS[name]
        things[places[0]][field] = value
    elif name == "match":
        things[places[0]]["fits"] = places[1]
    elif name in _SIDES:
        state["rooms"][places[1]]["exits"][_SIDES[name]] = {"to": places[0]}
    elif name != "link" and not name.startswith(_IMPLIED):
        raise MachineError(
            f"an unknown fact {name!r} of a TextWorld game", fix="textworld 1.7 is known to work."
        )


def _recipe(state: dict[str, Json], name: str, places: list[str], kinds: list[str]) -> None:
    """What the meal takes: by ingredient the food, and how it is to be cooked and cut."""
    recipe = state.setdefault("recipe", {})
    if name == "base":
        recipe.setdefault(places[1], {})["food"] = places[0]
    elif name in _FIELDS:
        recipe.setdefault(places[0], {})[_FIELDS[name]] = name.replace("_", " ")
    elif name == "in":
        recipe.setdefault(places[0], {})


def _with_doors(state: dict[str, Json], named: list[tuple[str, list[str], list[str]]]) -> None:
    doors = {(p[0], p[2]): p[1] for name, p, _ in named if name == "link"}
    for room, about in state["rooms"].items():
        for way in about["exits"].values():
            if (room, way["to"]) in doors:
                way["door"] = doors[room, way["to"]]


def _sorted(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    return {key: _sorted(value[key]) for key in sorted(value)}
