"""A run folder as Python sees it: finished, unfinished and empty; random access; tables."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trajgen.errors import InputError, MachineError
from trajgen.plan_file import write_plan
from trajgen.records import Task, Trajectory
from trajgen.review import rows as rows_module
from trajgen.review.run import LONG, Run
from trajgen.run_record import record_bytes, totals
from trajgen.shards import ShardResult, commit, dead_path, rejects_path, shard_path

SHARD = 8
PLANNED = 40
STRATEGIES = ("rephrase", "extend")
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": {"b": 1}}}}


def task(index: int) -> Task:
    return Task(
        id=f"task-{hashlib.sha256(str(index).encode()).hexdigest()[:12]}", index=index,
        domain="d", seed_id="s", strategy=STRATEGIES[index % 2], persona="plain", fault="",
        partner="", sampling_seed=index,
    )  # fmt: skip


def row(index: int, *reasons: str) -> dict[str, Any]:
    messages = (
        {"role": "user", "content": f"number {index}"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    )
    planned = task(index)
    return Trajectory(
        id=planned.id, domain="d", messages=messages, seed_id="s", strategy=planned.strategy,
        tools=({"type": "function", "function": {"name": "f", "parameters": {}}},),
        state_initial={"x": index}, reasons=reasons, outcome="success", n_tokens=index,
    ).row()  # fmt: skip


def fate(index: int) -> str:
    """Of eight tasks, one is dead, two are rejected, the rest kept."""
    return {0: "dead", 1: "rejected", 4: "rejected"}.get(index % SHARD, "kept")


def commit_shard(folder: Path, number: int) -> None:
    tasks = range(number * SHARD, (number + 1) * SHARD)
    codes = ("unknown_tool", "repetition") if number else ("unknown_tool",)
    commit(
        folder,
        ShardResult(
            number,
            tasks.start,
            SHARD,
            [row(i) for i in tasks if fate(i) == "kept"],
            [row(i, *codes) for i in tasks if fate(i) == "rejected"],
            [{"id": task(i).id, "error": "Timeout\u2028"} for i in tasks if fate(i) == "dead"],
        ),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder that holds a plan and no shard yet."""
    folder = tmp_path / "runs" / "demo"
    for name in ("shards", "rejects", "dead", "logs"):
        (folder / name).mkdir(parents=True)
    run = {
        "name": "demo", "run_id": "run-1", "digest": "0" * 64, "planned": PLANNED, "target": 100,
        "pipeline": {"name": "demo", "shards": {"rows": SHARD}, "target": 100},
        "digests": {}, "quarantined": 0,
    }  # fmt: skip
    (folder / "run.json").write_bytes(record_bytes(run))
    write_plan(folder, (task(i) for i in range(PLANNED)), PLANNED, SHARD)
    return folder


@pytest.fixture
def half(folder: Path) -> Path:
    """An unfinished run: shards 0, 1 and 3 of 5 are committed, side files of 2 lie about."""
    for number in (0, 1, 2, 3):
        commit_shard(folder, number)
    shard_path(folder, 2).unlink()
    (folder / "shards" / ".tmp-train-00004.parquet").write_bytes(b"half a file")
    return folder


def expected(fate_wanted: str, shards: tuple[int, ...] = (0, 1, 3)) -> list[int]:
    indexes = (i for n in shards for i in range(n * SHARD, (n + 1) * SHARD))
    return [i for i in indexes if fate(i) == fate_wanted]


def test_rows_come_in_plan_order_by_any_index(half: Path) -> None:
    run = Run.open(half)
    wanted = expected("kept")
    assert len(run) == len(wanted) == 15
    assert [t.state_initial["x"] for t in run] == wanted
    for index in (0, 4, 5, 14, -1, -15):
        assert run[index].messages[0]["content"] == f"number {wanted[index]}"
    assert run[7] == Trajectory.parse(row(wanted[7]))
    for index in (15, -16):
        with pytest.raises(IndexError):
            run[index]
    with pytest.raises(TypeError):
        run["0"]  # type: ignore[index]


