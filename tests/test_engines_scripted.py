"""The scripted engine: each role well and badly, on cue slow, dead, hanging; always the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request, Role, make_engine
from trajgen.engines.scripted import ScriptedEngine
from trajgen.errors import EngineDead, InputError, RequestError
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.records import Task

ROLES: tuple[Role, ...] = ("scenario", "user", "agent", "world", "author")


def call(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def says(role: str, text: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": text} | ({"tool_calls": list(calls)} if calls else {})


def result(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


SEED = [
    says("user", "Please cancel order W1 and tell me its status."),
    says("assistant", "", call("call_1", "get_order", order_id="W1")),
    result("call_1", '{"status": "pending"}'),
    says(
        "assistant",
        "Cancelling.",
        call("call_2", "cancel_order", order_id="W1"),
        call("call_3", "get_order", order_id="W2"),
    ),
    result("call_2", '{"ok": true}'),
    result("call_3", '{"error": "no order W2"}'),
    says("assistant", "", call("call_4", "get_order", order_id="W1")),
    result("call_4", '{"status": "cancelled"}'),
    says("assistant", "Order W1 is cancelled."),
    says("user", "And what did it cost?"),
    says("assistant", "Nothing, as it is cancelled."),
]
EFFECTS = {"call_2": [{"op": "set", "path": "/orders/W1/status", "value": "cancelled"}]}
STATE = {"orders": {"W1": {"status": "pending"}}}


def task(task_id: str = "task-1") -> dict[str, Any]:
    return {"id": task_id, "strategy": "rephrase", "persona": "terse", "fault": ""}


def engine(**script: Any) -> ScriptedEngine:
    made = make_engine(EngineConfig(kind="scripted", script=script))
    assert isinstance(made, ScriptedEngine)
    return made


def request(role: Role, seed: int = 0, /, *, schema: Any = None, **context: Any) -> Request:
    context = {"task": task(), "seed_messages": SEED, "seed_effects": EFFECTS} | context
    messages = ({"role": "user", "content": "twelve chars"},)
    return Request("r", role, messages, seed, 10, schema, context=context)


def complete(asked: Request, played_by: ScriptedEngine | None = None) -> Completion:
    return asyncio.run((played_by or engine()).complete(asked))


def answer(role: Role, /, **context: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(complete(request(role, **context)).text)
    return found


def contexts() -> dict[Role, dict[str, Any]]:
    return {
        "scenario": {"seed": {"messages": SEED}, "partner": None},
        "user": {"messages": [], "instruction": "go"},
        "agent": {"messages": SEED[:1], "faulted": []},
        "world": {
            "messages": SEED[:2],
            "call": {"name": "get_order", "arguments": {"order_id": "W1"}},
        },
        "author": {},
    }


def rollout(
    task_id: str = "task-1", fault_at: int | None = None
) -> tuple[list[Any], list[Any], Any]:
    """The roles in turn, as a rollout plays them: messages, world answers, final state."""
    messages: list[Any] = []
    worlds: list[Any] = []
    faulted: list[str] = []
    ledger, made, about = Ledger(STATE), 0, {"task": task(task_id)}
    while True:
        spoken = answer("user", messages=messages, instruction="", **about)
        if spoken["done"]:
            return messages, worlds, ledger.state
        messages.append(says("user", spoken["say"]))
        while True:
            acted = answer("agent", messages=messages, faulted=faulted, **about)
            calls = [
                call(f"call_{made + n}", c["name"], **c["arguments"])
                for n, c in enumerate(acted["calls"])
            ]
            messages.append(says("assistant", acted["say"], *calls))
            if not calls:
                break
            for one in calls:
                if made == fault_at:
                    faulted.append(one["id"])
                    observed = '{"error": "the service did not answer"}'
                else:
                    replied = answer("world", messages=messages, call=one["function"], **about)
                    ledger.apply(replied["effects"])
                    worlds.append(replied)
                    observed = replied["observation"]
                messages.append(result(one["id"], observed))
                made += 1
        assert len(messages) < 40


def test_played_well_a_rollout_follows_its_seed_in_its_own_words() -> None:
    messages, worlds, state = rollout()
    assert [m["role"] for m in messages] == [m["role"] for m in SEED]
    for mine, theirs in zip(messages, SEED, strict=True):
        assert theirs["content"] in mine["content"]
        if theirs["role"] == "tool":
            assert mine["content"] == theirs["content"]
        made = [c["function"] for c in mine.get("tool_calls", [])]
        assert made == [c["function"] for c in theirs.get("tool_calls", [])]
    assert state == {"orders": {"W1": {"status": "cancelled"}}}
    assert [w["applies"] for w in worlds] == [True, True, False, True]
    assert [len(w["effects"]) for w in worlds] == [0, 1, 0, 0]


@pytest.mark.parametrize("fault_at", range(4))
def test_a_call_that_a_fault_hit_is_repeated(fault_at: int) -> None:
    messages, _, state = rollout(fault_at=fault_at)
    plain = rollout()[0]
    assert len(messages) == len(plain) + 2
    assert messages[-1] == plain[-1]
    assert state == {"orders": {"W1": {"status": "cancelled"}}}
    observed = [m["content"] for m in messages if m["role"] == "tool"]
    expected = [m["content"] for m in SEED if m["role"] == "tool"]
    assert sorted(o for o in observed if "did not answer" not in o) == sorted(expected)
    repeats = [m for m in messages if "one more try" in m["content"]]
    assert [len(m["tool_calls"]) for m in repeats] == [1]


def test_tasks_of_one_seed_are_told_apart_and_from_the_seed() -> None:
    texts = {
        canonical([m for m in rollout(f"task-{n}")[0] if m["role"] == "user"]) for n in range(8)
    }
    assert len(texts) == 8
    first = rollout()[0][0]["content"]
    assert first != SEED[0]["content"]
    assert "(ref " in first


def test_the_scenario_names_both_seeds_and_the_outcome() -> None:
    partner = {"messages": [says("user", "Also change my address.")]}
    seed = {"messages": SEED, "meta": {"outcome": "refusal"}}
    instruction = answer("scenario", seed=seed, partner=partner)["instruction"]
    assert "Please cancel order W1" in instruction
    assert "change my address" in instruction
    told = answer("user", messages=SEED, instruction=instruction)
    assert (told["done"], told["outcome"]) == (True, "refusal")
    assert answer("user", messages=SEED, instruction="")["outcome"] == "success"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        SEED[:2],  # the call waits for its answer
        [*SEED[:1], says("assistant", "", call("c", "other_tool")), result("c", "x")],
        SEED,
        [*SEED, says("user", "more?")],
        [says("tool", "?")],
    ],
)
def test_an_agent_that_fits_nowhere_ends_politely(messages: list[Any]) -> None:
    given = answer("agent", messages=messages, faulted=[])
    assert given["calls"] == []
    assert "Thank you" in given["say"]


def test_the_world_knows_the_nth_of_equal_calls() -> None:
    asked = {"name": "get_order", "arguments": {"order_id": "W1"}}
    again = says("assistant", "", call("c9", "get_order", order_id="W1"))
    reprinted = [*SEED[:2], result("call_1", '{"status":"pending"}')]
    assert "pending" in answer("world", messages=[again], call=asked)["observation"]
    assert "cancelled" in answer("world", messages=[*reprinted, again], call=asked)["observation"]
    failed = [*SEED[:2], result("call_1", "Error: time-out"), again]
    assert "pending" in answer("world", messages=failed, call=asked)["observation"]


def test_a_write_that_the_seed_makes_once_has_its_effects_once() -> None:
    asked = {"name": "cancel_order", "arguments": {"order_id": "W1"}}
    assert answer("world", messages=[], call=asked)["effects"] == EFFECTS["call_2"]
    assert answer("world", messages=SEED, call=asked)["effects"] == []


def test_calls_unknown_to_the_seed_do_not_apply() -> None:
    asked = {"name": "get_order", "arguments": {"order_id": "W9"}}
    given = answer("world", messages=[], call=asked)
    assert (given["applies"], given["effects"]) == (False, [])
    assert "error" in json.loads(given["observation"])
    in_text = [says("assistant", "", call("call_1", "open", what="door")), result("call_1", "open")]
    told = answer("world", messages=[], call=asked, seed_messages=in_text)
    assert told["observation"].startswith("Error: ")
    told = answer(
        "world", messages=[], call=asked, seed_messages=in_text, failure_prefixes=["You cannot"]
    )
    assert told["observation"].startswith("You cannot")


def test_failures_of_the_domain_do_not_apply() -> None:
    seed = [
        says("assistant", "", call("call_1", "open", what="door")),
        result("call_1", "You cannot."),
    ]
    asked = {"name": "open", "arguments": {"what": "door"}}
    context = {"messages": [], "call": asked, "seed_messages": seed}
    assert answer("world", **context)["applies"]
    assert not answer("world", **context, failure_prefixes=["You cannot"])["applies"]


def test_the_observation_takes_the_form_of_the_schema() -> None:
    asked = {"name": "get_order", "arguments": {"order_id": "W1"}}
    schema = {"properties": {"observation": {"type": ["object", "array"]}}}
    given = answer("world", messages=[], call=asked, schema=schema)
    assert given["observation"] == {"status": "pending"}
    in_text = [says("assistant", "", call("call_1", "look")), result("call_1", "a room")]
    context = {"messages": [], "seed_messages": in_text, "schema": schema}
    given = answer("world", call={"name": "look", "arguments": {}}, **context)
    assert given["observation"] == {"error": "a room"}


def test_an_author_writes_the_whole_trajectory() -> None:
    given = answer("author")
    turns = given["turns"]
    kinds = [t["role"] for t in turns]
    assert kinds == ["user", *["agent", "world"] * 3, "agent", "user", "agent"]
    assert [c["name"] for c in turns[3]["calls"]] == ["cancel_order", "get_order"]
    assert [a["applies"] for a in turns[4]["answers"]] == [True, False]
    assert turns[4]["answers"][0]["effects"] == EFFECTS["call_2"]
    assert turns[0]["say"] == rollout()[0][0]["content"]
    assert given["outcome"] == "success"


def test_a_task_may_be_a_record() -> None:
    record = Task("task-1", 0, "d", "s", "rephrase", "terse", "", "", 1)
    context = {"messages": [], "instruction": ""}
    assert answer("user", **context, task=record) == answer("user", **context)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_answers_an_empty_context(role: Role) -> None:
    asked = Request("r", role, (), 0, 10)
    assert isinstance(json.loads(complete(asked).text), dict)
    for seed in range(40):
        bad = Request("r", role, (), seed, 10)
        complete(bad, engine(quality={role: 0.0}))


def bad_answers(role: Role, count: int = 150) -> list[Completion]:
    bad = engine(quality={role: 0.0})
    return [complete(request(role, seed, **contexts()[role]), bad) for seed in range(count)]


def parsed(completion: Completion) -> Any:
    try:
        return json.loads(completion.text)
    except ValueError:
        return None


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_broken_in_every_way(role: Role) -> None:
    good = answer(role, **contexts()[role])
    given = bad_answers(role)
    assert all(parsed(c) != good for c in given)
    assert any(c.finish == "length" and parsed(c) is None for c in given)
    assert any(c.finish == "stop" and c.text and parsed(c) is None for c in given)
    assert any(c.text == "" for c in given)
    assert any(isinstance(parsed(c), list) for c in given)
    assert any("<|im_start|>" in c.text for c in given)
    assert any(len(c.text) > 1_000_000 for c in given)
    assert len({c.text for c in given}) >= 8


def test_an_agent_plays_badly() -> None:
    given = [a for c in bad_answers("agent") if isinstance(a := parsed(c), dict)]
    calls = [c for a in given for c in a["calls"]]
    assert {"no_such_tool", "get_order"} <= {c["name"] for c in calls}
    assert any(c["arguments"] == {"order_id": "ZZ-90417"} for c in calls)
    assert any("unexpected" in c["arguments"] for c in calls)
    assert any(isinstance(c["arguments"], str) for c in calls)
    assert any(not a["calls"] and not a["say"] for a in given)


def fits(effects: list[Any]) -> bool:
    try:
        Ledger(STATE).apply(effects)
    except EffectError:
        return False
    return True


def test_a_world_plays_badly() -> None:
    given = [a for c in bad_answers("world") if isinstance(a := parsed(c), dict)]
    assert any(not a["applies"] for a in given)  # a false refusal
    assert any(a["effects"] == EFFECTS["call_2"] for a in given)  # a read that writes
    assert any(not fits(a["effects"]) for a in given)
    write = contexts()["world"] | {
        "call": {"name": "cancel_order", "arguments": {"order_id": "W1"}}
    }
    bad = engine(quality={"world": 0.0})
    texts = [complete(request("world", seed, **write), bad) for seed in range(60)]
    told = [a for c in texts if isinstance(a := parsed(c), dict)]
    assert any(a["applies"] and not a["effects"] for a in told)
    unknown = write | {"call": {"name": "nothing", "arguments": {}}}
    texts = [complete(request("world", seed, **unknown), bad) for seed in range(60)]
    told = [a for c in texts if isinstance(a := parsed(c), dict)]
    assert any(a["applies"] and a["observation"] == "Done." for a in told)  # it obliges


def test_users_and_authors_play_badly() -> None:
    users = [a for c in bad_answers("user") if isinstance(a := parsed(c), dict)]
    assert {(a["say"] == "", a["done"]) for a in users} >= {(True, False), (True, True)}
    authors = [a["turns"] for c in bad_answers("author") if isinstance(a := parsed(c), dict)]
    assert any(turns == [] for turns in authors)
    assert any(t["role"] == "world" and not t["answers"] for turns in authors for t in turns)


def test_quality_is_a_share_of_the_requests() -> None:
    half = engine(quality={"user": 0.5})
    good = answer("user", **contexts()["user"])
    given = [complete(request("user", n, **contexts()["user"]), half) for n in range(300)]
    share = sum(parsed(c) == good for c in given) / 300
    assert 0.4 < share < 0.6
    world = complete(request("world", 3, **contexts()["world"]), half)
    assert parsed(world) == answer("world", **contexts()["world"])


def test_order_and_company_do_not_matter() -> None:
    asked = [request(role, n, **contexts()[role]) for n in range(10) for role in ROLES]

    async def play(order: list[Request], script: dict[str, Any]) -> dict[int, Completion]:
        played_by = engine(**script)
        answers = await asyncio.gather(*(played_by.complete(r) for r in order))
        return {id(r): a for r, a in zip(order, answers, strict=True)}

    script = {"quality": dict.fromkeys(ROLES, 0.5)}
    late = script | {"delay_ms": {"base": 1, "tail": 10, "tail_rate": 0.3}}
    assert asyncio.run(play(asked, script)) == asyncio.run(play(asked[::-1], late))


PROGRAM = """
import asyncio, hashlib
from tests.test_engines_scripted import ROLES, complete, contexts, engine, request
script = {"quality": dict.fromkeys(ROLES, 0.5)}
asked = [request(r, n, **contexts()[r]) for n in range(12) for r in ROLES]
texts = [complete(one, engine(**script)) for one in asked]
print(hashlib.sha256(repr(texts).encode()).hexdigest())
"""


def test_every_process_gives_the_same_answers() -> None:
    assert len({run(PROGRAM, {"PYTHONHASHSEED": str(n)}).stdout for n in (0, 1, 77)}) == 1


def run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    given = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(root)} | environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert given.stdout.strip() or given.returncode, given.stderr
    return given


def test_delays_have_a_tail() -> None:
    slow = engine(delay_ms={"base": 10, "tail": 150, "tail_rate": 0.3})
    asked = [request("user", n, **contexts()["user"]) for n in range(30)]
    waits = [slow._seconds(r) for r in asked]
    assert set(waits) == {0.01, 0.15}
    begun = time.monotonic()
    complete(asked[waits.index(0.15)], slow)
    assert time.monotonic() - begun >= 0.15
    assert engine(delay_ms=20)._seconds(asked[0]) == 0.02


def test_a_dead_engine_stays_dead_until_it_is_started() -> None:
    async def play() -> None:
        mortal = engine(die={"tasks": ["task-1"]})
        other = request("user", **contexts()["user"] | {"task": task("task-2")})
        assert (await mortal.complete(other)).text
        with pytest.raises(EngineDead):
            await mortal.complete(request("user", **contexts()["user"]))
        with pytest.raises(EngineDead):
            await mortal.complete(other)
        await mortal.start()
        assert (await mortal.complete(other)).text
        await mortal.close()
        with pytest.raises(EngineDead):
            await mortal.complete(other)

    asyncio.run(play())


def test_death_takes_what_is_under_way() -> None:
    async def play() -> None:
        mortal = engine(die={"tasks": ["task-1"]}, delay_ms=50)
        other = request("user", **contexts()["user"] | {"task": task("task-2")})
        waiting = asyncio.create_task(mortal.complete(other))
        await asyncio.sleep(0.01)
        with pytest.raises(EngineDead):
            await mortal.complete(request("user", **contexts()["user"]))
        with pytest.raises(EngineDead):
            await waiting

    asyncio.run(play())


def test_a_rate_of_death_is_a_share_of_the_requests() -> None:
    async def deaths() -> list[bool]:
        mortal = engine(die={"rate": 0.2})
        dead = []
        for n in range(200):
            await mortal.start()
            try:
                await mortal.complete(request("user", n, **contexts()["user"]))
                dead.append(False)
            except EngineDead:
                dead.append(True)
        return dead

    first, second = asyncio.run(deaths()), asyncio.run(deaths())
    assert first == second
    assert 20 < sum(first) < 60


def test_kill_is_a_real_kill() -> None:
    program = """
