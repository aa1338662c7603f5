"""The measurement on a small market: a world against itself, and worlds broken on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests import bazaar
from tests.bazaar import DOMAIN, SEEDS, STATE, Stall
from tests.playing import PROMPTS, Actor, agent, done, pipeline, planned, prompt, user
from trajgen.config import WorldConfig
from trajgen.engines import Completion, Request
from trajgen.errors import (
    EngineDead,
    InputError,
    MachineError,
    PromptTooLong,
    RequestError,
    Timeout,
)
from trajgen.fidelity import measure as module
from trajgen.fidelity.life import Life
from trajgen.fidelity.measure import Measure, measure
from trajgen.fidelity.source import Real
from trajgen.fidelity.steps import GOLDEN, Lesson
from trajgen.fidelity.tally import rates
from trajgen.fidelity.truth import lessons
from trajgen.fidelity.unseen import unseen_stage
from trajgen.ledger import Ledger
from trajgen.records import Call, Json, calls_of
from trajgen.seeds import SeedSet
from trajgen.stage import Stage, make_stage
from trajgen.worlds import Answer

SEEDSET = SeedSet({"bazaar": DOMAIN}, SEEDS, ())
STEPS = 23


def job(
    kind: str = "llm", real: str = "Bazaar", n: int = 9, replay: bool = False, **more: Any
) -> Any:
    kind = kind if kind == "llm" else f"tests.bazaar:{kind}"
    config = WorldConfig(kind=f"tests.bazaar:{real}")
    job_ = pipeline(**{"world": {"kind": kind}, **more})
    return Measure(job_, PROMPTS, Real("market", config, SEEDSET), n, replay, 2)


def measured(*arguments: Any, **changes: Any) -> dict[str, Json]:
    return asyncio.run(measure(job(*arguments, **changes), lambda text: None)).figures


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    """The engine of all roles; give it `by`."""
    actor = Actor({})
    monkeypatch.setattr(module, "make_local_engines", lambda pipeline: {"main": actor})
    yield actor
    assert actor.closed


# What the harness must find.


@pytest.mark.parametrize("real", ["Bazaar", "Stall"])
@pytest.mark.parametrize("kind", ["Bazaar", "Stall"])
def test_the_real_world_against_itself_is_right_everywhere(kind: str, real: str) -> None:
    found = measured(kind, real)
    assert found["steps"] == STEPS
    parts = [found["precondition"]["applicable"], found["precondition"]["inapplicable"]]
    assert all(part["n"] == part["correct"] > 5 for part in parts)
    sizes = found["effects"]["by_changed"].values()
    assert all(size["n"] == size["exact"] for size in sizes)
    assert sum(size["n"] > 0 for size in sizes) == 5
    assert found["observation"]["exact"] == found["observation"]["n"]
    assert {v for v in rates(found).values() if v is not None} == {1.0}


def test_a_world_that_always_obliges_refuses_nothing() -> None:
    found = measured("Obliging")
    assert rates(found)["precondition_inapplicable"] == 0
    assert rates(found)["precondition_applicable"] == 1
    assert rates(found)["effects_exact"] == 1
    assert all(of["inapplicable"]["correct"] == 0 for of in found["probes"].values())


def test_a_world_that_always_refuses_obliges_nowhere() -> None:
    found = measured("Refusing")
    assert rates(found)["precondition_inapplicable"] == 1
    assert rates(found)["precondition_applicable"] == 0
    assert found["observation"]["exact"] == 0
    assert exact(found) == {"0": 1, "1": 0, "2": 0, "3-4": 0, "5+": 0}  # nothing changes: right


def exact(found: dict[str, Json]) -> dict[str, float]:
    sizes = found["effects"]["by_changed"]
    return {name: size["exact"] / size["n"] for name, size in sizes.items()}


def test_a_world_that_forgets_its_writes_is_right_on_reads_alone() -> None:
    found = measured("Forgetful")
    assert exact(found) == {"0": 1, "1": 0, "2": 0, "3-4": 0, "5+": 0}
    assert rates(found)["observation_exact"] == 1
    effects = {tool: of["effects"] for tool, of in found["per_tool"].items()}
    assert effects["get_order"]["exact"] == effects["get_order"]["n"] > 0
    assert effects["cancel_order"]["exact"] == 0 < effects["cancel_order"]["n"]


def test_a_world_that_writes_one_field_too_many() -> None:
    found = measured("Meddling")
    assert {k: v for k, v in exact(found).items() if k != "0"} == {
        **dict.fromkeys(("1", "2", "3-4", "5+"), 0)
    }
    assert rates(found)["precondition_applicable"] == 1


def test_a_world_that_tells_of_another_order() -> None:
    found = measured("Confused")
    assert rates(found)["observation_exact"] == 0
    assert 0 < found["observation"]["field_f1"] < 1
    assert rates(found)["effects_exact"] == 1


# The real side.


def real_stage(real: str = "Bazaar", **changes: Any) -> Stage:
    world = {"kind": f"tests.bazaar:{real}"}
    return make_stage(pipeline(world=world, **changes), SEEDSET, PROMPTS, {"main": Actor()}, "r")


def taught(real: str = "Bazaar", **changes: Any) -> list[Lesson]:
    return asyncio.run(lessons(real_stage(real, **changes), SEEDS))


def test_probes_stand_before_the_call_that_they_are_beside() -> None:
    first = taught()[0]
    assert [each.after for each in first.asked] == sorted(each.after for each in first.asked)
    for after in range(4):
        kinds = [each.kind for each in first.asked if each.after == after]
        assert kinds.count(GOLDEN) == 1
        assert kinds[-1] == GOLDEN
    golden = [each.call for each in first.asked if each.kind == GOLDEN]
    assert golden == list(calls_of(SEEDS[0].messages))
    last = first.asked[-1]
    assert (last.kind, last.after, last.truth.why) == ("repeated", 4, "the order is cancelled")


def test_what_the_real_world_says_is_the_truth_whatever_its_kind() -> None:
    assert taught("Stall") == taught("Bazaar")
    golden = [each.truth for each in taught()[0].asked if each.kind == GOLDEN]
    texts = [m["content"] for m in SEEDS[0].messages if m["role"] == "tool"]
    assert [truth.observation for truth in golden] == texts


def test_a_probe_moves_nothing_and_leaves_nothing_open() -> None:
    Stall.begun = Stall.open_now = 0
    found = taught("Stall")
    probes = [each for lesson in found for each in lesson.asked if each.kind != GOLDEN]
    assert Stall.open_now == 0
    assert len(SEEDS) < Stall.begun < len(SEEDS) + len(probes)  # refused ones share an episode


def test_an_episode_that_a_refused_call_has_moved_is_left_at_the_next_real_call() -> None:
    found = taught("Sly")
    golden = [each.truth.why for each in found[0].asked if each.kind == GOLDEN]
    assert golden == ["it can be done"] * 4
    marks = [each.truth.why.count("!") for each in found[0].asked]
    refused = sum(not each.truth.applies for each in found[0].asked)
    assert max(marks) <= 1 < refused
    assert Stall.open_now == 0


def test_one_probe_at_least_does_not_apply_where_there_is_such_a_one() -> None:
    found = [(n, each) for n, lesson in enumerate(taught()) for each in lesson.asked]
    probes = [(n, each) for n, each in found if each.kind != GOLDEN]
    assert len(probes) == STEPS - 7
    beside = {(n, each.after) for n, each in probes}
    assert {(n, each.after) for n, each in probes if not each.truth.applies} == beside
    assert any(each.truth.applies for _, each in probes)


def test_a_seed_is_followed_as_far_as_a_rollout_may_go() -> None:
    found = taught(limits={"tool_calls": 2})
    goldens = [sum(each.kind == GOLDEN for each in lesson.asked) for lesson in found]
    assert goldens == [2, 2, 1]


def test_real_effects_that_do_not_fit_are_the_real_worlds_fault() -> None:
    stage = real_stage()
    with Life(stage, stage.world, SEEDS[0]) as life:
        call = next(calls_of(SEEDS[0].messages))
        odd = Answer(True, "", ({"op": "remove", "path": "/nowhere"},), "{}", "real")
        with pytest.raises(MachineError, match="the real effects do not fit the state"):
            life.go_on(call, odd, odd)


def test_a_seed_that_the_real_world_cannot_hold_is_named() -> None:
    stage = real_stage("Picky")
    with pytest.raises(InputError, match=r"bazaar cannot be in the state of this seed \(/users"):
        Life(stage, stage.world, SEEDS[0])


# The model's side.


def as_answer(truth: Answer) -> dict[str, Json]:
    return {
        "applies": truth.applies,
        "why": truth.why,
        "effects": list(truth.effects),
        "observation": json.loads(truth.observation),
    }


def perfect(request: Request) -> dict[str, Json]:
    """A world model that knows the market: it reads the state from its own prompt's calls."""
    context, ledger = request.context, Ledger(STATE)
    for call in calls_of(context["messages"]):
        ledger.apply(bazaar.answer(ledger, call).effects)
    asked = context["call"]
    return as_answer(bazaar.answer(ledger, Call("x", asked["name"], asked["arguments"], 1)))


