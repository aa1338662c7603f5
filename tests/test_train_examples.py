"""What is learnt: balanced, none twice, from what a world said, in answers that a role gives."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.playing import (
    CANCEL,
    DOMAIN,
    SEED,
    Actor,
    agent,
    call,
    done,
    good,
    pipeline,
    play,
    stage,
    task,
    user,
    world,
)
from trajgen.errors import InputError
from trajgen.explore.command import explore
from trajgen.goals import holds
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.loading import shipped
from trajgen.pipeline import Opened, open_pipeline
from trajgen.prompts import Prompts
from trajgen.records import Json, Reason, Seed, Step, Trajectory
from trajgen.rollout import Rollout
from trajgen.scenario import CHANGES_STATE
from trajgen.seeds import SeedSet, load_seeds
from trajgen.train.examples import MAKERS, Example, Source, drawn, load_source, make_examples
from trajgen.train.recipe import DataConfig, Recipe

QUICK = shipped("pipelines") / "quickstart.yaml"
PLAIN = {"examples": 0, "history": False}
KNOWN = SeedSet({"shop": DOMAIN}, (SEED,), ())


def opened(**world: Any) -> Opened:
    return Opened(pipeline(world={**PLAIN, **world}), Prompts(), Path())


def taught(role: str, *rows: Trajectory, seeds: SeedSet = KNOWN, **world: Any) -> list[Example]:
    return list(MAKERS[role](opened(**world), Source(seeds, rows, KNOWN)))


def answers(found: Iterable[Example]) -> list[Any]:
    """The last answer of each example."""
    return [json.loads(example.messages[-1]["content"]) for example in found]


# which are taken


def example(kind: str, number: int) -> Example:
    told = {"role": "user", "content": f"{kind} {number}"}
    return Example("world", (told, {"role": "assistant", "content": "{}"}), kind)


MANY = [*(example("walk", n) for n in range(90)), *(example("heat", n) for n in range(7))]
MANY += [example("refused", n) for n in range(20)]


def kinds(found: Iterable[Example]) -> Counter[str]:
    return Counter(each.kind for each in found)


def some(n: int | None, seed: int = 0, made: list[Example] = MANY) -> list[Example]:
    return drawn("world", made, DataConfig(sources=("x",), examples=n), seed)


def test_kinds_are_taken_in_turn_as_long_as_there_are_any() -> None:
    assert kinds(some(15)) == {"walk": 5, "heat": 5, "refused": 5}
    assert kinds(some(60)) == {"walk": 33, "heat": 7, "refused": 20}
    assert kinds(some(None)) == kinds(some(999)) == kinds(MANY)


def test_none_is_taken_twice() -> None:
    found = some(None, made=[*MANY, *MANY[:50]])
    assert len(found) == len(MANY) == len({canonical(each.messages) for each in found})


def test_what_is_drawn_follows_from_the_seed_alone() -> None:
    assert some(30) == some(30, made=MANY)
    assert some(30) != some(30, seed=1)
    assert [each.messages for each in some(20)] == [each.messages for each in some(30)][:20]


# the world


def test_a_step_is_an_example_with_its_state_call_and_answer() -> None:
    found = taught("world", play(good()))
    assert [example.kind for example in found] == ["get_order applies", "cancel_order applies"]
    assert answers(found)[1]["effects"] == [CANCEL]
    assert answers(found)[0]["observation"] == {"status": "pending", "total": 20}  # JSON, as asked
    assert '"status": "pending"' in found[1].messages[1]["content"]  # the state before the call
    assert "cancelled" not in found[1].messages[1]["content"]


def test_a_change_that_is_made_once_more_is_a_kind_of_its_own() -> None:
    no = world(REFUSED, applies=False)
    cancel = call("cancel_order")
    answers = good() | {
        "agent": [agent("", cancel), agent("", cancel), agent("", cancel), agent("Done.")],
        "world": [good()["world"][1], no, no],
    }
    found = taught("world", play(answers))
    assert [example.kind for example in found] == [
        "cancel_order applies",
        "cancel_order does not apply again",
        "cancel_order does not apply",  # the call before changed nothing
    ]


def test_with_history_a_conversation_is_one_example_with_every_answer() -> None:
    (found,) = taught("world", play(good()), history=True)
    assert [m["role"] for m in found.messages] == ["system", *["user", "assistant"] * 2]


REFUSED = {"error": "Only pending orders can be cancelled."}


def played_shipped(why: str) -> Trajectory:
    """A rollout in which the order is shipped already, so that it cannot be cancelled."""
    no = {**world(REFUSED, applies=False), "why": why}
    answers = good() | {
        "user": [user("Cancel it."), done("refusal")],
        "world": [world({"status": "shipped", "total": 20}), no],
    }
    seed = replace(SEED, state={"orders": {"W101": {"status": "shipped"}}}, meta={})
    return asyncio.run(Rollout(stage(Actor(answers), seed), task()).play())


def test_a_reason_is_taught_once_where_a_call_does_not_apply() -> None:
    for why, said in (("it is shipped", "it is shipped"), ("Only pending orders", "")):
        looked, no = answers(taught("world", played_shipped(why)))
        assert looked["why"] == ""  # it applies
        assert (no["applies"], no["why"]) == (False, said)
    assert taught("world", played_shipped("x"))[1].kind == "cancel_order does not apply"


def test_planned_faults_and_verdicts_teach_nothing() -> None:
    faulted = play(
        good() | {"agent": [good()["agent"][0], *good()["agent"]]}, task(fault="timeout")
    )
    assert [step.fault for step in faulted.steps].count("timeout") == 1
    assert len(taught("world", faulted)) == len(faulted.steps) - 1
    assert not any("timeout" in str(example.messages) for example in taught("world", faulted))
    row = play(good())
    broken = replace(row.steps[1], verdicts=(Reason("bad_effect"),))
    steps: tuple[Step, ...] = (row.steps[0], broken)
    assert len(taught("world", replace(row, steps=steps))) == 1
    steps = (replace(row.steps[0], verdicts=(Reason("bad_effect"),)), row.steps[1])
    assert taught("world", replace(row, steps=steps)) == []


@pytest.mark.slow
def test_explored_examples_have_both_sides_of_every_tool(tmp_path: Path) -> None:
    explore("seeds/household", "declared", tmp_path / "run", 1600)
    found = list(MAKERS["world"](open_pipeline(QUICK), load_source(str(tmp_path / "run"), None)))
    there, taken = kinds(some(None, made=found)), kinds(some(110, made=found))
    assert there.keys() == taken.keys()
    sides = {kind.removesuffix(" again") for kind in there}
    assert len(sides) == 22, "11 tools, applies or not"
    assert {"put does not apply again", "take does not apply again"} < there.keys()
    assert sum(taken.values()) == 110
    assert all(n >= min(there[kind], 110 // len(there)) for kind, n in taken.items())


# the agent and the user


def test_the_agent_learns_each_conversation_beside_another() -> None:
    two = replace(SEED, id="two", messages=({"role": "user", "content": "Where is W102?"},))
    seeds = SeedSet({"shop": DOMAIN}, (SEED, two), ())
    row = replace(play(good()), messages=SEED.messages[:2])
    found = taught("agent", row, seeds=seeds)
    assert len(found) == 3
    assert all(each.role == "agent" and each.messages[0]["role"] == "system" for each in found)
    shown = [each.messages[0]["content"] for each in found]
    assert "Where is W102?" in shown[2]  # the row, beside the second seed
    assert "Your order W101 is cancelled." in shown[1]
    assert json.loads(found[0].messages[2]["content"])["calls"][0]["name"] == "get_order"


INSTRUCTED = replace(
    SEED, meta={**SEED.meta, "instruction": "You want W101 gone.", "persona": "terse"}
)


def test_the_user_learns_what_it_says_and_how_it_ends_from_an_instruction() -> None:
    refusal = {**INSTRUCTED.meta, "outcome": "refusal"}
    second = replace(INSTRUCTED, id="refused", meta=refusal)
    found = taught("user", seeds=SeedSet({"shop": DOMAIN}, (INSTRUCTED, SEED, second), ()))
    assert len(found) == 2  # one seed does not say what its user was told
    for each, outcome in zip(found, ("success", "refusal"), strict=True):
        assert "You want W101 gone." in each.messages[0]["content"]
        assert [m["role"] for m in each.messages] == [
            *("system", "user", "assistant", "user", "assistant")
        ]
        said, end = (json.loads(m["content"]) for m in each.messages[2::2])
        assert said == {"say": "Please cancel my order W101.", "done": False, "outcome": "success"}
        assert end == {"say": "", "done": True, "outcome": outcome}
        assert "get_order" not in str(each.messages)


# scenarios


def wishes(*seeds: Seed, **world: Any) -> list[Example]:
    return taught("scenario", seeds=SeedSet({"shop": DOMAIN}, seeds, ()), **world)


def other(order: str, **changes: Any) -> Seed:
    goal = ({"path": f"/orders/{order}/status", "equals": "cancelled"},)
    meta = {"instruction": f"You want {order} gone.", "outcome": "success"}
    return replace(SEED, **{"id": order, "goal": goal, "meta": meta, **changes})


def test_a_wish_of_another_is_taught_where_the_prompt_shows_what_it_is_about() -> None:
    found = wishes(INSTRUCTED, other("W103"))
    plain = [each for each in found if each.kind == "rephrase"]
    changed = [each for each in found if each.kind in CHANGES_STATE]
    assert len(plain) + len(changed) == len(found)
    assert answers(plain) == [
        {"instruction": s} for s in ("You want W101 gone.", "You want W103 gone.")
    ]
    assert {each.kind for each in changed} == set(CHANGES_STATE)
    assert {wish["instruction"] for wish in answers(changed)} == {
        each["instruction"] for each in answers(plain)
    }
    for each, wish in zip(changed, answers(changed), strict=True):
        (condition,) = wish["goal"]
        name = condition["path"].split("/")[2]
        assert wish == {
            "instruction": f"You want {name} gone.",
            "effects": [],
            "goal": [{"path": f"/orders/{name}/status", "equals": "cancelled"}],
        }
        assert f'"{name}"' in each.messages[1]["content"]


@pytest.mark.parametrize(
    "changes",
    [
        {"goal": ()},
        {"goal": ({"path": "/orders/W102/status", "equals": "shipped"},)},  # holds already
        {"meta": {"instruction": "You want W103 gone.", "outcome": "refusal"}},
        {"state": {"orders": {"W102": {"total": 36}}}},  # begins elsewhere
    ],
)
def test_a_wish_that_cannot_be_come_by_is_not_taught(changes: dict[str, Any]) -> None:
    found = answers(wishes(INSTRUCTED, other("W103", **changes)))
    assert not any(
        each["instruction"] == "You want W103 gone." and "goal" in each for each in found
    )


def test_a_seed_alone_teaches_its_wish_in_other_words_alone() -> None:
    assert answers(wishes(INSTRUCTED)) == [{"instruction": "You want W101 gone."}]


def test_scenarios_of_household_name_what_is_shown_and_is_still_to_be_done() -> None:
    loaded, quick = load_seeds(("household:train/60",)), open_pipeline(QUICK)
    found = list(MAKERS["scenario"](quick, Source(loaded)))
    seeds = {seed.meta["instruction"]: seed for seed in loaded.seeds}
    with_goal = 0
    for each in found:
        text, answer = each.messages[-2]["content"], json.loads(each.messages[-1]["content"])
        if "goal" not in answer:
            assert text.startswith("rephrase")
            continue
        with_goal += 1
        assert text.partition("\n")[0] in CHANGES_STATE
        state = seeds[answer["instruction"]].state
        assert not all(holds(state, condition) for condition in answer["goal"])
        for key in named(answer["goal"], state):
            assert f'"{key}"' in text
    assert with_goal >= 20


def named(goal: list[Json], state: Json) -> set[str]:
    """The entities that a goal is about."""
    keys = {key for condition in goal for key in condition["path"].split("/")[1:]}
    return {key for key in keys if Ledger(state, 0).relevant([key])}


# the recipe


def recipe(**data: Any) -> Recipe:
    return Recipe.model_validate(
        {"name": "r", "model": "m", "pipeline": str(QUICK), "data": data, "seed": 3}
    )


def test_roles_come_one_after_the_other_each_with_its_limit() -> None:
    source = "household:train/20"
    data = {role: {"from": source, "examples": n} for role, n in (("agent", 7), ("user", 4))}
    found = make_examples(recipe(**data), Path())
    assert [each.role for each in found] == ["agent"] * 7 + ["user"] * 4
    assert make_examples(recipe(**data), Path()) == found


@pytest.mark.parametrize(
    ("role", "source", "said"),
    [
        ("world", "household:train/5", "trajgen explore"),  # seeds were played in no world
        ("user", "seeds/household", "meta.instruction"),
        ("scenario", "seeds/household", "meta.instruction"),
    ],
)
def test_a_role_that_can_learn_nothing_says_what_it_needs(
    role: str, source: str, said: str
) -> None:
    with pytest.raises(InputError, match=f"the role {role} can learn nothing") as caught:
        make_examples(recipe(**{role: {"from": source}}), Path())
    assert caught.value.where == source
    assert said in caught.value.fix


def test_a_pipeline_without_a_world_model_teaches_none(tmp_path: Path) -> None:
    explore("seeds/household", "declared", tmp_path / "run", 10)
    source = load_source(str(tmp_path / "run"), None)
    other_world = Opened(pipeline(world={"kind": "declared"}), Prompts(), Path())
    with pytest.raises(InputError, match=r"world\.kind is declared") as caught:
        list(MAKERS["world"](other_world, source))
    assert "kind: llm" in caught.value.fix


def test_a_source_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        make_examples(recipe(agent={"from": "runs/none"}), Path())
