"""A run folder: opened once, resumed exactly, refused with a diff, finished once."""

from __future__ import annotations

import copy
import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from crash.small_run import (
    LAST,
    PLANNED,
    REFUSED,
    ROWS,
    contents,
    marks,
    open_run,
    plan,
    result,
    row,
    run_all,
    run_record,
)

from trajgen.card import card, size_category
from trajgen.errors import CommitError, InputError, MachineError, RunLocked
from trajgen.plan_file import plan_path, plan_slot, plan_slots, plan_tasks, write_plan
from trajgen.records import Task
from trajgen.run_folder import RunFolder, status
from trajgen.run_record import read_record
from trajgen.shards import ShardResult, read_rows, shard_path
from trajgen.verify import verify


def stamps(path: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in [path, *path.rglob("*")]}


def test_a_run_from_nothing_to_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "small"
    assert run_all(path) == [0, 1, 2, 3]
    manifest = read_record(path / "manifest.json")
    assert manifest is not None
    assert manifest["complete"] is True
    assert manifest["totals"]["kept"] == 8
    assert manifest["totals"]["reasons"] == {"unknown_tool": 3}
    assert manifest["files"]["shards/train-00003.parquet"]["rows"] == 2
    assert set(manifest["files"]) == set(contents(path)) - {"manifest.json"}
    assert verify(path) == []
    assert not (path / "logs" / "driver.lock").exists()


def test_the_same_run_elsewhere_has_the_same_bytes(tmp_path: Path) -> None:
    run_all(tmp_path / "one")
    run_all(tmp_path / "deep" / "er" / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "deep" / "er" / "two")


def test_run_again_after_completion_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    run_all(path)
    before = stamps(path)
    assert run_all(path) == []
    assert stamps(path) == before


def test_resume_owes_the_rest_and_ends_the_same(tmp_path: Path) -> None:
    run_all(tmp_path / "whole")
    with open_run(tmp_path / "part") as folder:
        for number in (0, 2):
            folder.commit(result(number), marks(result(number)))
    assert verify(tmp_path / "part") == []
    with open_run(tmp_path / "part") as folder:
        assert sorted(folder.committed()) == [0, 2]
        assert folder.committed()[2].fingerprints == ["f2", "g"]
    assert run_all(tmp_path / "part") == [1, 3]
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_placement_may_change_between_sessions(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    elsewhere = copy.deepcopy(run_record())
    elsewhere["pipeline"]["engines"]["main"]["replicas"] = 8
    with RunFolder.create_or_open(tmp_path, elsewhere, iter(()), []) as folder:
        assert folder.run == run_record()


def test_another_digest_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with open_run(path) as folder:
        folder.commit(result(0))
    before = stamps(path)
    other = copy.deepcopy(run_record(digest="e" * 64))
    other["pipeline"]["engines"]["main"] |= {"model": "m-2", "replicas": 4}
    other["pipeline"]["limits"] = {"turns": 9}
    other["digests"]["prompts"] = "c" * 8
    with pytest.raises(InputError) as raised:
        RunFolder.create_or_open(path, other, plan(), REFUSED)
    text = str(raised.value)
    assert 'engines.main.model: "m-1" -> "m-2"' in text
    assert "limits.turns: not set -> 9" in text
    assert 'digests.prompts: "bbbbbbbb" -> "cccccccc"' in text
    assert "replicas" not in text
    assert raised.value.exit_code == 2
    assert stamps(path) == before


@pytest.mark.parametrize(
    "name", ["notes.txt", "shards/x.parquet", "logs/other.txt", "plan.parquet"]
)
def test_a_folder_with_other_things_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = stamps(tmp_path)
    with pytest.raises(InputError, match="no run of ours"):
        open_run(tmp_path)
    assert stamps(tmp_path) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError):
        open_run(tmp_path / "run")


