"""Small edits of a trajectory, and the stated rules for what could be noticed at all.

Every edit copies what it changes. A message that is put in moves the indices of stored
steps along.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from trajgen.filters.answers import is_failure
from trajgen.filters.reading import Exchange, exchanges, parsed
from trajgen.pointers import MISSING
from trajgen.records import Domain, Json, Message, Trajectory


@dataclass(frozen=True)
class Broken:
    """A corrupted trajectory, the messages of the broken step, the codes that would be right."""

    trajectory: Trajectory
    at: tuple[int, ...]
    codes: tuple[str, ...]


Kind = Callable[[Trajectory, random.Random, Domain], Broken | None]


def shuffled(items: Sequence[Json], rng: random.Random) -> list[Json]:
    """The items in an order of this draw."""
    return rng.sample(list(items), len(items))


def answered(trajectory: Trajectory) -> list[Exchange]:
    """The calls that were answered."""
    return [e for e in exchanges(trajectory.messages) if e.at is not None]


def worked(exchange: Exchange, domain: Domain) -> bool:
    """Whether the answer is no failure."""
    return not is_failure(exchange.observation, domain)


def data_of(exchange: Exchange) -> Json:
    """The JSON object that the answer is, as a copy; None otherwise."""
    data = parsed(exchange.observation)
    return copy.deepcopy(data) if isinstance(data, dict) else None


def reads(domain: Domain, tool: str) -> bool:
    """Whether the domain says that a tool only reads."""
    return domain.kinds.get(tool) == "read"


def with_message(trajectory: Trajectory, at: int, **changes: Json) -> Trajectory:
    """Message `at` with some keys changed."""
    messages = list(trajectory.messages)
    messages[at] = {**messages[at], **changes}
    return replace(trajectory, messages=tuple(messages))


def with_answer(trajectory: Trajectory, exchange: Exchange, shown: Json) -> Trajectory:
    """The answer of a call replaced; anything but text is shown as JSON."""
    text = shown if isinstance(shown, str) else json.dumps(shown)
    return with_message(trajectory, exchange.at or 0, content=text)


def with_call(
    trajectory: Trajectory, exchange: Exchange, arguments: Json = None, tool: str = ""
) -> Trajectory:
    """The call with other arguments or another tool; a stored step's tool goes with it."""
    at, id_ = exchange.call.message, exchange.call.id
    made = copy.deepcopy(list(trajectory.messages[at]["tool_calls"]))
    for raw in made:
        if raw["id"] == id_:
            raw["function"]["arguments"] = (
                exchange.call.arguments if arguments is None else arguments
            )
            raw["function"]["name"] = tool or exchange.call.tool
    steps = [replace(s, tool=tool) if tool and s.call_id == id_ else s for s in trajectory.steps]
    return replace(with_message(trajectory, at, tool_calls=made), steps=tuple(steps))


def without(trajectory: Trajectory, at: int) -> Trajectory:
    """Message `at` taken out."""
    messages = trajectory.messages[:at] + trajectory.messages[at + 1 :]
    steps = [replace(s, message=s.message - (s.message > at)) for s in trajectory.steps]
    return replace(trajectory, messages=messages, steps=tuple(steps))


def with_inserted(trajectory: Trajectory, at: int, *new: Message) -> Trajectory:
    """Messages put in before index `at`."""
    messages = (*trajectory.messages[:at], *new, *trajectory.messages[at:])
    steps = [replace(s, message=s.message + len(new) * (s.message >= at)) for s in trajectory.steps]
    return replace(trajectory, messages=messages, steps=tuple(steps))


def exchange_messages(tool: str, arguments: Json, shown: Json, id_: str) -> list[Message]:
    """A call of its own and its answer."""
    function = {"name": tool, "arguments": arguments}
    text = shown if isinstance(shown, str) else json.dumps(shown)
    return [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": id_, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": id_, "content": text},
    ]


def step_of(exchange: Exchange) -> tuple[int, ...]:
    """Both messages of a step: the call and its answer."""
    return (exchange.call.message, exchange.at or exchange.call.message)


def id_arguments(exchange: Exchange) -> list[tuple[str, str]]:
    """Arguments that are ids by name, with text values."""
    pattern = re.compile(r"id|.*(_id|Id|_number|_key)")
    return [
        (k, v)
        for k, v in exchange.call.arguments.items()
        if isinstance(v, str) and pattern.fullmatch(k)
    ]


def leaves(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple, Json]]:
    """(path, scalar) of every scalar inside."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def put(value: Json, path: tuple, new: Json) -> Json:
    """A copy of `value` with `new` at `path`."""
    made = copy.deepcopy(value)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return made


def other_value(value: Json, pool: Sequence[Json], rng: random.Random) -> Json:
    """A plausible other value of the same type: one met elsewhere, or a near number."""
    same = [v for v in pool if type(v) is type(value) and v != value and v != ""]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-3, -2, -1, 1, 2, 3, 10])
    if isinstance(value, float):
        return round(value + rng.choice([-12.5, -3.1, -1, 0.5, 2.25, 10, 40]), 2)
    if same:
        return rng.choice(same)
    return None


def values_of(trajectories: Sequence[Trajectory], key: str) -> list[Json]:
    """Every value that a field of this name has in the answers."""
    found = []
    for trajectory in trajectories:
        for exchange in answered(trajectory):
            for path, value in leaves(parsed(exchange.observation)) if exchange else ():
                if path and path[-1] == key:
                    found.append(value)
    return found


# What could be noticed at all: stated here, never decided by what the filters find.


def said_before(trajectory: Trajectory, exchange: Exchange, domain: Domain) -> Json:
    """The answer of the same call earlier, with no other than reading calls in between."""
    found = None
    for earlier in answered(trajectory):
        if earlier.at == exchange.at:
            return found
        if not reads(domain, earlier.call.tool) and worked(earlier, domain):
            found = None
        elif _same_call(earlier, exchange) and worked(earlier, domain):
            found = parsed(earlier.observation)
    return found


def _same_call(one: Exchange, other: Exchange) -> bool:
    return (one.call.tool, one.call.arguments) == (other.call.tool, other.call.arguments)


def in_state(trajectory: Trajectory, exchange: Exchange, domain: Domain) -> Json:
    """The entity that a read names in the state, when nothing was written before it."""
    for earlier in answered(trajectory):
        if earlier.at == exchange.at:
            break
        if not reads(domain, earlier.call.tool) and worked(earlier, domain):
            return None
    for state in (trajectory.state_initial, domain.state):
        for _, value in id_arguments(exchange):
            found = [r for r in _under(state, value) if isinstance(r, dict)]
            if len(found) == 1:
                return found[0]
    return None


def _under(state: Json, key: str) -> Iterator[Json]:
    if isinstance(state, dict):
        if key in state:
            yield state[key]
        for item in state.values():
            if isinstance(item, dict):
                yield from _under(item, key)


def told_as(trajectory: Trajectory, exchange: Exchange, domain: Domain) -> Json:
    """What is known of a read's answer beforehand: an earlier answer, or the state."""
    before = said_before(trajectory, exchange, domain)
    if isinstance(before, dict):
        return before
    return in_state(trajectory, exchange, domain)


def is_missing(value: Json) -> bool:
    """Whether nothing is there."""
    return value is MISSING or value is None
