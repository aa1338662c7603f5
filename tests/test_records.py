"""Records: what is stored comes back the same, and holds no null keys."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.records import DETAIL_CHARS, Call, Domain, Reason, Step, Trajectory, calls_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)


def message(role: str, text: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"role": role, "content": text}
    if arguments is not None:
        function = {"name": "look_up", "arguments": arguments}
        made["tool_calls"] = [{"id": "call_0", "type": "function", "function": function}]
    return made


MESSAGE = st.builds(message, st.sampled_from(["user", "assistant"]), TEXT, st.none() | OBJECT)
EFFECT = st.builds(lambda path, value: {"op": "set", "path": path, "value": value}, TEXT, JSON)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    at = draw(st.integers(0, 9))
    verdicts = draw(st.lists(st.builds(Reason, TEXT, st.just(at), TEXT), max_size=2))
    return Step(
        message=at,
        call_id=draw(TEXT),
        tool=draw(TEXT),
        applies=draw(st.booleans()),
        why=draw(TEXT),
        effects=tuple(draw(st.lists(EFFECT, max_size=2))),
        source=draw(st.sampled_from(["model", "code", "real"])),
        state_before=draw(TEXT),
        state_after=draw(TEXT),
        attempts=draw(st.integers(1, 5)),
        fault=draw(st.none() | TEXT),
        agreement=draw(st.none() | st.floats(0, 1)),
        verdicts=tuple(verdicts),
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    return Trajectory(
        id=draw(TEXT),
        domain=draw(TEXT),
        messages=tuple(draw(st.lists(MESSAGE, max_size=3))),
        tools=tuple(draw(st.lists(OBJECT, max_size=2))),
        steps=tuple(draw(st.lists(steps(), max_size=2))),
        state_initial=draw(JSON),
        state_final=draw(JSON),
        scores=draw(OBJECT),
        n_tokens=draw(st.integers(0, 10**6)),
        reasons=tuple(draw(st.lists(TEXT, max_size=2))),
    )


def step(**changes: Any) -> Step:
    values: dict[str, Any] = {
        "message": 1,
        "call_id": "call_0",
        "tool": "cancel",
        "applies": True,
        "why": "",
        "effects": ({"op": "remove", "path": "/a"},),
        "source": "model",
        "state_before": "0" * 32,
        "state_after": "1" * 32,
    }
    return Step(**(values | changes))


@given(trajectories())
@settings(max_examples=80)
def test_a_row_comes_back_as_the_same_trajectory(trajectory: Trajectory) -> None:
    assert Trajectory.parse(trajectory.row()) == trajectory


@given(steps())
@settings(max_examples=80)
def test_a_step_survives_json_text(made: Step) -> None:
    assert Step.parse(json.loads(json.dumps(made.json()))) == made


def test_a_row_has_one_column_for_each_field_and_text_where_it_nests() -> None:
    made = Trajectory("t", "d", (message("user", "é\u2028🙂"),), state_initial={"n": [1, None]})
    row = made.row()
    assert list(row) == [field.name for field in fields(Trajectory)]
    assert row["messages"] == ['{"role":"user","content":"é\u2028🙂"}']
    assert row["state_initial"] == '{"n":[1,null]}'
    assert row["state_final"] == "null"
    assert row["scores"] == "{}"
    assert row["reasons"] == []


def test_nested_arguments_stay_a_dict() -> None:
    arguments = {"items": [{"id": "a", "n": 2}], "note": 'a "quoted" \\ text', "π": None}
    made = Trajectory("t", "d", (message("assistant", "", arguments),))
    stored = json.loads(made.row()["messages"][0])
    assert stored["tool_calls"][0]["function"]["arguments"] == arguments


def test_extra_and_missing_columns_are_no_error() -> None:
    row = {"id": "t", "domain": "d", "messages": [], "another": 5}
    made = Trajectory.parse(row)
    assert made == Trajectory("t", "d", ())
    assert made.scores == {}


def test_fault_and_agreement_are_left_out_when_there_is_none() -> None:
    plain = step().json()
    assert "fault" not in plain
    assert "agreement" not in plain
    assert None not in plain.values()
    full = step(fault="timeout", agreement=0.5).json()
    assert (full["fault"], full["agreement"]) == ("timeout", 0.5)


def test_a_stored_verdict_comes_back_at_the_message_of_its_step() -> None:
    made = step(message=7, verdicts=(Reason("bad_effect", 7, "no such path"),))
    assert made.json()["verdicts"] == [{"code": "bad_effect", "detail": "no such path"}]
    assert Step.parse(made.json()).verdicts == made.verdicts


@pytest.mark.parametrize(
    ("name", "value"),
    [("state_before", 5), ("state_after", None), ("call_id", ["c"]), ("message", "0"),
     ("message", True), ("applies", 1), ("effects", {"op": "add"}), ("verdicts", "none")],
)  # fmt: skip
def test_a_step_of_other_types_is_refused(name: str, value: Any) -> None:
    """Filters rely on them: in a row from elsewhere they may be anything."""
    with pytest.raises(TypeError, match=f"'{name}' of a step is a {type(value).__name__}"):
        Step.parse({**step().json(), name: value})


def test_stored_effects_are_copies() -> None:
    made = step()
    made.json()["effects"][0]["path"] = "/changed"
    assert made.effects[0]["path"] == "/a"


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        step().tool = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Reason("a").code = "b"  # type: ignore[misc]


def test_calls_come_in_order_with_the_message_that_made_them() -> None:
    two = message("assistant", "", {"a": 1})
    second = {"id": "call_1", "type": "function", "function": {"name": "pay", "arguments": {}}}
    two["tool_calls"].append(second)
    messages = [message("user", "hi"), two, message("assistant", "", {"b": 2})]
    expected = [
        Call("call_0", "look_up", {"a": 1}, 1),
        Call("call_1", "pay", {}, 1),
        Call("call_0", "look_up", {"b": 2}, 2),
    ]
    assert list(calls_of(messages)) == expected
    assert list(Trajectory("t", "d", tuple(messages)).calls()) == expected


def test_a_domain_finds_its_tools_by_name() -> None:
    tool = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}
    domain = Domain("d", "", (tool,))
    assert domain.tool("pay") == tool["function"]
    assert domain.tool("Pay") is None


def test_a_reason_as_json() -> None:
    assert Reason("empty_turn", 3).json() == {"code": "empty_turn", "at": 3, "detail": ""}


def test_a_detail_is_bounded_whoever_gives_it() -> None:
    """A megabyte of model text in a reason would land in rows, manifests and logs."""
    reason = Reason("bad_answer", 3, "x" * 1_000_000)
    assert len(reason.detail) == DETAIL_CHARS == 600
    assert reason.detail.endswith("x…")
    assert replace(reason, at=4).detail == reason.detail
    assert Reason("bad_answer", 3, "y" * 600).detail == "y" * 600
