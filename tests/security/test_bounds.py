"""Schemas from data are bounded before anything is compiled from them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conversations import SHOP, calls, result, says, trajectory, user
from trajgen.bounds import (
    MAX_ALL_CHARS,
    MAX_CHARS,
    MAX_CHOICES,
    MAX_PROPERTIES,
    MAX_REPEATS,
    MAX_SCHEMAS,
    circles,
    out_of_bounds,
)
from trajgen.errors import InputError
from trajgen.filters.tools import check
from trajgen.importers import Imported
from trajgen.loading import find
from trajgen.records import Domain, Trajectory
from trajgen.schemas import action, call_problems, tool_problems
from trajgen.seeds import check_imported, load_seeds

Schema = dict[str, Any]


def given(schema: Any) -> Schema:
    return {"type": "object", "properties": {"a": schema}}


def tool(parameters: Schema, name: str = "f") -> Schema:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def wide(n: int) -> Schema:
    return {"type": "object", "properties": {f"p{i}": {} for i in range(n)}}


@pytest.mark.parametrize(
    ("at_bound", "beyond", "said"),
    [
        (wide(MAX_PROPERTIES), wide(MAX_PROPERTIES + 1), "properties; at most"),
        (given(wide(MAX_PROPERTIES)), given(wide(MAX_PROPERTIES + 1)), "properties; at most"),
        *(
            (given({"enum": list(range(n))}), given({"enum": list(range(n + 1))}), "an enum of")
            for n in (MAX_CHOICES,)
        ),
        *(
            (given({key: MAX_REPEATS}), given({"items": {key: MAX_REPEATS + 1}}), key)
            for key in ("minItems", "maxItems", "minProperties", "maxProperties")
        ),
        *(
            (given({key: [{}] * MAX_SCHEMAS}), given({key: [{}] * (MAX_SCHEMAS + 1)}), key)
            for key in ("anyOf", "oneOf", "allOf")
        ),
    ],
)
def test_numbers_are_bounded(at_bound: Schema, beyond: Schema, said: str) -> None:
    assert tool_problems([tool(at_bound)]) == []
    (problem,) = tool_problems([tool(beyond)])
    assert problem.startswith("tool f: ")
    assert said in problem


def test_all_tools_together_are_bounded() -> None:
    large = given({"description": "x" * (MAX_CHARS - 200)})
    many = [tool(large, f"f{n}") for n in range(MAX_ALL_CHARS // MAX_CHARS + 1)]
    assert tool_problems(many[:-1]) == []
    assert "all parameters take" in tool_problems(many)[0]


@pytest.mark.parametrize("key", ["maxItems", "enum", "properties", "anyOf"])
def test_a_property_may_be_named_like_a_bounded_keyword(key: str) -> None:
    assert out_of_bounds({"type": "object", "properties": {key: {"const": [10**9] * 2000}}}) == ""


def test_a_domain_with_such_a_tool_is_refused_with_its_name(tmp_path: Path) -> None:
    domain = Path(shutil.copytree(find("seeds/household"), tmp_path / "domain"))
    tools = json.loads((domain / "tools.json").read_text())
    tools[0]["function"]["parameters"]["properties"]["place"]["maxItems"] = 10**9
    (domain / "tools.json").write_text(json.dumps(tools))
    with pytest.raises(InputError, match=r"tool \w+: maxItems is 1e\+09; at most"):
        load_seeds((str(domain),))


def test_an_importer_brings_no_tool_out_of_bounds() -> None:
    bad = tool(given({"pattern": "(a+)+$"}))
    imported = Imported(Domain("somebody", "Be kind.", (bad,)), ())
    with pytest.raises(InputError, match="pattern not accepted") as caught:
        check_imported(imported.domain, imported.seeds, imported.refused, "hf:somebody/tools")
    assert caught.value.where == "hf:somebody/tools"


def test_long_bounds_of_texts_are_checked_and_not_compiled() -> None:
    """200 of them stalled xgrammar for minutes; a grammar needs none of them."""
    short, long = {"type": "string", "maxLength": 8}, {"type": "string", "maxLength": 40}
    inner = {"anyOf": [long, {"type": "array", "items": {**long, "minLength": 33}}]}
    schema = {"type": "object", "properties": {"maxLength": short, "b": long, "c": inner}}
    made = tool(schema)
    assert tool_problems([made]) == []
    (arguments,) = [action([made])["properties"]["calls"]["items"]["properties"]["arguments"]]
    text = {"type": "string"}
    either = {"anyOf": [text, {"type": "array", "items": text}]}
    assert arguments["properties"] == {"maxLength": short, "b": text, "c": either}
    (problem,) = call_problems([{"name": "f", "arguments": {"b": "x" * 41}}], [made], 1)
    assert problem.code == "bad_arguments"


@pytest.mark.slow
def test_the_worst_tools_within_bounds_compile_in_time() -> None:
    """By the compiler that vLLM asks, for a vocabulary of 5,000; each took at most seconds."""
    xgrammar = pytest.importorskip("xgrammar")
    words = [f"w{n}" for n in range(4700)] + [chr(n) for n in range(32, 256)] + ["</s>"]
    vocabulary = xgrammar.TokenizerInfo(words, stop_token_ids=[len(words) - 1])
    texts = {f"p{n}": {"type": "string", "maxLength": 1000 - n} for n in range(MAX_PROPERTIES)}
    short = {f"p{n}": {"type": "string", "maxLength": n % 32 + 1} for n in range(MAX_PROPERTIES)}
    lists: Schema = {"type": "string", "maxLength": 32}
    for n in range(8):
        lists = {"type": "array", "items": lists, "minItems": 900 + n, "maxItems": 990 + n}
    for parameters in (
        {"type": "object", "properties": texts, "required": list(texts)},
        {"type": "object", "properties": short},
        given(lists),
        given({"enum": [f"{n} {'x' * 60}" for n in range(MAX_CHOICES)]}),
        given({"anyOf": [given({"enum": [n]}) for n in range(MAX_SCHEMAS)]}),
        wide(MAX_PROPERTIES),
    ):
        made = tool(parameters)
        assert tool_problems([made]) == []
        began = time.process_time()
        xgrammar.GrammarCompiler(vocabulary, max_threads=1).compile_json_schema(
            json.dumps(action([made])), any_whitespace=False
        )
        assert time.process_time() - began < 20


# rows of other people's corpora

TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}


def bomb(levels: int) -> Schema:
    """Each definition holds the one below it twice."""
    definitions = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, levels)
    }
    last = {"$ref": f"#/$defs/d{levels - 1}"}
    return {**given(last), "$defs": {"d0": {"type": "string"}, **definitions}}


def either() -> Schema:
    """Two ways for each object inside an object."""
    ways = [
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/n"}}, "required": [key]}
        for key in ("p", "q")
    ]
    return {"$defs": {"n": {"anyOf": ways}}, "$ref": "#/$defs/n", "type": "object"}


@pytest.mark.parametrize(
    ("schema", "number"),
    [
        (given({"type": "string"}), 0),
        (TREE, 2),
        (either(), 2),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#"}}}, 1),
        (bomb(5), 0),
        (bomb(60), None),
        (given({"$ref": "http://127.0.0.1:1/schema"}), None),
        (given({"$ref": "file:///etc/passwd"}), None),
        (given({"$ref": "#/$defs/nothing"}), None),
    ],
)
def test_references_that_lead_back_are_counted(schema: Schema, number: int | None) -> None:
    assert circles(schema) == number


def nested(depth: int) -> Schema:
    value: Schema = {}
    for _ in range(depth):
        value = {"x": value}
    return value


def of_call(schema: Schema, arguments: Schema) -> Trajectory:
    said = calls(("c1", "f", arguments))
    return trajectory(user("a"), said, result("c1", "ok"), says("b"), tools=(tool(schema),))


@pytest.mark.parametrize(
    ("schema", "arguments", "said"),
    [
        (bomb(60), {"a": 1}, "not a valid JSON schema"),
        (either(), nested(60), "nests too deep"),
        (
            given({"type": "string", "pattern": "^(a|a)*(?<!c)$"}),
            {"a": "a" * 60 + "b"},
            "pattern|regex",
        ),
    ],
)
def test_a_hostile_schema_of_a_row_costs_no_time(
    schema: Schema, arguments: Schema, said: str
) -> None:
    """Without the bounds the first two are not done within a day."""
    began = time.process_time()
    (reason,) = check(of_call(schema, arguments), SHOP)
    assert time.process_time() - began < 2
    assert reason.code == "bad_arguments"
    assert any(word in reason.detail for word in said.split("|"))


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"left": {"left": {}, "right": {"right": {}}}}
    assert list(check(of_call(TREE, tree), SHOP)) == []