from tests.test_engines_scripted import complete, contexts, engine, request
complete(request("user", **contexts()["user"]), engine(die={"how": "kill", "tasks": ["task-1"]}))
"""
    assert run(program, {}).returncode == -signal.SIGKILL


def test_a_hanging_task_hangs_alone_and_until_the_end() -> None:
    async def play() -> None:
        hanging = engine(hang={"tasks": ["task-1"]})
        other = request("user", **contexts()["user"] | {"task": task("task-2")})
        waiting = asyncio.create_task(hanging.complete(request("user", **contexts()["user"])))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert (await hanging.complete(other)).text
        await hanging.close()
        with pytest.raises(EngineDead):
            await asyncio.wait_for(waiting, 1)

    asyncio.run(play())


def test_a_refused_task_is_a_request_error() -> None:
    choosy = engine(refuse={"tasks": ["task-1"]})
    with pytest.raises(RequestError, match="task-1"):
        complete(request("user", **contexts()["user"]), choosy)
    complete(request("user", **contexts()["user"] | {"task": task("task-2")}), choosy)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ({"qualty": {}}, "did you mean 'quality'"),
        ({"quality": {"user": 1.5}}, "quality.user"),
        ({"quality": {"narrator": 1}}, "narrator"),
        ({"delay_ms": {"bass": 5}}, "did you mean 'base'"),
        ({"delay_ms": -1}, "delay_ms"),
        ({"die": {"how": "politely"}}, "die.how"),
        ({"die": {"task": ["t"]}}, "did you mean 'tasks'"),
    ],
)
def test_a_wrong_script_is_an_input_error(script: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        engine(**script)


def test_tokens_are_four_characters() -> None:
    messages = (says("user", "12345"), says("assistant", "", call("c", "t")))
    calls = canonical(messages[1]["tool_calls"])
    assert engine().count_tokens(messages, ()) == [1 + 2, 1 + -(-len(calls) // 4)]
    tools = ({"type": "function", "function": {"name": "t", "parameters": {}}},)
    extra = engine().count_tokens(messages, tools)[0] - 3
    assert extra == -(-len(canonical(list(tools))) // 4)
    assert engine().count_tokens((), tools) == []
    given = complete(request("user", **contexts()["user"]))
    assert (given.prompt_tokens, given.cached_tokens) == (4, 0)
    assert given.generated_tokens == -(-len(given.text) // 4)


def test_the_model_has_a_name() -> None:
    assert engine().model == "scripted"
    assert make_engine(EngineConfig(kind="scripted", model="stand-in")).model == "stand-in"
