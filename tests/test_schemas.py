"""Schemas: tools are bounded before engines see them, answers are held to their form."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.bounds import MAX_CHARS, MAX_DEPTH
from trajgen.effects import OPS
from trajgen.schemas import (
    ACTION,
    AUTHORED,
    INSTRUCTION_CHARS,
    MAX_ANSWER_DEPTH,
    MAX_CALLS,
    MAX_TOOLS,
    USER,
    BadAnswer,
    action,
    authored,
    call_problems,
    parse_answer,
    parse_json,
    scenario,
    tool_problems,
    validator,
    world_answer,
)

Schema = dict[str, Any]
ANY: Schema = {"type": "object"}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "function",
                    "name",
                    "parameters",
                    "type",
                    "properties",
                    "items",
                    "enum",
                    "$ref",
                    "x",
                ]
            ),
            inner | st.sampled_from(["object", "string", "f"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


def tool(name: str = "f", parameters: Any = None, **more: Any) -> dict[str, Any]:
    made = {"type": "object", "properties": {}} if parameters is None else parameters
    return {"type": "function", "function": {"name": name, "parameters": made, **more}}


def with_property(schema: Any, name: str = "a") -> Schema:
    return {"type": "object", "properties": {name: schema}}


CANCEL = tool(
    "cancel",
    {
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "reason": {"enum": ["late", "lost"]},
            "lines": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["order_id"],
        "additionalProperties": False,
    },
)
PING = tool("ping")


# tool lists


def test_good_tools_have_no_problems() -> None:
    assert tool_problems([]) == []
    assert tool_problems([CANCEL, PING]) == []
    assert tool_problems([tool("a.b-c_9", with_property({"type": ["string", "null"]}))]) == []


def nested(depth: int) -> Schema:
    """A schema whose JSON nests `depth` deep; the plainest one nests 4."""
    schema: Any = {"type": "string"}
    for _ in range(depth - 4):
        schema = {"items": schema}
    return with_property(schema)


def test_depth_is_bounded() -> None:
    assert tool_problems([tool("f", nested(MAX_DEPTH))]) == []
    assert "nest deeper" in tool_problems([tool("f", nested(MAX_DEPTH + 1))])[0]
    deep: Any = {}
    for _ in range(50_000):
        deep = [deep]
    assert "nest deeper" in tool_problems([tool("f", {"type": "object", "x": deep})])[0]


def test_size_and_number_are_bounded() -> None:
    long = with_property({"description": "x" * MAX_CHARS})
    assert "characters; at most" in tool_problems([tool("f", long)])[0]
    many = [tool(f"f{n}") for n in range(MAX_TOOLS + 1)]
    assert tool_problems(many) == [f"{MAX_TOOLS + 1} tools; at most {MAX_TOOLS}"]
    assert tool_problems(many[:-1]) == []


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        (with_property({"type": "string", "pattern": "(a+)+$"}), "pattern"),
        (with_property({"items": {"pattern": "x"}}), "pattern"),
        (with_property({"items": [{"pattern": "x"}]}), "pattern"),
        (with_property({"anyOf": [{"type": "string"}, {"pattern": "x"}]}), "pattern"),
        ({"type": "object", "patternProperties": {"x": {}}}, "patternProperties"),
        ({"type": "object", "propertyNames": {"pattern": "x"}}, "pattern"),
        (with_property({"$ref": "#"}), "$ref"),
        (with_property({"$ref": "http://127.0.0.1:1/schema"}), "$ref"),
        (with_property({"$dynamicRef": "#a"}), "$dynamicRef"),
        ({"type": "object", "$recursiveRef": "#"}, "$recursiveRef"),
        ({"type": "object", "$defs": {"d": {"pattern": "x"}}}, "pattern"),
        ({"type": "object", "additionalProperties": {"pattern": "x"}}, "pattern"),
        ({"type": "object", "if": {"properties": {"a": {"pattern": "x"}}}}, "pattern"),
        ({"type": "object", "unheard": {"of": {"$ref": "#"}}}, "$ref"),
    ],
)
def test_what_stalls_a_grammar_is_refused(schema: Schema, keyword: str) -> None:
    assert f"{keyword} not accepted" in tool_problems([tool("f", schema)])[0]


@pytest.mark.parametrize("name", ["pattern", "$ref", "patternProperties", "properties", "enum"])
def test_a_property_may_have_any_name(name: str) -> None:
    schema = with_property({"type": "string"}, name) | {"required": [name]}
    assert tool_problems([tool("f", schema)]) == []


def test_values_are_no_keywords() -> None:
    schema = with_property({"enum": [{"pattern": "x"}], "default": {"$ref": "y"}})
    assert tool_problems([tool("f", schema)]) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": 5},
        {"type": "object", "required": "a"},
        with_property({"type": "str"}),
        with_property({"type": "string", "minLength": -1}),
        with_property(5),
        with_property({"enum": "a"}),
        {"type": "object", "$schema": "http://127.0.0.1:1/own"},
        with_property({"description": "\ud800"}),
    ],
)
def test_what_is_no_schema_is_refused(parameters: Schema) -> None:
    assert "no valid JSON schema" in tool_problems([tool("f", parameters)])[0]


@pytest.mark.parametrize("parameters", [None, 5, [], "object", {}, {"type": "array"}, True])
def test_parameters_are_an_object_schema(parameters: Any) -> None:
    made = tool("f")
    made["function"]["parameters"] = parameters
    assert tool_problems([made]) == ["tool f: parameters must be a JSON schema of type object"]


@pytest.mark.parametrize("name", ["", "a b", "1st", "é", "a" * 65, "a\n", "a(b)", "<|im_end|>"])
def test_a_tool_has_a_plain_name(name: str) -> None:
    assert "is no function name" in tool_problems([tool(name)])[0]


def test_names_are_there_once() -> None:
    twice = [tool("b"), tool("a"), tool("b"), tool("a"), tool("c")]
    assert tool_problems(twice) == ["tool 'b' is there twice", "tool 'a' is there twice"]


def test_every_bad_tool_is_named() -> None:
    problems = tool_problems([tool("a b"), 5, PING, tool("f", with_property({"pattern": "x"}))])
    assert [problem.partition(":")[0] for problem in problems] == ["tool 0", "tool 1", "tool f"]


@given(JSON)
@settings(max_examples=150)
def test_hostile_tools_never_raise(value: Any) -> None:
    for tools in (value, [value], [{"function": value}], [tool("f", value)]):
        assert isinstance(tool_problems(tools), list)
    schema = {"type": "object", "properties": value}
    if not tool_problems([tool("f", schema)]):
        validator(schema).is_valid({})


def test_equal_schemas_share_a_validator() -> None:
    one, other = {"type": "object", "required": ["a"]}, {"required": ["a"], "type": "object"}
    assert validator(one) is validator(other)


# the typed answers


def accepts(schema: Schema, answer: Any) -> bool:
    return bool(jsonschema_rs.validator_for(schema).is_valid(answer))


def call(name: str, **arguments: Any) -> Schema:
    return {"name": name, "arguments": arguments}


GOOD_ACTIONS = [
    {"say": "Hello.", "calls": []},
    {"say": "", "calls": [call("cancel", order_id="o1", reason="late")]},
    {"say": "", "calls": [call("ping"), call("cancel", order_id="o1", lines=[1, 2])]},
]
BAD_ACTIONS = [
    {},
    {"say": "x"},
    {"calls": []},
    {"say": None, "calls": []},
    {"say": "x", "calls": {}},
    {"say": "x", "calls": [], "thought": "y"},
    {"say": "x", "calls": ["ping"]},
    {"say": "x", "calls": [{"name": "ping"}]},
    {"say": "x", "calls": [{"name": "ping", "arguments": "{}"}]},
    {"say": "x", "calls": [{**call("ping"), "id": 1}]},
    {"say": "x", "calls": [call("ping")] * (MAX_CALLS + 1)},
    [],
    "x",
    None,
]
WRONG_CALLS = [
    {"say": "", "calls": [call("pay")]},
    {"say": "", "calls": [call("cancel")]},
    {"say": "", "calls": [call("cancel", order_id=5)]},
    {"say": "", "calls": [call("cancel", order_id="o1", reason="bored")]},
    {"say": "", "calls": [call("cancel", order_id="o1", lines=[1.5])]},
    {"say": "", "calls": [call("cancel", order_id="o1", force=True)]},
]


@pytest.mark.parametrize("answer", GOOD_ACTIONS)
def test_good_actions_are_accepted(answer: Schema) -> None:
    assert accepts(action([CANCEL, PING]), answer)
    assert accepts(ACTION, answer)


@pytest.mark.parametrize("answer", BAD_ACTIONS)
def test_bad_actions_are_refused(answer: Any) -> None:
    assert not accepts(action([CANCEL, PING]), answer)
    assert not accepts(ACTION, answer)


@pytest.mark.parametrize("answer", WRONG_CALLS)
def test_wrong_calls_are_kept_from_the_agent_and_judged_tool_by_tool(answer: Schema) -> None:
    assert not accepts(action([CANCEL, PING]), answer)
    assert accepts(ACTION, answer)
    assert call_problems(answer["calls"], [CANCEL, PING], 3)


@pytest.mark.parametrize("tools", [[], [PING]])
def test_an_action_with_few_tools(tools: list[Any]) -> None:
    schema = action(tools)
    assert accepts(schema, {"say": "x", "calls": []})
    assert accepts(schema, {"say": "", "calls": [call("ping")]}) == bool(tools)
    assert not accepts(schema, {"say": "", "calls": [call("pong")]})


def test_call_problems_name_code_place_and_mistake() -> None:
    calls = [call("pay"), call("cancel", order_id="o1", lines=[1, "x"]), call("ping")]
    unknown, bad = call_problems(calls, [CANCEL, PING], 3)
    assert (unknown.code, unknown.at) == ("unknown_tool", 3)
    assert unknown.detail == "'pay'; known: cancel, ping"
    assert (bad.code, bad.at) == ("bad_arguments", 3)
    assert bad.detail.startswith("cancel /lines/1: ")
    assert call_problems([], [CANCEL], 0) == []
    assert call_problems(GOOD_ACTIONS[2]["calls"], [CANCEL, PING], 0) == []


def test_a_boolean_is_no_number_of_an_argument() -> None:
    calls = [call("cancel", order_id="o1", lines=[True])]
    assert call_problems(calls, [CANCEL], 0)[0].code == "bad_arguments"


def test_the_text_of_a_problem_is_bounded() -> None:
    calls = [call("cancel", order_id="o1", reason="x" * 100_000)]
    assert len(call_problems(calls, [CANCEL], 0)[0].detail) < 400


EFFECTS = [
    {"op": "set", "path": "/orders/o1/status", "value": "sent"},
    {"op": "remove", "path": "/orders/o2"},
]


def answer(**changes: Any) -> Schema:
    made = {"applies": True, "why": "it is there", "effects": EFFECTS, "observation": "done"}
    return made | changes


@pytest.mark.parametrize("kind", ["write", None])
def test_a_world_answer(kind: str | None) -> None:
    schema = world_answer(kind, json_observation=False)
    assert accepts(schema, answer())
    assert accepts(schema, answer(effects=[]))
    assert accepts(schema, answer(applies=False, effects=[], observation="Error: no"))
    assert not accepts(schema, answer(effects=EFFECTS * 5))


def test_a_read_has_no_room_for_effects() -> None:
    schema = world_answer("read", json_observation=False)
    assert accepts(schema, answer(effects=[]))
    assert not accepts(schema, answer())


@pytest.mark.parametrize(
    ("observation", "as_text", "as_json"),
    [
        ("done", True, False),
        ("", True, False),
        ({"a": 1}, False, True),
        ([], False, True),
        (None, False, False),
        (5, False, False),
        (True, False, False),
    ],
)
def test_an_observation_has_the_form_of_the_real_ones(
    observation: Any, as_text: bool, as_json: bool
) -> None:
    made = answer(observation=observation)
    assert accepts(world_answer("write", json_observation=False), made) == as_text
    assert accepts(world_answer("write", json_observation=True), made) == as_json


@pytest.mark.parametrize(
    "changes",
    [
        {"applies": "yes"},
        {"applies": 1},
        {"why": None},
        {"effects": {}},
        {"effects": [{"op": "set"}]},
        {"effects": [{"path": "/a"}]},
        {"effects": [{"op": "replace", "path": "/a", "value": 1}]},
        {"effects": [{"op": "set", "path": ["a"], "value": 1}]},
        {"effects": [{"op": "set", "path": "/a", "value": 1, "note": "x"}]},
        {"effects": ["none"]},
        {"more": 1},
    ],
)
def test_bad_world_answers_are_refused(changes: Schema) -> None:
    assert not accepts(world_answer("write", json_observation=False), answer(**changes))


def test_every_effect_can_be_said() -> None:
    schema = world_answer(None, json_observation=False)
    for op in OPS:
        assert accepts(schema, answer(effects=[{"op": op, "path": "/a", "value": {"n": [None]}}]))


@pytest.mark.parametrize("without", ["applies", "why", "effects", "observation"])
def test_nothing_may_be_left_out(without: str) -> None:
    made = answer()
    del made[without]
    assert not accepts(world_answer("write", json_observation=False), made)


def test_the_user_and_the_scenario() -> None:
    assert accepts(USER, {"say": "hi", "done": False, "outcome": "success"})
    assert not accepts(USER, {"say": "hi", "done": "no", "outcome": "success"})
    assert not accepts(USER, {"say": "hi", "done": True, "outcome": "maybe"})
    assert not accepts(USER, {"say": "hi", "done": True})
    assert accepts(scenario(False, False, guide=True), {"instruction": "You want a refund."})
    long = {"instruction": "x" * (INSTRUCTION_CHARS + 1)}
    assert not accepts(scenario(False, False, guide=True), long)
    assert accepts(scenario(False, False, guide=False), long)
    assert accepts(scenario(True, True, guide=False), long)
    assert not accepts(scenario(False, False, guide=False), {"instruction": "x", "effects": []})
    assert not accepts(scenario(False, False, guide=True), {"instruction": "x", "effects": []})
    assert accepts(scenario(True, True, guide=True), {"instruction": "x", "effects": EFFECTS})
    planned = {"instruction": "x", "effects": [], "goal": [{"path": "/a", "equals": 1}]}
    assert accepts(scenario(True, True, guide=True), planned)
    assert not accepts(scenario(True, False, guide=True), planned)
    assert not accepts(scenario(False, True, guide=True), planned)
    for bad in ({"path": "/a"}, {"equals": 1}, {"path": "/a", "equals": 1, "exists": True}):
        assert not accepts(scenario(True, True, guide=True), {**planned, "goal": [bad]})
        assert accepts(scenario(True, True, guide=False), {**planned, "goal": [bad]})
    assert not accepts(
        scenario(True, True, guide=True), {"instruction": "x", "effects": EFFECTS * 4}
    )


def story(*turns: Schema, **changes: Any) -> Schema:
    return {"turns": list(turns), "outcome": "success"} | changes


USER_TURN = {"role": "user", "say": "Cancel o1."}
CALLING = {"role": "agent", "say": "", "calls": [call("cancel", order_id="o1")]}
WORLD_TURN = {"role": "world", "answers": [answer()]}
LAST_TURN = {"role": "agent", "say": "Done.", "calls": []}


@pytest.mark.parametrize(
    "good",
    [
        story(USER_TURN, CALLING, WORLD_TURN, LAST_TURN),
        story(USER_TURN, LAST_TURN, outcome="refusal"),
        story({"role": "world", "answers": [answer(observation={"a": 1})]}),
        story(),
    ],
)
def test_good_stories_are_accepted(good: Schema) -> None:
    assert accepts(authored([CANCEL, PING]), good)
    assert accepts(AUTHORED, good)


@pytest.mark.parametrize(
    "bad",
    [
        {"turns": []},
        story(outcome="done"),
        story({"role": "user"}),
        story({"role": "system", "say": "x"}),
        story({"role": "user", "say": "x", "calls": []}),
        story({"role": "agent", "say": "x"}),
        story({"role": "world", "answers": []}),
        story({"role": "world", "answers": [answer()] * (MAX_CALLS + 1)}),
        story({"role": "world", "answers": [answer(observation=5)]}),
        story({"role": "world", "say": "x"}),
        story("Hello."),
    ],
)
def test_bad_stories_are_refused(bad: Schema) -> None:
    assert not accepts(authored([CANCEL, PING]), bad)
    assert not accepts(AUTHORED, bad)


def test_a_story_guides_calls_and_judges_them_later() -> None:
    wrong = story(USER_TURN, {"role": "agent", "say": "", "calls": [call("pay")]})
    assert not accepts(authored([CANCEL, PING]), wrong)
    assert accepts(AUTHORED, wrong)


def test_schemas_are_not_changed_by_making_others() -> None:
    shared = [ACTION, AUTHORED, USER, scenario(True, True, guide=True)]
    before = copy.deepcopy(shared)
    action([CANCEL])["properties"]["say"] = "changed"
    authored([PING])["properties"]["turns"] = "changed"
    world_answer("read", json_observation=True)["properties"]["effects"]["maxItems"] = 99
    assert shared == before


def test_validators_are_known_by_identity_and_shared_by_equals() -> None:
    one, other = {"type": "string"}, {"type": "integer"}
    assert validator(one) is validator(one)
    assert validator(one) is validator(dict(one))
    assert validator(other).is_valid(3)
    assert not validator(one).is_valid(3)
    made = [{"type": "integer", "minimum": n} for n in range(3000)]  # more than are remembered
    for n, schema in enumerate(made):
        assert validator(schema).is_valid(n)
        assert not validator(schema).is_valid(n - 1)


# reading an answer

SAID = {"say": "hi", "done": False, "outcome": "success"}
TEXT = json.dumps(SAID)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"  \n{TEXT}\n\n",
        f"```\n{TEXT}\n```",
        f"```json\n{TEXT}\n```",
        f"\n```json \n{TEXT}\n  ```\n",
        json.dumps(SAID, indent=2),
    ],
)
def test_an_answer_with_or_without_one_fence(text: str) -> None:
    assert parse_answer(text, USER) == SAID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "```",
        "```json",
        "```json\n```",
        "null",
        "[]",
        "5",
        '"text"',
        TEXT[:-1],
        TEXT + TEXT,
        TEXT + "\n" + TEXT,
        f"{TEXT} Have a nice day.",
        f"Sure! {TEXT}",
        f"```json\n{TEXT}",
        f"{TEXT}\n```",
        f"```python\n{TEXT}\n```",
        f"```json\n{TEXT}\n```\n```json\n{TEXT}\n```",
        f"```json\n{TEXT}\n``` and more",
        TEXT.replace('"', "'"),
        TEXT.replace("false", "False"),
        TEXT[:-1] + ",}",
        '{"say": "hi", "done": NaN, "outcome": "success"}',
        '{"say": Infinity}',
        '{"say": "\x00"}',
        "\ufeff" + TEXT,
    ],
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(text, USER)


def test_an_answer_that_breaks_its_schema_says_where() -> None:
    with pytest.raises(BadAnswer, match=r"effects/0/op: .*replace"):
        parse_answer(
            json.dumps(answer(effects=[{"op": "replace", "path": "/a"}])),
            world_answer("write", json_observation=False),
        )
    with pytest.raises(BadAnswer, match="the answer: "):
        parse_answer("[]", ANY)
    with pytest.raises(BadAnswer) as caught:
        parse_answer(json.dumps({"say": ["x" * 100_000]}), USER)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1" * 30, str(2**63), str(-(2**63) - 1), "9" * 5000]
)
def test_numbers_that_others_cannot_read_are_refused(number: str) -> None:
    with pytest.raises(BadAnswer, match="too large"):
        parse_answer(f'{{"n": {number}}}', ANY)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.7e308, 0, -0.0, 1e-320])
def test_other_numbers_are_kept(number: float) -> None:
    assert parse_answer(json.dumps({"n": number}), ANY) == {"n": number}


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": 1}', '{"a": ["x\\udc00y"]}'])
def test_characters_that_cannot_be_stored_are_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(text, ANY)


def test_other_characters_are_kept() -> None:
    assert parse_answer('{"a": "\\ud83d\\ude42 é \\u0000"}', ANY) == {"a": "🙂 é \0"}


def test_depth_of_an_answer_is_bounded() -> None:
    def deep(depth: int) -> str:
        return '{"a": ' + "[" * (depth - 2) + "1" + "]" * (depth - 2) + "}"

    assert parse_answer(deep(MAX_ANSWER_DEPTH), ANY)
    for depth in (MAX_ANSWER_DEPTH + 1, 500, 5000, 200_000):
        with pytest.raises(BadAnswer, match="nests"):
            parse_answer(deep(depth), ANY)


@pytest.mark.parametrize(
    "text",
    [
        "```json" + "\n" * 100_000,
        "```\n" + " \n" * 100_000 + "x",
        "{" * 100_000,
        '{"say": "' + "a" * 1_000_000,
        "`" * 100_000,
        "\\" * 100_000,
    ],
    ids=["newlines", "blank lines", "braces", "long", "ticks", "backslashes"],
)
def test_a_broken_answer_costs_no_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(BadAnswer):
        parse_answer(text, USER)
    assert time.perf_counter() - started < 2


@given(st.text(alphabet='{}[]",:`\\u0dnetrufalsi19.- \n', max_size=40))
@settings(max_examples=150)
def test_any_text_is_an_answer_or_refused(text: str) -> None:
    try:
        value = parse_answer(text, ANY)
    except BadAnswer:
        return
    assert isinstance(value, dict)
    json.dumps(value, allow_nan=False).encode("utf-8")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-9, 9)))
@settings(max_examples=40)
def test_what_can_be_stored_is_read_back(value: dict[str, int]) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


def test_a_guide_lets_paths_begin_only_as_pointers_do() -> None:
    answer = {"applies": True, "why": "", "observation": "ok"}
    fits = answer | {"effects": [{"op": "remove", "path": "/orders/W1"}]}
    misfit = answer | {"effects": [{"op": "remove", "path": "W1"}]}
    guide, held_to = world_answer("write", False, guide=True), world_answer("write", False)
    assert validator(guide).is_valid(fits)
    assert not validator(guide).is_valid(misfit)
    assert validator(held_to).is_valid(misfit)  # the ledger tells what is wrong with it
    plan = {"instruction": "You want W1.", "effects": misfit["effects"], "goal": []}
    assert not validator(scenario(True, True, guide=True)).is_valid(plan)
    assert validator(scenario(True, True, guide=False)).is_valid(plan)