@pytest.mark.parametrize("name", [".tmp-run.json", "logs/driver.lock"])
def test_what_a_run_leaves_that_died_at_once_is_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{")
    run_all(tmp_path)
    assert verify(tmp_path) == []


def test_a_damaged_run_record_is_an_input_error(tmp_path: Path) -> None:
    run_all(tmp_path)
    data = (tmp_path / "run.json").read_bytes()
    (tmp_path / "run.json").write_bytes(data.replace(b"m-1", b"m-7"))
    with pytest.raises(InputError, match="damaged"):
        open_run(tmp_path)
    assert verify(tmp_path) == [{"file": "run.json", "what": "is damaged"}]


def test_the_second_driver_leaves_at_once(tmp_path: Path) -> None:
    with open_run(tmp_path):
        with pytest.raises(RunLocked, match="another driver") as raised:
            open_run(tmp_path)
        assert raised.value.exit_code == 3
        process = multiprocessing.get_context("spawn").Process(target=_locked_out, args=(tmp_path,))
        process.start()
        process.join(60)
        assert process.exitcode == 3
    open_run(tmp_path).close()


def _locked_out(path: Path) -> None:
    try:
        open_run(path)
    except RunLocked as error:
        raise SystemExit(error.exit_code) from error


def test_a_failed_opening_lets_the_next_one_in(tmp_path: Path) -> None:
    with pytest.raises(CommitError, match="13"):
        RunFolder.create_or_open(tmp_path, run_record(planned=13), plan(), REFUSED)
    with pytest.raises(CommitError):
        RunFolder.create_or_open(tmp_path, run_record(planned=13), plan(), REFUSED)
    assert not plan_path(tmp_path).exists()


def test_only_the_plans_tasks_are_committed(tmp_path: Path) -> None:
    good = result(1)
    with open_run(tmp_path) as folder:
        for bad in (
            ShardResult(0, 0, 4, good.kept, good.rejected, good.dead),
            ShardResult(1, 4, 4, good.kept[::-1], good.rejected, good.dead),
            ShardResult(1, 4, 3, good.kept, good.rejected, []),
            ShardResult(9, 36, 4, good.kept, good.rejected, good.dead),
            ShardResult(1, 5, 4, good.kept, good.rejected, good.dead),
        ):
            with pytest.raises(CommitError, match="plan"):
                folder.commit(bad)
        folder.commit(good)
        assert list(folder.committed()) == [1]


def test_finish_wants_every_shard(tmp_path: Path) -> None:
    with open_run(tmp_path) as folder:
        folder.commit(result(1))
        with pytest.raises(CommitError, match="shard 0"):
            folder.finish(1)
    assert not (tmp_path / "manifest.json").exists()


def test_shards_beyond_the_end_are_kept_aside(tmp_path: Path) -> None:
    """Committed out of order, the run ends at shard 1: the folder is as if in order."""
    with open_run(tmp_path / "early") as folder:
        for number in (3, 1, 0):
            folder.commit(result(number), marks(result(number)))
        (folder.path / "rejects" / "00002.parquet").write_bytes(b"of a try that was killed")
        folder.finish(1)
        assert sorted(folder.committed()) == [0, 1]
    with open_run(tmp_path / "inorder") as folder:
        for number in (0, 1):
            folder.commit(result(number), marks(result(number)))
        folder.finish(1)
    assert contents(tmp_path / "early") == contents(tmp_path / "inorder")
    assert verify(tmp_path / "early") == []
    surplus = tmp_path / "early" / "logs" / "surplus" / "train-00003.parquet"
    assert len(list(read_rows(surplus))) == 2


def test_an_empty_plan_finishes(tmp_path: Path) -> None:
    record = run_record(planned=0)
    with RunFolder.create_or_open(tmp_path, record, [], []) as folder:
        assert folder.finish(-1)["done"] == 0
    assert verify(tmp_path) == []
    assert status(tmp_path)["complete"] is True


def test_status_of_a_run_underway_and_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        status(tmp_path)
    with open_run(tmp_path) as folder:
        folder.commit(result(0))
        folder.record_usage(seconds=1, prompt=10, cached=4, generated=2)
        folder.record_usage(seconds=2.5, prompt=20, cached=8, generated=4)
        found = status(tmp_path)
    assert found == {
        "name": "small",
        "run_id": "run-1",
        "complete": False,
        "planned": PLANNED,
        "done": 4,
        "kept": 2,
        "rejected": 1,
        "dead": 1,
        "quarantined": 1,
        "reasons": {"unknown_tool": 1},
        "outcomes": {"success": 2},
        "tokens": {"prompt": 20, "cached": 8, "generated": 4},
        "seconds": 2.5,
    }
    run_all(tmp_path)
    found = status(tmp_path)
    assert (found["complete"], found["done"], found["kept"]) == (True, PLANNED, 8)
    assert found["tokens"] == {"prompt": 30, "cached": 12, "generated": 6}
    assert found["seconds"] == 4.0
    json.dumps(found)


def test_a_torn_log_line_does_not_hide_the_rest(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open(tmp_path / "logs" / "usage.jsonl", "ab") as file:
        file.write(b'{"session": 2, "sec')
    assert status(tmp_path)["tokens"]["prompt"] == 10


def test_a_damaged_plan_is_written_again(tmp_path: Path) -> None:
    run_all(tmp_path)
    good = contents(tmp_path)
    for name in ("plan.parquet", "quarantine.jsonl"):
        (tmp_path / name).write_bytes(good[name][:-1])
        assert {p["file"] for p in verify(tmp_path)} == {name} | (
            {"manifest.json"} if name == "quarantine.jsonl" and verify(tmp_path)[1:] else set()
        )
        assert run_all(tmp_path) == []
        found = contents(tmp_path)
        assert found.pop(f"corrupt/{name}") == good[name][:-1]
        assert {k: v for k, v in found.items() if not k.startswith("corrupt/")} == good


@pytest.mark.parametrize("name", ["README.md", "manifest.json"])
def test_a_damaged_card_or_manifest_is_written_again(tmp_path: Path, name: str) -> None:
    run_all(tmp_path)
    good = contents(tmp_path)
    (tmp_path / name).write_bytes(good[name][:-9])
    assert [p["file"] for p in verify(tmp_path)] == [name]
    assert run_all(tmp_path) == []
    assert contents(tmp_path) == good


def test_a_plan_streams_both_ways(tmp_path: Path) -> None:
    write_plan(tmp_path, plan(20_001), 20_001, 7)
    assert pq.read_metadata(plan_path(tmp_path)).num_row_groups > 2
    assert list(plan_tasks(tmp_path)) == list(plan(20_001))
    assert [task.index for task in plan_tasks(tmp_path, 19_999)] == [19_999, 20_000]
    assert list(plan_tasks(tmp_path, 20_001)) == []
    slots = list(plan_slots(tmp_path, 7))
    assert [slot.number for slot in slots] == list(range(2858))
    assert sum(len(slot.ids) for slot in slots) == 20_001
    for number in (0, 1, 1169, 1170, 1171, 2857):
        assert plan_slot(tmp_path, number, 7) == slots[number]
    assert plan_slot(tmp_path, 2858, 7) is None
    assert plan_slot(tmp_path, -1, 7) is None


def test_a_plan_out_of_order_is_refused(tmp_path: Path) -> None:
    tasks = [*plan(3), Task("again", 2, "d", "s", "rephrase", "p", "", "", 0)]
    with pytest.raises(CommitError, match="number 2, not 3"):
        write_plan(tmp_path, tasks, 4, ROWS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MachineError, match="plan"):
        list(plan_tasks(tmp_path))


@pytest.mark.slow
def test_a_reader_never_sees_a_short_or_unreadable_shard(tmp_path: Path) -> None:
    path, stop, seen, wrong = tmp_path / "run", threading.Event(), set(), []

    def poll() -> None:
        while not stop.is_set():
            for shard in (path / "shards").glob("*.parquet"):
                if shard.name.startswith("train-"):
                    rows = len(list(read_rows(shard)))
                    wanted = len(result(int(shard.stem[-5:]), 120, 4).kept)
                    seen.add(shard.name)
                    if rows != wanted:
                        wrong.append((shard.name, rows))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        record = run_record(planned=120)
        with RunFolder.create_or_open(path, record, plan(120), []) as folder:
            for number in range(30):
                folder.commit(result(number, 120))
                assert status(path)["done"] == 4 * (number + 1)
    finally:
        stop.set()
        reader.join(20)
    assert wrong == []
    assert len(seen) > 5


def test_the_whole_folder_loads_as_its_card_says(tmp_path: Path) -> None:
    """Shards without a kept row included, the first one too."""
    from datasets import load_dataset

    path, cache = tmp_path / "run", str(tmp_path / "cache")
    with open_run(path) as folder:
        for number in range(LAST + 1):
            shard = result(number)
            if number in (0, 2):
                dead = [{"id": f"task-{i:04d}"} for i in range(4 * number, 4 * number + 4)]
                shard = ShardResult(number, 4 * number, 4, [], [], dead)
            folder.commit(shard)
        folder.finish(LAST)
    kept = load_dataset(str(path), split="train", cache_dir=cache)
    assert len(kept) == 4
    assert kept[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"to": "shed"}
    rejected = load_dataset(str(path), "rejected", split="rejected", cache_dir=cache)
    assert rejected["reasons"][:] == [["unknown_tool"]]
    files = str(path / "shards" / "*.parquet")
    assert len(load_dataset("parquet", data_files=files, split="train", cache_dir=cache)) == 4


def test_the_card_says_what_is_in_it(tmp_path: Path) -> None:
    run_all(tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "shards/*.parquet"}]
    assert "8 of 14 trajectories were kept (57.1%)" in text
    assert "| `unknown_tool` | 3 |" in text
    assert "`m-1`" in text
    assert str(tmp_path) not in text


def test_names_from_data_are_never_markup_in_the_card() -> None:
    totals: dict[str, Any] = {
        **dict.fromkeys(("kept", "done", "rejected", "dead", "n_tokens", "n_target_tokens"), 1),
        "yield": 1.0,
        "outcomes": {"a`b|c\nd": 1},
        "reasons": {},
        "licenses": {"MIT": 1, "Apache-2.0": 3, "": 1},
    }
    text = card(run_record(), totals)
    assert "`a'b\\|c d`" in text
    assert yaml.safe_load(text.split("---")[1])["license"] == ["mit", "apache-2.0"]
    assert size_category(999) == "n<1K"
    assert size_category(1000) == "1K<n<10K"
    assert size_category(10**7) == "n>1M"


def test_rows_of_another_run_are_not_this_runs(tmp_path: Path) -> None:
    run_all(tmp_path / "one")
    other = run_record(digest="e" * 64)
    with RunFolder.create_or_open(tmp_path / "two", other, plan(), REFUSED) as folder:
        for number in range(LAST + 1):
            folder.commit(result(number), marks(result(number)))
    stolen = shard_path(tmp_path / "one", 0).read_bytes()
    shard_path(tmp_path / "two", 0).write_bytes(stolen)
    assert [p["what"] for p in verify(tmp_path / "two")] == ["was made by another run"]
    with RunFolder.create_or_open(tmp_path / "two", other, plan(), REFUSED) as folder:
        assert sorted(folder.committed()) == [1, 2, 3]


def test_a_row_can_be_of_any_domain(tmp_path: Path) -> None:
    shard = result(0)
    shard.kept[0] = row("task-0000", seed_license="MIT", outcome="refusal")
    with open_run(tmp_path) as folder:
        info = folder.commit(shard)
    assert info.outcomes == {"refusal": 1, "success": 1}
    assert info.licenses == {"Apache-2.0": 1, "MIT": 1}
