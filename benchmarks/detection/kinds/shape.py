"""Conversations whose shape is broken."""

from __future__ import annotations

import random
import re

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    shuffled,
    step_of,
    with_inserted,
    with_message,
    without,
)
from trajgen.records import Domain, Trajectory


def missing_answer(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A tool message is lost."""
    for e in shuffled(answered(t), rng):
        return Broken(without(t, e.at), step_of(e), ("unanswered_call", "bad_role_order"))
    return None


def doubled_answer(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A call is answered twice."""
    for e in shuffled(answered(t), rng):
        made = with_inserted(t, e.at + 1, dict(t.messages[e.at]))
        return Broken(made, (*step_of(e), e.at + 1), ("unanswered_call",))
    return None


def wrong_call_id(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An answer carries an id that no call has."""
    for e in shuffled(answered(t), rng):
        made = with_message(t, e.at, tool_call_id=f"{e.call.id}x")
        return Broken(made, step_of(e), ("unanswered_call",))
    return None


def roles_swapped(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """What the user said stands behind what the assistant answered."""
    places = [
        i
        for i, (a, b) in enumerate(zip(t.messages, t.messages[1:], strict=False))
        if a["role"] == "user" and b["role"] == "assistant" and "tool_calls" not in b
    ]
    if not places:
        return None
    at = rng.choice(places)
    messages = list(t.messages)
    messages[at], messages[at + 1] = messages[at + 1], messages[at]
    made = without(with_inserted(t, at, messages[at]), at + 2)
    return Broken(made, (at, at + 1), ("bad_role_order",))


def two_assistant_turns(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """One answer of the assistant became two messages."""
    for at in shuffled(_texts(t, "assistant"), rng):
        parts = re.split(r"(?<=[.!?])\s+", t.messages[at]["content"], maxsplit=1)
        if len(parts) == 2:
            made = with_message(t, at, content=parts[1])
            made = with_inserted(made, at, {"role": "assistant", "content": parts[0]})
            return Broken(made, (at, at + 1), ("bad_role_order",))
    return None


def assistant_turn_lost(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Two turns of the user stand side by side."""
    places = [at for at in _texts(t, "assistant") if at + 1 < len(t.messages)]
    places = [at for at in places if t.messages[at - 1]["role"] == "user"]
    if not places:
        return None
    at = rng.choice(places)
    return Broken(without(t, at), (at - 1, at), ("bad_role_order",))


def no_final_answer(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The last answer is missing."""
    last = len(t.messages) - 1
    if t.messages[last]["role"] != "assistant":
        return None
    return Broken(without(t, last), (last - 1, last), ("no_final_answer",))


def empty_turn(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Somebody says nothing."""
    places = [*_texts(t, "assistant"), *_texts(t, "user")]
    if not places:
        return None
    at = rng.choice(places)
    blank = rng.choice(["", " ", "\n", "\u200b"])
    return Broken(with_message(t, at, content=blank), (at,), ("empty_turn", "no_final_answer"))


def cut_json(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A JSON answer stops before its end."""
    for e in shuffled(answered(t), rng):
        text = e.observation
        if text[:1] in "{[" and len(text) >= 20:
            made = with_message(t, e.at, content=text[: rng.randint(8, len(text) - 1)])
            return Broken(made, step_of(e), ("truncated",))
    return None


def cut_speech(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant's text stops in the middle of a sentence of some length, outside lists."""
    for at in shuffled(_texts(t, "assistant"), rng):
        text = t.messages[at]["content"]
        words = text.split(" ")
        spots = [
            n
            for n in range(8, len(words))
            if words[n - 1].isalpha() and words[n - 1].islower() and "\n" not in words[n]
            if not re.match(r"[-*\d]", " ".join(words[:n]).rsplit("\n", 1)[-1])
        ]
        if spots:
            cut = " ".join(words[: rng.choice(spots)])
            return Broken(with_message(t, at, content=cut), (at,), ("truncated",))
    return None


def _texts(t: Trajectory, role: str) -> list[int]:
    return [
        i
        for i, m in enumerate(t.messages)
        if m["role"] == role and "tool_calls" not in m and m["content"]
    ]


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        missing_answer,
        doubled_answer,
        wrong_call_id,
        roles_swapped,
        two_assistant_turns,
        assistant_turn_lost,
        no_final_answer,
        empty_turn,
        cut_json,
        cut_speech,
    )
}
