"""The judge scores what code accepted, adds reasons, and decides nothing when unreadable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.playing import (
    DOMAIN,
    PROMPTS,
    SEED,
    TASK,
    Actor,
    agent,
    done,
    good,
    pipeline,
    play,
    reasons,
    stage,
    task,
    user,
    world,
)
from trajgen.authored import author
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine
from trajgen.errors import EngineDead, PromptTooLong
from trajgen.records import Task, Trajectory
from trajgen.rollout import Rollout
from trajgen.seeds import SeedSet
from trajgen.stage import make_stage

ROLES = {"user": "main", "agent": "main", "world": "main", "judge": "main"}


def scores(policy: int = 5, goal: int = 5, quality: int = 5) -> dict[str, Any]:
    why = {"policy": "kept", "goal": "reached", "quality": "clear"}
    return {"reasons": why, "policy": policy, "goal": goal, "quality": quality}


def judged(
    *answers: Any, played: Any = None, played_task: Task = TASK, **changes: Any
) -> tuple[Trajectory, Actor]:
    actor = Actor({**(played or good()), "judge": list(answers)})
    return play(actor, played_task, roles=ROLES, **changes), actor


def test_scores_are_stored_and_a_good_row_is_kept() -> None:
    row, actor = judged(scores(quality=3))
    assert row.reasons == ()
    assert row.scores["judge"] == {**scores(quality=3), "model": "actor"}
    (request,) = actor.asked("judge")
    assert request.temperature == 0
    assert request.adapter is None
    (prompt,) = actor.prompts("judge")
    for shown in (
        "Cancel pending orders only.",
        "You want order W101 cancelled.",
        "Cancel W101, will you.",
        '{"status": "cancelled"}',
        '"path": "/orders/W101/status"',
        "ended as a success",
    ):
        assert shown in prompt


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (scores(policy=2), "policy_violation"),
        (scores(goal=1), "goal_not_reached"),
        (scores(quality=2), "low_quality"),
    ],
)
def test_a_score_below_its_bar_is_a_reason(given: dict[str, Any], code: str) -> None:
    row, _ = judged(given)
    assert reasons(row) == [(code, None)]
    assert "wanted 3" in row.scores["reasons"][0]["detail"]
    assert row.scores["judge"]["policy"] == given["policy"]
    bars = {"policy": 1, "goal": 1, "quality": 1}
    assert judged(given, judge=bars)[0].reasons == ()


def test_the_bars_are_settings() -> None:
    assert judged(scores(quality=4), judge={"quality": 5})[0].reasons == ("low_quality",)


def test_a_failure_has_no_goal_to_reach() -> None:
    played = {**good(), "user": [user("Cancel W101, will you."), done("failure")]}
    row, _ = judged(scores(goal=1), played=played, played_task=task(strategy="extend"))
    assert row.outcome == "failure"
    assert row.reasons == ()


def test_code_comes_first_and_the_judge_is_not_asked() -> None:
    unsaid = {**good(), "world": [world({"status": "shipped"})] * 2}
    row, actor = judged(played=unsaid)
    assert row.reasons == ("contradicts_state",)
    assert actor.asked("judge") == []
    assert "judge" not in row.scores


def test_without_the_role_nobody_judges() -> None:
    assert "judge" not in play(good()).scores


@pytest.mark.parametrize("answer", ["no idea", {"policy": 5}, scores(policy=9), scores(goal=True)])
def test_an_unreadable_judge_decides_nothing(answer: Any) -> None:
    row, actor = judged(answer, answer)
    assert row.reasons == ()
    assert row.scores["judge"]["error"].startswith("bad_answer: judge")
    assert len(actor.asked("judge")) == 2  # it was told what was wrong


def test_a_conversation_too_long_for_the_judge_is_kept() -> None:
    row, _ = judged(PromptTooLong("9000 tokens"))
    assert row.reasons == ()
    assert row.scores["judge"] == {"error": "9000 tokens"}


def test_a_dead_judge_is_a_dead_engine() -> None:
    with pytest.raises(EngineDead):
        judged(EngineDead("gone"))


def test_the_judge_has_an_engine_and_sampling_of_its_own() -> None:
    main, other = Actor(good()), Actor({"judge": [scores()]})
    roles = {**ROLES, "judge": {"engine": "big", "temperature": 0.3, "max_tokens": 99}}
    row = _with_two(main, other, roles)
    assert row.scores["judge"]["policy"] == 5
    (request,) = other.asked("judge")
    assert (request.temperature, request.max_tokens) == (0.3, 99)


def _with_two(main: Actor, other: Actor, roles: Any) -> Trajectory:
    named = {"main": {"kind": "scripted"}, "big": {"kind": "scripted"}}
    made = pipeline(roles=roles, engines=named)
    found = SeedSet({DOMAIN.name: DOMAIN}, (SEED,), ())
    staged = make_stage(made, found, PROMPTS, {"main": main, "big": other}, "run-1")
    return asyncio.run(Rollout(staged, TASK).play())


def test_an_authored_trajectory_is_judged_too() -> None:
    turns = [
        {"role": "user", "say": "Is W101 pending?"},
        {"role": "agent", **agent("Let me not look.")},
    ]
    answers = {"author": [{"turns": turns, "outcome": "refusal"}], "judge": [scores(policy=1)]}
    staged = stage(Actor(answers), roles=ROLES, rollout={"mode": "one_call", "attempts": 1})
    assert asyncio.run(author(staged, TASK)).reasons == ("policy_violation",)


def scripted(quality: float, seed: int) -> Completion:
    engine = ScriptedEngine(EngineConfig(kind="scripted", script={"quality": {"judge": quality}}))
    request = Request("r", "judge", ({"role": "user", "content": "x"},), seed, 99)
    return asyncio.run(engine.complete(request))


def test_the_scripted_judge_plays_well_and_badly() -> None:
    assert '"policy": 5' in scripted(1, 1).text
    bad = {scripted(0, seed).text for seed in range(60)}
    assert len(bad) > 5
    assert any('"goal": 1' in text for text in bad)