@pytest.mark.parametrize("step", [1, 4, 99])
def test_every_so_many_rows_are_the_same_rows(half: Path, step: int) -> None:
    rows = Run.open(half).rows()
    wanted = list(rows.stream(("id", "messages")))[::step]
    assert list(rows.every(step, ("id", "messages"))) == wanted
    assert len(wanted) == -(-15 // step)


def test_one_row_reads_one_row_group(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(half)
    read = []
    inner = rows_module._read_group
    monkeypatch.setattr(
        rows_module, "_read_group", lambda *args: read.append(args[0]) or inner(*args)
    )
    assert [run[i].state_initial["x"] for i in (6, 7, 8)] == expected("kept")[6:9]
    assert read == [shard_path(half, 1)]


def test_a_run_sees_what_was_committed_when_it_was_opened(half: Path) -> None:
    run = Run.open(half)
    for path in (rejects_path(half, 2), dead_path(half, 2)):
        path.unlink()
    commit_shard(half, 2)
    assert len(run) == len(run.frame()) == 15
    assert len(Run.open(half)) == 20


def test_a_finished_run_holds_what_its_manifest_names(half: Path) -> None:
    names = [f"{kind}" for n in (0, 1) for kind in (
        f"shards/train-{n:05d}.parquet", f"rejects/{n:05d}.parquet", f"dead/{n:05d}.jsonl"
    )]  # fmt: skip
    names += ["run.json", "README.md", "plan.parquet", "quarantine.jsonl"]
    manifest = {
        "name": "demo",
        "run_id": "run-1",
        "digest": "d",
        "totals": totals((), 0, 0),
        "files": {name: {"sha256": "", "rows": 0} for name in names},
    }
    (half / "manifest.json").write_bytes(record_bytes(manifest))
    assert [t.state_initial["x"] for t in Run.open(half)] == expected("kept", (0, 1))
    (half / "manifest.json").write_text("{}")
    with pytest.raises(MachineError, match="damaged"):
        Run.open(half)


def test_frames_have_one_row_a_trajectory_and_no_long_column(half: Path) -> None:
    run = Run.open(half)
    kept, rejected = run.frame(), run.frame(rejected=True)
    assert list(kept["id"]) == [task(i).id for i in expected("kept")]
    assert list(rejected["id"]) == [task(i).id for i in expected("rejected")]
    assert not set(LONG) & set(kept.columns)
    assert list(kept.columns) == list(rejected.columns)
    assert kept["n_tokens"].dtype == "int32"
    assert kept["reasons"].iloc[0] == []
    assert rejected["reasons"].iloc[-1] == ["unknown_tool", "repetition"]


def test_samples_are_the_same_every_time_and_in_plan_order(half: Path) -> None:
    run = Run.open(half)
    first = run.sample(4, seed=7)
    assert first == Run.open(half).sample(4, seed=7)
    assert first != run.sample(4, seed=8)
    places = [t.state_initial["x"] for t in first]
    assert places == sorted(set(places))
    assert set(places) <= set(expected("kept"))
    assert len(run.sample(100)) == 15
    assert run.sample(0) == run.sample(-1) == []
    assert all(t.reasons for t in run.sample(3, rejected=True))
    both = run.sample(100, reason="repetition")
    assert [t.state_initial["x"] for t in both] == expected("rejected", (1, 3))
    assert run.sample(reason="no_such_code") == []


def test_find_knows_kept_rejected_and_dead_and_beginnings(half: Path) -> None:
    run = Run.open(half)
    kept, rejected = expected("kept")[9], expected("rejected")[3]
    assert run.find(task(kept).id).state_initial == {"x": kept}
    assert run.find(task(rejected).id).reasons
    assert run.find(task(kept).id[:-3]).id == task(kept).id
    with pytest.raises(InputError, match="ids begin with"):
        run.find("task-")
    with pytest.raises(InputError, match=r"is dead.*\n.*Timeout"):
        run.find(task(expected("dead")[0]).id)
    for missing in ("nobody", "", task(16).id):  # task 16 is of a shard that is owed
        with pytest.raises(InputError, match="no trajectory has the id"):
            run.find(missing)


def test_the_yield_table_adds_up(half: Path) -> None:
    table = Run.open(half).yield_table()
    assert list(table.index) == ["extend", "rephrase", "all"]
    assert list(table.columns) == [
        "kept",
        "rejected",
        "dead",
        "yield",
        "unknown_tool",
        "repetition",
    ]
    assert table.loc["all"].to_dict() == {
        "kept": 15, "rejected": 6, "dead": 3, "yield": 15 / 24, "unknown_tool": 6, "repetition": 4,
    }  # fmt: skip
    assert (table.loc["extend"] + table.loc["rephrase"])["kept"] == 15
    assert table.loc["rephrase", "dead"] == 3  # by the plan: dead records name no strategy
    assert table.loc["extend", "yield"] == pytest.approx(9 / 12)
    assert table["kept"].dtype == "int64"


def test_the_plot_is_a_figure_with_all_bars(half: Path, tmp_path: Path) -> None:
    figure = Run.open(half).plot()
    above, below = figure.axes
    assert len(above.patches) == 6
    assert [int(bar.get_width()) for bar in below.patches] == [6, 4]
    figure.savefig(tmp_path / "yield.png")
    assert (tmp_path / "yield.png").stat().st_size > 1000


def test_without_matplotlib_the_plot_says_what_to_install(
    half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        Run.open(half).plot()


def test_an_empty_run_is_no_error(folder: Path) -> None:
    run = Run.open(folder)
    assert (len(run), list(run), run.sample(), run.frame().empty) == (0, [], [], True)
    assert "strategy" in run.frame().columns
    table = run.yield_table()
    assert list(table.index) == ["all"]
    assert table.loc["all", "kept"] == 0
    assert table["yield"].isna().all()
    with pytest.raises(IndexError):
        run[0]
    with pytest.raises(InputError):
        run.find("task-1")
    assert "0 of 40 tasks" in repr(run)
    assert "0 of 40 tasks" in run._repr_html_()
    if "matplotlib" in sys.modules:
        assert len(run.plot().axes) == 2


def test_a_run_says_its_name_progress_and_yield(half: Path) -> None:
    run = Run.open(half)
    assert repr(run) == (
        "<Run demo: not finished, 24 of 40 tasks, 15 kept, 6 rejected, 3 dead, yield 62%>"
    )
    assert run.status()["reasons"] == {"repetition": 4, "unknown_tool": 6}
    assert "24 of 40 tasks" in run._repr_html_()


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError):
            Run.open(place)


def test_a_damaged_list_of_dead_tasks_is_named(half: Path) -> None:
    dead_path(half, 0).write_text("{")
    with pytest.raises(MachineError, match=r"00000\.jsonl"):
        Run.open(half).yield_table()


def test_a_damaged_or_missing_shard_is_named(half: Path) -> None:
    run, data = Run.open(half), bytearray(shard_path(half, 0).read_bytes())
    data[60] ^= 0xFF
    shard_path(half, 0).write_bytes(bytes(data))
    shard_path(half, 3).unlink()
    with pytest.raises(MachineError, match="train-00000"):
        run.frame()
    with pytest.raises(MachineError, match="train-00003"):
        len(run)


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield tmp_path
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.mark.filterwarnings("default")  # those of datasets are not ours
def test_the_dataset_is_what_a_trainer_takes(half: Path, caches: Path) -> None:
    run = Run.open(half)
    data = run.dataset()
    assert data["id"][:] == [t.id for t in run]
    assert data[3]["messages"] == list(run[3].messages)
    assert data[3]["messages"][1]["tool_calls"] == [CALL]
    assert data[3]["tools"] == list(run[3].tools)
    assert data.map(lambda r: {"n": len(r["messages"])})["n"][0] == 2


@pytest.mark.filterwarnings("default")
def test_an_empty_dataset_has_all_columns(folder: Path) -> None:
    data = Run.open(folder).dataset()
    assert len(data) == 0
    assert {"messages", "tools", "id"} <= set(data.column_names)


def test_the_dataset_leaves_no_cache_behind(half: Path, tmp_path: Path) -> None:
    odd = half.rename(half.with_name("demo [1]*"))
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "temporary").mkdir()
    code = (
        "import sys; from trajgen.review.run import Run; d = Run.open(sys.argv[1]).dataset();"
        "print(len(d), d[14]['state_initial'])"
    )
    environment = {
        **os.environ, "HOME": str(home), "TMPDIR": str(tmp_path / "temporary"),
        "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, str(odd)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == ["15", '{"x":31}\n']
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [p for p in home.rglob("*") if p.suffix == ".arrow"] == []
    assert list(odd.rglob("*.arrow")) == []