def test_a_model_that_knows_the_world_is_right_everywhere(engine: Actor) -> None:
    engine.by = perfect
    found = measured()
    assert found["model"] == "actor"
    assert {v for v in rates(found).values() if v is not None} == {1.0}
    assert len(engine.requests) == STEPS
    assert len({request.id for request in engine.requests}) == STEPS


def test_after_a_wrong_answer_the_model_is_told_the_truth(engine: Actor) -> None:
    engine.by = lambda request: {
        "applies": False,
        "why": "",
        "effects": [],
        "observation": {"error": "LIE"},
    }
    measured(n=1)
    last = prompt(engine.requests[-1])
    assert "LIE" not in last
    assert '"status": "cancelled"' in last
    assert "State that" in last
    told = [m["content"] for m in engine.requests[-1].messages if m["role"] == "assistant"]
    assert [json.loads(text)["applies"] for text in told] == [True] * 4  # the real calls alone


def test_retries_are_those_of_the_pipeline(engine: Actor) -> None:
    engine.by = lambda request: perfect(request) if request.id.endswith("/2") else "what?"
    found = measured()
    assert {v for v in rates(found).values() if v is not None} == {1.0}
    assert len(engine.requests) == 2 * STEPS
    engine.requests.clear()
    found = measured(rollout={"attempts": 1})
    assert {v for v in rates(found).values() if v is not None} == {0.0}
    assert found["unanswered"] == {}
    assert len(engine.requests) == STEPS


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"applies": "yes", "why": 1}', "x" * 10**6, '{"applies": 1e999}'],
)
def test_a_bad_model_is_wrong_and_nothing_worse(engine: Actor, text: str) -> None:
    engine.by = lambda request: text
    found = measured(rollout={"attempts": 1})
    assert found["steps"] == STEPS
    assert {v for v in rates(found).values() if v is not None} == {0.0}


