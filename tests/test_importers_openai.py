"""OpenAI-style JSONL, read without guessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import GOOD, TOOLS
from trajgen.errors import InputError
from trajgen.importers.corpus.openai import Problem, normalised, read


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    function = {"name": "get_order", "arguments": arguments}
    return {"id": "c1", "type": "function", "function": function} | more


def row(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a"}, *messages], **more}


def calling(*calls_: Any, **more: Any) -> dict[str, Any]:
    return row({"role": "assistant", "content": None, "tool_calls": list(calls_), **more})


def message(data: dict[str, Any], at: int = 1) -> dict[str, Any]:
    result = normalised(data)
    assert isinstance(result, dict), result
    made: dict[str, Any] = result["messages"][at]
    return made


def test_arguments_become_a_dict_and_nulls_go() -> None:
    made = message(calling(call('{"order_id": "W1", "x": null}'), name=None, refusal=None))
    assert made == {
        "role": "assistant",
        "content": "",
        "tool_calls": [call({"order_id": "W1", "x": None})],
    }


def test_what_may_be_written_in_several_ways() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert message(row({"role": "assistant", "content": parts}))["content"] == "ab"
    assert message(row({"role": "assistant", "tool_calls": []})) == {
        "role": "assistant",
        "content": "",
    }
    assert message(calling(call({"a": 1}, type=None)))["tool_calls"] == [call({"a": 1})]
    assert message({"messages": [{"role": "developer", "content": "x"}]}, 0)["role"] == "system"
    flat = {"type": "function", "name": "f", "parameters": {}}
    nested = {"type": "function", "function": {"name": "f", "parameters": {}}}
    for tools in ([flat], [nested], json.dumps([nested]), [json.dumps(nested)]):
        result = normalised(row(tools=tools))
        assert isinstance(result, dict)
        assert result["tools"] == [nested]
    assert normalised(row(tools=None)) == row()


def test_our_own_form_comes_back_unchanged() -> None:
    for messages in GOOD.values():
        data = {"id": "x", "messages": messages, "tools": list(TOOLS), "meta": {"a": None}}
        assert normalised(json.loads(json.dumps(data))) == data


@pytest.mark.parametrize(
    ("data", "code", "at"),
    [
        (calling(call('{"order_id": "W1"')), "bad_arguments", 1),
        (calling(call("")), "bad_arguments", 1),
        (calling(call(None)), "bad_arguments", 1),
        (calling(call("[1]")), "bad_arguments", 1),
        (calling(call("null")), "bad_arguments", 1),
        (calling(call([1])), "bad_arguments", 1),
        (calling(call('{"a": NaN}')), "bad_arguments", 1),
        (calling(call('{"a": 1, "a": 2}')), "bad_arguments", 1),
        (calling({"id": "c1"}), "bad_role_order", 1),
        (calling(call({}, type="custom")), "bad_role_order", 1),
        (calling("get_order"), "bad_role_order", 1),
        (row({"role": "assistant", "tool_calls": {"a": 1}}), "bad_role_order", 1),
        (row({"role": "assistant", "function_call": {"name": "f"}}), "bad_role_order", 1),
        (row({"role": "function", "name": "f", "content": "x"}), "bad_role_order", 1),
        (row({"role": "user", "content": [{"type": "image_url"}]}), "bad_role_order", 1),
        (row({"role": "user", "content": 5}), "bad_role_order", 1),
        (row(7), "bad_role_order", 1),
        ({"conversations": []}, "bad_role_order", None),
        ({"messages": {"a": 1}}, "bad_role_order", None),
        ([], "bad_role_order", None),
        (row(functions=[{"name": "f"}]), "unknown_tool", None),
        (row(tools={"f": 1}), "unknown_tool", None),
        (row(tools=[{"type": "function"}]), "unknown_tool", None),
    ],
)
def test_what_cannot_be_represented_is_a_problem(data: Any, code: str, at: int | None) -> None:
    problem = normalised(data)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.at) == (code, at)
    assert problem


def test_columns_of_structs_hold_nulls_for_absent_keys() -> None:
    data = calling(call({"order_id": "W1", "reason": None, "deep": {"a": None, "b": 0}}))
    result = normalised(data, from_columns=True)
    assert isinstance(result, dict)
    made = result["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert made == {"order_id": "W1", "deep": {"b": 0}}


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps(row(id=7)).encode()
    lines = [b"\xef\xbb\xbf" + good, b"", b"{broken", b"\xff\xfe", b'{"a": NaN}', b"[" * 9999, good]
    file.write_bytes(b"\n".join(lines))
    found = list(read(file))
    assert [number for number, _ in found] == [1, 3, 4, 5, 6, 7]
    assert [isinstance(item, Problem) for _, item in found] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read(tmp_path / "none.jsonl"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "tool_calls", "function", "tools"]),
            inner,
        )
    ),
)


@given(JSON)
def test_any_json_is_a_row_or_a_problem(data: Any) -> None:
    for from_columns in (False, True):
        result = normalised(data, from_columns)
        if not isinstance(result, Problem):
            assert all(isinstance(m["content"], str) for m in result["messages"])
