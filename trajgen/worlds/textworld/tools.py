"""The tools of TextWorld's domains, the commands they stand for, and how they are spoken of.

Only names that the game knows reach its parser, so no argument can carry a second command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trajgen.records import Json, Tool, ToolKind

DIRECTIONS = ("north", "south", "east", "west")
CUTS = ("chop", "slice", "dice")
READS = ("look", "inventory", "examine")
UNSEEN = "You can't see any such thing."
ENDED = "The game has ended; nothing more can be done in it."
FAILED = "That did not work:"
# how the engine refuses; what it words otherwise is told behind FAILED
FAILURES = (
    FAILED,
    "The game has ended",
    "You can't see any such thing",
    "You can't go that way",
    "You have to open the",
    "You need to take the",
    "You haven't got that",
    "You already have that",
    "You still miss something",
    "I didn't understand that sentence",
    "I only understood you as far as",
    "That's not a verb I recognise",
    "That's already",
    "That's plainly inedible",
    "That's fixed in place",
    "It isn't something you can",
)

# tool -> the game's command, the agent's words for it, what it is
_TOOLS: dict[str, tuple[str, str, str]] = {
    "look": ("look", "look around", "What is in this room, and where its exits lead."),
    "inventory": ("inventory", "check what I carry", "What you carry."),
    "examine": ("examine {thing}", "examine the {thing}", "What a thing is like."),
    "go": ("go {direction}", "go {direction}", "Go to the next room in a direction."),
    "open": ("open {thing}", "open the {thing}", "Open a door or container."),
    "close": ("close {thing}", "close the {thing}", "Close a door or container."),
    "unlock": (
        "unlock {thing} with {key}",
        "unlock the {thing} with the {key}",
        "Unlock a locked door or container with a key that you carry.",
    ),
    "lock": (
        "lock {thing} with {key}",
        "lock the {thing} with the {key}",
        "Lock a closed door or container with a key that you carry.",
    ),
    "take": ("take {thing}", "pick up the {thing}", "Pick up a thing from the floor."),
    "take_from": (
        "take {thing} from {holder}",
        "take the {thing} from the {holder}",
        "Take a thing out of an open container or off a supporter.",
    ),
    "drop": ("drop {thing}", "drop the {thing}", "Put a thing that you carry on the floor."),
    "put_on": (
        "put {thing} on {holder}",
        "put the {thing} on the {holder}",
        "Put a thing that you carry on a supporter.",
    ),
    "insert_into": (
        "insert {thing} into {holder}",
        "put the {thing} into the {holder}",
        "Put a thing that you carry into an open container.",
    ),
    "eat": ("eat {thing}", "eat the {thing}", "Eat food that you carry; it is gone then."),
    "drink": ("drink {thing}", "drink the {thing}", "Drink what you carry; it is gone then."),
    "cook": (
        "cook {thing} with {appliance}",
        "cook the {thing} with the {appliance}",
        "Cook food that you carry: an oven roasts, a stove fries, a barbecue grills. "
        "Cooking the same food twice burns it.",
    ),
    "cut": ("{how} {thing} with {tool}", "{how} the {thing} with the {tool}", "Cut food once."),
    "prepare_meal": (
        "prepare meal",
        "prepare the meal",
        "Make the meal of the cookbook, in the kitchen, once its ingredients are ready.",
    ),
}
_WALK = ("look", "inventory", "examine", "go", "take", "drop")
_HOUSE = ("open", "close", "unlock", "lock", "take_from", "put_on", "insert_into", "eat")
_COOK = ("drink", "cook", "cut", "prepare_meal")
OFFERED = {
    "coin": _WALK,
    "house": _WALK + _HOUSE,
    "treasure": _WALK + _HOUSE,
    "cooking": _WALK + _HOUSE + _COOK,
}
_CHOICES = {"direction": DIRECTIONS, "how": CUTS}
_ABOUT = {
    "thing": "The thing's full name, as the game says it.",
    "key": "The key's full name.",
    "holder": "The container or supporter.",
    "appliance": "The oven, stove or barbecue.",
    "tool": "What to cut with.",
}


def tools(domain: str) -> tuple[Tool, ...]:
    """The function schemas of a domain."""
    return tuple(_schema(name) for name in OFFERED[domain])


def kinds(domain: str) -> dict[str, ToolKind]:
    """Which of its tools read and which write."""
    return {name: "read" if name in READS else "write" for name in OFFERED[domain]}


def parameters(tool: str) -> list[str]:
    """The names of a tool's arguments, in the order of its command."""
    words = _TOOLS[tool][0].split()
    return [word[1:-1] for word in words if word.startswith("{")]


def command(tool: str, arguments: Mapping[str, Json], names: Mapping[str, str]) -> str | None:
    """The game's command for a call; None when it names what the game does not know.

    `names` maps names in lower case to the names the parser takes.
    """
    if tool not in _TOOLS or set(parameters(tool)) != set(arguments):
        return None
    values: dict[str, str] = {}
    for name, value in arguments.items():
        known = dict.fromkeys(_CHOICES[name]) if name in _CHOICES else names
        key = value.strip().lower().removeprefix("the ") if isinstance(value, str) else ""
        if key not in known:
            return None
        values[name] = known[key] or key
    return _TOOLS[tool][0].format_map(values)


def call_of(line: str, names: Mapping[str, Json]) -> tuple[str, dict[str, Json]] | None:
    """The call that a command of a walkthrough stands for; `names` are the game's things."""
    for tool in OFFERED["cooking"]:
        match = _pattern(tool).fullmatch(line)
        found = match.groupdict() if match else {}
        if match and all(found[key] in _CHOICES.get(key, names) for key in found):
            return tool, dict(found)
    return None


def phrase(tool: str, arguments: Mapping[str, Json]) -> str:
    """The call in plain words, as after "please" or "I will"."""
    return _TOOLS[tool][1].format_map(arguments)


def _pattern(tool: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        choices = "|".join(_CHOICES.get(match[1], ()))
        return f"(?P<{match[1]}>{choices or '.+'})"

    return re.compile(re.sub(r"\{(\w+)\}", group, _TOOLS[tool][0]))


def _schema(name: str) -> Tool:
    given = parameters(name)
    properties: dict[str, Json] = {}
    for key in given:
        properties[key] = {"type": "string"}
        if key in _CHOICES:
            properties[key]["enum"] = list(_CHOICES[key])
        else:
            properties[key]["description"] = _ABOUT[key]
    schema = {"type": "object", "properties": properties, "required": given}
    about = {"name": name, "description": _TOOLS[name][2], "parameters": schema}
    return {"type": "function", "function": about}
