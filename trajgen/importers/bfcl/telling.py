"""What the agent says at the end of a turn: what its calls answered, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trajgen.filters.answers import is_failure
from trajgen.importers.corpus.exact import literal
from trajgen.records import Domain, Json, Message

ASKS = (
    "As it stands I cannot do this with what I have. Could you tell me more?",
    "I need to know more before I can do this. What exactly do you have in mind?",
    "There is nothing that I can do about this yet. Can you tell me what is missing?",
)
_LONG = 200  # characters of a value that is told
_MANY = 12  # items of a list that are told
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def closing(made: Sequence[Message], domain: Domain, turn: int) -> str:
    """The last message of a turn whose calls and answers are `made`; without any it asks."""
    observations = [str(m["content"]) for m in made if m["role"] == "tool"]
    if not observations:
        return ASKS[turn % len(ASKS)]
    failed = any(is_failure(text, domain) for text in observations)
    head = "Not all of this worked:" if failed else "This is done:"
    lines = dict.fromkeys(f"- {line}" for text in observations for line in _facts(text))
    return "\n".join([head, *lines]) if lines else "This is done."


def _facts(observation: str) -> Iterator[str]:
    try:
        answer = literal(observation)
    except ValueError:
        answer = None if observation == "None" else observation
    facts = answer.items() if isinstance(answer, dict) else [("the answer", answer)]
    for key, value in facts:
        if text := _told(value):
            name = _CAMEL.sub(" ", key).replace("_", " ")
            yield f"{name[:1].lower()}{name[1:]}: {text}"


def _told(value: Json) -> str:
    """A value in words, or "" for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        plain = isinstance(value, list) and not any(isinstance(v, dict | list) for v in value)
        if plain and len(value) <= _MANY:
            return ", ".join(map(str, value))
        return f"{len(value)} entries" if value else ""
    text = "" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
