"""What stands around a call: the ways from here, what is there, what names what is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trajgen.domains import load_domain
from trajgen.importers import import_source
from trajgen.ledger import Ledger
from trajgen.loading import shipped
from trajgen.pointers import excerpt
from trajgen.records import Call, Domain, Seed, calls_of
from trajgen.seeds import initial_state
from trajgen.worlds.shown import AROUND_CHARS, folded, outlined_state, small_parts

ROOMS: dict[str, Any] = {
    "hall": {"exits": {"east": {"to": "yard", "door": "gate"}, "north": {"to": "attic"}}},
    "yard": {"exits": {"west": {"to": "hall", "door": "gate"}}},
    "attic": {"exits": {"south": {"to": "hall"}, "east": {"to": "roof"}}},
    "roof": {"exits": {"west": {"to": "attic"}}},
}
THINGS: dict[str, Any] = {
    "gate": {"is": "closed"},
    "key": {"at": "chest", "fits": "gate"},
    "chest": {"at": "hall", "is": "open"},
    "bag": {"at": "yard"},
    "coin": {"at": "bag"},
    "apple": {"at": "inventory"},
}


def shown(tool: str, room: str = "hall", things: Any = THINGS, **arguments: Any) -> Any:
    state = {"player": {"room": room}, "rooms": ROOMS, "things": things}
    found = outlined_state(Ledger(state, 0), Call("c", tool, arguments, 0))
    assert found.pop("player") == {"room": room}
    return found


def test_a_door_comes_with_the_way_that_it_stands_in_and_its_key() -> None:
    near = {"gate": THINGS["gate"], "key": THINGS["key"]}
    way = {"hall": {"exits": {"east": ROOMS["hall"]["exits"]["east"]}}}
    assert shown("open", thing="gate") == {"things": near, "rooms": way}
    assert shown("open", "roof", thing="gate") == {"things": near}  # no way here has this door


def test_a_thing_comes_with_what_it_is_in_and_what_is_in_it() -> None:
    assert shown("take", thing="coin") == {
        "things": {"coin": THINGS["coin"], "bag": THINGS["bag"]}  # the yard is named: not shown
    }
    assert set(shown("open", thing="chest")["things"]) == {"chest", "key"}


def test_a_call_without_arguments_is_shown_where_it_is_made() -> None:
    found = shown("look")
    assert found["rooms"] == {"hall": ROOMS["hall"]}
    assert set(found["things"]) == {"gate", "chest", "key"}


def test_or_what_its_tool_is_named_after() -> None:
    assert shown("inventory") == {"things": {"apple": THINGS["apple"]}}
    bare = {name: thing for name, thing in THINGS.items() if name != "apple"}
    assert shown("inventory", things=bare) == shown("look")


def test_a_call_that_names_a_way_is_shown_where_that_leads() -> None:
    found = shown("go", direction="east")
    only = {"exits": {"east": ROOMS["hall"]["exits"]["east"]}}
    assert found["rooms"] == {"hall": only, "yard": ROOMS["yard"]}
    assert set(found["things"]) == {"gate", "key", "bag", "coin"}


def test_where_no_such_way_begins_here_those_that_do_are_shown() -> None:
    assert shown("go", direction="west") == {"rooms": {"hall": ROOMS["hall"]}}
    assert shown("go", direction="down") == {}


def test_what_stands_around_has_little_room() -> None:
    crowd = {f"thing {n}": {"at": "hall", "note": "x" * 90} for n in range(60)}
    assert 10 < len(shown("look", things=crowd)["things"]) < 30
    assert len(json.dumps(shown("look", things=crowd))) < 1.2 * AROUND_CHARS


def test_a_state_without_parts_has_nothing_around() -> None:
    for state in ([{"at": "hall"}], "hall", {"hall": 1}):
        assert outlined_state(Ledger(state, 0), Call("c", "look", {}, 0)) == {}
        assert outlined_state(Ledger(state, 0), Call("c", "look", {"at": "x"}, 0)) == {}


def test_a_household_is_shown_what_a_call_names_and_no_more() -> None:
    """What the shipped adapter was taught with: to the byte."""
    found = import_source("household:train/20")
    seen = 0
    for ledger, call in _calls(found.domain, found.seeds):
        named = [*small_parts(ledger.state), *ledger.relevant(call.arguments)]
        plain = folded(excerpt(ledger.state, named), named)
        assert json.dumps(outlined_state(ledger, call)) == json.dumps(plain)
        seen += 1
    assert seen > 500


def _calls(domain: Domain, seeds: tuple[Seed, ...]) -> Iterator[tuple[Ledger, Call]]:
    """The calls of seeds, and for each argument one that names nothing, or a place."""
    for seed in seeds:
        ledger = Ledger(initial_state(domain, seed), 0)
        for call in calls_of(seed.messages):
            yield ledger, call
            for name, value in call.arguments.items():
                for other in (value[:-1], "stove_1", ""):
                    yield ledger, Call("x", call.tool, {**call.arguments, name: other}, 0)
            ledger.apply(seed.meta["effects"].get(call.id, ()))


def test_the_outline_of_the_shipped_household() -> None:
    domain = load_domain(shipped("seeds") / "household")
    call = Call("c", "take", {"object": "egg_1", "place": "fridge_1"}, 0)
    assert json.dumps(outlined_state(Ledger(domain.state, 0), call)) == (
        '{"agent": {"at": "hallway_1", "hand": {}}, "places": {"fridge_1": {"room": "kitchen", '
        '"open": false, "use": "cool", "contents": {"egg_1": {}, "milk_1": {}}}}}'
    )
