"""Rows of every format in our form: what is said and called comes out, or a reason does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conversations import GOOD, TOOLS, tool, user
from trajgen.importers.corpus import formats, hermes, openai, react, sharegpt
from trajgen.importers.corpus.problem import Problem

FLAT = [t["function"] for t in TOOLS]
A, B = {"order_id": "W1"}, {"order_id": "W2", "deep": {"a": [None, 1e22, "é", '{"x": 1}']}}
WANTED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Both?"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": A}},
            {"id": "call_2", "type": "function", "function": {"name": "get", "arguments": B}},
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "open"}'},
    {"role": "tool", "tool_call_id": "call_2", "content": " no\nsuch order\n"},
    {"role": "assistant", "content": "One is open."},
]
CALLS = [json.dumps({"name": "get", "arguments": arguments}) for arguments in (A, B)]
ANSWERS = [m["content"] for m in WANTED if m["role"] == "tool"]
TAGGED = "Let me look.\n" + "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in CALLS)
RESPONSES = "\n".join(f"<tool_response>\n{answer}\n</tool_response>" for answer in ANSWERS)


def said(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **more}


def talked(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": who, "content": text} for who, text in turns], **more}


SPELLINGS = {
    "sharegpt of LLaMA-Factory": said(
        ("human", "Both?"),
        ("function_call", f"<think>\nhm\n</think>\n\n[{', '.join(CALLS)}]"),
        ("observation", sharegpt.JOINED.join(ANSWERS)),
        ("gpt", "One is open."),
        system="Be brief.",
    ),
    "sharegpt, answers one by one": said(
        ("system", "Be brief."),
        ("human", "Both?"),
        ("gpt", "Let me look."),
        ("function_call", CALLS[0]),
        ("function_call", CALLS[1]),
        ("observation", ANSWERS[0]),
        ("observation", ANSWERS[1]),
        ("gpt", "One is open."),
    ),
    "sharegpt, answers in a list": said(
        ("human", "Both?"),
        ("gpt", "Let me look."),
        ("function_call", f"[{', '.join(CALLS)}]"),
        ("observation", json.dumps([json.loads(ANSWERS[0]), ANSWERS[1]])),
        ("gpt", "One is open."),
        system="Be brief.",
    ),
    "sharegpt, text beside calls": said(
        ("human", "Both?"),
        ("function_call", f"Let me look.\n<tool_call>[{', '.join(CALLS)}]</tool_call>"),
        ("observation", sharegpt.JOINED.join(ANSWERS)),
        ("gpt", "One is open."),
        system="Be brief.",
    ),
    "sharegpt with tags": said(
        ("system", "Be brief."),
        ("human", "Both?"),
        ("gpt", TAGGED),
        ("tool", RESPONSES),
        ("gpt", "One is open."),
    ),
    "swift": talked(
        ("system", "Be brief."),
        ("user", "Both?"),
        ("assistant", "Let me look."),
        ("tool_call", CALLS[0]),
        ("tool_call", CALLS[1]),
        ("tool_response", ANSWERS[0]),
        ("tool_response", ANSWERS[1]),
        ("assistant", "One is open."),
    ),
    "hermes": talked(
        ("system", "Be brief."),
        ("user", "Both?"),
        ("assistant", TAGGED),
        ("user", RESPONSES),
        ("assistant", "One is open."),
    ),
    "hermes as Python writes it": talked(
        ("system", "Be brief."),
        ("user", "Both?"),
        ("assistant", TAGGED.replace(CALLS[1], repr(json.loads(CALLS[1])))),
        ("tool", RESPONSES),
        ("assistant", "One is open."),
    ),
    "hermes in ChatML": {
        "text": "".join(
            f"<|im_start|>{who}\n{text}<|im_end|>\n"
            for who, text in [
                ("system", "Be brief."),
                ("user", "Both?"),
                ("assistant", TAGGED),
                ("user", RESPONSES),
                ("assistant", "One is open."),
            ]
        )
    },
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_conversation_in_many_spellings(name: str) -> None:
    row = {"id": 7, **SPELLINGS[name], "tools": json.dumps(FLAT)}
    found = formats.normalised(row)
    wanted = json.loads(json.dumps(WANTED))
    if "Factory" in name:
        wanted[2]["content"] = "<think>\nhm\n</think>"
    assert found == {"id": 7, "messages": wanted, "tools": list(TOOLS)}
    assert formats.normalised(json.loads(json.dumps(row))) == found
    as_text = {k: v if isinstance(v, str | int) else json.dumps(v) for k, v in row.items()}
    assert formats.normalised(as_text, True) == found  # columns of text


QWEN = """Be brief.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
NOUS = """You are a function calling AI model. You are provided with function signatures within \
<tools> </tools> XML tags. Don't make assumptions about what values to plug into functions.
<tools>
{}
</tools>
For each function call return a JSON object with the function name and arguments within \
<tool_call> </tool_call> tags:
<tool_call>
{{'arguments': <args-dict>, 'name': <function-name>}}
</tool_call>"""


