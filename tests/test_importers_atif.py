"""ATIF trajectories in our form; what the format can say and we cannot is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.conversations import TOOLS
from trajgen.importers.corpus.atif import normalised
from trajgen.importers.corpus.problem import Problem

pytest.importorskip("atif", reason="the extra atif")

CALL = {"tool_call_id": "a", "function_name": "get_order", "arguments": {"order_id": "W1"}}
ROW: dict[str, Any] = {
    "schema_version": "ATIF-v1.8",
    "session_id": "s",
    "trajectory_id": "t",
    "agent": {"name": "n", "version": "1", "tool_definitions": list(TOOLS)},
    "steps": [
        {"step_id": 1, "source": "system", "message": "Be brief."},
        {"step_id": 2, "source": "user", "message": [{"type": "text", "text": "Where is W1?"}]},
        {
            "step_id": 3,
            "source": "agent",
            "message": "",
            "reasoning_content": "hm",
            "tool_calls": [CALL, {**CALL, "tool_call_id": "b", "arguments": {}}],
            "observation": {
                "results": [
                    {"source_call_id": "b", "content": "Error"},
                    {"source_call_id": "a", "content": None},
                ]
            },
            "metrics": {"prompt_tokens": 3},
        },
        {"step_id": 4, "source": "agent", "message": "Lost.", "timestamp": "2025-10-16T14:30:00Z"},
    ],
}


def test_steps_become_messages() -> None:
    made = [
        {"id": id_, "type": "function", "function": {"name": "get_order", "arguments": arguments}}
        for id_, arguments in (("a", {"order_id": "W1"}), ("b", {}))
    ]
    assert normalised(ROW) == {
        "id": "t",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where is W1?"},
            {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": made},
            {"role": "tool", "tool_call_id": "b", "content": "Error"},
            {"role": "tool", "tool_call_id": "a", "content": ""},
            {"role": "assistant", "content": "Lost."},
        ],
        "tools": list(TOOLS),
    }


def test_only_our_own_extra_is_read() -> None:
    row = copy.deepcopy(ROW)
    row["steps"][3]["extra"] = {"train": False}
    row["steps"][2]["tool_calls"][0]["extra"] = {"index": 0, "function": {"strict": True}}
    row["steps"][2]["observation"]["results"][0]["extra"] = {"name": "get_order"}
    assert normalised(row) == normalised(ROW)
    row["agent"]["name"] = "trajgen"
    found = normalised(row)
    assert isinstance(found, dict)
    assert found["messages"][5]["train"] is False
    assert found["messages"][3]["name"] == "get_order"
    call = found["messages"][2]["tool_calls"][0]
    assert (call["index"], call["function"]["strict"]) == (0, True)


def change(step: int, **more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row["steps"][step].update(more)


IMAGE = {"type": "image", "source": {"media_type": "image/png", "path": "x.png"}}
REF = {"subagent_trajectory_ref": [{"trajectory_id": "x"}]}
UNFIT = {
    "copied": change(1, is_copied_context=True),
    "an image": change(1, message=[IMAGE]),
    "a result of no call": change(2, observation={"results": [{"content": "x"}]}),
    "an event": change(0, observation={"results": [{"content": "x"}]}),
    "delegated": change(2, observation={"results": [{"source_call_id": "a", **REF}]}),
    "subagents": lambda row: row.update(
        subagent_trajectories=[{**copy.deepcopy(ROW), "trajectory_id": "sub"}]
    ),
    "goes on": lambda row: row.update(continued_trajectory_ref="next.json"),
    "no arguments": lambda row: row["steps"][2]["tool_calls"][0].pop("arguments"),
    "a key of its own": lambda row: row.update(mine=1),
    "steps out of order": change(1, step_id=5),
    "no steps": lambda row: row.pop("steps"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_represented_is_a_problem(name: str) -> None:
    row = copy.deepcopy(ROW)
    UNFIT[name](row)
    problem = normalised(row)
    assert isinstance(problem, Problem)
    assert problem


def test_what_is_no_object() -> None:
    for row in ([], "x", None, 7):
        assert isinstance(normalised(row), Problem)
