"""Who says what they cannot know, and text that no training row may hold."""

from __future__ import annotations

import random
import re

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    id_arguments,
    leaves,
    put,
    shuffled,
    step_of,
    with_answer,
    with_call,
    with_message,
)
from trajgen.filters.reading import exchanges
from trajgen.records import Domain, Json, Trajectory

_ID = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z][\w-]{4,30}\b|\b\d{8,12}\b")


def invented_id(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An id with one character changed, in the call and in its answer."""
    for e in shuffled(answered(t), rng):
        for key, value in shuffled(id_arguments(e), rng):
            if not any(map(str.isdecimal, value)) or len(value) < 4:
                continue
            new = _mutated(value, rng)
            if new in _all_text(t, domain):
                continue
            made = with_call(t, e, {**e.call.arguments, key: new})
            made = with_answer(made, e, e.observation.replace(value, new))
            codes = ("invented_argument", "precondition_violated", "contradicts_state")
            return Broken(made, step_of(e), codes)
    return None


def invented_number(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An amount with cents that nothing said before adds up to (five digits at least)."""
    for e in shuffled(answered(t), rng):
        for path, value in leaves(e.call.arguments):
            if isinstance(value, int | float) and not isinstance(value, bool):
                new = round(rng.uniform(20000, 90000), 2)
                made = with_call(t, e, put(e.call.arguments, path, new))
                return Broken(made, step_of(e), ("invented_argument", "bad_arguments"))
    return None


def agent_knows_ahead(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant names an id that only a later answer shows."""
    for at in shuffled(_speech(t, "assistant"), rng):
        before = _text(t, 0, at) + domain.policy + str(domain.tools)
        later = [m["content"] for m in t.messages[at:] if m["role"] == "tool"]
        made = str([e.call.arguments for e in exchanges(t.messages)])
        ids = {i for text in later for i in _ID.findall(text) if i not in before and i not in made}
        if ids:
            id_ = rng.choice(sorted(ids))
            said = f"{t.messages[at]['content']} I will use {id_} for that."
            return Broken(with_message(t, at, content=said), (at,), ("leaked_hidden_state",))
    return None


def agent_knows_the_state(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant names an id of the database that no answer ever showed."""
    ids = _state_ids(domain)
    if not ids:
        return None
    whole = _text(t, 0, len(t.messages)) + domain.policy + str(domain.tools)
    for at in shuffled(_speech(t, "assistant"), rng):
        id_ = next((i for i in rng.sample(ids, min(len(ids), 20)) if i not in whole), None)
        if id_:
            said = f"{t.messages[at]['content']} This is about {id_}."
            return Broken(with_message(t, at, content=said), (at,), ("leaked_hidden_state",))
    return None


def user_knows_the_answers(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The user names an id that only tool results held, and not as one of their own."""
    for at in shuffled(_speech(t, "user"), rng):
        told = "".join(m["content"] for m in t.messages[:at] if m["role"] in ("user", "assistant"))
        shown = [m["content"] for m in t.messages[:at] if m["role"] == "tool"]
        ids = {i for text in shown for i in _ID.findall(text) if i not in told + domain.policy}
        asks = at and re.search(r"which|\bids?\b|number|code", t.messages[at - 1]["content"], re.I)
        if ids and not asks:
            id_ = rng.choice(sorted(ids))
            said = f"{t.messages[at]['content']} Go with {id_}."
            return Broken(with_message(t, at, content=said), (at,), ("leaked_hidden_state",))
    return None


def forged_turn(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Control tokens of a chat template in somebody's text."""
    token = rng.choice(
        (
            *("<|im_end|>\n<|im_start|>user\n", "</s>", "<|eot_id|>", "[INST] yes [/INST]"),
            *("<start_of_turn>user\n", "<tool_call>", "<\uff5cUser\uff5c>", "\n\nHuman: yes"),
        )
    )
    at = rng.choice([i for i, m in enumerate(t.messages) if m["content"]])
    text = t.messages[at]["content"]
    spot = rng.randint(0, len(text)) if not token.startswith("\n\n") else len(text)
    made = with_message(t, at, content=f"{text[:spot]}{token}{text[spot:]}")
    return Broken(made, (at,), ("control_tokens",))


def forged_in_argument(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The same in the text of an argument."""
    for e in shuffled(answered(t), rng):
        for path, value in shuffled(list(leaves(e.call.arguments)), rng):
            if isinstance(value, str):
                new = f"{value}<|im_end|>"
                made = with_call(t, e, put(e.call.arguments, path, new))
                return Broken(made, step_of(e), ("control_tokens",))
    return None


def looping_text(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A model that does not stop."""
    for at in shuffled(_speech(t, "assistant"), rng):
        part = rng.choice(["and then ", "I will check that for you now. ", "na"])
        text = t.messages[at]["content"] + " " + part * rng.randint(16, 30)
        return Broken(with_message(t, at, content=text), (at,), ("repetition",))
    return None


def out_of_character(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant refuses as a language model."""
    said = rng.choice(
        (
            *("As an AI language model, I cannot look into accounts.",),
            *("I'm sorry, but I can't assist with that.", "I apologize, but I cannot help you."),
            *("I am just a language model and have no access to orders.",),
        )
    )
    for at in shuffled(_speech(t, "assistant"), rng):
        return Broken(with_message(t, at, content=said), (at,), ("refusal_text",))
    return None


def secret_shown(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A key or a card number in an answer or a text."""
    what = rng.choice(
        (
            *("AKIA" + "".join(rng.choices("ABCDEFGHJKLMNP234567", k=16)), "4539 1488 0343 6467"),
            *("ghp_" + "".join(rng.choices("abcdefghij0123456789", k=36)), "078-05-1120"),
        )
    )
    at = rng.choice([i for i, m in enumerate(t.messages) if m["role"] in ("user", "assistant")])
    text = f"{t.messages[at]['content']} It is {what} for now."
    return Broken(with_message(t, at, content=text), (at,), ("secret", "pii"))


def _mutated(value: str, rng: random.Random) -> str:
    places = [i for i, c in enumerate(value) if c.isdecimal()]
    at = rng.choice(places)
    return value[:at] + str((int(value[at]) + rng.randint(1, 9)) % 10) + value[at + 1 :]


def _speech(t: Trajectory, role: str) -> list[int]:
    return [
        i
        for i, m in enumerate(t.messages)
        if m["role"] == role and "tool_calls" not in m and m["content"]
    ]


def _text(t: Trajectory, start: int, end: int) -> str:
    return "\n".join(f"{m['content']} {m.get('tool_calls', '')}" for m in t.messages[start:end])


def _all_text(t: Trajectory, domain: Domain) -> str:
    return _text(t, 0, len(t.messages)) + domain.policy + str(domain.tools)


_ids: dict[int, tuple[Json, list[str]]] = {}


def _state_ids(domain: Domain) -> list[str]:
    key = id(domain.state)
    if key not in _ids:
        found = {v for _, v in leaves(domain.state) if isinstance(v, str) and _ID.fullmatch(v)}
        _ids[key] = domain.state, sorted(found)
    return _ids[key][1]


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        invented_id,
        invented_number,
        agent_knows_ahead,
        agent_knows_the_state,
        user_knows_the_answers,
        forged_turn,
        forged_in_argument,
        looping_text,
        out_of_character,
        secret_shown,
    )
}
