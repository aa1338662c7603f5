"""Streams of JSON rows: every row once, under its number, whatever the file looks like."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from trajgen.errors import InputError
from trajgen.importers.corpus import json_files, json_text
from trajgen.importers.corpus.json_files import members, read
from trajgen.importers.corpus.problem import Problem

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


def test_any_rows_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn rows, of characters that mean something to JSON, in pieces that cut them anywhere."""
    rng = random.Random(7)

    def drawn(depth: int) -> Any:
        kind = rng.randrange(8 if depth < 3 else 6)
        if kind < 3:
            return "".join(rng.choices('"\\[]{},: aä\u2028\U0001f600\n', k=rng.randrange(6)))
        if kind < 6:
            return rng.choice([None, True, 0, -1, 10**30, 1e22, -0.5])
        inner = [drawn(depth + 1) for _ in range(rng.randrange(3))]
        return inner if kind == 6 else {str(drawn(9)): item for item in inner}

    for number in range(60):
        monkeypatch.setattr(json_text, "PIECE", rng.choice([1, 3, 17]))
        rows = [{str(drawn(9)): drawn(0)} for _ in range(rng.randrange(1, 5))]
        text = json.dumps(rows, indent=number % 2 or None, ensure_ascii=number % 3 == 0)
        assert [row for _, row in json_text.items(io.BytesIO(text.encode()))] == rows
