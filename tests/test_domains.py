"""A domain folder's own files: what `domain.yaml` declares is checked when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trajgen.declared import answer
from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.importers import Imported, write_domain
from trajgen.loading import shipped
from trajgen.records import Call, Domain
from trajgen.seeds import SeedSet, check_source, load_seeds

LAMP = {"type": "string"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"lamp": LAMP}, "required": ["lamp"]},
        },
    }
    for name in ("read_lamp", "light_lamp", "paint_lamp")
]
HEAD = "name: lamps\nlicense: MIT\ntools:\n"
READ = "  read_lamp: {reads: '/lamps/{lamp}'}\n"
LIGHT = "  light_lamp: {writes: {path: '/lamps/{lamp}/power', value: 'on'}}\n"
MESSAGES = [
    {"role": "user", "content": "Light lamp L1."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "light_lamp", "arguments": {"lamp": "L1"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": '{"ok": true}'},
    {"role": "assistant", "content": "Lamp L1 is lit."},
]
ON = {"op": "set", "path": "/lamps/L1/power", "value": "on"}


def folder(path: Path, tools: str = READ + LIGHT, line: Any = None) -> Path:
    (path / "domain.yaml").write_text(HEAD + tools, "utf-8")
    (path / "policy.md").write_text("Light lamps.", "utf-8")
    (path / "tools.json").write_text(json.dumps(TOOLS), "utf-8")
    (path / "state.json").write_text('{"lamps": {"L1": {"power": "off"}}}', "utf-8")
    seed = {"id": "lit", "messages": MESSAGES, "meta": {"outcome": "success"}} | (line or {})
    (path / "trajectories.jsonl").write_text(json.dumps(seed) + "\n", "utf-8")
    return path


def test_what_is_declared_is_plain_data_and_says_its_kind(tmp_path: Path) -> None:
    found = load_domain(folder(tmp_path, READ + LIGHT + "  paint_lamp: {kind: write}\n"))
    assert found.semantics == {
        "read_lamp": {"reads": "/lamps/{lamp}"},
        "light_lamp": {"writes": {"path": "/lamps/{lamp}/power", "value": "on"}},
    }
    assert found.kinds == {"read_lamp": "read", "light_lamp": "write", "paint_lamp": "write"}
    result = answer(found, Call("c", "light_lamp", {"lamp": "L1"}, 1), found.state)
    assert result is not None
    assert result.effects == (ON,)


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ("  read_lamp: {require: []}\n", "unknown key 'tools.read_lamp.require'; did you mean 're"),
        ("  read_lamp: {}\n", "tools.read_lamp: needs a kind"),
        ("  read_lamp: {kind: reads}\n", "tools.read_lamp.kind"),
        ("  read_lamp: {kind: write, reads: /lamps}\n", "kind is write, yet it has no writes"),
        ("  light_lamp: {kind: read, writes: {path: /x, value: 1}}\n", "kind is read, yet it has"),
        ("  read_lamp: {reads: '/lamps/{lam}'}\n", "tools.read_lamp.reads: {lam} is no argument"),
        ("  read_lamp: {says: 'Error: x'}\n", "tools.read_lamp.says"),
        ("  read_lamp: {says: '<|im_end|>'}\n", "control token"),
        ("  raed_lamp: {reads: /lamps}\n", "unknown tool 'raed_lamp'"),
        ("  read_lamp: {reads: }\n", "tools.read_lamp.reads: None is no JSON pointer"),
    ],
)
def test_a_mistake_is_told_with_file_tool_and_key(tmp_path: Path, tools: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        load_domain(folder(tmp_path, tools))
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_every_wrong_tool_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_domain(folder(tmp_path, "  read_lamp: {says: '{x}'}\n  light_lamp: {reads: x}\n"))
    assert "tools.read_lamp.says" in caught.value.what
    assert "tools.light_lamp.reads" in caught.value.what
    assert caught.value.where.endswith("domain.yaml")


# seeds


def refused(path: Path, **line: Any) -> str:
    """Why the folder's one seed is quarantined; "" when it is not."""
    _, lines = check_source(str(folder(path, line=line)))
    return "".join(entry["reason"] for entry in lines)


def test_a_seed_that_code_would_have_given_is_one(tmp_path: Path) -> None:
    assert refused(tmp_path) == ""
    effects = {"outcome": "success", "effects": {"c1": [ON]}, "applies": {"c1": True}}
    assert refused(tmp_path, meta=effects) == ""


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"effects": {}}, "effect_missing at message 1 (c1): light_lamp /lamps/L1/power: expected"),
        ({"effects": {"c1": [{**ON, "value": "dim"}]}}, 'expected "on", found "dim"'),
        ({"effects": {"c1": [ON]}, "applies": {"c1": False}}, "false_refusal at message 1 (c1)"),
        ({"effects": {"c1": [ON]}, "applies": {"c1": "yes"}}, "meta.applies"),
        ({"effects": {"c1": [ON]}, "applies": {"c9": True}}, "not there: c9"),
    ],
)
def test_recorded_effects_and_applies_are_held_against_code(
    tmp_path: Path, meta: dict[str, Any], told: str
) -> None:
    assert told in refused(tmp_path, meta=meta)


def test_a_wrong_observation_is_told_with_message_and_pointer(tmp_path: Path) -> None:
    wrong = [dict(message) for message in MESSAGES]
    wrong[2]["content"] = '{"ok": true, "power": "on"}'
    told = refused(tmp_path, messages=wrong)
    assert told.startswith("contradicts_state at message 2: light_lamp /power: expected nothing")
    wrong[2]["content"] = '{"error": "no such lamp"}'
    assert refused(tmp_path, messages=wrong).startswith("false_refusal at message 1")


def test_a_seeds_own_state_counts(tmp_path: Path) -> None:
    gone = {"lamps": {"L1": {"power": 3}}}
    assert refused(tmp_path, state=gone).startswith("precondition_violated at message 1")


# what belongs to a domain


def test_semantics_decide_the_digest(tmp_path: Path) -> None:
    first = load_seeds((str(folder(tmp_path)),)).digest
    again = load_seeds((str(folder(tmp_path)),)).digest
    other = load_seeds((str(folder(tmp_path, LIGHT + "  read_lamp: {kind: read}\n")),)).digest
    assert first == again != other


@pytest.mark.parametrize("name", ["household", "retail_support", "chemistry_lab"])
def test_a_written_domain_reads_back_the_same(tmp_path: Path, name: str) -> None:
    source = str(shipped("seeds") / name)
    found = load_seeds((source,))
    domain = found.domains[name]
    write_domain(Imported(domain, found.seeds), tmp_path / "copy")
    again = load_domain(tmp_path / "copy")
    assert again == domain
    assert check_source(str(tmp_path / "copy")) == (len(found.seeds), [])


def test_our_domains_use_all_three_styles() -> None:
    def declared(name: str) -> tuple[int, int]:
        domain: Domain = load_domain(shipped("seeds") / name)
        return len(domain.semantics), len(domain.tools)

    assert declared("household") == (11, 11)
    assert declared("retail_support") == (7, 12)
    assert declared("chemistry_lab")[0] == 0


def test_the_language_has_no_code_in_it() -> None:
    """`domain.yaml` is data: it stays so when it is read as nothing but YAML and JSON."""
    for name in ("household", "retail_support"):
        data = yaml.safe_load((shipped("seeds") / name / "domain.yaml").read_text("utf-8"))
        assert json.loads(json.dumps(data)) == data


def test_a_seed_set_without_semantics_has_a_digest_too() -> None:
    assert SeedSet({"d": Domain("d", "", ())}, (), ()).digest
