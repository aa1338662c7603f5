"""What was played becomes a judged row: outcome, counts, lineage, reasons."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.playing import CANCEL, CANCELLED, DOMAIN, PENDING, SEED, STATE, TASK, Actor, made, stage
from trajgen.filters.corpus import fingerprint
from trajgen.ledger import Ledger
from trajgen.records import Message, Reason, Step, Trajectory
from trajgen.trajectories import End, assemble, judged

MESSAGES: list[Message] = [
    {"role": "user", "content": "Please take W101 off."},
    {"role": "assistant", "content": "", "tool_calls": [made("call_0", "get_order")]},
    {"role": "tool", "tool_call_id": "call_0", "content": json.dumps(PENDING)},
    {"role": "assistant", "content": "", "tool_calls": [made("call_1", "cancel_order")]},
    {"role": "tool", "tool_call_id": "call_1", "content": json.dumps(CANCELLED)},
    {"role": "assistant", "content": "W101 is off the list."},
]


DONE = End()


def played() -> tuple[Ledger, list[Step]]:
    ledger, steps = Ledger(STATE), []
    for at, (tool, effects) in enumerate([("get_order", ()), ("cancel_order", (CANCEL,))]):
        ledger.touch(ledger.relevant({"order_id": "W101"}))
        before = ledger.hash
        ledger.apply(effects)
        hashes = (before, ledger.hash)
        steps.append(Step(2 * at + 1, f"call_{at}", tool, True, "ok", effects, "model", *hashes))
    return ledger, steps


def row(
    end: End = DONE,
    verdict: str = "success",
    strategy: str = "rephrase",
    **changes: Any,
) -> Trajectory:
    ledger, steps = played()
    task = replace(TASK, strategy=strategy)
    return assemble(stage(Actor(), **changes), task, MESSAGES, steps, ledger, verdict, end)


def test_counts_and_lineage() -> None:
    found = row()
    assert found.reasons == ()
    assert (found.n_turns, found.n_tool_calls) == (1, 2)
    sizes = [len(m["content"]) + 1 for m in MESSAGES]
    assert found.n_tokens == sum(sizes)
    assert found.n_target_tokens == sizes[1] + sizes[3] + sizes[5]
    assert (found.id, found.seed_id, found.run_id) == (TASK.id, SEED.id, "run-1")
    assert found.seed_license == DOMAIN.license
    assert found.tools == DOMAIN.tools
    assert found.schema_version


def test_only_what_was_touched_is_in_the_row() -> None:
    found = row()
    assert found.state_initial == {"orders": {"W101": STATE["orders"]["W101"]}}
    assert found.state_final["orders"]["W101"]["status"] == "cancelled"


@pytest.mark.parametrize("how", ["turns", "tool_calls", "tokens", "truncated", "bad_answer"])
def test_an_end_before_its_time_is_a_failure_with_its_cause_first(how: str) -> None:
    cause = Reason("made_up", 3, "because")
    found = row(End(how, cause))
    assert found.outcome == "failure"
    assert found.reasons[0] == "made_up"
    assert found.scores["ended"] == how
    assert found.scores["cause"] == {"code": "made_up", "at": 3, "detail": "because"}
    assert found.scores["reasons"][0] == found.scores["cause"]


def test_what_only_follows_from_the_end_is_no_reason_of_its_own() -> None:
    ledger, steps = played()
    cause = Reason("unknown_tool", 3, "no such tool")
    found = assemble(
        stage(Actor()), TASK, MESSAGES[:4], steps[:1], ledger, "failure", End("bad_answer", cause)
    )
    assert found.reasons == ("unknown_tool",)
    broken = replace(cause, code="bad_effect")
    found = assemble(
        stage(Actor()), TASK, MESSAGES[:4], steps[:1], ledger, "failure", End("violation", broken)
    )
    assert found.reasons == ("bad_effect",)


@pytest.mark.parametrize(
    ("strategy", "verdict", "outcome"),
    [
        ("rephrase", "failure", "success"),
        ("extend", "failure", "failure"),
        ("compose", "refusal", "refusal"),
    ],
)
def test_the_goal_decides_for_a_rephrase_alone(strategy: str, verdict: str, outcome: str) -> None:
    assert row(verdict=verdict, strategy=strategy).outcome == outcome


@pytest.mark.parametrize("verdict", ["success", "refusal", "failure"])
def test_a_goal_that_asked_for_no_change_may_end_in_a_refusal(verdict: str) -> None:
    """What a real world calls reached with nothing done: the user tells which it was."""
    for ledger, refused in ((Ledger(STATE), "refusal"), (played()[0], "success")):
        found = assemble(
            stage(Actor()), TASK, MESSAGES[:1], [], ledger, verdict, End(), reached=True
        )
        assert found.outcome == (refused if verdict == "refusal" else "success")


def test_an_unwanted_outcome_is_a_reason_only_beside_no_other() -> None:
    found = row(strategy="extend", verdict="refusal", keep=["success"])
    assert found.reasons == ("unwanted_outcome",)
    assert found.scores["reasons"][0]["detail"] == "refusal; kept: success"
    cause = Reason("too_long", 0, "")
    assert row(End("turns", cause), keep=["success"]).reasons == ("too_long",)


def test_a_row_over_the_token_limit_is_too_long() -> None:
    assert row(limits={"tokens": 64}).reasons == ("too_long",)
    assert row(limits={"tokens": row().n_tokens if row().n_tokens >= 64 else 64}).reasons == ()


def test_a_copy_of_its_seed() -> None:
    ledger, _ = played()
    copied = assemble(stage(Actor()), TASK, list(SEED.messages), [], ledger, "success", End())
    assert "copy_of_seed" in copied.reasons
    assert fingerprint(copied.messages) == fingerprint(SEED.messages)


def test_no_messages_at_all() -> None:
    cause = Reason("bad_effect", 0, "scenario: /x: nothing is there to set")
    found = assemble(
        stage(Actor()), TASK, [], [], Ledger(STATE), "failure", End("bad_answer", cause)
    )
    assert found.reasons == ("bad_effect",)
    assert (found.n_tokens, found.n_target_tokens, found.n_turns) == (0, 0, 0)
    assert Trajectory.parse(found.row()) == found


def test_judged_keeps_order_codes_once_and_the_scores() -> None:
    found = row()
    again = judged(found, [Reason("b", 1, "x"), Reason("a", None, "y"), Reason("b", 2, "z")])
    assert again.reasons == ("b", "a")
    assert again.scores["ended"] == "done"
    assert [r["at"] for r in again.scores["reasons"]] == [1, None, 2]
    assert judged(found, []) is found


def talk(verdict: str, strategy: str) -> tuple[str, ...]:
    """The reasons against a conversation without a call, on a seed that calls tools."""
    said = [MESSAGES[0], {"role": "assistant", "content": "All of that is done for you now."}]
    task = replace(TASK, strategy=strategy)
    return assemble(stage(Actor()), task, said, [], Ledger(STATE), verdict, DONE).reasons


@pytest.mark.parametrize("strategy", ["entity_swap", "new_scenario"])
@pytest.mark.parametrize("verdict", ["success", "failure"])
def test_words_alone_where_the_seed_made_calls_reach_no_goal(verdict: str, strategy: str) -> None:
    assert talk(verdict, strategy) == ("goal_not_reached",)


def test_a_refusal_may_need_no_call() -> None:
    assert talk("refusal", "entity_swap") == ()
