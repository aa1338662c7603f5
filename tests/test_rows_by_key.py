"""Rows are found as a dictionary of lists finds them, in memory and in files."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise
from unittest.mock import Mock

import numpy as np
import pytest

from trajgen import rows_by_key
from trajgen.errors import CommitError
from trajgen.rows_by_key import RowsByKey
from trajgen.scratch import ScratchFile

KEYS = (0, 1, 7, 2**31, 2**32 - 2, 2**32 - 1)


def found(index: RowsByKey, keys: list[int]) -> list[list[int]]:
    """The rows of each key; every one must come once."""
    rows: list[list[int]] = [[] for _ in keys]
    for places, some in index.find(np.array(keys, np.uint64)):
        for place, row in zip(places.tolist(), some.tolist(), strict=True):
            rows[place].append(row)
    return [sorted(some) for some in rows]


@pytest.fixture(params=[False, True], ids=["in memory", "in small files"])
def _in_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        for name, value in {
            "BLOCK": 4, "IN_MEMORY": 16, "WINDOW": 12, "MOST": 5
        }.items():  # fmt: skip
            monkeypatch.setattr(rows_by_key, name, value)


@pytest.mark.usefixtures("_in_files")
@pytest.mark.parametrize("different", [3, 40, 4000])
def test_as_a_dictionary_finds_them(different: int) -> None:
    draw, index, known, row = (
        random.Random(different),
        RowsByKey(),
        defaultdict[int, list[int]](list),
        0,
    )
    for _ in range(60):
        keys = [
            draw.choice((*KEYS, *range(100, 100 + different))) for _ in range(draw.randrange(60))
        ]
        rows = list(range(row, row + len(keys)))
        index.add(np.array(keys, np.uint64), np.array(rows))
        row += len(keys)
        for key, its in zip(keys, rows, strict=True):
            known[key].append(its)
        asked = [draw.choice((*KEYS, 50, *range(100, 100 + different))) for _ in range(20)]
        assert found(index, asked) == [known[key] for key in asked]


@pytest.mark.usefixtures("_in_files")
def test_a_key_that_all_rows_have() -> None:
    index = RowsByKey()
    for start in range(0, 1000, 50):
        index.add(np.full(50, 9, np.uint64), np.arange(start, start + 50))
    assert found(index, [9, 8, 9]) == [list(range(1000)), [], list(range(1000))]


def test_a_full_disk_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_key, "IN_MEMORY", 16)
    index = RowsByKey()
    index.add(np.arange(30), np.arange(30))
    assert found(index, [3]) == [[3]]
    with monkeypatch.context() as patched:
        patched.setattr(ScratchFile, "append", Mock(side_effect=CommitError("full", "here")))
        with pytest.raises(CommitError, match="full"):
            index.add(np.arange(30), np.arange(30, 60))
    assert found(index, [3]) == [[3, 33]]


def test_nothing_is_found_in_nothing() -> None:
    assert found(RowsByKey(), [1, 2]) == [[], []]
    index = RowsByKey()
    index.add(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    assert found(index, []) == []


def test_parts_stay_few_and_large_ones_are_in_files() -> None:
    index, draw = RowsByKey(), np.random.default_rng(1)
    for start in range(0, 2 * rows_by_key.IN_MEMORY, 4096):
        index.add(draw.integers(0, 2**32, 4096), np.arange(start, start + 4096))
        assert found(index, []) == []  # sorts in
    sizes = [len(part) for part in index._parts]
    assert sum(sizes) == 2 * rows_by_key.IN_MEMORY
    assert all(one >= rows_by_key.RATIO * other for one, other in pairwise(sizes))
    assert isinstance(index._parts[0], rows_by_key._Filed)
