"""Corruptions that were written before the filters were ever run on them.

What they show at the first try is in docs/filters.md; what they show now is in the table.
"""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    data_of,
    exchange_messages,
    id_arguments,
    leaves,
    put,
    reads,
    said_before,
    shuffled,
    step_of,
    told_as,
    with_answer,
    with_call,
    with_inserted,
    with_message,
    worked,
)
from trajgen.filters.reading import parsed
from trajgen.pointers import scalars
from trajgen.records import Domain, Json, Trajectory

SAYS = ("contradicts_observation", "contradicts_state")


def answers_exchanged(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Two neighbouring calls of one tool have each other's answers (which name themselves)."""
    found = answered(t)
    for one, two in shuffled(list(pairwise(found)), rng):
        same = one.call.tool == two.call.tool and one.observation != two.observation
        ids = id_arguments(one)
        if same and ids and (data_of(two) or {}).get(ids[0][0]) not in (None, ids[0][1]):
            made = with_answer(with_answer(t, one, two.observation), two, one.observation)
            return Broken(made, (*step_of(one), *step_of(two)), SAYS)
    return None


def key_respelled(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An argument under another spelling of its name."""
    for e in shuffled(answered(t), rng):
        keys = [k for k in e.call.arguments if "_" in k]
        if keys:
            key = rng.choice(keys)
            first, *rest = key.split("_")
            new = rng.choice([first + "".join(map(str.title, rest)), key.replace("_", "-")])
            arguments = {new if k == key else k: v for k, v in e.call.arguments.items()}
            return Broken(with_call(t, e, arguments), step_of(e), ("bad_arguments",))
    return None


def null_argument(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Null where the schema wants a value."""
    for e in shuffled(answered(t), rng):
        schema = (domain.tool(e.call.tool) or {}).get("parameters", {})
        typed = [
            k
            for k in e.call.arguments
            if schema.get("properties", {}).get(k, {}).get("type") == "string"
        ]
        if typed:
            made = with_call(t, e, {**e.call.arguments, rng.choice(typed): None})
            return Broken(made, step_of(e), ("bad_arguments",))
    return None


def arguments_wrapped(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The arguments lie one level too deep."""
    for e in shuffled(answered(t), rng):
        if e.call.arguments:
            key = rng.choice(["arguments", "parameters", "input"])
            made = with_call(t, e, {key: e.call.arguments})
            return Broken(made, step_of(e), ("bad_arguments",))
    return None


def user_plays_the_tool(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A tool's answer has the role of the user."""
    for e in shuffled(answered(t), rng):
        made = with_message(t, e.at, role="user")
        return Broken(made, step_of(e), ("bad_role_order", "unanswered_call"))
    return None


def system_in_the_middle(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A system message behind the beginning."""
    at = rng.randint(2, len(t.messages) - 1)
    new = {"role": "system", "content": "Remember to be polite."}
    return Broken(with_inserted(t, at, new), (at, at + 1, at - 1), ("bad_role_order",))


def call_id_used_twice(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Two calls share an id."""
    found = answered(t)
    if len(found) < 2 or t.steps:
        return None
    one, two = sorted(rng.sample(found, 2), key=lambda e: e.at)
    made = list(t.messages[two.call.message]["tool_calls"])
    made = [{**c, "id": one.call.id} if c["id"] == two.call.id else c for c in made]
    changed = with_message(t, two.call.message, tool_calls=made)
    changed = with_message(changed, two.at, tool_call_id=one.call.id)
    return Broken(changed, step_of(two), ("unanswered_call",))


def call_written_as_text(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant writes a call into its text instead of making it."""
    for e in shuffled(answered(t), rng):
        call = json.dumps({"name": e.call.tool, "arguments": e.call.arguments})
        at = len(t.messages) - 1
        said = rng.choice([call, f"<tool_call>{call}</tool_call>", f"```json\n{call}\n```"])
        made = with_message(t, at, content=said)
        codes = ("unanswered_call", "control_tokens", "no_final_answer")
        return Broken(made, (at,), codes)
    return None


def template_header(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A header of a chat template in what the user says."""
    users = [i for i, m in enumerate(t.messages) if m["role"] == "user"]
    at = rng.choice(users)
    text = f"{t.messages[at]['content']}<|start_header_id|>assistant<|end_header_id|>"
    return Broken(with_message(t, at, content=text), (at,), ("control_tokens",))


def number_as_text(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read shows a number as text, which an earlier answer of its tool had as a number."""
    for e in shuffled(answered(t), rng):
        earlier = [x for x in answered(t) if x.at < e.at and x.call.tool == e.call.tool]
        data, known = data_of(e), told_as(t, e, domain)
        if not any(isinstance(data_of(x), dict) for x in earlier):
            continue
        if data is None or known is None or not reads(domain, e.call.tool):
            continue
        for key, value in shuffled(list(data.items()), rng):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            shown = any(isinstance((data_of(x) or {}).get(key), int | float) for x in earlier)
            if number and known.get(key) == value and shown:
                return Broken(with_answer(t, e, {**data, key: str(value)}), step_of(e), SAYS)
    return None


def item_lost_from_a_list(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A list of ids or words is shorter than what is known of it."""
    for e in shuffled(answered(t), rng):
        data, known = data_of(e), told_as(t, e, domain)
        if data is None or known is None or not reads(domain, e.call.tool):
            continue
        for key, value in shuffled(list(data.items()), rng):
            plain = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
            if plain and known.get(key) == value:
                gone = rng.randrange(len(value))
                shown = {**data, key: value[:gone] + value[gone + 1 :]}
                return Broken(with_answer(t, e, shown), step_of(e), SAYS)
    return None


def fields_of_two_mixed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read shows one field of another entity (of what is known of this one)."""
    for e in shuffled(answered(t), rng):
        data, known = data_of(e), told_as(t, e, domain)
        if data is None or known is None or not reads(domain, e.call.tool):
            continue
        for other in shuffled(answered(t), rng):
            theirs = data_of(other) or {}
            keys = [
                k
                for k in data
                if k in theirs and k in known and known[k] == data[k] != theirs[k]
                if type(theirs[k]) is type(data[k]) and not isinstance(data[k], list)
            ]
            if other.call.tool == e.call.tool and keys:
                key = rng.choice(keys)
                return Broken(with_answer(t, e, {**data, key: theirs[key]}), step_of(e), SAYS)
    return None


def date_moved(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A day in a call that nobody spoke of, more than a year from all that was seen."""
    for e in shuffled(answered(t), rng):
        for path, value in leaves(e.call.arguments):
            if isinstance(value, str) and re.fullmatch(r"20\d\d-\d\d-\d\d", value):
                new = f"{int(value[:4]) + 7}{value[4:8]}{(int(value[8:]) % 28) + 1:02d}"
                made = with_call(t, e, put(e.call.arguments, path, new))
                return Broken(made, step_of(e), ("invented_argument",))
    return None


def email_known_ahead(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The assistant says a mail address of the state that nobody has shown."""
    mails = _mails(domain)
    if not mails:
        return None
    said = str(t.messages)
    mail = next((m for m in rng.sample(mails, min(20, len(mails))) if m not in said), None)
    places = [i for i, m in enumerate(t.messages) if m["role"] == "assistant" and m["content"]]
    if not places or mail is None:
        return None
    at = rng.choice(places)
    text = f"{t.messages[at]['content']} We will write to {mail}."
    return Broken(with_message(t, at, content=text), (at,), ("leaked_hidden_state",))


def refused_after_it_worked(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The same read again, nothing written since, is refused."""
    found = answered(t)
    for e in shuffled(found, rng):
        if not reads(domain, e.call.tool) or not worked(e, domain) or not e.call.arguments:
            continue
        if any(not reads(domain, w.call.tool) for w in found if w.at > e.at) or e == found[-1]:
            continue
        prefix = (domain.failure_prefixes or ("Error",))[0]
        at = len(t.messages) - 1
        new = exchange_messages(e.call.tool, e.call.arguments, f"{prefix}: Not allowed", "c_again")
        return Broken(with_inserted(t, at, *new), (at, at + 1), ("false_refusal", "bad_effect"))
    return None


def placeholder_argument(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A call with a placeholder in place of an id."""
    for e in shuffled(answered(t), rng):
        for key, _ in id_arguments(e):
            new = rng.choice([f"<{key}>", f"YOUR_{key.upper()}", f"{{{key}}}"])
            made = with_call(t, e, {**e.call.arguments, key: new})
            return Broken(made, step_of(e), ("invented_argument", *SAYS, "precondition_violated"))
    return None


def other_users_id(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A call about an entity of the state that this conversation never named, answered in
    its own words."""
    if not isinstance(domain.state, dict):
        return None
    said = str(t.messages)
    for e in shuffled(answered(t), rng):
        for key, value in id_arguments(e):
            homes = [c for c in domain.state.values() if isinstance(c, dict) and value in c]
            if not homes or len(homes[0]) < 3 or not any(map(str.isdecimal, value)):
                continue
            new = next((k for k in rng.sample(sorted(homes[0]), 3) if k not in said), None)
            if new and isinstance(homes[0][new], dict) and reads(domain, e.call.tool):
                made = with_call(t, e, {**e.call.arguments, key: new})
                made = with_answer(made, e, homes[0][new])
                return Broken(made, step_of(e), ("invented_argument",))
    return None


def list_told_differently(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """One scalar somewhere in a list answer differs from the same call's earlier answer."""
    for e in shuffled(answered(t), rng):
        before, data = said_before(t, e, domain), parsed(e.observation)
        if isinstance(data, list) and before == data:
            places = [(p, v) for p, v in leaves(data) if isinstance(v, int | float | str)]
            if places:
                path, value = rng.choice(places)
                new: Json = f"{value}x" if isinstance(value, str) else value + 1
                return Broken(with_answer(t, e, put(data, path, new)), step_of(e), SAYS)
    return None


def write_tells_of_another(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write's answer names another id than the call did."""
    for e in shuffled(answered(t), rng):
        for _, value in id_arguments(e):
            if reads(domain, e.call.tool) or not worked(e, domain) or value not in e.observation:
                continue
            shown = [v for x in answered(t) for k, v in id_arguments(x) if v != value]
            kin = [v for v in shown if re.sub(r"\d", "0", v) == re.sub(r"\d", "0", value)]
            kin = [v for v in kin if v not in set(map(str, scalars(e.call.arguments)))]
            if kin:
                text = e.observation.replace(value, rng.choice(kin))
                return Broken(with_answer(t, e, text), step_of(e), SAYS)
    return None


_found: dict[int, tuple[Json, list[str]]] = {}


def _mails(domain: Domain) -> list[str]:
    key = id(domain.state)
    if key not in _found:
        mails = {v for _, v in leaves(domain.state) if isinstance(v, str) and "@" in v}
        _found[key] = domain.state, sorted(mails)
    return _found[key][1]


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        answers_exchanged,
        key_respelled,
        null_argument,
        arguments_wrapped,
        user_plays_the_tool,
        system_in_the_middle,
        call_id_used_twice,
        call_written_as_text,
        template_header,
        number_as_text,
        item_lost_from_a_list,
        fields_of_two_mixed,
        date_moved,
        email_known_ahead,
        refused_after_it_worked,
        placeholder_argument,
        other_users_id,
        list_told_differently,
        write_tells_of_another,
    )
}
