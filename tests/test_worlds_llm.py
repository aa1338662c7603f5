"""The world model's side: what it is shown, how its answers are held to the ledger."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.playing import (
    CANCEL,
    CANCELLED,
    DOMAIN,
    HIDDEN,
    PENDING,
    SEED,
    STATE,
    TASK,
    Actor,
    good,
    made,
    play,
    prompt,
    stage,
    world,
)
from trajgen.errors import EngineDead
from trajgen.faults import planned_fault
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.records import Call, Domain, Seed
from trajgen.schemas import validator
from trajgen.worlds import Answer, Scene
from trajgen.worlds.examples import Examples
from trajgen.worlds.llm import REFUSED_CHARS, LlmEpisode, LlmWorld, observed
from trajgen.worlds.shown import STATE_CHARS

GET = Call("call_0", "get_order", {"order_id": "W101"}, 1)
CUT = Call("call_1", "cancel_order", {"order_id": "W101"}, 3)


def begin(actor: Actor, domain: Domain = DOMAIN, *seeds: Seed, **changes: Any) -> LlmEpisode:
    staged = stage(actor, *seeds, domain=domain, **changes)
    assert isinstance(staged.world, LlmWorld)
    return staged.world.begin(Scene(domain, SEED, TASK, Ledger(domain.state)))


def test_the_world_is_named_after_its_model() -> None:
    assert stage(Actor()).world.name == "actor"


def test_an_answer_is_typed_and_its_observation_text() -> None:
    episode = begin(Actor({"world": [world(CANCELLED, CANCEL)]}))
    before = episode.scene.ledger.hash
    answer = asyncio.run(episode.step(CUT))
    assert answer.applies
    assert answer.effects == (CANCEL,)
    assert answer.observation == '{"status": "cancelled"}'
    assert (answer.source, answer.attempts, answer.verdicts) == ("model", 1, ())
    assert episode.scene.ledger.hash == before  # it proposes, the rollout applies


def test_verdicts_stand_at_the_message_that_called() -> None:
    answer = asyncio.run(begin(Actor({"world": [world({"ok": True})] * 2})).step(CUT))
    assert [(v.code, v.at) for v in answer.verdicts] == [("effect_missing", 3)]
    assert answer.attempts == 2


def test_an_unreadable_answer_is_kept_from_its_beginning() -> None:
    answer = asyncio.run(begin(Actor({"world": ["x" * 99_999] * 2})).step(GET))
    assert answer.observation == "x" * REFUSED_CHARS
    assert [v.code for v in answer.verdicts] == ["bad_answer"]
    assert not answer.applies


def test_what_was_answered_comes_back_word_for_word() -> None:
    text = json.dumps(world(PENDING), indent=3)
    actor = Actor({"world": ["oops", text, world(CANCELLED, CANCEL)]})
    episode = begin(actor)
    answer = asyncio.run(episode.step(GET))
    episode.observe(GET, answer)
    asyncio.run(episode.step(CUT))
    first, _, last = actor.requests
    assert last.messages[: len(first.messages)] == first.messages
    assert last.messages[len(first.messages)] == {"role": "assistant", "content": text}
    assert len(last.messages) == len(first.messages) + 2
    assert last.context["messages"][1]["content"] == answer.observation


def test_an_answer_that_does_not_stand_is_not_remembered() -> None:
    actor = Actor({"world": [{**world(PENDING), "why": "a lie"}] * 3})
    episode = begin(actor)
    asyncio.run(episode.step(GET))  # a question that nothing comes of
    asyncio.run(episode.step(GET))
    episode.observe(GET, Answer(False, "it is gone", (), "Error: no such order", "real"))
    asyncio.run(episode.step(GET))
    shown = prompt(actor.requests[-1])
    assert "a lie" not in shown
    assert shown.count("Call: ") == 2
    told = json.loads(actor.requests[-1].messages[2]["content"])
    assert told["observation"] == {"error": "Error: no such order"}  # in the form that is asked for
    assert (told["applies"], told["why"]) == (False, "it is gone")


def test_a_planned_fault_is_told_as_if_it_had_answered_so() -> None:
    actor = Actor({"world": [world(PENDING)]})
    episode = begin(actor)
    fault = planned_fault(replace(TASK, fault="timeout"), DOMAIN, json_observation=True)
    episode.observe(GET, fault)
    asyncio.run(episode.step(GET))
    (request,) = actor.requests
    assert "Call: get_order" in request.messages[1]["content"]
    told = json.loads(request.messages[2]["content"])
    assert told["applies"] is False
    assert told["effects"] == []
    assert "nothing was changed" in told["observation"]["error"]  # in the form that is asked for
    assert len(request.messages) == 4


# The state that is shown.


def asked(call: Call, state: Any, **changes: Any) -> str:
    actor = Actor({"world": ["{}", "{}"]})
    asyncio.run(begin(actor, replace(DOMAIN, state=state), **changes).step(call))
    return str(actor.requests[0].messages[-1]["content"])


def test_only_what_the_call_names_is_shown() -> None:
    text = asked(GET, STATE)
    assert canonical_in(text) == {"orders": {"W101": STATE["orders"]["W101"]}}
    assert HIDDEN in text  # the world may know it


def canonical_in(text: str) -> Any:
    line = next(part for part in text.splitlines() if part.startswith("State that"))
    return json.loads(line.partition(": ")[2])


def test_a_small_state_is_shown_whole_when_nothing_is_named() -> None:
    assert canonical_in(asked(replace(GET, arguments={"order_id": "W999"}), STATE)) == STATE


def test_a_big_state_is_not_shown_when_nothing_is_named() -> None:
    big = {"orders": {f"W{n}": {"note": "x" * 50} for n in range(1000)}}
    assert canonical_in(asked(replace(GET, arguments={"order_id": "none"}), big)) == {}


def test_what_is_shown_stays_within_its_budget() -> None:
    big = {"orders": {f"W{n}": {"note": "x" * 900} for n in range(40)}}
    call = replace(GET, arguments={"order_id": "W1", "others": [f"W{n}" for n in range(2, 40)]})
    shown = canonical_in(asked(call, big))
    assert len(canonical(shown)) <= STATE_CHARS
    assert 4 <= len(shown["orders"]) <= 7
    huge = {"orders": {"W101": {"note": "x" * 2 * STATE_CHARS}}}
    assert canonical_in(asked(GET, huge)) == {}


def test_a_domain_without_state_shows_none() -> None:
    assert "State that" not in asked(GET, None)


# What no state of the domain is like.


def test_an_effect_unlike_all_that_is_known_is_asked_again() -> None:
    orders = {f"W{n}": {"status": "pending", "total": n} for n in range(100, 110)}
    domain = replace(DOMAIN, state={"orders": orders})
    odd = {"op": "add", "path": "/orders/W101/state", "value": "gone"}
    given = world(CANCELLED, CANCEL, odd)
    actor = Actor({"world": [given, world(CANCELLED, CANCEL)]})
    answer = asyncio.run(begin(actor, domain).step(CUT))
    assert (answer.attempts, answer.verdicts) == (2, ())
    assert (
        "bad_effect: /orders/W101/state: expected one of status, total" in actor.prompts("world")[1]
    )
    answer = asyncio.run(begin(Actor({"world": [given] * 2}), domain).step(CUT))
    assert [(v.code, v.at) for v in answer.verdicts] == [("bad_effect", 3)]


def test_what_a_real_answer_brings_is_known_from_then_on() -> None:
    orders = {f"W{n}": {"status": "pending", "total": n} for n in range(100, 110)}
    domain = replace(DOMAIN, state={"orders": orders})
    more = {"op": "add", "path": "/orders/W102/reason", "value": "late"}
    given = world(CANCELLED, CANCEL, {**more, "path": "/orders/W101/reason"})
    episode = begin(Actor({"world": [given] * 2}), domain)
    real = Answer(True, "", (more,), json.dumps(CANCELLED), "real")
    episode.scene.ledger.apply(real.effects)
    episode.observe(replace(CUT, arguments={"order_id": "W102"}), real)
    answer = asyncio.run(episode.step(CUT))
    assert (answer.attempts, answer.verdicts) == (1, ())


# Agreement.

YES, NO = world(CANCELLED, CANCEL), world({"error": "no"}, applies=False)


def sampled(*answers: Any, attempts: int = 1, **agreement: Any) -> tuple[Answer, Actor]:
    actor = Actor({"world": list(answers)})
    setting = {"samples": 3, **agreement}
    changes = {"world": {"agreement": setting}, "rollout": {"attempts": attempts}}
    return asyncio.run(begin(actor, **changes).step(CUT)), actor


def test_the_majority_is_taken_from_one_prompt() -> None:
    answer, actor = sampled(NO, YES, YES)
    assert answer.effects == (CANCEL,)
    assert answer.agreement == 2 / 3
    assert answer.verdicts == ()
    assert len({request.messages for request in map(frozen, actor.requests)}) == 1
    assert len({request.seed for request in actor.requests}) == 3
    assert actor.requests[0].id.endswith("/call_1/1")


def frozen(request: Any) -> Any:
    return replace(request, messages=json.dumps(request.messages))


def test_too_little_agreement_is_asked_anew() -> None:
    answer, actor = sampled(
        NO, YES, {**NO, "observation": {"error": "x"}}, YES, YES, NO, at_least=0.67, attempts=2
    )
    assert (answer.agreement, answer.attempts, answer.verdicts) == (2 / 3, 2, ())
    assert len({request.seed for request in actor.requests}) == 6


def test_too_little_agreement_to_the_end_is_a_verdict() -> None:
    two = [YES, NO, {**NO, "observation": {"error": "x"}}]
    answer, actor = sampled(*two, *two, at_least=0.6, attempts=2)
    assert [v.code for v in answer.verdicts] == ["low_agreement"]
    assert "0.33 of 3 answers agree; wanted 0.6" in answer.verdicts[0].detail
    assert len(actor.requests) == 6
    _, actor = sampled(*two, at_least=0.6, attempts=2, below="drop")
    assert len(actor.requests) == 3


def test_an_answer_that_cannot_stand_is_no_vote() -> None:
    answer, _ = sampled("?", YES, "?")
    assert (answer.agreement, answer.effects) == (1 / 3, (CANCEL,))
    answer, _ = sampled("?", "?", "?", at_least=0.5)
    assert (answer.agreement, [v.code for v in answer.verdicts]) == (0, ["bad_answer"])


def test_a_sample_that_fails_ends_the_others() -> None:
    with pytest.raises(EngineDead):
        sampled(YES, EngineDead("gone"), YES)


def test_agreement_stands_in_steps_and_scores() -> None:
    answers = {**good(), "world": [world(PENDING)] * 2 + [YES, YES]}
    row = play(Actor(answers), world={"agreement": 2})
    assert [step.agreement for step in row.steps] == [1.0, 1.0]
    assert row.scores["agreement"] == {"min": 1.0, "mean": 1.0}
    assert "agreement" not in play(good()).scores


# With and without feedback.


def test_one_attempt_is_no_feedback() -> None:
    actor = Actor({"world": [world({"ok": True})]})
    answer = asyncio.run(begin(actor, rollout={"attempts": 1}).step(CUT))
    assert [v.code for v in answer.verdicts] == ["effect_missing"]
    assert len(actor.requests) == 1


# Real results as examples.


def result(order: str, text: str, n: int, tool: str = "get_order") -> list[dict[str, Any]]:
    calls = [made(f"c{n}", tool, order)]
    return [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": f"c{n}", "content": text},
    ]


def examples(*results: list[dict[str, Any]], domain: Domain = DOMAIN) -> Examples:
    seeds = [replace(SEED, id=f"s{n}", messages=tuple(r)) for n, r in enumerate(results)]
    return Examples(domain, seeds)


def test_the_nearest_results_come_first_with_a_failure_among_them() -> None:
    known = examples(
        result("W1", '{"a": 1}', 1),
        result("W2", '{"a": 2}', 2),
        result("W3", '{"error": "no such order"}', 3),
        result("W2", '{"b": 2}', 4, "cancel_order"),
    )
    call = replace(GET, arguments={"order_id": "W2"})
    shown = known.nearest(call, 2)
    assert [e.observation for e in shown] == ['{"a": 2}', '{"error": "no such order"}']
    assert [e.failed for e in shown] == [False, True]
    assert [e.observation for e in known.nearest(call, 1)] == ['{"a": 2}']
    assert known.nearest(call, 0) == []
    assert len(known.nearest(call, 9)) == 3
    assert known.nearest(replace(GET, tool="fly"), 2) == []


def test_of_like_calls_the_seeds_own_comes_first() -> None:
    known = examples(
        result("W1", '{"a": 1}', 1), result("W2", '{"a": 2}', 2), result("W3", '{"a": 3}', 3)
    )
    call = replace(GET, arguments={"order_id": "W9"})
    assert [e.seed for e in known.nearest(call, 1, "s2")] == ["s2"]
    assert [e.seed for e in known.nearest(call, 1)] == ["s0"]
    named = replace(GET, arguments={"order_id": "W1"})
    assert [e.seed for e in known.nearest(named, 1, "s2")] == ["s0"]


def test_texts_are_near_by_their_words() -> None:
    known = examples(result("red wool coat", "1", 1), result("blue tea pot", "2", 2))
    call = replace(GET, arguments={"order_id": "tea pot"})
    assert [e.observation for e in known.nearest(call, 1)] == ["2"]


def test_the_same_result_is_known_once() -> None:
    known = examples(result("W1", "{}", 1), result("W2", "{}", 2))
    assert len(known.nearest(GET, 9)) == 1


def test_a_call_without_a_result_is_no_example() -> None:
    assert examples(result("W1", "{}", 1)[:1]).nearest(GET, 9) == []


@pytest.mark.parametrize(
    ("texts", "in_json"),
    [(['{"a": 1}', "[2]"], True), (['{"a": 1}', "Error: no"], False), (["3"], False), ([], False)],
)
def test_json_is_asked_for_where_all_real_results_are(texts: list[str], in_json: bool) -> None:
    known = examples(*(result(f"W{n}", text, n) for n, text in enumerate(texts)))
    assert known.in_json("get_order") == in_json


def test_the_schema_follows_kind_and_form_of_the_tool() -> None:
    actor = Actor({"world": [world(PENDING)]})
    asyncio.run(begin(actor).step(GET))
    schema = validator(actor.requests[0].schema or {})
    assert schema.is_valid(world(PENDING))
    assert not schema.is_valid(world("as text"))
    assert not schema.is_valid(world(PENDING, CANCEL))
    text = replace(SEED, messages=tuple(result("W101", "It is pending.", 1)))
    actor = Actor({"world": [world("Pending.")]})
    answer = asyncio.run(begin(actor, replace(DOMAIN, kinds={}), text).step(GET))
    assert answer.verdicts == ()
    assert answer.observation == "Pending."
    schema = validator(actor.requests[0].schema or {})
    assert schema.is_valid(world("x", CANCEL))
    assert not schema.is_valid(world(PENDING))


def test_how_many_examples_is_a_setting() -> None:
    assert "Real results" not in asked(GET, STATE, world={"examples": 0})
    assert "Real results" in asked(GET, STATE, world={"examples": 1})


def test_the_opening_is_shared_by_all_episodes_of_a_domain() -> None:
    actor = Actor({"world": [world(PENDING)] * 2})
    staged = stage(actor)
    for n in range(2):
        scene = Scene(DOMAIN, SEED, replace(TASK, id=f"task-{n}"), Ledger(STATE))
        asyncio.run(staged.world.begin(scene).step(GET))
    one, other = actor.requests
    assert one.messages == other.messages
    assert one.seed != other.seed
    assert "get_order (read)" in prompt(one)
    assert "cancel_order (write)" in prompt(one)
    assert DOMAIN.policy in prompt(one)


def test_observations_as_text() -> None:
    assert observed("as it is") == "as it is"
    assert observed({"a": "ü"}) == '{"a": "ü"}'
    assert observed([1]) == "[1]"


LAMP = {"op": "set", "path": "/lamps/L1/power", "value": "on"}
LAMPS = Domain(
    name="lamps",
    policy="Switch lamps.",
    tools=(
        {
            "type": "function",
            "function": {
                "name": "switch_on",
                "parameters": {"type": "object", "properties": {"lamp": {"type": "string"}}},
            },
        },
    ),
    kinds={"switch_on": "write"},
    semantics={
        "switch_on": {
            "requires": [{"path": "/lamps/{lamp}", "exists": True, "else": "Error: no such lamp."}],
            "writes": [{"path": "/lamps/{lamp}/power", "value": "on"}],
            "says": "{lamp} is on.",
        }
    },
    state={"lamps": {"L1": {"power": "off"}}},
)


def lit(**changes: Any) -> dict[str, Any]:
    """The world's answer to switching lamp L1 on, as code would give it."""
    return {"applies": True, "why": "", "effects": [LAMP], "observation": "L1 is on."} | changes


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        (lit(), []),
        (lit(observation="L1 glows green."), ["contradicts_state"]),
        (lit(effects=[LAMP | {"value": "dim"}]), ["bad_effect"]),
        (lit(applies=False, effects=[], observation="Error: no."), ["false_refusal"]),
    ],
)
def test_a_model_that_plays_declared_tools_is_held_against_code(
    said: dict[str, Any], codes: list[str]
) -> None:
    actor = Actor({"world": [said] * 2})
    episode = begin(actor, LAMPS, world={"declared": False}, rollout={"attempts": 1})
    answer = asyncio.run(episode.step(Call("call_0", "switch_on", {"lamp": "L1"}, 1)))
    assert answer.source == "model"
    assert [verdict.code for verdict in answer.verdicts] == codes


def test_code_answers_declared_tools_unless_the_pipeline_says_otherwise() -> None:
    episode = begin(Actor(), LAMPS)
    answer = asyncio.run(episode.step(Call("call_0", "switch_on", {"lamp": "L1"}, 1)))
    assert (answer.source, answer.observation) == ("code", "L1 is on.")


def test_without_a_state_an_answer_is_held_against_what_was_observed() -> None:
    stateless = replace(DOMAIN, state=None)
    actor = Actor({"world": [world(PENDING), world(PENDING | {"total": 1}), world(PENDING)]})
    episode = begin(actor, stateless)
    first = asyncio.run(episode.step(GET))
    episode.observe(GET, first)
    again = replace(GET, id="call_1", message=3)
    second = asyncio.run(episode.step(again))
    assert (second.attempts, second.verdicts) == (2, ())  # the first try contradicted itself
    assert "contradicts_observation" in prompt(actor.requests[-1])


def test_a_tool_without_results_answers_in_the_form_of_the_others() -> None:
    examples = Examples(DOMAIN, [SEED])
    assert examples.in_json("get_order")
    assert examples.in_json("a_tool_that_no_seed_calls")
    assert not Examples(DOMAIN, []).in_json("get_order")