def test_tools_are_found_in_the_system_prompt() -> None:
    turns = [("user", "Both?"), ("assistant", TAGGED), ("tool", RESPONSES), ("assistant", "ok")]
    lines = "\n".join(json.dumps(t) for t in TOOLS)
    for system, rest in (
        (QWEN.format(lines), "Be brief."),
        (NOUS.format(json.dumps(list(TOOLS))), None),
        (NOUS.format(repr(list(TOOLS))), None),
        (f"Be brief.\n<tools>{lines}</tools>", "Be brief."),
        (f"# Tools\nAsk first.\n{QWEN.format(lines)}", "# Tools\nAsk first.\nBe brief."),
    ):
        found = hermes.normalised(talked(("system", system), *turns))
        assert isinstance(found, dict), found
        assert found["tools"] == list(TOOLS)
        first = found["messages"][0]
        assert first["content"] == (rest or "Both?")
    broken = hermes.normalised(talked(("system", "<tools>[{]</tools>"), *turns))
    assert isinstance(broken, Problem)
    assert broken.code == "unknown_tool"


def test_a_prompt_and_its_completion_are_one_conversation() -> None:
    row = {"prompt": WANTED[:-1], "completion": WANTED[-1:], "tools": list(TOOLS)}
    found = formats.normalised(row)
    assert isinstance(found, dict), found
    assert (found["messages"], found["tools"]) == (WANTED, list(TOOLS))
    assert formats.format_of({"prompt": "a", "completion": "b"}) == ""


def test_tags_are_text_where_calls_are_turns() -> None:
    """What only looks like a call is not taken for one."""
    row = said(
        ("human", "<tool_response>\nx\n</tool_response>"),
        ("function_call", CALLS[0]),
        ("observation", "<tool_response>\nx\n</tool_response>"),
        ("gpt", "<tool_call>\n{}\n</tool_call>"),
    )
    found = sharegpt.normalised(row)
    assert isinstance(found, dict), found
    texts = [m["content"] for m in found["messages"]]
    assert texts == [
        t["value"] if t["from"] != "function_call" else "" for t in row["conversations"]
    ]


def test_tags_that_do_not_fit_together_are_text_in_sharegpt_alone() -> None:
    for text in ("<tool_call>", "<tool_call>{}</tool_call>", f"{TAGGED} and more"):
        turns = [("human", "<tool_response>\nx\n</tool_response>"), ("gpt", text)]
        found = sharegpt.normalised(said(*turns))
        assert isinstance(found, dict), found
        assert [m["content"] for m in found["messages"]] == [turns[0][1], text]
        assert isinstance(hermes.normalised(said(*turns[1:])), Problem)
    problem = sharegpt.normalised(said(("human", "a"), ("gpt", "<tool_call>{"), ("tool", "b")))
    assert isinstance(problem, Problem)
    assert "does not close" in problem


TEXT = """Answer with these tools.

Question: Who wrote it?
Thought: I look it up.
Action: search
Action Input: {"query": "x: y", "n": 2}
Observation: Ana
wrote it.
Thought: I know.
Final Answer: Ana, in 1999.
She did."""


def test_react_in_one_text_and_in_messages() -> None:
    found = react.normalised({"text": TEXT})
    assert isinstance(found, dict), found
    assert found["messages"] == [
        {"role": "system", "content": "Answer with these tools."},
        {"role": "user", "content": "Who wrote it?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I look it up.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "search", "arguments": {"query": "x: y", "n": 2}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Ana\nwrote it."},
        {
            "role": "assistant",
            "content": "Ana, in 1999.\nShe did.",
            "reasoning_content": "I know.",
        },
    ]
    step = 'Thought: I look it up.\nAction 1: search\nAction Input 1: {"query": "x: y", "n": 2}'
    blob = '{"action": "search", "action_input": {"query": "x: y", "n": 2}}'
    for call in (step, f"Thought: I look it up.\nAction:\n```json\n{blob}\n```"):
        for role in ("user", "tool"):
            turns = [("system", "Answer with these tools."), ("user", "Who wrote it?")]
            answer = "Ana\nwrote it." if role == "tool" else "Observation: Ana\nwrote it."
            last = "Thought: I know.\nFinal Answer: Ana, in 1999.\nShe did."
            row = talked(*turns, ("assistant", call), (role, answer), ("assistant", last))
            assert react.normalised(row) == found


