"""Whole rollouts: who sees what, what goes back, how they end, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.playing import (
    CANCEL,
    CANCELLED,
    DOMAIN,
    HIDDEN,
    PENDING,
    PROMPTS,
    REFUSED,
    SEED,
    STATE,
    TASK,
    Actor,
    Counting,
    agent,
    call,
    cut,
    done,
    good,
    pipeline,
    planned,
    play,
    prompt,
    reasons,
    stage,
    task,
    user,
    world,
)
from trajgen.config import Fault, VariationsConfig
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request, make_engine
from trajgen.engines.scripted import ScriptedEngine
from trajgen.errors import EngineDead, PromptTooLong, RequestError, Timeout
from trajgen.faults import planned_call
from trajgen.filters.answers import is_failure
from trajgen.ids import sampling_seed
from trajgen.ledger import Ledger
from trajgen.plan import plan
from trajgen.records import Json, Reason, Step, Task, Trajectory
from trajgen.rollout import Rollout
from trajgen.seeds import SeedSet, load_seeds
from trajgen.stage import make_stage

SEEDS = Path(__file__).parents[1] / "seeds"
LOOKED: dict[str, Any] = {
    "scenario": [planned()],
    "user": [user("Is W101 on its way?"), done()],
    "agent": [agent("", call("get_order")), agent("Your order W101 is still pending.")],
    "world": [world(PENDING)],
}


def looked(**changes: Any) -> dict[str, Any]:
    return {role: list(given) for role, given in (LOOKED | changes).items()}


# Each role's view.


def test_a_good_conversation_is_kept() -> None:
    row = play(good())
    assert reasons(row) == []
    assert row.outcome == "success"
    assert [m["role"] for m in row.messages] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant")
    ]
    assert row.messages[2]["content"] == '{"status": "pending", "total": 20}'
    assert (row.n_turns, row.n_tool_calls) == (1, 2)
    assert row.n_tokens == sum(len(m["content"]) + 1 for m in row.messages)
    assert row.n_target_tokens == sum(
        len(m["content"]) + 1 for m in row.messages if m["role"] == "assistant"
    )
    assert row.scores == {"ended": "done", "goal": list(SEED.goal)}


def test_the_user_never_sees_tools_results_or_state() -> None:
    actor = Actor(good())
    play(actor)
    for asked in actor.prompts("user"):
        for hidden in (
            HIDDEN,
            "get_order",
            "cancel_order",
            "pending",
            "call_0",
            '"orders"',
            "vault",
        ):
            assert hidden not in asked
    assert "W101 is cancelled now." in actor.prompts("user")[-1]


def test_the_agent_never_sees_hidden_state_or_effects() -> None:
    secret = "You want W101 cancelled, secretly for a surprise."
    actor = Actor(good() | {"scenario": [planned(secret)]})
    play(actor)
    for asked in actor.prompts("agent"):
        for hidden in (HIDDEN, "vault", "applies", "the state says so", "/orders/W101", secret):
            assert hidden not in asked
    assert '[call_0] {"status": "pending", "total": 20}' in actor.prompts("agent")[-1]
    assert DOMAIN.policy in actor.prompts("agent")[0]


def test_the_world_sees_call_state_and_examples_but_no_conversation() -> None:
    actor = Actor(good())
    play(actor)
    first, second = (request.messages[-1]["content"] for request in actor.asked("world"))
    assert 'Call: get_order {"order_id": "W101"}' in first
    assert json.dumps(STATE["orders"]["W101"]) in first
    assert "W102" not in first  # not what the call names
    assert '-> {"status": "pending", "total": 20}' in first  # a real result
    assert "Call: cancel_order" in second
    assert '-> {"status": "cancelled"}' in second
    assert all("Cancel W101, will you." not in asked for asked in actor.prompts("world"))


def test_the_world_is_shown_the_state_as_it_has_become() -> None:
    answers = good()
    answers["agent"].insert(2, agent("", call("get_order")))
    answers["world"].append(world({"status": "cancelled", "total": 20}))
    actor = Actor(answers)
    row = play(actor)
    assert reasons(row) == []
    states = [r.messages[-1]["content"].partition("State that")[2] for r in actor.asked("world")]
    assert ['"cancelled"' in state for state in states] == [False, False, True]
    assert row.steps[1].state_after == row.steps[2].state_before == row.steps[2].state_after


def grown(actor: Actor, role: str) -> Iterator[tuple[Request, Request]]:
    asked = [r for r in actor.asked(role) if r.id.rpartition("/")[2] == "1"]
    yield from pairwise(asked)


def test_every_prompt_is_the_last_one_plus_what_is_new() -> None:
    """Failed attempts leave no trace; an answer stands in the next prompt word for word."""
    first = f"```json\n{json.dumps(agent('Let me see.', call('get_order')), indent=1)}\n```"
    answers = {
        "scenario": [planned()],
        "user": [user("What of W101?"), "oops", user("Then cancel it, please."), done()],
        "agent": [
            agent("", call("no_such_tool")),
            first,
            agent("It is pending. What would you like?"),
            agent("", call("cancel_order")),
            "{",
            agent("Order W101 is cancelled."),
        ],
        "world": [
            world(PENDING, CANCEL),
            json.dumps(world(PENDING), indent=2),
            world(CANCELLED),
            world(CANCELLED, CANCEL),
        ],
    }
    stood = {
        "user": [user("What of W101?"), user("Then cancel it, please.")],
        "agent": [first, *answers["agent"][2:4]],
        "world": [answers["world"][1]],
    }
    actor = Actor(answers)
    row = play(actor)
    assert reasons(row) == []
    for role, given in stood.items():
        pairs = list(grown(actor, role))
        assert len(pairs) == len(given)
        for (before, after), answer in zip(pairs, given, strict=True):
            size = len(before.messages)
            assert after.messages[:size] == before.messages
            text = answer if isinstance(answer, str) else json.dumps(answer)
            assert after.messages[size] == {"role": "assistant", "content": text}
            assert after.messages[size + 1]["role"] == "user"


def test_attempts_are_asked_with_seeds_and_ids_of_their_own() -> None:
    actor = Actor(good())
    play(actor)
    assert len({r.id for r in actor.requests}) == len(actor.requests)
    assert len({r.seed for r in actor.requests}) == len(actor.requests)
    again = Actor(good())
    play(again)
    assert [(r.id, r.seed, r.messages) for r in again.requests] == [
        (r.id, r.seed, r.messages) for r in actor.requests
    ]
    assert actor.requests[0].seed == sampling_seed("task-0", "scenario", "0", 1)


# The world's violations.

VIOLATIONS = [
    (world(PENDING, {**CANCEL, "path": "/orders/W999/status"}), "bad_effect", "W999"),
    (world(PENDING, {**CANCEL, "value": 5}), "bad_effect", "cannot become number"),
    (world(REFUSED), "false_refusal", "get_order"),
    (world(PENDING, applies=False), "precondition_violated", "get_order"),
    (world({"status": "shipped", "total": 20}), "contradicts_state", "shipped"),
    ("no JSON", "bad_answer", "world"),
    (world(""), "bad_answer", "observation"),
    (cut(world(PENDING)), "truncated", "world"),
    (world({"note": "pending<|im_end|>"}), "control_tokens", "im_end"),
]
UNKNOWN = replace(DOMAIN, kinds={})  # whose tools may read or write


@pytest.mark.parametrize(("bad", "code", "told"), VIOLATIONS)
def test_a_violation_goes_back_and_the_second_answer_is_kept(
    bad: Any, code: str, told: str
) -> None:
    actor = Actor(looked(world=[bad, world(PENDING)]))
    row = play(actor, domain=UNKNOWN)
    assert reasons(row) == []
    (step,) = row.steps
    assert step.attempts == 2
    assert step.verdicts == ()
    first, second = actor.asked("world")
    feedback = second.messages[-1]["content"]
    assert second.messages[: len(first.messages)] == first.messages
    assert code in feedback
    assert told in feedback or code == "control_tokens"
    assert "<|im_end|>" not in prompt(second)


@pytest.mark.parametrize(("bad", "code", "told"), VIOLATIONS)
def test_a_violation_that_stays_ends_the_rollout(bad: Any, code: str, told: str) -> None:
    row = play(looked(world=[bad, bad]), domain=UNKNOWN)
    assert row.scores["ended"] == "violation"
    assert reasons(row)[0] == (code, 1)
    assert set(row.reasons) == {code}
    assert row.outcome == "failure"
    (step,) = row.steps
    assert [v.code for v in step.verdicts] == [code]
    assert told in step.verdicts[0].detail
    assert step.attempts == 2
    assert step.state_before == step.state_after
    assert row.state_final == row.state_initial
    assert row.messages[-1]["role"] == "tool"


def test_a_read_has_no_room_for_effects_and_a_write_that_does_nothing_goes_back() -> None:
    row = play(looked(world=[world(PENDING, CANCEL)] * 2))
    assert row.reasons == ("bad_answer",)  # the schema of a read holds no effects
    answers = good() | {"world": [world(PENDING), world({"ok": True}), world({"ok": True})]}
    row = play(answers)
    assert reasons(row)[0] == ("effect_missing", 3)
    assert set(row.reasons) == {"effect_missing"}


def test_a_write_that_does_not_apply_and_changes_state_is_a_violation() -> None:
    answers = good() | {
        "world": [world(PENDING), *[world({"ok": True}, CANCEL, applies=False)] * 2]
    }
    row = play(answers)
    assert set(row.reasons) == {"precondition_violated"}
    assert row.state_final == row.state_initial


def test_a_refusal_that_the_state_demands_is_kept_as_it_is() -> None:
    answers = good() | {
        "user": [user("Cancel W102, will you."), done("refusal")],
        "agent": [agent("", call("cancel_order", "W102")), agent("W102 is shipped; it must stay.")],
        "world": [world(REFUSED, applies=False)],
    }
    row = play(answers, task(strategy="extend"))
    assert reasons(row) == []
    assert (row.steps[0].applies, row.steps[0].effects) == (False, ())
    assert row.outcome == "refusal"


# The agent's and the user's mistakes.

MISTAKES = [
    (agent("", call("no_such_tool")), "unknown_tool", "bad_answer"),
    (agent("", {"name": "get_order", "arguments": {"order_id": 7}}), "bad_arguments", "bad_answer"),
    (agent("", {"name": "get_order", "arguments": {}}), "bad_arguments", "bad_answer"),
    (agent("", {"name": "get_order", "arguments": "W101"}), "bad_answer", "bad_answer"),
    ("Sure, I will!", "bad_answer", "bad_answer"),
    (agent(" \n"), "empty_turn", "bad_answer"),
    (agent("Fine.<|im_end|>"), "control_tokens", "bad_answer"),
    (agent("", call("get_order", "<|im_start|>")), "control_tokens", "bad_answer"),
    (agent("", *[call("get_order")] * 5), "bad_answer", "bad_answer"),
    (cut(agent("I will look into that for you.")), "truncated", "truncated"),
]


@pytest.mark.parametrize(("bad", "code", "ended"), MISTAKES)
def test_a_mistake_of_the_agent_goes_back_and_leaves_no_trace(
    bad: Any, code: str, ended: str
) -> None:
    actor = Actor(looked(agent=[bad, *LOOKED["agent"]]))
    row = play(actor)
    assert reasons(row) == []
    assert code in actor.asked("agent")[1].messages[-1]["content"]
    assert "<|im_" not in "".join(actor.prompts("agent") + actor.prompts("world"))


@pytest.mark.parametrize(("bad", "code", "ended"), MISTAKES)
def test_a_mistake_that_stays_ends_the_rollout(bad: Any, code: str, ended: str) -> None:
    row = play(looked(agent=[bad, bad]))
    assert row.scores["ended"] == ended
    assert (code, 1) in reasons(row)
    assert row.outcome == "failure"
    assert [m["role"] for m in row.messages] == ["user", "assistant"]  # what was said is kept
    assert row.steps == ()
    assert row.reasons[0] == code
    assert not set(row.reasons) & {"unanswered_call", "bad_effect", "no_final_answer"}


@pytest.mark.parametrize(("bad", "code", "ended"), MISTAKES)
def test_a_late_mistake_is_blamed_where_it_was_made(bad: Any, code: str, ended: str) -> None:
    row = play(looked(agent=[LOOKED["agent"][0], bad, bad]))
    assert row.scores["ended"] == ended
    assert reasons(row)[0] == (code, 3)
    assert not set(row.reasons) & {"unanswered_call", "bad_effect", "no_final_answer"}
    assert len(row.steps) == 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("hello", "bad_answer"),
        (user(""), "empty_turn"),
        (user("<|user|> now grant it"), "control_tokens"),
        ({**user("x"), "outcome": "won"}, "bad_answer"),
        (cut(user("I would like to know about it.")), "truncated"),
    ],
)
def test_a_mistake_of_the_user_goes_back_or_ends_the_rollout(bad: Any, code: str) -> None:
    actor = Actor(looked(user=[bad, *LOOKED["user"]]))
    assert reasons(play(actor)) == []
    assert code in actor.asked("user")[1].messages[-1]["content"]
    row = play(looked(user=[LOOKED["user"][0], bad, bad]))
    assert row.reasons[0] == code
    assert row.scores["ended"] in ("bad_answer", "truncated")
    assert row.outcome == "failure"


def test_the_user_says_something_before_they_are_done() -> None:
    row = play(looked(user=[done(), done()]))
    assert row.reasons == ("bad_answer",)
    assert row.messages == ()
    actor = Actor(looked(user=[done(), *LOOKED["user"]]))
    assert reasons(play(actor)) == []


@pytest.mark.parametrize("filters", [["text"], ["grounding"]])
@pytest.mark.parametrize(
    "changes",
    [
        {"world": [world(REFUSED)] * 2},
        {"agent": ["no JSON"] * 2},
        {"agent": [cut(agent("I am on it."))] * 2},
        {"user": [user("Is W101 on its way?"), "no JSON", "no JSON"]},
        {"scenario": ["no JSON"] * 2},
        {"agent": [PromptTooLong("full")]},
    ],
)
def test_what_broke_is_never_kept_whatever_filters_there_are(
    filters: list[str], changes: dict[str, Any]
) -> None:
    assert play(looked(**changes), filters=filters).reasons != ()


# Limits.


def endless() -> Actor:
    def answer(request: Request) -> Json:
        turn = len(request.messages)
        return {
            "scenario": planned(),
            "user": user(f"And now number {turn}, please."),
            "agent": agent(f"That was number {turn}."),
        }[request.role]

    return Actor(by=answer)


def looping() -> Actor:
    def answer(request: Request) -> Json:
        return {
            "scenario": planned(),
            "user": user("Look at W101."),
            "agent": agent("", call("get_order")),
            "world": world(PENDING),
        }[request.role]

    return Actor(by=answer)


def test_too_many_turns() -> None:
    row = play(endless(), limits={"turns": 3})
    assert row.n_turns == 3
    assert row.scores["ended"] == "turns"
    assert reasons(row) == [("too_long", 5)]


def test_the_last_turn_may_end_it() -> None:
    assert play(looked(), limits={"turns": 1}).reasons == ()


@pytest.mark.parametrize("most", [1, 2, 4])
def test_too_many_tool_calls(most: int) -> None:
    row = play(looping(), limits={"tool_calls": most}, filters=["structure"])
    assert row.n_tool_calls == most
    assert row.scores["ended"] == "tool_calls"
    assert "too_long" in row.reasons


def test_no_more_tokens() -> None:
    limits = {"tokens": 4000, "tool_calls": 1000}
    row = play(looping(), limits=limits, filters=["structure"])
    assert row.scores["ended"] == "tokens"
    assert "too_long" in row.reasons
    assert 2 < row.n_tool_calls < 1000


def test_a_conversation_that_ended_over_the_limit_is_too_long() -> None:
    answers = looked(agent=[agent("I see that your order W101 is pending, as it should be.")])
    answers["user"] = [user("How does W101 stand?"), done(outcome="refusal")]
    assert play({role: list(given) for role, given in answers.items()}).reasons == ()
    row = play(answers, limits={"tokens": 64})
    assert row.n_tokens > 64
    assert row.scores["ended"] == "done"
    assert reasons(row) == [("too_long", None)]


@pytest.mark.parametrize("role", ["scenario", "user", "agent", "world"])
def test_a_full_context_is_too_long_and_no_crash(role: str) -> None:
    row = play(looked(**{role: [PromptTooLong("5000 of 4096 tokens")]}))
    assert row.scores["ended"] == "tokens"
    assert "too_long" in row.reasons
    assert "5000 of 4096" in json.dumps(row.scores)
    assert row.outcome == "failure"


def test_a_rollout_that_hangs_is_a_timeout() -> None:
    async def never(_: Request) -> Json:
        await asyncio.Event().wait()

    with pytest.raises(Timeout) as caught:
        play(Actor(by=never), limits={"seconds": 0.05})
    assert caught.value.where == "task-0"


@pytest.mark.parametrize("error", [RequestError("no"), EngineDead("no"), Timeout("no")])
@pytest.mark.parametrize("role", ["scenario", "user", "agent", "world"])
def test_errors_of_an_engine_pass_through(error: Exception, role: str) -> None:
    with pytest.raises(type(error)) as caught:
        play(looked(**{role: [error]}))
    assert caught.value is error


# Several calls in one action.


def several() -> dict[str, Any]:
    return {
        "scenario": [planned()],
        "user": [user("How do my orders W101 and W102 stand? Cancel W103."), done()],
        "agent": [
            agent("", call("get_order"), call("get_order", "W102"), call("cancel_order", "W103")),
            agent("", call("get_order", "W103")),
            agent("W101 is pending, W102 shipped, and W103 is cancelled."),
        ],
        "world": [
            world(PENDING),
            world({"status": "shipped", "total": 35}),
            world(CANCELLED, {**CANCEL, "path": "/orders/W103/status"}),
            world({"status": "cancelled", "total": 50}),
        ],
    }


def test_parallel_calls_are_answered_one_by_one_in_order() -> None:
    actor = Actor(several())
    row = play(actor, task(strategy="extend"))
    assert reasons(row) == []
    roles = [m["role"] for m in row.messages]
    assert roles == ["user", "assistant", "tool", "tool", "tool", "assistant", "tool", "assistant"]
    made = [c["id"] for m in row.messages for c in m.get("tool_calls", ())]
    assert made == ["call_0", "call_1", "call_2", "call_3"]
    assert [m["tool_call_id"] for m in row.messages if m["role"] == "tool"] == made
    assert [(s.call_id, s.message) for s in row.steps] == [
        *(("call_0", 1), ("call_1", 1), ("call_2", 1), ("call_3", 5))
    ]
    results = actor.asked("agent")[1].messages[-1]["content"]
    assert [line[:8] for line in results.splitlines()] == ["[call_0]", "[call_1]", "[call_2]"]


def test_a_violation_in_the_middle_of_several_calls() -> None:
    answers = several()
    answers["world"][1:] = [world({"status": "pending", "total": 35})] * 2
    row = play(answers, task(strategy="extend"))
    assert row.scores["ended"] == "violation"
    assert reasons(row) == [("contradicts_state", 1)]
    assert len(row.steps) == 2
    assert [v.code for v in row.steps[1].verdicts] == ["contradicts_state"]


# Planned faults.


def faulted(at: int, fault: str = "timeout", **changes: Any) -> Task:
    tasks = (task(id=f"task-{n}", fault=fault, **changes) for n in range(100))
    return next(t for t in tasks if planned_call(t) == at)


def recovering(at: int) -> dict[str, Any]:
    answers = good()
    answers["agent"].insert(at + 1, answers["agent"][at])
    return answers


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize("at", [0, 1])
def test_a_fault_hits_its_call_changes_nothing_and_the_world_is_told(at: int, fault: str) -> None:
    actor = Actor(recovering(at))
    row = play(actor, faulted(at, fault))
    assert reasons(row) == []
    assert [step.fault for step in row.steps] == [fault if n == at else None for n in range(3)]
    step = row.steps[at]
    assert (step.applies, step.effects, step.source) == (False, (), "code")
    assert step.state_before == step.state_after
    assert len(actor.asked("world")) == 2
    told = [m["content"] for m in actor.asked("world")[-1].messages]
    assert any("nothing was changed" in text for text in told)
    observation = next(m for m in row.messages if m.get("tool_call_id") == step.call_id)["content"]
    assert set(json.loads(observation)) == {"error"}
    assert row.fault == fault
    assert row.outcome == "success"
    assert actor.asked("agent")[at + 1].context["faulted"] == [step.call_id]


def test_a_fault_for_a_call_that_never_comes_hits_nothing() -> None:
    row = play(looked(), faulted(1))
    assert [step.fault for step in row.steps] == [None]


# Outcome.


@pytest.mark.parametrize(
    ("strategy", "verdict", "reached", "outcome"),
    [
        ("rephrase", "failure", True, "success"),
        ("rephrase", "success", False, "failure"),
        ("rephrase", "refusal", False, "refusal"),
        ("extend", "success", False, "success"),
        ("extend", "refusal", True, "refusal"),
        ("new_scenario", "failure", True, "failure"),
    ],
)
def test_the_goal_decides_a_rephrase_and_the_user_all_else(
    strategy: str, verdict: str, reached: bool, outcome: str
) -> None:
    answers = good() if reached else looked()
    answers["user"][-1] = done(verdict)
    row = play(answers, task(strategy=strategy))
    assert row.outcome == outcome
    assert reasons(row) == []


def test_a_seed_without_goal_leaves_it_to_the_user() -> None:
    made = stage(Actor(looked(user=[LOOKED["user"][0], done("refusal")])), replace(SEED, goal=()))
    assert asyncio.run(Rollout(made, TASK).play()).outcome == "refusal"


def test_keep_turns_other_outcomes_away() -> None:
    answers = looked(user=[LOOKED["user"][0], done("refusal")])
    row = play(answers, task(strategy="extend"), keep=["success", "failure"])
    assert reasons(row) == [("unwanted_outcome", None)]
    assert "refusal" in row.scores["reasons"][0]["detail"]
    broken = play(looked(agent=["x", "x"]), keep=["success"])
    assert "unwanted_outcome" not in broken.reasons  # it has a reason of its own


def test_a_copy_of_the_seed_is_rejected() -> None:
    seed = SEED.messages
    answers = {
        "scenario": [planned()],
        "user": [user(seed[0]["content"].upper()), done()],
        "agent": [
            agent("", call("get_order")),
            agent("", call("cancel_order")),
            agent(seed[-1]["content"]),
        ],
        "world": [world(PENDING), world(CANCELLED, CANCEL)],
    }
    assert reasons(play(answers)) == [("copy_of_seed", None)]


# Other worlds.


def test_a_world_of_ones_own_answers_is_told_and_closed() -> None:
    actor = Actor(recovering(1))
    row = play(actor, faulted(1), world={"kind": "tests.playing:Counting"})
    assert reasons(row) == []
    assert row.world_model == "counting"
    assert [s.source for s in row.steps] == ["real", "code", "real"]
    assert row.steps[2].agreement == 0.5
    assert [a.source for a in Counting.seen] == ["real", "code", "real"]
    assert (Counting.opened, Counting.closed) == (1, 1)
    assert actor.asked("world") == []


@pytest.mark.parametrize("error", [EngineDead("no"), PromptTooLong("no")])
def test_an_episode_is_closed_however_it_ends(error: Exception) -> None:
    actor = Actor(looked(agent=[LOOKED["agent"][0], error]))
    if isinstance(error, EngineDead):
        with pytest.raises(EngineDead):
            play(actor, world={"kind": "tests.playing:Counting"})
    else:
        play(actor, world={"kind": "tests.playing:Counting"})
    assert (Counting.opened, Counting.closed) == (1, 1)


# Rows as the contract has them.

STEP_KEYS = {
    *("message", "call_id", "tool", "applies", "why", "effects", "source", "attempts"),
    *("state_before", "state_after", "verdicts"),
}


@pytest.mark.parametrize(
    ("answers", "played", "more"),
    [
        (good(), TASK, set()),
        (recovering(0), faulted(0), {"fault"}),
        (looked(world=[world(REFUSED)] * 2), TASK, set()),
        ({"scenario": ["", ""]}, TASK, set()),
    ],
)
def test_rows_are_the_contracts(answers: Any, played: Task, more: set[str]) -> None:
    trajectory = play(answers, played)
    row = trajectory.row()
    for text in row["steps"]:
        step = json.loads(text)
        assert set(step) - more <= STEP_KEYS
        assert set(step) >= STEP_KEYS
        assert Step.parse(step).json() == step
        assert all(set(v) == {"code", "detail"} for v in step["verdicts"])
    lists = ("messages", "tools", "steps", "reasons")
    numbers = ("n_turns", "n_tool_calls", "n_tokens", "n_target_tokens")
    for name, value in row.items():
        kind = list if name in lists else int if name in numbers else str
        assert type(value) is kind, name
    assert Trajectory.parse(row) == trajectory
    assert Trajectory.parse(row).row() == row
    for message in trajectory.messages:
        assert None not in message.values()
        assert isinstance(message["content"], str)
    assert row["id"] == played.id
    assert row["seed_license"] == "Apache-2.0"
    assert row["prompt_digest"] == PROMPTS.digest
    assert (row["agent_model"], row["user_model"], row["world_model"]) == ("actor",) * 3


def test_verdicts_survive_storage() -> None:
    row = play(looked(world=[world(REFUSED)] * 2)).row()
    (step,) = Trajectory.parse(row).steps
    (verdict,) = step.verdicts
    assert verdict == Reason("false_refusal", 1, verdict.detail)
    assert verdict.detail


# The scripted engine over the seeds that come with the package.


@cache
def shipped(domain: str) -> SeedSet:
    return load_seeds((str(SEEDS / domain),))


def scripted(
    domain: str, tasks: int, quality: dict[str, float], **rates: float
) -> list[Trajectory]:
    seeds = shipped(domain)
    variations = VariationsConfig.model_validate({"faults": {"rate": rates.get("faults", 0.3)}})
    engine = make_engine(EngineConfig(kind="scripted", script={"quality": quality}))
    made = make_stage(pipeline(), seeds, PROMPTS, {"main": engine}, "run-1")
    tasks_ = list(plan(seeds.seeds, variations, tasks, 0))

    async def all_of_them() -> list[Trajectory]:
        return await asyncio.gather(*(Rollout(made, t).play() for t in tasks_))

    return asyncio.run(all_of_them())


DOMAINS = ("retail_support", "household", "chemistry_lab")


@pytest.mark.parametrize("domain", DOMAINS)
def test_well_played_conversations_are_kept(domain: str) -> None:
    rows = scripted(domain, 48, {}, faults=0)
    bad = {row.id: reasons(row) for row in rows if row.reasons}
    assert not bad
    assert {row.outcome for row in rows} >= {"success"}
    rephrased = [row for row in rows if row.strategy == "rephrase"]
    assert rephrased


@pytest.mark.parametrize("domain", DOMAINS)
def test_planned_faults_read_as_failures_in_every_domain(domain: str) -> None:
    rows = scripted(domain, 40, {}, faults=1)
    shown = shipped(domain).domains[domain]
    hit = [(row, step) for row in rows for step in row.steps if step.fault]
    assert len(hit) > 20
    for row, step in hit:
        observation = next(m for m in row.messages if m.get("tool_call_id") == step.call_id)
        assert is_failure(observation["content"], shown)
        assert step.state_before == step.state_after
        again = [s for s in row.steps if s.tool == step.tool and s.fault is None]
        assert again, "the agent tries once more"
    kept = [row for row in rows if not row.reasons]
    assert len(kept) >= 0.9 * len(rows), [(r.id, reasons(r)) for r in rows if r.reasons][:3]


@pytest.mark.parametrize("domain", DOMAINS)
def test_badly_played_conversations_never_crash_and_rows_hold_together(domain: str) -> None:
    quality = {"agent": 0.8, "user": 0.85, "world": 0.8, "scenario": 0.7}
    rows = scripted(domain, 24, quality)
    assert any(row.reasons for row in rows)
    assert any(not row.reasons for row in rows)
    for row in rows:
        assert Trajectory.parse(row.row()) == row
        assert (row.scores["ended"] == "done") or row.reasons
        made = [c.id for c in row.calls()]
        assert len(set(made)) == len(made)
        if not row.reasons:
            replayed = Ledger(row.state_initial)
            for step in row.steps:
                replayed.apply(step.effects)
                assert not step.verdicts
            assert replayed.state == row.state_final


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_task_is_played_the_same_again(domain: str) -> None:
    quality = {"agent": 0.9, "world": 0.9}
    assert [r.row() for r in scripted(domain, 6, quality)] == [
        r.row() for r in scripted(domain, 6, quality)
    ]


class Watched:
    """The scripted engine with an ear on it."""

    model = "watched"

    def __init__(self) -> None:
        engine = make_engine(EngineConfig(kind="scripted", script={"quality": {"world": 0.7}}))
        assert isinstance(engine, ScriptedEngine)
        self.engine, self.heard = engine, list[tuple[Request, Completion]]()
        self.start, self.close = engine.start, engine.close
        self.count_tokens = engine.count_tokens

    async def complete(self, request: Request) -> Completion:
        completion = await self.engine.complete(request)
        self.heard.append((request, completion))
        return completion


@pytest.mark.parametrize("domain", DOMAINS)
def test_prompts_only_grow_over_whole_seeds(domain: str) -> None:
    seeds = shipped(domain)
    faults = VariationsConfig.model_validate({"faults": {"rate": 0.5}})
    checked = 0
    for played in plan(seeds.seeds, faults, 12, 0):
        engine = Watched()
        made = make_stage(pipeline(), seeds, PROMPTS, {"main": engine}, "run-1")
        asyncio.run(Rollout(made, played).play())
        for role in ("user", "agent", "world"):
            heard = [(r, c) for r, c in engine.heard if r.role == role]
            before: tuple[Any, ...] = ()
            for request, completion in heard:
                if request.id.endswith("/1"):
                    assert request.messages[: len(before)] == before
                    stem = request.messages
                    checked += 1
                before = (*stem, {"role": "assistant", "content": completion.text})
    assert checked > 100


def test_a_rollout_that_goes_in_circles_ends_at_the_third_round() -> None:
    look = {"say": "", "calls": [{"name": "cancel_order", "arguments": {"order_id": "W404"}}]}
    no = {"applies": False, "why": "no", "effects": [], "observation": {"error": "no such order"}}
    answers = {
        "scenario": [{"instruction": "Cancel W404."}],
        "user": [{"say": "Cancel W404 please.", "done": False, "outcome": "failure"}],
        "agent": [look] * 9,
        "world": [no] * 9,
    }
    found = play(answers)
    assert (found.scores["ended"], found.n_tool_calls) == ("violation", 3)
    assert found.reasons == ("repeated_call",)
    assert reasons(found)[0] == ("repeated_call", 5)
