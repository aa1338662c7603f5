"""Declared tools as a world, alone and beside the world model."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.playing import (
    CANCEL,
    CANCELLED,
    DOMAIN,
    PENDING,
    SEED,
    STATE,
    TASK,
    Actor,
    agent,
    call,
    done,
    good,
    planned,
    play,
    reasons,
    stage,
    task,
    user,
    world,
)
from tests.test_filters_declared import SEMANTICS
from trajgen.authored import author
from trajgen.config import WorldConfig
from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.filters.declared import check
from trajgen.ledger import Ledger
from trajgen.loading import shipped
from trajgen.pipeline import load, run
from trajgen.records import Call, Domain, Trajectory
from trajgen.rollout import Rollout
from trajgen.worlds import Answer, Scene, make_world
from trajgen.worlds.declared import DeclaredWorld

DECLARED = replace(DOMAIN, semantics=SEMANTICS)
MIXED = replace(DOMAIN, semantics={"get_order": SEMANTICS["get_order"]})
CONFIG = WorldConfig(kind="declared")


def episode(domain: Domain = DECLARED) -> Any:
    return DeclaredWorld(CONFIG).begin(Scene(domain, SEED, TASK, Ledger(domain.state)))


def step(made: Any, tool: str, order_id: str) -> Answer:
    found: Answer = asyncio.run(made.step(Call("c", tool, {"order_id": order_id}, 1)))
    return found


def rolled(answers: Any, domain: Domain = DECLARED, **changes: Any) -> tuple[Actor, Trajectory]:
    actor = Actor(answers)
    made = stage(actor, domain=domain, **changes)
    return actor, asyncio.run(Rollout(made, TASK).play())


# alone


def test_the_world_has_its_name_and_takes_any_state() -> None:
    made = make_world(CONFIG)
    assert isinstance(made, DeclaredWorld)
    assert (made.name, made.takes_state) == ("declared", True)
    assert episode().reached() is None


def test_an_episode_answers_from_the_ledger_and_leaves_it_alone() -> None:
    made = episode()
    found = step(made, "cancel_order", "W101")
    assert (found.applies, found.effects, found.source) == (True, (CANCEL,), "code")
    assert json.loads(found.observation) == CANCELLED
    assert made.scene.ledger.state == STATE
    made.scene.ledger.apply(found.effects)
    again = step(made, "cancel_order", "W101")
    assert (again.applies, again.why, again.effects) == (False, '{"error": "too late"}', ())
    made.observe(Call("c", "cancel_order", {}, 1), again)
    made.close()


def test_episodes_do_not_see_each_other() -> None:
    one, other = episode(), episode()
    one.scene.ledger.apply(step(one, "cancel_order", "W101").effects)
    assert step(other, "cancel_order", "W101").applies


def test_a_domain_with_an_undeclared_tool_is_refused_before_anything_is_played() -> None:
    with pytest.raises(InputError, match=r"'shop' does not declare cancel_order"):
        stage(Actor(), domain=MIXED, world={"kind": "declared"})
    with pytest.raises(InputError, match="does not declare"):
        episode(MIXED)


def test_a_rollout_asks_no_model_for_the_world() -> None:
    actor, row = rolled(good() | {"world": []}, world={"kind": "declared"})
    assert row.reasons == (), reasons(row)
    assert actor.asked("world") == []
    assert row.world_model == "declared"
    assert [s.source for s in row.steps] == ["code", "code"]
    assert [list(s.effects) for s in row.steps] == [[], [CANCEL]]
    assert row.outcome == "success"


def test_the_scenario_may_prepare_the_state() -> None:
    ship = {"op": "set", "path": "/orders/W101/status", "value": "shipped"}
    answers = {
        "scenario": [planned(effects=[ship])],
        "user": [user("Cancel W101, will you."), done("refusal")],
        "agent": [agent("", call("cancel_order")), agent("It is too late for W101.")],
    }
    row = play(
        Actor(answers),
        task(strategy="variant_outcome"),
        domain=DECLARED,
        world={"kind": "declared"},
    )
    assert row.reasons == (), reasons(row)
    assert row.outcome == "refusal"
    assert row.messages[2]["content"] == '{"error": "too late"}'
    assert not row.steps[0].applies


# beside the world model


def test_code_answers_what_is_declared_and_the_model_the_rest() -> None:
    actor, row = rolled(good() | {"world": [world(CANCELLED, CANCEL)]}, MIXED)
    assert row.reasons == (), reasons(row)
    assert [s.source for s in row.steps] == ["code", "model"]
    assert json.loads(row.messages[2]["content"]) == PENDING
    assert row.world_model == "actor"
    (asked,) = actor.prompts("world")
    before, _, last = asked.rpartition("user: ")
    assert 'Call: get_order {"order_id": "W101"}' in before
    assert '\\"status\\": \\"pending\\"' in before or '"status": "pending"' in before
    assert "Call: cancel_order" in last


def test_the_model_is_told_the_state_that_a_coded_write_met() -> None:
    coded = replace(DOMAIN, semantics={"cancel_order": SEMANTICS["cancel_order"]})
    answers = good() | {
        "agent": [
            agent("", call("cancel_order")),
            agent("", call("get_order")),
            agent("W101 is cancelled now."),
        ],
        "world": [world({"status": "cancelled", "total": 20})],
    }
    actor, row = rolled(answers, coded)
    assert row.reasons == (), reasons(row)
    (asked,) = actor.asked("world")
    shown = [m["content"] for m in asked.messages]
    assert '"status": "pending"' in shown[1]
    assert '"value":"cancelled"' in shown[2]
    assert '"status": "cancelled"' in shown[3]


def test_a_domain_all_of_code_needs_no_model_either_way() -> None:
    actor, row = rolled(good() | {"world": []})
    assert row.reasons == (), reasons(row)
    assert actor.asked("world") == []


def test_planned_faults_come_before_code() -> None:
    answers = good() | {
        "world": [],
        "agent": [
            *[agent("", call("get_order"))] * 2,
            *[agent("", call("cancel_order"))] * 2,
            agent("W101 is cancelled now."),
        ],
    }
    made = stage(Actor(answers), domain=DECLARED)
    row = asyncio.run(Rollout(made, task(fault="timeout")).play())
    assert [s.fault for s in row.steps if s.fault] == ["timeout"]
    assert row.state_initial["orders"]["W101"]["status"] == "pending"


# rows


def test_a_row_alone_is_enough_to_judge_it_again() -> None:
    semantics = {
        **SEMANTICS,
        "cancel_order": {
            "requires": {"path": "/desk/open", "equals": True, "else": "closed"},
            "writes": {"path": "/orders/{order_id}/status", "value": "cancelled"},
            "returns": {"status": "{/orders/{order_id}/status}", "by": "{keys /staff}"},
        },
    }
    state = {**STATE, "desk": {"open": True, "place": "hall"}, "staff": {"Bo": {}, "Al": {}}}
    domain = replace(DOMAIN, semantics=semantics, state=state)
    _, row = rolled(good() | {"world": []}, domain)
    assert row.reasons == (), reasons(row)
    assert row.state_initial["desk"] == {"open": True}
    assert row.state_initial["staff"] == {"Bo": {}, "Al": {}}
    elsewhere = replace(domain, state=None)  # nothing but the row says how the state was
    assert list(check(Trajectory.parse(row.row()), elsewhere)) == []
    closed = {**row.state_initial, "desk": {"open": False}}
    (reason,) = check(replace(row, state_initial=closed), elsewhere)
    assert (reason.code, reason.at) == ("precondition_violated", 3)


def test_an_authored_trajectory_is_held_against_code() -> None:
    def authored(total: int) -> dict[str, Any]:
        seen = {"applies": True, "why": "", "effects": []}
        turns = [
            {"role": "user", "say": "What does W101 cost?"},
            {"role": "agent", **agent("", call("get_order"))},
            {"role": "world", "answers": [{**seen, "observation": {**PENDING, "total": total}}]},
            {"role": "agent", **agent("It is 20.")},
        ]
        return {"turns": turns, "outcome": "success"}

    actor = Actor({"author": [authored(21), authored(20)]})
    made = stage(actor, domain=DECLARED, rollout={"mode": "one_call", "attempts": 2})
    row = asyncio.run(author(made, TASK))
    assert "contradicts_state" in actor.requests[1].messages[-1]["content"]
    assert "expected 20, found 21" in actor.requests[1].messages[-1]["content"]
    assert "contradicts_state" not in row.reasons
    assert json.loads(row.messages[2]["content"]) == PENDING


def test_an_unknown_tool_of_a_declared_domain_fails() -> None:
    found = step(episode(), "fly", "W101")
    assert not found.applies
    assert "error" in found.observation


# a whole job


def test_a_job_that_code_cannot_answer_alone_is_refused_before_it_begins() -> None:
    loaded = load("pipelines/smoke.yaml", ["world.kind=declared"])
    with pytest.raises(InputError, match="does not declare"):
        loaded.check()


def test_a_job_of_the_house_runs_on_code_alone(tmp_path: Path) -> None:
    found = run(
        "pipelines/smoke.yaml",
        tmp_path / "run",
        limit=24,
        overrides=["world.kind=declared", "seeds=seeds/household", "cluster.address=inline"],
    )
    rows = [found[index] for index in range(len(found))]
    assert len(rows) >= 20
    assert {step.source for row in rows for step in row.steps} == {"code"}
    assert {row.world_model for row in rows} == {"declared"}
    domain = load_domain(shipped("seeds") / "household")
    stateless = replace(domain, state=None)  # the row alone says what the world was
    assert [r for row in rows for r in check(row, stateless)] == []
