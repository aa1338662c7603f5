"""Words of a task's own: openings and endings drawn by its id."""

from __future__ import annotations

import random

from trajgen.engines.scripted.context import Context, task_id
from trajgen.ids import stream

OPENERS = (
    "Hello there.",
    "Good morning, I hope this is the right place to ask.",
    "Hi, thanks for taking the time.",
    "Good afternoon.",
    "Hey, quick one if you have a minute.",
    "Right, here is what brings me to you today.",
    "Hi, I tried to sort this out alone and got stuck.",
    "Good evening, I will keep this short.",
    "Hello, a friend told me you are the ones to write to.",
    "Hi again, me once more.",
)
CLOSERS = (
    "Thanks in advance.",
    "I would be glad to have this settled today.",
    "Take the time you need, I am not in a hurry.",
    "Please tell me if anything else is needed from my side.",
    "That is really all there is to it.",
    "I have been putting this off for far too long.",
    "Many thanks for looking into it.",
    "Let me know how you get on.",
    "I am writing from my phone, so please bear with me.",
    "It would make my week a good deal easier.",
)
AGENT_CLOSERS = (
    "Let me know if there is more to do.",
    "Do write again if a question comes up.",
    "I am here if you need anything further.",
    "Feel free to ask for anything else.",
    "Thank you for your patience with this.",
    "Tell me if something is still unclear.",
    "Have a pleasant day.",
    "Is there anything else on your mind?",
)


def own_opener(context: Context) -> str:
    """How the task's user begins, as its scenario tells it."""
    return _own(context, "scenario").choice(OPENERS)


def own_words(context: Context, text: str, turn: int) -> str:
    """What the user says in turn `turn`, with a number of the task's own in the first."""
    own = _own(context, "user", turn)
    parts = [own.choice(OPENERS), text, own.choice(CLOSERS)]
    if turn == 0:
        parts.append(f"(ref {own.randrange(10_000, 100_000)})")
    return " ".join(parts)


def own_ending(context: Context, text: str, place: int) -> str:
    """What the agent says in its message number `place`."""
    return f"{text} {_own(context, 'agent', place).choice(AGENT_CLOSERS)}".strip()


def _own(context: Context, *keys: str | int) -> random.Random:
    return stream("scripted", task_id(context), *keys)
