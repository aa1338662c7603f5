"""Files of tau2 simulations, made by tau2's own classes: the agent's view, and what it did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conversations import TOOLS
from trajgen import cli
from trajgen.corpora import rows
from trajgen.errors import InputError
from trajgen.importers import Imported, import_source
from trajgen.importers.command import import_to
from trajgen.importers.corpus.problem import Problem
from trajgen.importers.tau2.simulations import simulations
from trajgen.records import Seed, calls_of
from trajgen.seeds import check_source, seed_problem

HELLO = {"role": "assistant", "content": "Hi! How can I help you today?"}
BYE = {"role": "user", "content": "Thanks! ###STOP###"}
SHOP = {
    "domain_name": "shop",
    "policy": "Be brief.",
    "tool_defs": {
        t["function"]["name"]: {
            "name": t["function"]["name"],
            "doc": t["function"]["description"],
            "params": t["function"]["parameters"],
        }
        for t in TOOLS
    },
}


def asks(by: str, tool: str, id_: str = "c1", **arguments: Any) -> dict[str, Any]:
    made = {"id": id_, "name": tool, "arguments": arguments, "requestor": by}
    return {"role": by, "content": None, "tool_calls": [made]}


def answers(by: str, content: str, id_: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "id": id_, "content": content, "requestor": by, "error": False}


def write(path: Path, *messages: list[Any], info: Any = None, **more: Any) -> str:
    made = [{"id": f"s{n}", "task_id": "0", "messages": m, **more} for n, m in enumerate(messages)]
    about = {"environment_info": SHOP} if info is None else info
    path.write_text(json.dumps({"info": about, "tasks": [], "simulations": made}, indent=4))
    return f"tau2:{path}"


TALK = [
    HELLO,
    {"role": "user", "content": "Where is W1001?"},
    asks("assistant", "get_order", order_id="W1001"),
    {"role": "tool", "tool_messages": [answers("assistant", "pending")]},
    {"role": "assistant", "content": "It is pending."},
    asks("user", "check_phone", "u1", line=1),
    answers("user", "no signal", "u1"),
    {"role": "user", "content": "My phone has no signal."},
    {"role": "assistant", "content": "That is a pity."},
    BYE,
]


def test_the_conversation_is_what_the_agent_saw(tmp_path: Path) -> None:
    source = write(tmp_path / "r.json", TALK, reward_info={"reward": 1.0})
    found = import_source(source)
    assert (found.domain.name, found.domain.policy) == ("tau2_shop", "Be brief.")
    assert found.domain.tools == TOOLS
    seed = found.seeds[0]
    assert [m["content"] for m in seed.messages] == [
        "Where is W1001?",
        "",
        "pending",
        "It is pending.",
        "My phone has no signal.",
        "That is a pity.",
    ]
    assert [(c.id, c.tool, c.arguments) for c in calls_of(seed.messages)] == [
        ("c1", "get_order", {"order_id": "W1001"})
    ]
    assert seed.meta == {
        "name": "s0",
        "source": "tau2",
        "task": "0",
        "outcome": "success",
        "greeting": HELLO["content"],
        "user_calls": [{"name": "check_phone", "arguments": {"line": 1}, "answer": "no signal"}],
        "ended": "Thanks! ###STOP###",
    }
    _, row = next(iter(rows(source, None)))
    assert not isinstance(row, Problem)
    assert row[1].policy == "Be brief."


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "bad_role_order"),
        ([7], "bad_role_order"),
        ([{"role": "dog", "content": "x"}], "bad_role_order"),
        ([{"role": "user", "content": 7}], "bad_role_order"),
        ([{"role": "user", "tool_calls": 7}], "bad_role_order"),
        ([{"role": "tool", "tool_messages": [7]}], "bad_role_order"),
        ([answers("user", "x")], "unanswered_call"),
        ([HELLO, {"role": "assistant", "tool_calls": [{"id": "a"}]}], "bad_arguments"),
        (
            [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": None}]}],
            "bad_arguments",
        ),
    ],
)
def test_what_cannot_be_represented_is_a_problem(
    tmp_path: Path, messages: list[Any], code: str
) -> None:
    write(tmp_path / "r.json", messages, TALK, reward_info=None)
    found = [row.value for row in simulations(tmp_path / "r.json").rows()]
    assert isinstance(found[0], Problem)
    assert found[0].code == code
    assert not isinstance(found[1], Problem)


def test_what_a_file_lacks(tmp_path: Path) -> None:
    bare = {"environment_info": {"domain_name": "shop", "policy": "Be brief."}}
    source = write(tmp_path / "r.json", TALK, info=bare)
    with pytest.raises(InputError, match="no row says which tools there are"):
        import_source(source)
    for info in ({}, {"environment_info": {}}, 7):
        with pytest.raises(InputError, match="no file of tau2 simulations"):
            import_source(write(tmp_path / "r.json", TALK, info=info))
    (tmp_path / "lines.json").write_text('{"messages": []}\n{"messages": []}\n')
    with pytest.raises(InputError, match="no file of tau2 simulations"):
        import_source(f"tau2:{tmp_path / 'lines.json'}")
    with pytest.raises(InputError, match="no such file"):
        import_source("tau2:none.json")


# --- the real environments -------------------------------------------------------------------


@cache
def tasks(name: str) -> Imported:
    return import_source(f"tau2:{name}")


def simulated(seed: Seed) -> Iterator[dict[str, Any]]:
    """A seed as tau2 would have written it."""
    yield HELLO
    for message in seed.messages:
        if message["role"] == "tool":
            yield answers("assistant", message["content"], message["tool_call_id"])
        elif "tool_calls" in message:
            made = message["tool_calls"][0]
            function = made["function"]
            yield asks("assistant", function["name"], made["id"], **function["arguments"])
        else:
            yield message
    yield BYE


def results(name: str, path: Path) -> str:
    """A results file of the golden conversations, saved by tau2's own classes."""
    from tau2.data_model.simulation import Results

    domain = tasks(name).domain
    unknown = {"implementation": "x", "llm": None, "llm_args": None}
    info = {
        "git_commit": "0",
        **dict.fromkeys(("num_trials", "max_steps", "max_errors"), 1),
        "user_info": {**unknown, "global_simulation_guidelines": None},
        "agent_info": unknown,
        "environment_info": {"domain_name": name, "policy": domain.policy},
    }
    made = [
        {
            "id": f"sim-{seed.meta['task']}",
            "task_id": seed.meta["task"],
            **dict.fromkeys(("start_time", "end_time"), "2026-01-01"),
            "duration": 1,
            "termination_reason": "user_stop",
            "reward_info": {"reward": 1.0},
            "messages": list(simulated(seed)),
        }
        for seed in tasks(name).seeds
    ]
    found = Results.model_validate({"info": info, "tasks": [], "simulations": made})
    found.save(path)
    return f"tau2:{path}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["airline", "retail"])