@pytest.mark.parametrize(
    "effects",
    [
        [{"op": "set", "path": "orders", "value": 1}],
        [{"op": "set", "path": "/orders/R1001/status", "value": {"a": [1]}}],
        [{"op": "increment", "path": "/orders/R1001/status", "value": 1}],
    ],
)
def test_effects_of_the_wrong_type_are_wrong_effects(engine: Actor, effects: Any) -> None:
    engine.by = lambda request: {**perfect(request), "effects": effects}
    found = measured(rollout={"attempts": 1})
    assert found["effects"]["exact"] == 0
    assert found["observation"]["exact"] > 0  # but of writes: a read has no room for effects


def cut(request: Request) -> Completion:
    return Completion(json.dumps(perfect(request))[:20], "length", 10, 10)


def test_an_answer_that_was_cut_off_is_wrong(engine: Actor) -> None:
    engine.by = cut
    assert {v for v in rates(measured()).values() if v is not None} == {0.0}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (PromptTooLong("9000 tokens"), "too_long"),
        (RequestError("refused"), "request"),
        (Timeout("no answer"), "timeout"),
    ],
)
def test_an_engine_that_gives_no_answer_costs_that_answer(
    engine: Actor, error: Exception, name: str
) -> None:
    engine.by = lambda request: error if "/call_2/" in request.id else perfect(request)
    found = measured()
    assert found["unanswered"] == {name: 2}
    assert (
        found["precondition"]["applicable"]["n"] - found["precondition"]["applicable"]["correct"]
        == 2
    )
    assert rates(found)["precondition_inapplicable"] == 1


def test_an_engine_that_dies_ends_the_measurement(engine: Actor) -> None:
    engine.by = lambda request: EngineDead("gone")
    with pytest.raises(MachineError, match=r"the engine died \(gone\)"):
        measured()


def test_seeds_are_asked_at_once_but_only_so_many(engine: Actor) -> None:
    now: list[int] = [0, 0]

    async def slowly(request: Request) -> dict[str, Json]:
        now[0] += 1
        now[1] = max(now)
        await asyncio.sleep(0.001)
        now[0] -= 1
        return perfect(request)

    engine.by = slowly
    measured()
    assert now == [0, 2]


def test_n_bounds_the_seeds(engine: Actor) -> None:
    engine.by = perfect
    assert measured(n=1)["steps"] < measured(n=2)["steps"] < STEPS


