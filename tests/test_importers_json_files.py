"""Streams of JSON rows: every row once, under its number, whatever the file looks like."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.errors import InputError
from trajgen.importers import json_files, json_text
from trajgen.importers.json_files import members, read
from trajgen.importers.problem import Problem

ROWS = [{"a": 1}, {"b": 'x]}\\"[{'}, {"c": {"d": [[], {}]}}, {"e": "ä\u2028"}]


def found(path: Path, text: bytes | str) -> list[Any]:
    """(number, row) of every row; of a problem only that it is one."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [(n, Problem if isinstance(row, Problem) else row) for n, row in read(path)]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(row) for row in ROWS),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps(ROWS, ensure_ascii=False),
        json.dumps(ROWS, indent=1),
    ],
    ids=["lines", "objects over lines", "a list in one line", "a list"],
)
@pytest.mark.parametrize("piece", [1, 2**20])
def test_rows_come_out_in_order(
    tmp_path: Path, bom: bytes, text: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "PIECE", piece)
    rows = [row for _, row in found(tmp_path / "x.json", bom + text.encode())]
    assert rows == ROWS


def test_a_broken_row_costs_itself_alone(tmp_path: Path) -> None:
    lines = '{"a": 1}\n\n{"a": [\n{"a": NaN}\n{"a": 1, "a": 2}\n{"a": 1e999}\n[1]\n{"a": 2}\n'
    numbers = [1, 3, 4, 5, 6, 7, 8]
    rows = [{"a": 1}, Problem, Problem, Problem, Problem, [1], {"a": 2}]
    assert found(tmp_path / "x.jsonl", lines) == list(zip(numbers, rows, strict=True))
    items = '[{"a": 1}, {"a": ]}, {"a": NaN}, 5, "s", {"a": [[[}, {"a": 2}]'
    rows = [{"a": 1}, Problem, Problem, Problem, Problem, Problem, {"a": 2}]
    assert [row for _, row in found(tmp_path / "x.json", items)] == rows
    bad = b'[{"a": "\xff"}, {"a": "\\ud83d"}]'
    assert [row for _, row in found(tmp_path / "x.json", bad)] == [Problem, {"a": "\ud83d"}]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"a": 1}', "ends before its list does"),
        ('[{"a": 1}, {"b": 2', "ends in the middle of this row"),
        ('[{"a": 1}] {"b": 2}', "more after the end"),
        ('[{"a": 1}] x', "more after the end"),
    ],
)
def test_a_file_that_was_cut_is_not_taken_for_whole(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    rows = [row for _, row in read(path)]
    assert rows[0] == {"a": 1}
    assert any(isinstance(row, Problem) and what in row for row in rows[1:])


def test_deep_nesting_and_overlong_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = '[{"a": ' + "[" * 99_999 + '}, {"b": 2}]'
    assert [row for _, row in found(tmp_path / "x.json", deep)] == [Problem, {"b": 2}]
    for module in (json_text, json_files):
        monkeypatch.setattr(module, "MAX_CHARS", 100)
        monkeypatch.setattr(module, "PIECE", 10)
    long = [{"a": 1}, {"b": "x" * 500, "c": "]"}, {"d": 2}]
    lines = "\n".join(map(json.dumps, long))
    for text in (json.dumps(long), lines):
        assert [row for _, row in found(tmp_path / "x.jsonl", text)] == [long[0], Problem, long[2]]


def test_what_is_empty_or_not_there(tmp_path: Path) -> None:
    for text in ("", " \n\n", "[]", "[ ]\n"):
        assert found(tmp_path / "x.json", text) == []
    with pytest.raises(InputError, match="cannot be read"):
        list(read(tmp_path / "none.json"))


def test_a_large_list_takes_little_memory(tmp_path: Path) -> None:
    path, row = tmp_path / "x.json", json.dumps({"messages": ["x" * 1000] * 10})
    with path.open("w") as file:
        file.write("[" + ",".join([row] * 600) + "]")  # 6 MB
    tracemalloc.start()
    assert sum(1 for _ in read(path)) == 600
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4.5 * 2**20


def test_members_of_one_object(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    data = {"name": "rows", "info": {"rows": [0]}, "rows": ROWS, "after": [{"x": 1}]}
    for indent in (None, 2):
        path.write_text(json.dumps(data, indent=indent))
        assert [row for _, row in members(path, "rows")] == ROWS
        assert list(members(path, "info")) == [(1, {"rows": [0]})]
        assert list(members(path, "none")) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)  # fmt: skip


@settings(max_examples=25)
@given(st.lists(st.dictionaries(st.text(max_size=3), JSON), min_size=1, max_size=4), st.booleans())
def test_any_rows_survive(rows: list[Any], ascii_only: bool) -> None:
    for indent in (None, 1):
        text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
        data = text.encode("utf-8", "surrogatepass")
        assert [row for _, row in json_text.items(io.BytesIO(data))] == rows