def test_simulations_are_made_again_in_the_real_environment(tmp_path: Path, name: str) -> None:
    found = import_source(results(name, tmp_path / "results.json"))
    golden = {seed.meta["task"]: seed for seed in tasks(name).seeds}
    assert found.refused == ()
    assert len(found.seeds) == len(golden)
    assert found.domain.state == tasks(name).domain.state
    for seed in found.seeds:
        wanted = golden[seed.meta["task"]]
        assert seed.messages == wanted.messages
        assert (seed.state, seed.goal) == (wanted.state, wanted.goal)
        for key in ("effects", "applies"):
            assert seed.meta[key] == wanted.meta[key]
        assert seed_problem(seed, found.domain) == ""


@pytest.mark.slow
def test_a_changed_answer_is_no_replay(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    source = results("retail", path)
    data = json.loads(path.read_text())
    for simulation in data["simulations"]:
        next(m for m in simulation["messages"] if m["role"] == "tool")["content"] += " "
    path.write_text(json.dumps(data))
    assert not any("effects" in seed.meta for seed in import_source(source).seeds)


@pytest.mark.slow
def test_the_command_on_telecom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its users act on their phones; here they only tell of it."""
    source, out = results("telecom", tmp_path / "results.json"), tmp_path / "out"
    count = len(tasks("telecom").seeds)
    assert import_to(source, out, None, lambda _: None) == (count, 0)
    assert check_source(str(out)) == (count, [])
    assert cli.main(["filter", source, "--json"]) == 0
    totals = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert totals["trajectories"] == count
    assert set(totals["reasons"]) == {"near_duplicate"}  # many phones have the same faults
