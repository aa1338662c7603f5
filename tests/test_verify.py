"""Damage of every kind is found by `verify`, and exactly the damaged shard is owed again."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crash.small_run import (
    LAST,
    PLANNED,
    REFUSED,
    contents,
    marks,
    open_run,
    result,
    run_all,
)

from trajgen import shards
from trajgen.errors import CommitError, InputError
from trajgen.run_record import read_record, record_bytes, totals
from trajgen.shards import dead_path, read_info, rejects_path, shard_path
from trajgen.verify import verify

SHARD = 1
NAME = "shards/train-00001.parquet"
Damage = Callable[[bytes, random.Random], bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    run_all(path)
    return path


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("part") / "run"
    with open_run(path) as folder:
        for number in range(3):
            folder.commit(result(number), marks(result(number)))
    return path


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    """A finished run to be damaged."""
    return shutil.copytree(whole, tmp_path / "run")


def owed(path: Path) -> list[int]:
    with open_run(path) as folder:
        done = folder.committed()
    return [number for number in range(LAST + 1) if number not in done]


def flipped(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def sweep(path: Path, tmp_path: Path, damage: Damage, times: int, missing: list[int]) -> None:
    good = shard_path(path, SHARD).read_bytes()
    draw = random.Random(7)
    for i in range(times):
        copy = shutil.copytree(path, tmp_path / str(i))
        bad = damage(good, draw)
        shard_path(copy, SHARD).write_bytes(bad)
        assert NAME in [problem["file"] for problem in verify(copy)], i
        assert owed(copy) == sorted([SHARD, *missing]), i
        assert (copy / "corrupt" / "train-00001.parquet").read_bytes() == bad
        assert not (copy / "manifest.json").exists()
        shutil.rmtree(copy)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flipped])
def test_a_damaged_shard_of_a_finished_run(whole: Path, tmp_path: Path, damage: Damage) -> None:
    sweep(whole, tmp_path, damage, 40, [])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flipped])
def test_a_damaged_shard_of_a_run_underway(part: Path, tmp_path: Path, damage: Damage) -> None:
    assert verify(part) == []
    sweep(part, tmp_path, damage, 20, [3])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flipped])
@pytest.mark.parametrize("finished", [True, False])
def test_many_damages(
    whole: Path, part: Path, tmp_path: Path, damage: Damage, finished: bool
) -> None:
    sweep(whole if finished else part, tmp_path, damage, 400, [] if finished else [3])


def swap(one: Path, two: Path) -> None:
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def test_a_deleted_shard(broken: Path) -> None:
    shard_path(broken, SHARD).unlink()
    assert NAME in [problem["file"] for problem in verify(broken)]
    assert owed(broken) == [SHARD]


@pytest.mark.parametrize("path", [rejects_path, dead_path])
def test_a_deleted_or_damaged_side_file(
    broken: Path, tmp_path: Path, path: Callable[[Path, int], Path]
) -> None:
    other = shutil.copytree(broken, tmp_path / "other")
    path(broken, SHARD).unlink()
    assert verify(broken)
    assert owed(broken) == [SHARD]
    path(other, SHARD).write_bytes(flipped(path(other, SHARD).read_bytes(), random.Random(3)))
    assert verify(other)
    assert owed(other) == [SHARD]


@pytest.mark.parametrize("path", [shard_path, rejects_path, dead_path])
def test_swapped_files(broken: Path, path: Callable[[Path, int], Path]) -> None:
    swap(path(broken, 0), path(broken, 2))
    found = {problem["file"] for problem in verify(broken)}
    assert {path(broken, n).relative_to(broken).as_posix() for n in (0, 2)} <= found
    assert owed(broken) == [0, 2]


@pytest.mark.parametrize(
    "name",
    ["shards/train-00004.parquet", "shards/train-00001 (copy).parquet", "shards/x", "more.parquet"],
)
def test_a_duplicated_shard(broken: Path, name: str) -> None:
    shutil.copy(shard_path(broken, SHARD), broken / name)
    assert verify(broken) == [{"file": name, "what": "is no file of this run"}]
    assert owed(broken) == []


def test_a_shard_over_another(broken: Path) -> None:
    shutil.copy(shard_path(broken, 0), shard_path(broken, 2))
    assert "other tasks" in verify(broken)[0]["what"]
    assert owed(broken) == [2]


def test_every_file_of_a_finished_run_is_guarded(broken: Path) -> None:
    good, draw = contents(broken), random.Random(5)
    for name, data in good.items():
        if data:
            for damage in (flipped, cut):
                (broken / name).write_bytes(damage(data, draw))
                assert verify(broken), (name, damage)
            (broken / name).write_bytes(data)
    assert verify(broken) == []


@pytest.mark.parametrize("damage", [cut, flipped])
def test_the_run_mends_itself(whole: Path, broken: Path, damage: Damage) -> None:
    draw = random.Random(11)
    for path in (shard_path(broken, 0), rejects_path(broken, 2), broken / "plan.parquet"):
        path.write_bytes(damage(path.read_bytes(), draw))
    (broken / "README.md").unlink()
    assert run_all(broken) == [0, 2]
    mended = contents(broken)
    aside = {name for name in mended if name.startswith("corrupt/")}
    assert {"corrupt/train-00000.parquet", "corrupt/plan.parquet"} <= aside
    assert {k: v for k, v in mended.items() if k not in aside} == contents(whole)
    assert verify(broken) == []


def test_what_is_set_aside_is_never_overwritten(broken: Path) -> None:
    for text in (b"first", b"second"):
        shard_path(broken, SHARD).write_bytes(text)
        assert run_all(broken) == [SHARD]
    kept = broken / "corrupt" / "train-00001.parquet"
    assert kept.read_bytes() == b"first"
    assert kept.with_name(f"{kept.name}.2").read_bytes() == b"second"


def test_a_footer_that_lies_is_found_in_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = shards.describe
    lies: list[dict[str, Any]] = [{"n_tokens": 99}, {"outcomes": {"failure": 2}}, {"reasons": {}}]
    with open_run(tmp_path) as folder:
        for number, lie in enumerate(lies):
            with monkeypatch.context() as patch:
                patch.setattr(shards, "describe", lambda *a, lie=lie: replace(honest(*a), **lie))
                folder.commit(result(number))
    assert [p["file"] for p in verify(tmp_path)] == [
        f"shards/train-0000{n}.parquet" for n in range(3)
    ]


def test_a_manifest_with_other_sums_is_found(broken: Path) -> None:
    path = broken / "manifest.json"
    record = read_record(path)
    assert record is not None
    record["totals"]["kept"] += 1
    path.write_bytes(record_bytes(record))
    assert [p["file"] for p in verify(broken)] == ["manifest.json"]
    assert run_all(broken) == []
    assert verify(broken) == []


def test_a_manifest_by_hand_is_found(broken: Path) -> None:
    path = broken / "manifest.json"
    data = json.loads(path.read_bytes())
    data["totals"]["kept"] = 3
    path.write_text(json.dumps(data))
    assert verify(broken) == [{"file": "manifest.json", "what": "is damaged"}]


def test_a_temporary_file_is_a_problem_only_when_finished(part: Path, broken: Path) -> None:
    for path in (part, broken):
        (path / "shards" / ".tmp-train-00003.parquet").write_bytes(b"half")
    assert verify(part) == []
    assert [p["what"] for p in verify(broken)] == ["is no file of this run"]
    (part / "shards" / ".tmp-train-00003.parquet").unlink()


def test_what_is_no_run_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError):
            verify(path)


@pytest.mark.parametrize("finished", [True, False])
def test_strays_between_the_shards_are_set_aside(
    whole: Path, part: Path, tmp_path: Path, finished: bool
) -> None:
    """A copy of a shard would be read twice by whoever loads the folder."""
    path = shutil.copytree(whole if finished else part, tmp_path / "run")
    good = contents(path)
    copies = ("shards/train-00001 (copy).parquet", "rejects/old.parquet", "dead/x.jsonl")
    for name in (*copies, "notes.txt"):
        (path / name).write_bytes(name.encode())
    assert {*copies, "notes.txt"} == {problem["file"] for problem in verify(path)}
    owed(path)
    assert [problem["file"] for problem in verify(path)] == ["notes.txt"]  # somebody's own
    aside = {p.name: p.read_bytes() for p in (path / "corrupt").iterdir()}
    assert aside == {
        "train-00001 (copy).parquet": copies[0].encode(),
        "rejects-old.parquet": copies[1].encode(),
        "dead-x.jsonl": copies[2].encode(),
    }
    if finished:
        run_all(path)
    left = {k: v for k, v in contents(path).items() if not k.startswith("corrupt/")}
    assert left == good | {"notes.txt": b"notes.txt"}


def test_a_shard_that_neither_folder_nor_manifest_has_is_missed(broken: Path) -> None:
    """Sums that hold do not make a run whole."""
    for path in (shard_path, rejects_path, dead_path):
        path(broken, 1).unlink()
    record = read_record(broken / "manifest.json")
    assert record is not None
    files = {name: entry for name, entry in record["files"].items() if "00001" not in name}
    infos = [read_info(shard_path(broken, number)) for number in (0, 2, 3)]
    sums = totals([info for info in infos if info], PLANNED, len(REFUSED))
    manifest = {**record, "files": files, "totals": sums}
    (broken / "manifest.json").write_bytes(record_bytes(manifest))
    assert verify(broken) == [{"file": NAME, "what": "is missing"}]


def test_a_run_whose_sums_do_not_hold_is_never_finished(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a shard counts, each task of the plan has one end."""
    path = shutil.copytree(part, tmp_path / "run")
    with open_run(path) as folder:
        infos = folder.committed()
        short = {**infos, 1: replace(infos[1], tasks=3, dead=0)}
        monkeypatch.setattr(folder, "_infos", short)
        with pytest.raises(CommitError, match=r"6 kept \+ 3 rejected \+ 2 dead of 12 tasks"):
            folder.finish(2)
    assert not (path / "manifest.json").exists()