def test_seeds_that_call_nothing_say_nothing() -> None:
    silent = replace(SEEDS[0], messages=SEEDS[0].messages[:1])
    quiet = replace(
        job(),
        real=Real(
            "m", WorldConfig(kind="tests.bazaar:Bazaar"), SeedSet({"bazaar": DOMAIN}, (silent,), ())
        ),
    )
    with pytest.raises(InputError, match="no seed calls a tool"):
        asyncio.run(measure(quiet, lambda text: None))


def test_it_says_how_much_there_is_to_do(engine: Actor) -> None:
    engine.by = perfect
    told: list[str] = []
    asyncio.run(measure(job(), told.append))
    assert told[0] == (
        "3 seeds: 7 real calls and 16 probes, 12 of these not applicable; 23 to 46 model calls"
    )
    assert told[-1] == "23 of 23 answers"
    assert len(told) <= 12


# What a world model may see.


def test_a_seed_is_shown_no_result_of_its_own(engine: Actor) -> None:
    twin = replace(SEEDS[1], id="seed-twin")
    other = replace(SEEDS[0], id="seed-other")
    seeds = SeedSet({"bazaar": DOMAIN}, (*SEEDS, twin, other), ())
    stage = make_stage(pipeline(), seeds, PROMPTS, {"main": engine}, "r")
    world: Any = unseen_stage(stage, SEEDS[1]).world
    examples = world.examples["bazaar"]
    read, write = calls_of(SEEDS[1].messages)
    shown = examples.nearest(read, 9)
    assert [e.arguments for e in shown] == [{"order_id": "R1001"}]
    assert examples.nearest(write, 9) == []  # the twin's is of the very same call
    assert examples.in_json("write_invoice")
    engine.closed = True


# On-policy.


def roles(request: Request) -> Any:
    """An agent that cancels R1001 at once, whatever the seed."""
    turn = len([m for m in request.messages if m["role"] == "assistant"])
    if request.role == "scenario":
        return planned()
    if request.role == "user":
        return done() if turn else user("Cancel R1001, I am ana_11.")
    if request.role == "agent":
        cancel = {"name": "cancel_order", "arguments": bazaar.ANA}
        return agent("It is done.") if turn else agent("", cancel)
    return perfect(request)


def test_what_works_in_the_model_works_in_the_real_world(engine: Actor) -> None:
    engine.by = roles
    found = measured(replay=True)["replay"]
    assert found == {"n": 2, "real": 1, "world": 1, "world_to_real": 1, "consistency_ratio": 1.0}


def obliging(request: Request) -> Any:
    """Whoever asks: the model's world cancels whatever it is asked to."""
    found = roles(request)
    if request.role == "agent" and found["calls"]:
        found["calls"][0]["arguments"] = {"user_id": "bob_22", "order_id": "R1001"}
    if request.role == "world" and request.context["call"]["arguments"].get("user_id") == "bob_22":
        effect = bazaar.effect("set", "/orders/R1001/status", "cancelled")
        return {"applies": True, "why": "", "effects": [effect], "observation": {"ok": True}}
    return found


def test_what_works_in_the_model_alone_is_seen(engine: Actor) -> None:
    engine.by = obliging
    found = measured(replay=True)["replay"]
    assert found == {"n": 2, "real": 0, "world": 1, "world_to_real": 0, "consistency_ratio": None}


def test_a_world_that_can_tell_is_asked(engine: Actor) -> None:
    engine.by = roles
    found = measured(real="Stall", replay=True)["replay"]
    assert (found["n"], found["real"], found["world_to_real"]) == (3, 3, 3)
    assert Stall.open_now == 0


def test_a_rollout_that_cannot_be_played_reaches_nothing(engine: Actor) -> None:
    def refused(request: Request) -> Any:
        return RequestError("no") if request.role == "user" else roles(request)

    engine.by = refused
    found = measured(replay=True)["replay"]
    assert found == {"n": 2, "real": 0, "world": 0, "world_to_real": 0, "consistency_ratio": None}


# The digest.


def test_the_digest_follows_what_the_figures_follow_from() -> None:
    same = job().digest
    assert job(cluster={"in_flight": 3}, target=99, name="other").digest == same
    assert job(fidelity={"world": "market", "require": {"effects_exact": 0.5}}).digest == same
    others = [
        job(n=2),
        job(replay=True),
        job(world={"examples": 0}),
        job(rollout={"attempts": 3}),
        job(engines={"main": {"kind": "scripted", "model": "better"}}),
        job(roles={"user": "main", "agent": "main", "world": {"engine": "main", "temperature": 0}}),
    ]
    assert len({other.digest for other in others} | {same}) == len(others) + 1
