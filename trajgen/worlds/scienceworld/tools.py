"""ScienceWorld's action templates as tools, the commands they stand for, and how they fail."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trajgen.records import Json, Tool, ToolKind

UNKNOWN = "No known action matches that input."
FAILED = "That did not work:"
# how the engine refuses; what it words otherwise is told behind FAILED
FAILURES = (
    FAILED,
    "No known action matches",
    "Unknown action",
    "Ambiguous request",
    "The door is not open",
    "It's not clear how",
    "Its not clear how",
    "I'm not sure how",
)
_REFUSES = re.compile(
    r"^(?:You can't|That can't|Something can't|There is only one thing|That container is empty)"
    r"|\b(?:is|are|can) not\b|\bis already\b|\bisn't\b|n't be\b"
    r"|\bdoes not (?:contain|appear)\b"
)
_ASKS = re.compile(r"\AAmbiguous request:[^\n]*\n")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '()/.-]{0,99}")
READS = ("look_around", "inventory", "task")
LOOKS = ("look_at", "look_in", "read")

# tool -> the game's command, the agent's words for it, what it is
_TOOLS: dict[str, tuple[str, str, str]] = {
    "look_around": ("look around", "look around", "What is in this room, and its doors."),
    "inventory": ("inventory", "check what I carry", "What you carry."),
    "task": ("task", "read the task again", "The task, as it was set."),
    "look_at": ("look at {thing}", "look at the {thing}", "What a thing is like."),
    "look_in": ("look in {thing}", "look in the {thing}", "What an open container holds."),
    "read": ("read {thing}", "read the {thing}", "Read what is written on a thing."),
    "open": ("open {thing}", "open the {thing}", "Open a container, or a 'door to kitchen'."),
    "close": ("close {thing}", "close the {thing}", "Close a container or a door."),
    "go": ("go to {place}", "go to the {place}", "Go to a room through its open door."),
    "pick_up": ("pick up {thing}", "pick up the {thing}", "Take a thing into your inventory."),
    "put_down": ("put down {thing}", "put down the {thing}", "Put a thing down in this room."),
    "move": ("move {thing} to {to}", "move the {thing} to the {to}", "Move a thing into another."),
    "pour": (
        "pour {thing} into {to}",
        "pour the {thing} into the {to}",
        "Pour a liquid, or what a container holds, into a container.",
    ),
    "dunk": (
        "dunk {thing} into {to}",
        "dunk the {thing} into the {to}",
        "Dunk a container into one that holds a liquid.",
    ),
    "mix": ("mix {thing}", "mix the {thing}", "Mix what a container holds."),
    "activate": ("activate {thing}", "activate the {thing}", "Turn a device on."),
    "deactivate": ("deactivate {thing}", "deactivate the {thing}", "Turn a device off."),
    "use": (
        "use {thing} on {to}",
        "use the {thing} on the {to}",
        "Use a tool on a thing: a thermometer measures it, an axe opens it.",
    ),
    "connect": (
        "connect {thing} to {to}",
        "connect the {thing} to the {to}",
        "Connect two electrical terminals.",
    ),
    "disconnect": ("disconnect {thing}", "disconnect the {thing}", "Disconnect a terminal."),
    "eat": ("eat {thing}", "eat the {thing}", "Eat a thing; it is gone then."),
    "flush": ("flush {thing}", "flush the {thing}", "Flush a toilet."),
    "focus_on": (
        "focus on {thing}",
        "focus on the {thing}",
        "Say which thing the task is about. Focusing on a wrong one fails the task.",
    ),
    "wait": ("wait{turns}", "wait", "Let time pass: 1 moment, or 10."),
}
_SYNONYMS = {"examine ": "look at ", "drop ": "put down "}
_FORMS = {"pour": "pour {thing} in {to}"}  # other forms that gold paths have
_TURNS = {1: "1", 10: ""}


def tools() -> tuple[Tool, ...]:
    """The function schemas."""
    return tuple(_schema(name) for name in _TOOLS)


def kinds() -> dict[str, ToolKind]:
    """Which tools read and which write. Looking and waiting take time, in which the world
    goes on, so they are neither."""
    loose = (*LOOKS, "wait", "focus_on")
    return {n: "read" if n in READS else "write" for n in _TOOLS if n not in loose}


def parameters(tool: str) -> list[str]:
    """The names of a tool's arguments, in the order of its command."""
    return re.findall(r"\{(\w+)\}", _TOOLS[tool][0])


def command(tool: str, arguments: Mapping[str, Json]) -> str | None:
    """The game's command for a call; None when an argument cannot be the name of a thing.

    The engine takes one action a line, so no argument can carry a second one.
    """
    if tool not in _TOOLS or set(parameters(tool)) != set(arguments):
        return None
    values: dict[str, str] = {}
    for name, value in arguments.items():
        if name == "turns":
            if isinstance(value, bool) or not isinstance(value, int) or value not in _TURNS:
                return None
            values[name] = _TURNS[value]
        elif isinstance(value, str) and _NAME.fullmatch(value.strip()):
            values[name] = value.strip()
        else:
            return None
    return _TOOLS[tool][0].format_map(values)


def call_of(line: str) -> tuple[str, dict[str, Json]] | None:
    """The call that an action of a gold path stands for."""
    for short, long in _SYNONYMS.items():
        line = line.replace(short, long, 1) if line.startswith(short) else line
    if line in ("wait", "wait1"):
        return "wait", {"turns": 1 if line == "wait1" else 10}
    forms = [(tool, form) for tool, (form, _, _) in _TOOLS.items() if tool != "wait"]
    for tool, form in [*forms, *_FORMS.items()]:
        some = ".+" if form in _FORMS.values() else ".+?"
        pattern = re.sub(r"\{(\w+)\}", rf"(?P<\1>{some})", form)
        if match := re.fullmatch(pattern, line):
            return tool, dict(match.groupdict())
    return None


def phrase(tool: str, arguments: Mapping[str, Json]) -> str:
    """The call in plain words, as after "I will"."""
    return _TOOLS[tool][1].format_map(arguments).replace("the the ", "the ")


def refused(tool: str, text: str) -> bool:
    """Whether the engine's answer to a call says that it was not carried out."""
    if text.startswith(FAILURES):
        return True
    return tool not in READS + LOOKS + ("focus_on",) and bool(_REFUSES.search(text))


def told(text: str) -> str:
    """The engine's text; a question for a number becomes the list of what could be meant."""
    if _ASKS.match(text):
        lines = [line.partition("\t")[2] for line in text.splitlines()[1:]]
        return "\n".join(["Ambiguous request; it could mean:", *(f"- {x}" for x in lines if x)])
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _schema(name: str) -> Tool:
    given = parameters(name)
    properties: dict[str, Json] = {key: {"type": "string"} for key in given}
    if "turns" in properties:
        properties["turns"] = {"type": "integer", "enum": [1, 10]}
    schema = {"type": "object", "properties": properties, "required": given}
    about = {"name": name, "description": _TOOLS[name][2], "parameters": schema}
    return {"type": "function", "function": about}
