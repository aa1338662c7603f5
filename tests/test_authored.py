"""`one_call`: a whole trajectory in one answer, read strictly and replayed on the ledger."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from tests.playing import (
    CANCEL,
    CANCELLED,
    DOMAIN,
    PENDING,
    PROMPTS,
    REFUSED,
    SEED,
    STATE,
    TASK,
    Actor,
    agent,
    call,
    cut,
    pipeline,
    prompt,
    reasons,
    stage,
    task,
    world,
)
from tests.test_rollout import DOMAINS, shipped
from trajgen.authored import author
from trajgen.config import Strategy, VariationsConfig
from trajgen.config.engine import EngineConfig
from trajgen.engines import Request, make_engine
from trajgen.errors import EngineDead, PromptTooLong, RequestError, Timeout
from trajgen.ledger import Ledger
from trajgen.plan import plan
from trajgen.records import Task, Trajectory
from trajgen.stage import make_stage


def says(text: str) -> dict[str, Any]:
    return {"role": "user", "say": text}


def acts(text: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "agent", **agent(text, *calls)}


def gives(*answers: dict[str, Any]) -> dict[str, Any]:
    return {"role": "world", "answers": list(answers)}


GOOD = [
    says("Cancel W101, will you."),
    acts("", call("get_order")),
    gives(world(PENDING)),
    acts("", call("cancel_order")),
    gives(world(CANCELLED, CANCEL)),
    acts("W101 is cancelled now."),
]


def written(turns: list[Any], outcome: str = "success") -> dict[str, Any]:
    return {"turns": turns, "outcome": outcome}


def play(*answers: Any, played: Task = TASK, **changes: Any) -> tuple[Trajectory, Actor]:
    actor = Actor({"author": list(answers)})
    changes = {"rollout": {"mode": "one_call", "attempts": len(answers)}} | changes
    return asyncio.run(author(stage(actor, **changes), played)), actor


def test_a_good_one_is_kept_with_its_steps() -> None:
    row, actor = play(written(GOOD))
    assert reasons(row) == []
    assert row.outcome == "success"
    assert [m["role"] for m in row.messages] == [
        *("user", "assistant", "tool", "assistant", "tool", "assistant")
    ]
    assert [(s.tool, s.source, s.attempts, s.message) for s in row.steps] == [
        ("get_order", "model", 1, 1),
        ("cancel_order", "model", 1, 3),
    ]
    assert row.steps[1].effects == (CANCEL,)
    assert row.steps[0].state_after == row.steps[1].state_before != row.steps[1].state_after
    assert row.state_initial["orders"]["W101"]["status"] == "pending"
    assert row.state_final["orders"]["W101"]["status"] == "cancelled"
    assert len(actor.requests) == 1
    assert Trajectory.parse(row.row()) == row


def test_several_calls_in_one_turn_are_answered_in_order() -> None:
    turns = [
        says("How do W101 and W102 stand?"),
        acts("", call("get_order"), call("get_order", "W102")),
        gives(world(PENDING), world({"status": "shipped", "total": 35})),
        acts("W101 is pending and W102 is shipped."),
    ]
    row, _ = play(written(turns), played=task(strategy="extend"))
    assert reasons(row) == []
    assert [m.get("tool_call_id") for m in row.messages] == [None, None, "call_0", "call_1", None]


LOST = {**CANCEL, "path": "/x/y"}
TWICE = acts("", *[call("cancel_order")] * 2)
SHIPPED = {"status": "shipped", "total": 20}
BROKEN = [
    ([*GOOD[:2], GOOD[5]], "bad_answer", "agent speaks while 1 calls wait"),
    ([*GOOD[:2], says("Hurry!"), *GOOD[2:]], "bad_answer", "user speaks"),
    ([GOOD[0], GOOD[2], *GOOD[1:]], "bad_answer", "world speaks"),
    (GOOD[:4], "bad_answer", "not answered"),
    ([*GOOD[:3], TWICE, *GOOD[4:]], "bad_answer", "1 answers to 2"),
    ([*GOOD[:2], gives(*[world(PENDING)] * 2), *GOOD[3:]], "bad_answer", "2 answers to 1"),
    ([GOOD[0], acts("", call("fly")), gives(world({})), GOOD[5]], "unknown_tool", "fly"),
    ([*GOOD[:4], gives(world(CANCELLED, LOST)), GOOD[5]], "bad_effect", "/x/y"),
    ([*GOOD[:2], gives(world({"ok": True}, CANCEL)), *GOOD[3:]], "read_changed_state", "get_order"),
    ([*GOOD[:4], gives(world({"ok": True})), GOOD[5]], "effect_missing", "cancel"),
    ([*GOOD[:2], gives(world(REFUSED)), *GOOD[3:]], "false_refusal", "get_order"),
    ([*GOOD[:2], gives(world(SHIPPED)), *GOOD[3:]], "contradicts_state", "shipped"),
    ([says("hi <|im_end|>"), *GOOD[1:]], "control_tokens", "im_end"),
]


@pytest.mark.parametrize(("turns", "code", "told"), BROKEN)
def test_what_breaks_goes_back_and_leaves_no_trace(turns: list[Any], code: str, told: str) -> None:
    row, actor = play(written(turns), written(GOOD))
    assert reasons(row) == []
    assert len(row.steps) == 2
    feedback = actor.requests[1].messages[-1]["content"]
    assert code in feedback
    assert told in feedback or code == "control_tokens"


@pytest.mark.parametrize(("turns", "code", "told"), BROKEN)
def test_what_stays_broken_ends_there_with_the_reason(
    turns: list[Any], code: str, told: str
) -> None:
    row, _ = play(written(turns))
    assert row.reasons[0] == code, row.scores
    assert told in row.scores["cause"]["detail"]
    assert row.scores["ended"] in ("bad_answer", "violation")
    assert row.outcome == "failure"
    assert row.messages
    assert Trajectory.parse(row.row()) == row
    at = row.scores["cause"]["at"]
    assert 0 <= at <= len(row.messages)
    assert json.loads(row.row()["scores"])["ended"] != "done"


def test_a_violation_is_in_the_steps_verdicts() -> None:
    row, _ = play(written([*GOOD[:2], gives(world(REFUSED)), *GOOD[3:]]))
    (step,) = row.steps
    assert [v.code for v in step.verdicts] == ["false_refusal"]
    assert step.state_before == step.state_after
    assert reasons(row) == [("false_refusal", 1)]
    assert [m["role"] for m in row.messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("answer", "code"), [(cut(written(GOOD)), "truncated"), ("Once upon a time", "bad_answer")]
)
def test_an_unreadable_answer_keeps_nothing_of_the_attempt_before_it(
    answer: Any, code: str
) -> None:
    broken = written([*GOOD[:4], gives(world(REFUSED)), GOOD[5]])
    row, _ = play(broken, answer)
    assert row.scores["ended"] == code
    assert row.reasons[0] == code
    assert "false_refusal" not in row.reasons
    assert row.steps == ()
    assert [m["role"] for m in row.messages] == ["assistant"]
    assert row.state_final == row.state_initial


def test_a_second_attempt_begins_in_the_initial_state() -> None:
    row, _ = play(written([*GOOD[:5], acts("", call("fly")), GOOD[5]]), written(GOOD))
    assert reasons(row) == []
    assert row.state_initial["orders"]["W101"]["status"] == "pending"
    assert STATE["orders"]["W101"]["status"] == "pending"


@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([], "no_final_answer"),
        ([GOOD[0], says("Hello?"), GOOD[5]], "bad_role_order"),
        ([GOOD[5], *GOOD], "bad_role_order"),
        ([*GOOD, says("Thanks.")], "no_final_answer"),
        ([*GOOD[:5], acts("")], "empty_turn"),
    ],
)
def test_the_filters_see_what_can_be_replayed(turns: list[Any], code: str) -> None:
    row, _ = play(written(turns))
    assert code in row.reasons


def test_the_prompt_holds_task_state_and_form() -> None:
    played = task(strategy="entity_swap", persona="impatient", fault="timeout")
    _, actor = play(written(GOOD), played=played)
    asked = prompt(actor.requests[0])
    for text in ("impatient", "timeout", "other things", "W101", "## State", "get_order (read)"):
        assert text in asked
    assert SEED.messages[0]["content"] in asked
    assert actor.requests[0].max_tokens == pipeline().limits.tokens


def test_each_strategy_asks_for_something_else() -> None:
    asked = {
        prompt(play(written(GOOD), played=task(strategy=strategy))[1].requests[0])
        for strategy in get_args(Strategy)
    }
    assert len(asked) == len(get_args(Strategy))


def test_a_prompt_that_does_not_fit_is_too_long() -> None:
    row, _ = play(PromptTooLong("9000 of 4096"))
    assert row.reasons == ("too_long",)
    assert row.scores["ended"] == "tokens"
    assert "9000 of 4096" in row.scores["cause"]["detail"]


@pytest.mark.parametrize("error", [RequestError("no"), EngineDead("no"), Timeout("no")])
def test_errors_of_an_engine_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)):
        play(error)


def test_an_engine_that_hangs_is_a_timeout() -> None:
    async def never(_: Request) -> Any:
        await asyncio.Event().wait()

    made = stage(Actor(by=never), limits={"seconds": 0.05})
    with pytest.raises(Timeout):
        asyncio.run(author(made, TASK))


@pytest.mark.parametrize("quality", [1.0, 0.5])
@pytest.mark.parametrize("domain", DOMAINS)
def test_whole_seeds_by_the_scripted_engine(domain: str, quality: float) -> None:
    seeds = shipped(domain)
    engine = make_engine(EngineConfig(kind="scripted", script={"quality": {"author": quality}}))
    made = make_stage(pipeline(), seeds, PROMPTS, {"main": engine}, "run-1")
    tasks = list(plan(seeds.seeds, VariationsConfig(), 24, 0))

    async def all_of_them() -> list[Trajectory]:
        return await asyncio.gather(*(author(made, t) for t in tasks))

    rows = asyncio.run(all_of_them())
    kept = [row for row in rows if not row.reasons]
    assert len(kept) == len(rows) if quality == 1 else 0 < len(kept) < len(rows)
    for row in rows:
        assert Trajectory.parse(row.row()) == row
        assert row.scores["ended"] == "done" or row.reasons
    for row in kept:
        ledger = Ledger(row.state_initial)
        for step in row.steps:
            ledger.apply(step.effects)
        assert ledger.state == row.state_final


def test_an_authored_effect_unlike_all_that_is_known_is_refused() -> None:
    orders = {f"W{n}": {"status": "pending", "total": n} for n in range(100, 110)}
    odd = {"op": "set", "path": "/orders/W101/status", "value": None}
    turns = [
        {"role": "user", "say": "Cancel W101."},
        {"role": "agent", **agent("", call("cancel_order"))},
        {"role": "world", "answers": [world({"status": None}, odd)]},
        {"role": "agent", **agent("It is done.")},
    ]
    answer = {"turns": turns, "outcome": "success"}
    row = asyncio.run(
        author(
            stage(
                Actor({"author": [answer] * 2}),
                domain=replace(DOMAIN, state={"orders": orders}),
                rollout={"mode": "one_call", "attempts": 2},
            ),
            TASK,
        )
    )
    assert "bad_effect" in row.reasons
    assert "expected string, found null" in row.scores["cause"]["detail"]
