"""Each format, from one trajectory: what it holds, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.conversations import TOOLS, calls, result, says, user
from tests.written_runs import TALK, rejected, trajectory
from trajgen.errors import InputError
from trajgen.exporters import EXPORTERS, Exporter, Source, Unfit, View, make_exporter
from trajgen.exporters.sharegpt import JOINED
from trajgen.loading import load_object
from trajgen.records import Message, Reason, Trajectory

SOURCE = Source(cast(Any, None))
VIEW = View("shop", {"train": 8, "eval": 2}, "", 2048)
ALONE = ("trl", "trl-unroll", "sharegpt", "swift", "axolotl", "verl", "openai", "atif")


def rows(format: str, made: Trajectory) -> list[dict[str, Any]]:
    return list(make_exporter(format, SOURCE).rows(made))


def row(format: str, messages: Sequence[Message] = TALK, **more: Any) -> dict[str, Any]:
    (one,) = rows(format, trajectory(0, messages=tuple(messages), **more))
    return one


def parsed(values: Sequence[str]) -> list[Any]:
    return [json.loads(value) for value in values]


@pytest.mark.parametrize("name", ALONE)
def test_rows_have_exactly_the_columns_of_their_schema(name: str) -> None:
    exporter = make_exporter(name, SOURCE)
    for one in exporter.rows(trajectory(0)):
        if exporter.schema is not None:
            assert list(one) == exporter.schema.names
        assert "W1001" in json.dumps(one)


def test_trl_holds_messages_and_tools_as_they_are() -> None:
    one = row("trl")
    assert (*parsed(one["messages"]),) == TALK
    assert (*parsed(one["tools"]),) == TOOLS
    assert (one["id"], one["n_tokens"]) == ("task-00000", 100)


def test_unrolled_is_a_row_for_each_turn_of_the_agent_with_all_that_came_before() -> None:
    made = rows("trl-unroll", trajectory(0))
    assert [one["turn"] for one in made] == [1, 3, 5, 8]
    for one in made:
        assert (*parsed(one["prompt"]),) == TALK[: one["turn"]]
        assert parsed(one["completion"]) == [TALK[one["turn"]]]


def test_sharegpt_alternates_and_keeps_text_beside_calls() -> None:
    one = row("sharegpt", [{"role": "system", "content": "Be brief."}, *TALK])
    said = [(turn["from"], turn["value"]) for turn in one["conversations"]]
    assert one["system"] == "Be brief."
    assert [role for role, _ in said] == [
        *("human", "function_call", "observation", "gpt"),
        *("human", "function_call", "observation", "gpt"),
    ]
    call = '{"name": "get_order", "arguments": {"order_id": "W1001"}}'
    assert said[1][1] == f"One moment.\n<tool_call>{call}</tool_call>"
    assert [c["name"] for c in json.loads(said[5][1])] == ["list_orders", "search"]
    assert json.loads(said[5][1])[0]["arguments"] == {}
    assert said[6][1] == f'[{{"order_id": "W1002"}}]{JOINED}nothing\nfound'
    assert json.loads(one["tools"]) == list(TOOLS)


def test_sharegpt_escapes_marks_inside_a_call() -> None:
    hostile = {"query": "<tool_call>x</tool_call> <think>"}
    one = row("sharegpt", [user("a"), calls(("c", "search", hostile)), result("c", ""), says("b")])
    text = one["conversations"][1]["value"]
    assert "<" not in text
    assert json.loads(text)["arguments"] == hostile


def test_answers_are_put_in_the_order_of_the_calls_where_places_alone_tell() -> None:
    made = calls(("a", "search", {"query": "1"}), ("b", "search", {"query": "2"}))
    talk = [user("x"), made, result("b", "two"), result("a", "one"), says("y")]
    assert row("sharegpt", talk)["conversations"][2]["value"] == f"one{JOINED}two"
    assert [m["content"] for m in row("swift", talk)["messages"][3:5]] == ["one", "two"]


def test_swift_has_a_message_for_each_call_and_result() -> None:
    one = row("swift")
    assert [m["role"] for m in one["messages"]] == [
        *("user", "assistant", "tool_call", "tool_response", "assistant"),
        *("user", "tool_call", "tool_call", "tool_response", "tool_response", "assistant"),
    ]
    assert json.loads(one["messages"][6]["content"]) == {"name": "list_orders", "arguments": {}}


def test_plain_columns_hold_arguments_as_text_and_say_what_is_trained_on() -> None:
    for name in ("axolotl", "verl"):
        call = row(name)["messages"][5]["tool_calls"][1]
        assert json.loads(call["function"]["arguments"]) == {"query": '{"a": [1e22, -0.0]}'}
        assert call["id"] == "call_2"
    trained = [m["role"] for m in row("axolotl")["messages"] if m["train"]]
    assert trained == ["assistant"] * 4


def test_openai_lines_have_arguments_as_text_and_no_further_key() -> None:
    one = row("openai")
    assert set(one) == {"messages", "tools"}
    function = one["messages"][1]["tool_calls"][0]["function"]
    assert function == {"name": "get_order", "arguments": '{"order_id": "W1001"}'}
    assert set(row("openai", [user("a"), says("b")], tools=())) == {"messages"}


def test_atif_places_results_beside_their_calls_and_the_rest_under_extra() -> None:
    one = row("atif")
    assert [s["source"] for s in one["steps"]] == ["user", "agent", "agent"] * 2
    assert [s["step_id"] for s in one["steps"]] == [1, 2, 3, 4, 5, 6]
    results = one["steps"][4]["observation"]["results"]
    assert [r["source_call_id"] for r in results] == ["call_1", "call_2"]
    assert one["extra"]["outcome"] == "success"
    assert [s["tool"] for s in one["extra"]["steps"]] == ["get_order", "list_orders", "search"]


UNFIT: dict[str, tuple[Sequence[Message], tuple[str, ...]]] = {
    "a tool message that answers nothing": (
        [user("a"), result("c", "b"), says("c")],
        ("sharegpt", "swift", "atif"),
    ),
    "a call without an answer": (
        [user("a"), calls(("c", "search", {})), says("b")],
        ("sharegpt", "swift"),
    ),
    "two calls of one id": (
        [user("a"), calls(("c", "x", {}), ("c", "y", {})), result("c", "1"), says("b")],
        ("sharegpt", "swift"),
    ),
    "two users in a row": ([user("a"), user("b"), says("c")], ("sharegpt", "swift")),
    "no answer at the end": ([user("a"), says("b"), user("c")], ("sharegpt", "swift")),
    "nothing": ([], ("sharegpt", "swift")),
    "a key that the format does not have": (
        [user("a"), {**says("b"), "weight": 0}],
        ("sharegpt", "swift", "axolotl", "verl"),
    ),
    "the mark that joins observations": (
        [
            user("a"),
            calls(("1", "x", {}), ("2", "y", {})),
            *(result("1", f"a{JOINED}b"), result("2", "c"), says("d")),
        ],
        ("sharegpt",),
    ),
    "marks of LLaMA-Factory beside a call": (
        [user("a"), calls(("c", "x", {}), text="<tool_call>"), result("c", "1"), says("b")],
        ("sharegpt",),
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_a_format_cannot_hold_is_refused_and_never_cut(what: str) -> None:
    messages, formats = UNFIT[what]
    for name in formats:
        with pytest.raises(Unfit):
            rows(name, trajectory(0, messages=tuple(messages)))


def test_preference_pairs_the_turn_that_was_rejected_with_the_one_that_was_kept() -> None:
    wrong = (*TALK[:3], says("It is shipped."))
    bad = rejected(7, Reason("contradicts_observation", 3, "x"), messages=wrong)
    worlds = rejected(8, Reason("bad_effect", 1, "x"), messages=TALK[:3])
    other = rejected(9, Reason("unknown_tool", 1, "x"), domain="other", messages=TALK[:2])
    exporter = make_exporter("preference", Source(cast(Any, _Run([bad, worlds, other]))))
    (pair,) = exporter.rows(trajectory(0))
    assert (*parsed(pair["prompt"]),) == TALK[:3]
    assert (parsed(pair["chosen"]), parsed(pair["rejected"])) == ([TALK[3]], [wrong[3]])
    assert (pair["id"], pair["rejected_id"]) == ("task-00000", "task-00007")
    assert list(exporter.rows(trajectory(1, messages=(user("x"), says("y"))))) == []


class _Run:
    """As much of a run as the preference exporter reads."""

    def __init__(self, made: Sequence[Trajectory]) -> None:
        self._made = made

    def rows(self, rejected: bool) -> Sequence[Trajectory]:
        return self._made if rejected else ()


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'sharegpt'"):
        make_exporter("sharegtp", SOURCE)
    with pytest.raises(InputError, match="cannot load"):
        make_exporter("no_such_module:Exporter", SOURCE)


def test_text_wants_a_template() -> None:
    with pytest.raises(InputError, match="--template"):
        make_exporter("text", SOURCE)


@pytest.mark.parametrize("name", EXPORTERS)
def test_what_comes_with_a_view_names_its_splits_and_is_in_its_language(name: str) -> None:
    kind: type[Exporter] = load_object(EXPORTERS[name])
    files = kind.files(cast(Any, None), VIEW)
    for file, text in files.items():
        if file.startswith("train."):
            assert "train" in text
            assert "2048" in text
        if file.endswith(".py"):
            compile(text, file, "exec")
        if file.endswith(".json"):
            json.loads(text)