UNFIT: list[tuple[Any, Any, str, int | None]] = [
    (sharegpt, said(("human", "a"), ("dog", "b")), "bad_role_order", 1),
    (sharegpt, said(("human", "a"), ("function_call", "f(x)")), "bad_arguments", 1),
    (sharegpt, said(("human", "a"), ("function_call", '{"name": "f"}')), "bad_arguments", 1),
    (sharegpt, said(("human", "a"), ("function_call", '{"arguments": {}}')), "bad_arguments", 1),
    (
        sharegpt,
        said(("human", "a"), ("function_call", '{"name": "f", "arguments": [1]}')),
        "bad_arguments",
        1,
    ),
    (sharegpt, said(("human", "a"), ("observation", "b")), "unanswered_call", 1),
    (sharegpt, said(("system", "a"), ("human", "b"), system="c"), "bad_role_order", 0),
    (sharegpt, {"conversations": [{"from": "human", "value": None}]}, "bad_role_order", 0),
    (sharegpt, {"conversations": ["a"]}, "bad_role_order", 0),
    (sharegpt, {"conversations": 7}, "bad_role_order", None),
    (sharegpt, said(("human", "a"), tools="[{]"), "bad_role_order", None),
    (sharegpt, said(("human", "a"), tools='[{"x": 1}]'), "unknown_tool", None),
    (hermes, talked(("assistant", "<tool_call>{'a': ")), "bad_arguments", 0),
    (hermes, talked(("assistant", "<tool_call>\nget(1)\n</tool_call>")), "bad_arguments", 0),
    (hermes, talked(("assistant", f"{TAGGED} and more")), "bad_arguments", 0),
    (hermes, talked(("assistant", "<tool_call>{1, 2}</tool_call>")), "bad_arguments", 0),
    (hermes, {"text": "plain"}, "bad_role_order", None),
    (hermes, {}, "bad_role_order", None),
    (react, {"text": TEXT.replace("{", "").replace("}", "")}, "bad_arguments", 0),
    (react, {"text": TEXT.replace("Action: search\n", "")}, "bad_arguments", 0),
    (react, {"text": TEXT.replace("Action Input", "Input")}, "bad_role_order", 0),
    (react, {"text": f"{TEXT}\n{TEXT}"}, "bad_role_order", 0),
    (react, talked(("user", "a"), ("assistant", "Thought: hm")), "bad_role_order", 1),
    (react, {"question": "a"}, "bad_role_order", None),
    (formats, {"prompt": "a"}, "bad_role_order", None),
    (formats, {"info": {}, "simulations": []}, "bad_role_order", None),
    (formats, [1], "bad_role_order", None),
]


@pytest.mark.parametrize(("reader", "row", "code", "at"), UNFIT)
def test_what_cannot_be_represented_is_a_problem(
    reader: Any, row: Any, code: str, at: int | None
) -> None:
    problem = reader.normalised(row)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.at) == (code, at)
    assert problem


def test_formats_are_recognised() -> None:
    for messages in GOOD.values():
        assert formats.format_of({"messages": messages}) == "openai"
        assert formats.format_of({"messages": [json.dumps(m) for m in messages]}) == "openai"
    kinds = {name: formats.format_of(row) for name, row in SPELLINGS.items()}
    assert set(kinds.values()) == {"sharegpt", "hermes"}
    assert {n for n, kind in kinds.items() if kind == "hermes"} == {
        n for n in SPELLINGS if n.startswith("hermes")
    }
    assert formats.format_of({"text": TEXT}) == "react"
    assert formats.format_of({"schema_version": "ATIF-v1.8", "steps": []}) == "atif"
    for other in ({"text": "plain"}, {"text": 7}, {"a": 1}, [], "x", None):
        assert formats.format_of(other) == ""
    tagged = {"role": "user", "content": "What is <tool_call></tool_call>?"}
    assert formats.format_of({"messages": [tagged]}) == "openai"


def test_nulls_of_json_in_columns_are_values() -> None:
    """A typed column gives null to absent keys; JSON text in a column says null itself."""
    made = [user("a"), {"role": "assistant", "content": "", "tool_calls": None}]
    function = {"name": "get", "arguments": {"a": None}}
    made[1]["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
    for row in (
        {"messages": json.dumps(made), "tools": [tool("f")]},
        {"messages": [json.dumps(m) for m in made], "tools": [json.dumps(tool("f"))]},
    ):
        found = openai.normalised(row, from_columns=True)
        assert isinstance(found, dict)
        assert found["messages"][1]["tool_calls"][0]["function"] == function
        assert found["tools"] == [tool("f")]
