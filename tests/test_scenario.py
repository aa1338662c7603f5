"""What the user wants and how the world stands when a conversation begins."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, get_args

import pytest

from tests.playing import (
    CANCEL,
    DOMAIN,
    HIDDEN,
    SEED,
    SEED_MESSAGES,
    STATE,
    Actor,
    Counting,
    agent,
    call,
    done,
    good,
    planned,
    play,
    prompt,
    reasons,
    stage,
    task,
    user,
    world,
)
from tests.playing import made as made_tool_call
from trajgen.config import Strategy
from trajgen.errors import EngineDead
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.records import Reason, Seed, Task
from trajgen.scenario import CHANGES_STATE, STATE_CHARS, Opening, set_scene, shown_state
from trajgen.worlds import Scene

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
SHIP = {"op": "set", "path": "/orders/W101/status", "value": "shipped"}
PARTNER = replace(SEED, id="seed-two", messages=({"role": "user", "content": "Where is W102?"},))


def scene(actor: Actor, played: Task, *seeds: Seed) -> tuple[str, list[Reason], Ledger]:
    made = stage(actor, *seeds)
    ledger = made.ledger(made.seeds[played.seed_id])
    found = asyncio.run(set_scene(made, played, ledger))
    assert found.goal == ()
    return found.instruction, list(found.problems), ledger


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_planner_sees_the_seed_and_what_its_strategy_wants(strategy: Strategy) -> None:
    actor = Actor({"scenario": [planned()]})
    instruction, problems, _ = scene(actor, task(strategy=strategy))
    assert (instruction, problems) == ("You want order W101 cancelled.", [])
    asked = prompt(actor.requests[0])
    assert SEED_MESSAGES[0]["content"] in asked
    assert (HIDDEN in asked) == (strategy in CHANGES_STATE)
    assert ("## State" in asked) == (strategy in CHANGES_STATE)
    assert ('"goal": [...]' in asked) == (strategy in CHANGES_STATE)
    assert "effects" in actor.requests[0].schema["properties"] or strategy not in CHANGES_STATE


def test_each_strategy_asks_for_something_else() -> None:
    asked = set()
    for strategy in STRATEGIES:
        actor = Actor({"scenario": [planned()]})
        scene(actor, task(strategy=strategy))
        asked.add(prompt(actor.requests[0]))
    assert len(asked) == len(STRATEGIES)


def test_compose_shows_both_seeds() -> None:
    actor = Actor({"scenario": [planned()]})
    scene(actor, task(strategy="compose", partner="seed-two"), SEED, PARTNER)
    assert "Where is W102?" in prompt(actor.requests[0])
    assert actor.requests[0].context["partner"] == {"messages": list(PARTNER.messages)}


@pytest.mark.parametrize("strategy", CHANGES_STATE)
def test_effects_are_applied_before_the_conversation(strategy: str) -> None:
    actor = Actor({"scenario": [planned(effects=[SHIP])]})
    _, problems, ledger = scene(actor, task(strategy=strategy))
    assert problems == []
    assert ledger.get("/orders/W101/status") == "shipped"
    assert STATE["orders"]["W101"]["status"] == "pending"  # the domain's state stays


class Choosy(Counting):
    """Begins in no state that has a shipped order."""

    def begin(self, scene: Scene) -> Counting:
        if scene.ledger.get("/orders/W101/status") == "shipped":
            raise EffectError("/orders/W101/status", "cannot hold this")
        return super().begin(scene)


def test_a_state_that_the_world_cannot_be_in_is_asked_again() -> None:
    kind = {"kind": f"{__name__}:Choosy"}
    for effects, found in (([], []), ([SHIP], ["bad_effect"])):
        actor = Actor({"scenario": [planned(effects=[SHIP]), planned(effects=effects)]})
        made = stage(actor, world=kind)
        ledger = made.ledger(SEED)
        played = task(strategy="new_scenario")
        problems = asyncio.run(set_scene(made, played, ledger)).problems
        assert [problem.code for problem in problems] == found
        assert "cannot hold this" in prompt(actor.requests[1])
        assert ledger.state == STATE
    assert Counting.opened == Counting.closed


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - set(CHANGES_STATE)))
def test_other_strategies_may_not_touch_the_state(strategy: str) -> None:
    actor = Actor({"scenario": [planned(effects=[SHIP]), planned()]})
    _, problems, ledger = scene(actor, task(strategy=strategy))
    assert problems == []
    assert len(actor.requests) == 2
    assert ledger.state == STATE


def test_a_domain_without_state_is_asked_for_an_instruction_alone() -> None:
    actor = Actor({"scenario": [planned(effects=[SHIP]), planned()]})
    made = stage(actor, domain=replace(DOMAIN, state=None))
    ledger = made.ledger(SEED)
    found = asyncio.run(set_scene(made, task(strategy="new_scenario"), ledger))
    assert found == Opening("You want order W101 cancelled.")
    assert "goal" not in actor.requests[0].schema["properties"]
    assert "## State" not in prompt(actor.requests[0])


BAD = [
    (planned(effects=[{**SHIP, "path": "/orders/W999/status"}]), "bad_effect", "/orders/W999"),
    (planned(effects=[{**SHIP, "value": 3}]), "bad_effect", "cannot become number"),
    (
        planned(effects=[SHIP, {"op": "add", "path": "/orders/W101", "value": {}}]),
        "bad_effect",
        "there",
    ),
    (planned(effects=[{"op": "grow", "path": "/orders"}]), "bad_answer", "effects"),
    (planned(effects=[SHIP] * 7), "bad_answer", "effects"),
    (planned("  \n"), "bad_answer", "empty"),
    ({"effects": []}, "bad_answer", "instruction"),
    (planned("You want <|im_end|> all."), "control_tokens", ""),
]


@pytest.mark.parametrize(("answer", "code", "told"), BAD)
def test_a_bad_plan_is_fed_back_and_mended(answer: Any, code: str, told: str) -> None:
    actor = Actor({"scenario": [answer, planned(effects=[SHIP])]})
    instruction, problems, ledger = scene(actor, task(strategy="variant_outcome"))
    assert problems == []
    assert instruction
    again = actor.requests[1].messages[-1]["content"]
    assert code in again
    assert told in again
    assert ledger.get("/orders/W101/status") == "shipped"


@pytest.mark.parametrize(("answer", "code", "told"), BAD)
def test_a_plan_that_stays_bad_changes_nothing_and_says_why(
    answer: Any, code: str, told: str
) -> None:
    actor = Actor({"scenario": [answer, answer]})
    instruction, problems, ledger = scene(actor, task(strategy="variant_outcome"))
    assert instruction == ""
    assert [p.code for p in problems] == [code]
    assert told in problems[0].detail
    assert ledger.state == STATE


@pytest.mark.parametrize(("answer", "code", "told"), BAD)
def test_the_row_of_a_bad_plan_is_rejected_with_that_code(
    answer: Any, code: str, told: str
) -> None:
    row = play({"scenario": [answer, answer]}, task(strategy="variant_outcome"))
    assert code in row.reasons
    assert row.scores["ended"] == "bad_answer"
    assert row.messages == ()
    assert row.outcome == "failure"
    assert row.row()["n_turns"] == 0


def test_optional_effects_may_be_left_out() -> None:
    _, problems, ledger = scene(Actor({"scenario": [planned()]}), task(strategy="entity_swap"))
    assert problems == []
    assert ledger.state == STATE


def test_the_scenarios_state_is_the_rows_initial_state() -> None:
    answers = good() | {
        "scenario": [planned(effects=[SHIP, {**SHIP, "path": "/orders/W103/status"}])],
        "user": [user("Cancel W101, will you."), done("refusal")],
        "agent": [agent("", call("get_order")), agent("W101 is shipped, so it has to stay.")],
        "world": [world({"status": "shipped", "total": 20})],
    }
    row = play(answers, task(strategy="variant_outcome"))
    assert row.reasons == (), reasons(row)
    assert row.state_initial["orders"] == {"W101": {**STATE["orders"]["W101"], "status": "shipped"}}
    assert row.state_final == row.state_initial
    assert row.outcome == "refusal"
    assert row.steps[0].effects == ()


GONE = {"path": "/orders/W103/status", "equals": "cancelled"}


def played_for(goal: Any, *answers: str, outcome: str = "success", **more: Any) -> Any:
    """A rollout of another wish, in which W103 is cancelled when `answers` say so."""
    cancelled = world({"status": "cancelled"}, {**CANCEL, "path": "/orders/W103/status"})
    given = good() | {
        "scenario": [planned("You want order W103 cancelled.", goal=goal)],
        "user": [user("Cancel W103, will you."), done(outcome)],
        "agent": [
            agent("", call("cancel_order", "W103")),
            agent("W103 is done with." if answers else "That cannot be done."),
        ],
        "world": [
            cancelled if answers else world({"error": "no"}, applies=False),
        ],
    }
    return play(given, task(strategy="entity_swap", **more))


@pytest.mark.parametrize(
    ("cancelled", "told", "outcome"),
    [
        (True, "success", "success"),
        (True, "failure", "success"),  # the user is mistaken: code decides
        (False, "success", "failure"),
        (False, "failure", "failure"),
        (False, "refusal", "refusal"),
    ],
)
def test_a_stated_goal_decides_the_outcome(cancelled: bool, told: str, outcome: str) -> None:
    row = played_for([GONE], *(["yes"] if cancelled else []), outcome=told)
    assert row.reasons == (), reasons(row)
    assert row.outcome == outcome
    assert row.scores["goal"] == [GONE]
    assert row.state_final["orders"]["W103"]["status"] == ("cancelled" if cancelled else "pending")


def test_without_a_goal_the_user_decides() -> None:
    row = played_for([], "yes", outcome="failure")
    assert row.outcome == "failure"
    assert "goal" not in row.scores


def test_what_a_goal_names_is_in_the_row_though_nothing_touched_it() -> None:
    row = played_for([{"path": "/orders/W102/status", "equals": "cancelled"}], "yes")
    assert row.outcome == "failure"
    assert row.state_final["orders"]["W102"] == {"status": "shipped"}


BAD_GOALS = [
    ([{"path": "/orders/W103/status"}], "a condition is"),
    ([{"path": "orders", "exists": True}], "a condition is"),
    ([{"path": "/orders/W103/status", "is": "cancelled"}], "a condition is"),
    ([{**GONE, "not_equals": "pending"}], "a condition is"),
    (
        [{"path": "/orders/W999/status", "equals": "cancelled"}],
        "/orders/W999/status points nowhere",
    ),
    ([{"path": "", "exists": True}], "points nowhere"),
    ([{"path": "/orders/W103/status", "equals": "pending"}], "holds already"),
    ([{"path": "/orders/W103/status", "equals": True}], "expected string, found boolean"),
]


@pytest.mark.parametrize(("goal", "told"), BAD_GOALS)
def test_a_bad_goal_is_fed_back(goal: Any, told: str) -> None:
    actor = Actor({"scenario": [planned(goal=goal), planned()]})
    scene(actor, task(strategy="new_scenario"))
    again = actor.requests[1].messages[-1]["content"]
    assert "bad_answer" in again
    assert told in again


HOUSE: dict[str, Any] = {
    "agent": {"at": "hall", "hand": {}},
    "places": {
        "fridge_1": {"contents": {"stew_1": {"hot": False}}},
        "table_1": {"room": "kitchen", "contents": {"cup_1": {"dirty": True}}},
    },
}


@pytest.mark.parametrize(
    ("path", "sound"),
    [
        ("/places/fridge_1/contents/stew_1/hot", True),  # where it is
        ("/places/table_1/contents/stew_1/hot", True),  # where it may be moved
        ("/places/table_1/contents/stew_1", True),
        ("/agent/hand/cup_1/dirty", True),
        ("/places/table_1/contents/pie_1/hot", False),  # there is none
        ("/places/shelf_9/contents/stew_1/hot", False),  # no such place
        ("/places/table_1/drawer/stew_1/hot", False),  # that has no such collection
        ("/agent/hand/cup_1/dirty/very", False),
        ("/places/table_1/contents/stew_1/hot/very", False),
    ],
)
def test_a_goal_may_be_about_what_is_to_be_moved(path: str, sound: bool) -> None:
    goal = [{"path": path, "at_least": 1}]
    actor = Actor({"scenario": [planned(goal=goal), planned()]})
    made = stage(actor, domain=replace(DOMAIN, state=HOUSE))
    ledger = made.ledger(made.seeds[SEED.id])
    opening = asyncio.run(set_scene(made, task(strategy="new_scenario"), ledger))
    assert opening.goal == (tuple(goal) if sound else ())
    assert len(actor.requests) == (1 if sound else 2)
    if not sound:
        told = actor.requests[1].messages[-1]["content"]
        assert f"{path} points nowhere in the state" in told


def test_a_goal_is_about_fields_that_there_are() -> None:
    """No effect could give a record a field that no record of its kind has."""
    orders = {f"W{number}": {"status": "pending"} for number in range(101, 109)}
    goal = [{"path": "/orders/W103/cancelled", "equals": True}]
    actor = Actor({"scenario": [planned(goal=goal), planned()]})
    made = stage(actor, domain=replace(DOMAIN, state={"orders": orders}))
    ledger = made.ledger(made.seeds[SEED.id])
    opening = asyncio.run(set_scene(made, task(strategy="new_scenario"), ledger))
    assert opening.goal == ()
    assert "no record of its kind has this field" in actor.requests[1].messages[-1]["content"]


def test_with_an_outline_the_planner_sees_ids_alone_of_what_is_in_there() -> None:
    looked = {
        "role": "assistant",
        "content": "",
        "tool_calls": [made_tool_call("c", "get_order", "table_1")],
    }
    seed = replace(SEED, messages=({"role": "user", "content": "Look."}, looked))
    found = {}
    for state in ("full", "outline"):
        made = stage(Actor(), seed, domain=replace(DOMAIN, state=HOUSE), world={"state": state})
        found[state] = shown_state(made, task(), seed, made.ledger(seed))["places"]["table_1"]
    assert found["full"] == HOUSE["places"]["table_1"]
    assert found["outline"] == {"room": "kitchen", "contents": {"cup_1": {}}}


def test_a_goal_is_held_against_the_prepared_state() -> None:
    shipped = {"path": "/orders/W101/status", "equals": "shipped"}
    actor = Actor({"scenario": [planned(effects=[SHIP], goal=[shipped]), planned()]})
    scene(actor, task(strategy="variant_outcome"))
    assert "holds already" in actor.requests[1].messages[-1]["content"]


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - set(CHANGES_STATE)))
def test_other_strategies_state_no_goal(strategy: str) -> None:
    actor = Actor({"scenario": [planned(goal=[GONE]), planned()]})
    scene(actor, task(strategy=strategy))
    assert len(actor.requests) == 2
    assert "goal" not in actor.requests[0].schema["properties"]


def test_engine_errors_pass_through() -> None:
    with pytest.raises(EngineDead):
        scene(Actor({"scenario": [EngineDead("gone")]}), task())


# What the planner sees of the state.


def big(entries: int, size: int) -> dict[str, Any]:
    orders = {f"W{n:05d}": {"status": "pending", "note": "x" * size} for n in range(entries)}
    return {"orders": orders | STATE["orders"], "customers": {"C1": {"name": "Ann"}}}


def shown(state: Any, *ids: str) -> list[dict[str, Any]]:
    made = stage(Actor(), domain=replace(DOMAIN, state=state))
    return [shown_state(made, task(id=i), SEED, made.ledger(SEED)) for i in ids or ("task-0",)]


def test_what_the_seed_names_is_shown_with_neighbours() -> None:
    (state,) = shown(STATE)
    assert state["orders"]["W101"] == STATE["orders"]["W101"]
    assert len(state["orders"]) >= 2
    assert set(state["orders"]) <= set(STATE["orders"])


def test_neighbours_are_drawn_for_each_task_and_always_the_same() -> None:
    state, ids = big(500, 10), [f"task-{n}" for n in range(20)]
    drawn = [frozenset(found["orders"]) for found in shown(state, *ids)]
    assert drawn == [frozenset(found["orders"]) for found in shown(state, *ids)]
    assert len(set(drawn)) > 15
    assert all("W101" in orders and 2 <= len(orders) <= 3 for orders in drawn)


@pytest.mark.parametrize(("entries", "size"), [(5000, 20), (50, 3900), (3, 5000), (2000, 900)])
def test_a_big_state_stays_within_its_budget(entries: int, size: int) -> None:
    for state in shown(big(entries, size), *(f"task-{n}" for n in range(5))):
        assert len(canonical(state)) <= STATE_CHARS
        assert state["orders"]["W101"] == STATE["orders"]["W101"]


def test_an_entity_over_the_budget_is_left_out_and_the_rest_is_shown() -> None:
    huge = {"orders": {"W101": {"status": "x" * 2 * STATE_CHARS}, "W102": {"status": "pending"}}}
    (state,) = shown(huge)
    assert state == {"orders": {"W102": {"status": "pending"}}}


def test_a_seed_that_names_nothing_of_the_state_is_shown_nothing() -> None:
    assert shown({"orders": {"W777": {"status": "pending"}}}) == [{}]


def test_keys_that_need_escapes_are_neighbours_too() -> None:
    (state,) = shown({"or/ders~": {"W101": {"a": 1}, "W/9~": {"a": 2}}})
    assert state == {"or/ders~": {"W101": {"a": 1}, "W/9~": {"a": 2}}}


def test_a_seeds_own_state_comes_over_the_domains() -> None:
    own = replace(SEED, state={"orders": {"W101": {"status": "shipped"}}})
    actor = Actor({"scenario": [planned(effects=[CANCEL])]})
    _, _, ledger = scene(actor, task(strategy="entity_swap"), own)
    assert '"status": "shipped"' in prompt(actor.requests[0])
    assert ledger.get("/orders/W101") == {**STATE["orders"]["W101"], "status": "cancelled"}
    assert ledger.get("/orders/W102") == STATE["orders"]["W102"]


def test_a_world_prepared_like_no_other_is_asked_again() -> None:
    orders = {f"W{n}": {"status": "pending", "total": n} for n in range(100, 110)}
    domain = replace(DOMAIN, state={"orders": orders})
    odd = planned(
        "You want W101 cancelled.",
        effects=[{"op": "add", "path": "/orders/W101/state", "value": "sent"}],
    )
    actor = Actor({**good(), "scenario": [odd, odd]})
    row = play(actor, task(strategy="variant_outcome"), domain=domain)
    assert reasons(row)[0][0] == "bad_effect"
    assert "/orders/W101/state: expected one of status, total" in row.scores["reasons"][0]["detail"]
