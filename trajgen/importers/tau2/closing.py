"""How a task ended, and the agent's last message: what was done, answered and found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trajgen.importers.tau2.conversation import Conversation, shown
from trajgen.importers.tau2.stage import parsed
from trajgen.records import Json, Outcome, calls_of

TRANSFER = "transfer_to_human_agents"
HOLD_ON = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
REFUSED = "I am sorry, but our policy does not let me do this, so nothing was changed."
_CHANGE = re.compile(
    r"\b(?:cancel|return|exchange|change|modify|refund|book|upgrade|add\b|remov|undo|compensat"
    r"|insist)"
)
_REFUSE = re.compile(r"\b(?:refuse|not (?:approve|offer|cancel|change|allow))")


def outcome(talk: Conversation, criteria: Any, asked: str) -> Outcome:
    """How a task ended whose user asked for `asked`: a change that was wanted but not made
    is a failure when the last call went wrong, and a refusal when nothing did.
    """
    if talk.effects:
        return "success"
    transferred = any(action.name == TRANSFER for action in criteria.actions)
    if talk.error() and not transferred:
        return "failure"
    if criteria.env_assertions and not transferred:  # they hold, or there would be no seed
        return "success"
    expected = " ".join(criteria.nl_assertions or ())
    refused = _CHANGE.search(asked) or _REFUSE.search(expected) or transferred
    return "refusal" if refused else "success"


def closing(
    talk: Conversation,
    criteria: Any,
    ended: Outcome,
    done: list[str],
    findings: Mapping[str, str],
) -> str:
    """The last message: the changes `done`, the answers wanted, else what was found."""
    if any(call.tool == TRANSFER for call in calls_of(talk.messages[-2:])):
        return HOLD_ON
    parts = []
    if done:
        parts += ["These changes are made:", *(f"- {phrase}" for phrase in done)]
    elif ended == "failure":
        parts += [f"I am sorry, this could not be done ({talk.error()}); nothing was changed."]
    elif ended == "refusal":
        parts += [REFUSED]
    if answers := _answers(talk, criteria):
        parts += ["What you asked about:", *answers]
    elif not done and (found := _found(talk, findings)):
        parts += ["What I found:", *found]
    return "\n".join([*parts, "Is there anything else I can do for you?"])


def _answers(talk: Conversation, criteria: Any) -> list[str]:
    wanted = criteria.communicate_info or ()
    return list(dict.fromkeys(f"- {_answer(talk, criteria, value)}" for value in wanted))


def _answer(talk: Conversation, criteria: Any, value: str) -> str:
    """A fact to communicate, named by the task's own words or by where it was seen."""
    for sentence in criteria.nl_assertions or ():
        told = re.match(r"Agent (?:also )?\w+(?: to user)? that (.*?)\.?$", sentence)
        if told and shown(value, told[1].replace(",", "")):
            return re.sub(r"\b(?:she|he|(?:the )?user)\b", "you", told[1])
    for observation in reversed(talk.observations()):
        if name := _named(parsed(observation), value):
            return f"{name.replace('_', ' ')}: {value}"
    return f"the answer is {value}"


def _found(talk: Conversation, findings: Mapping[str, str]) -> list[str]:
    """What the reads of a task without changes said, briefly."""
    lines = []
    for answer in map(parsed, talk.observations()):
        if isinstance(answer, dict):
            forms = [form for key, form in findings.items() if key in answer]
            lines += [f"- {form.format_map(answer)}" for form in forms[:1]]
    return list(dict.fromkeys(lines))


def _named(value: Json, wanted: str) -> str:
    """The key under which `wanted` stands in `value`, or ""."""
    for key, item in value.items() if isinstance(value, dict) else ():
        leaves = item if isinstance(item, list) else [item]
        if any(isinstance(x, str | int | float) and _equal(str(x), wanted) for x in leaves):
            return str(key)
    below = value.values() if isinstance(value, dict) else value
    for item in below if isinstance(value, dict | list) else ():
        if name := _named(item, wanted):
            return name
    return ""


def _equal(one: str, other: str) -> bool:
    try:
        return abs(float(one)) == abs(float(other))
    except ValueError:
        return one.lower() == other.lower()
