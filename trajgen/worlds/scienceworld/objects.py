"""ScienceWorld's tree of objects as a flat state: where each thing is, and how it is.

A thing keeps its key for the whole episode, whatever becomes of it. Temperatures drift
everywhere all the time; one is noted anew once it is DRIFT degrees off what was noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trajgen.records import Json

DRIFT = 5
CARRIED = "inventory"
_LEFT_OUT = ("air", "agent", CARRIED)


class Objects:
    """Notes the state of one simulation again and again."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        self._warm: dict[str, int] = {}

    def note(self, tree: Json) -> dict[str, Json]:
        """`player` and `things` as the tree shows them now."""
        room, things = "", {}
        for node, holder, place in list(_nodes(tree, "", "")):
            if node["name"] == "agent":
                room = place
            elif holder and node["name"] not in _LEFT_OUT:
                things[self._key(node)] = node, holder
        flat = {key: self._fields(key, node, holder) for key, (node, holder) in things.items()}
        return {"player": {"room": room}, "things": dict(sorted(flat.items()))}

    def _key(self, node: Json) -> str:
        if node["uuid"] not in self._keys:
            name = node["name"]
            count = self._taken[name] = self._taken.get(name, 0) + 1
            self._keys[node["uuid"]] = name if count == 1 else f"{name} {count}"
        return self._keys[node["uuid"]]

    def _fields(self, key: str, node: Json, holder: Json) -> dict[str, Json]:
        at = CARRIED if holder["name"] == CARRIED else self._keys.get(holder["uuid"])
        fields: dict[str, Json] = {"at": at or holder["name"]}
        if not key.startswith(node["name"]):
            fields["named"] = node["name"]
        if (box := node["propContainer"]) and box["isClosable"]:
            fields["is"] = "open" if box["isOpen"] else "closed"
        if (device := node["propDevice"]) and device["isActivable"]:
            fields["on"] = device["isActivated"]
        if material := node["propMaterial"]:
            fields["temperature"] = self._temperature(key, material["temperatureC"])
            if not node["propContainer"]:
                fields["matter"] = material["stateOfMatter"]
        if life := node["propLife"]:
            fields["dead"] = life["isDead"]
        if wired := [n["name"] for n in node["contents"].values() if _is_wired(n)]:
            fields["wired"] = sorted(wired)
        return fields

    def _temperature(self, key: str, degrees: float) -> int:
        noted = self._warm.get(key)
        if noted is None or abs(degrees - noted) >= DRIFT:
            self._warm[key] = round(degrees)
        return self._warm[key]


def _nodes(node: Json, room: str, depth: str) -> Iterator[tuple[Json, Json, str]]:
    """(object, its holder, its room) below `node`, parts such as terminals left out. Rooms
    themselves have no holder."""
    for child in node["contents"].values():
        if _is_part(child) or child["isDeleted"]:
            continue
        inside = room or child["name"]
        yield child, node if depth else None, inside
        yield from _nodes(child, inside, "below")


def _is_part(node: Json) -> bool:
    plain = ("propMaterial", "propContainer", "propDevice", "propLife", "propEdibility")
    electric = node["propElectricalConnection"] is not None
    return electric and not node["contents"] and not any(node[name] for name in plain)


def _is_wired(node: Json) -> bool:
    return _is_part(node) and bool(node["propElectricalConnection"]["connectedTo"])


def doors(simulation: Any) -> dict[str, Any]:
    """The doors of a simulation, by the two places that they join."""
    universe = simulation.agentInterface().get().universe()
    found: dict[str, Any] = {}
    for room in _each(universe.getContainedObjects(False)):
        for door in _each(room.getPortals(True)):
            ends = sorted((door.connectsFrom().name(), door.connectsTo().name()))
            found.setdefault(" - ".join(ends), door)
    return dict(sorted(found.items()))


def _each(items: Any) -> Iterator[Any]:
    iterator = items.iterator()
    while iterator.hasNext():
        yield iterator.next()
