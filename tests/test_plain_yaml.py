"""YAML is read as plain data; what would stall or fool the reader is refused with its line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline_files import job, mistake
from trajgen import plain_yaml
from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.plain_yaml import MAX_BYTES, MAX_DEPTH, parse_yaml, read_yaml
from trajgen.train.recipe import load_recipe


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "here.yaml")
    assert caught.value.exit_code == 2
    assert caught.value.where.startswith("here.yaml:")
    return str(caught.value)


def bomb(levels: int, opening: str = "[{}]") -> str:
    """Each line names the one before it nine times: 9**levels values."""
    first = "a0: &a0 [x]" if opening == "[{}]" else "a0: &a0 {x: 1}"
    others = (f"a{n}: &a{n} {opening.format(', '.join([f'*a{n - 1}'] * 9))}" for n in range(levels))
    return "\n".join([first, *list(others)[1:]])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("a: [1, -2.5, yes, 'x', 0x1F, 1e3]", {"a": [1, -2.5, True, "x", 31, "1e3"]}),
        (
            "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
            {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}},
        ),
        ("a: {<<: [{b: 1, c: 1}, {c: 2, d: 2}], d: 3}", {"a": {"b": 1, "c": 1, "d": 3}}),
        ("text: |\n  ü 😀\n  <<\n", {"text": "ü 😀\n<<\n"}),
    ],
)
def test_plain_data_is_read_as_yaml_reads_it(text: str, value: Any) -> None:
    assert parse_yaml(text, "x") == yaml.safe_load(text) == value


@pytest.mark.parametrize("opening", ["[{}]", "{{<<: [{}]}}"])
def test_an_alias_bomb_is_refused_at_once(opening: str) -> None:
    began = time.monotonic()
    assert "anchors stand for more than" in refused(bomb(30, opening))
    assert time.monotonic() - began < 5


def test_an_anchor_inside_itself_is_refused() -> None:
    for text in ("a: &a [*a]", "a: &a {b: {c: *a}}", "a: &a {<<: *a}"):
        assert "anchors nest deeper" in refused(text)


@pytest.mark.parametrize("text", ["[" * 500, "{a: " * 500, "- " * 500, "? " * 500])
def test_deep_nesting_is_refused_with_its_line(text: str) -> None:
    assert f"nests deeper than {MAX_DEPTH}" in refused(f"a: 1\nb:\n  {text}")
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")


def test_a_chain_of_anchors_is_no_way_around_the_depth() -> None:
    chain = "\n".join(["a0: &a0 []", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))])
    assert "anchors nest deeper" in refused(chain)


def test_a_huge_file_is_refused_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text(f"a: {'x' * MAX_BYTES}")
    with pytest.raises(InputError, match=f"larger than {MAX_BYTES} bytes"):
        read_yaml(path)
    with pytest.raises(InputError, match="larger than"):
        read_yaml(Path("/dev/zero"))


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "MAX_VALUES", 500)
    assert "more than 500 values" in refused(f"[{'1,' * 600}]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x: 1\na: 2024-01-05", "a: '2024-01-05' is no plain data but a date; put it in quotes"),
        ("x: 1\na: {b: .inf}", "a.b: '.inf' is no finite number"),
        ("x: 1\na: [0, .nan]", "a.1: '.nan' is no finite number"),
        ("x: 1\na: 9223372036854775808", "is no number within 64 bits"),
        (f"x: 1\na: 1{':1' * 400}", "is no number within 64 bits"),
        (f"x: 1\na: {'9' * 5000}", "is no number within 64 bits"),
        ("x: 1\na: !!int ''", "'' is no number within 64 bits"),
        ("x: 1\na: !!bool maybe", "'maybe' is no true or false"),
        ("x: 1\na: !!binary aGk=", "is no plain data"),
        ("x: 1\na: !!set {b}", "is no plain data"),
        ("x: 1\na: !!omap [b: 1]", "is no plain data"),
        ("x: 1\na: !!python/name:os.system ''", "is no plain data"),
        ("x: 1\na: !mine {b: 1}", "is no plain data"),
        ('x: 1\na: "\\ud800"', "a: it holds a character that no file can hold"),
        ("x: 1\n5: b", "the key 5 is no text; put it in quotes"),
        ("x: 1\nno: b", "the key False is no text; put it in quotes"),
        ("x: 1\n? {b: 1}\n: 2", "is no text"),
        ("x: 1\na: {b: 1, c: 2, b: 3}", "the key 'b' is given twice"),
        ("x: 1\n<<: [1]", "what << merges is a mapping"),
        ("x: 1\na: =", "is no plain data"),
    ],
)
def test_what_plain_data_cannot_hold_is_refused_with_line_and_key(text: str, said: str) -> None:
    told = refused(text)
    assert told.startswith("here.yaml:2: this is not valid YAML: ")
    assert said in told
    assert len(told) < 300


def test_every_kind_of_file_is_read_so(tmp_path: Path) -> None:
    """Pipeline, domain and recipe: one bomb, one message."""
    text = bomb(8)
    assert "anchors stand for more" in mistake(tmp_path / "job.yaml", text)
    (tmp_path / "domain.yaml").write_text(text)
    with pytest.raises(InputError, match="anchors stand for more"):
        load_domain(tmp_path)
    with pytest.raises(InputError, match="anchors stand for more"):
        load_recipe(str(tmp_path / "domain.yaml"))


def test_an_override_is_plain_data_too(tmp_path: Path) -> None:
    said = mistake(tmp_path / "job.yaml", job(), f"seeds={'[' * 200}")
    assert said.startswith("--set seeds: ")
    assert "nests deeper" in said


def test_a_file_that_is_wrong_all_over_is_told_in_a_few_lines(tmp_path: Path) -> None:
    wrong = {f"{'k' * 900}{n}": 1 for n in range(30)}
    said = mistake(tmp_path / "job.yaml", {**job(), **wrong})
    assert "and 20 more mistakes" in said
    assert len(said) < 5000
