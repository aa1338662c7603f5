"""Each role played well: as in the seed, in the task's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count, groupby

from trajgen.engines import Request, Role
from trajgen.engines.scripted.context import (
    Answer,
    Context,
    answered,
    as_text,
    bare,
    fits,
    parsed,
    said,
    same,
)
from trajgen.engines.scripted.words import own_ending, own_opener, own_words
from trajgen.records import Json, Message

_FAREWELL = "Thank you for your patience. That is everything that can be done here."
_AGAIN = "That did not go through, so it is worth one more try."
_NO_RECORD = "nothing here fits these arguments"


def play_well(request: Request) -> Answer:
    """What the request's role answers, an observation in the form its schema wants."""
    answer = _PLAYS[request.role](request.context)
    properties = (request.schema or {}).get("properties", {})
    wanted = properties.get("observation", {}).get("type", "string")
    if "observation" not in answer or "string" in wanted:
        return answer
    data = parsed(answer["observation"])
    in_json = data if isinstance(data, dict | list) else {"error": answer["observation"]}
    return {**answer, "observation": in_json}


def not_applicable(context: Context) -> Answer:
    """The world's answer to a call that the seed does not know."""
    seed = context.get("seed_messages", ())
    observations = [parsed(m["content"]) for m in seed if m["role"] == "tool"]
    in_json = any(isinstance(o, dict | list) for o in observations)
    text = f"{_prefixes(context)[0]}: {_NO_RECORD}"
    observation = as_text({"error": _NO_RECORD}) if in_json else text
    return {"applies": False, "why": _NO_RECORD, "effects": [], "observation": observation}


def _scenario(context: Context) -> Answer:
    """The seed's wishes as an instruction, with its partner's after them."""
    seeds = [context.get("seed") or {}, context.get("partner") or {}]
    wishes = [text for seed in seeds for text in said(seed.get("messages", ()))]
    outcome = (seeds[0].get("meta") or {}).get("outcome", "success")
    expected = "" if outcome == "success" else f" This ends in a {outcome}."
    opener = own_opener(context)
    return {"instruction": f"You begin with '{opener}' You want: {' '.join(wishes)}{expected}"}


def _user(context: Context) -> Answer:
    """The seed's next user message in words of the task's own; then done."""
    turn, wishes = len(said(context.get("messages", ()))), said(context.get("seed_messages", ()))
    ending = re.search(r"This ends in a (refusal|failure)\.", context.get("instruction") or "")
    outcome = ending[1] if ending else "success"
    if turn >= len(wishes):
        return {"say": "", "done": True, "outcome": outcome}
    return {"say": own_words(context, wishes[turn], turn), "done": False, "outcome": outcome}


def _agent(context: Context) -> Answer:
    """The seed's next assistant message, or once more the calls that a fault hit."""
    messages, seed = context.get("messages", ()), context.get("seed_messages", ())
    faulted = set(context.get("faulted", ()))
    position, repeat = 0, list[Json]()
    for message in (m for m in messages if m["role"] == "assistant"):
        position += not repeat
        calls = message.get("tool_calls", ())
        repeat = [bare(call) for call in calls if call.get("id") in faulted]
    if repeat:
        return {"say": _AGAIN, "calls": repeat}
    places = [i for i, m in enumerate(seed) if m["role"] == "assistant"]
    if position >= len(places) or not messages or not fits(messages, seed, places[position]):
        return {"say": _FAREWELL, "calls": []}
    return _as_agent(context, seed[places[position]], position)


def _world(context: Context) -> Answer:
    """The seed's answer to the same call, the n-th time as the n-th there; else not applicable."""
    call, seed = context.get("call") or {}, context.get("seed_messages", ())
    known = answered(seed, call)
    if not known:
        return not_applicable(context)
    given = 0
    for _, observation in answered(context.get("messages", ()), call):
        given += given < len(known) and same(observation, known[given][1])
    call_id, observation = known[min(given, len(known) - 1)]
    effects = context.get("seed_effects", {}).get(call_id, []) if given < len(known) else []
    return _as_world(context, observation, effects)


def _author(context: Context) -> Answer:
    """The whole seed in one go, each turn as the roles would play it."""
    effects, turns = context.get("seed_effects", {}), list[Json]()
    users, agents = count(), count()
    for role, group in groupby(context.get("seed_messages", ()), key=lambda m: m["role"]):
        if role == "user":
            says = [own_words(context, m["content"], next(users)) for m in group]
            turns += [{"role": "user", "say": say} for say in says]
        elif role == "assistant":
            turns += [{"role": "agent", **_as_agent(context, m, next(agents))} for m in group]
        elif role == "tool":
            given = [(m["content"], effects.get(m.get("tool_call_id"), [])) for m in group]
            answers = [_as_world(context, *answer) for answer in given]
            turns.append({"role": "world", "answers": answers})
    outcome = (context.get("meta") or {}).get("outcome", "success")
    return {"turns": turns, "outcome": outcome}


def _judge(context: Context) -> Answer:
    """All is well."""
    why = "nothing speaks against it"
    scores = {"policy": 5, "goal": 5, "quality": 4}
    return {"reasons": dict.fromkeys(scores, why), **scores}


_PLAYS: dict[Role, Callable[[Context], Answer]] = {
    "scenario": _scenario,
    "user": _user,
    "agent": _agent,
    "world": _world,
    "author": _author,
    "judge": _judge,
}


def _as_agent(context: Context, message: Message, place: int) -> Answer:
    calls = [bare(call) for call in message.get("tool_calls", ())]
    say = message.get("content", "")
    if not calls:
        say = own_ending(context, say, place)
    return {"say": say, "calls": calls}


def _as_world(context: Context, observation: str, effects: Sequence[Json]) -> Answer:
    failed = _says_failure(context, observation)
    return {
        "applies": not failed,
        "why": observation[:200] if failed else "the state allows it",
        "effects": [] if failed else list(effects),
        "observation": observation,
    }


def _prefixes(context: Context) -> tuple[str, ...]:
    """What failures of the domain begin with."""
    return tuple(context.get("failure_prefixes") or ("Error",))


def _says_failure(context: Context, observation: str) -> bool:
    data = parsed(observation)
    return observation.startswith(_prefixes(context)) or (
        isinstance(data, dict) and "error" in data
    )
