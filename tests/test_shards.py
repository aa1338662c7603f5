"""Rows on disk: exact, readable by everybody, equal bytes for equal rows, damage seen."""

from __future__ import annotations

import json
import random
import resource
import signal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crash.small_run import result, row

from trajgen import sealed, shards
from trajgen.durable import TEMPORARY
from trajgen.errors import CommitError, MachineError
from trajgen.records import Step, Trajectory
from trajgen.shards import SCHEMA, ShardResult, commit, read_info, read_rows, shard_path

HARD = {
    "text": 'ünïcode “quotes” 🧑‍🚀 \u2028 \\ " \n\t\x00 end',
    "big": 2**70,
    "float": 1e22,
    "zero": -0.0,
    "small": 5e-324,
    "nested": {"a": [{}, [], [[1, None, True]], ""], "": {"ключ": False}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "run")


def make(folder: Path) -> Path:
    for name in ("shards", "rejects", "dead"):
        (folder / name).mkdir(parents=True)
    return folder


LOADABLE = HARD | {"big": 2**64 - 1, "small": -(2**63)}  # what the JSON reader of datasets takes


def hard(values: dict[str, Any] = HARD) -> Trajectory:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": values}}
    empty = {"id": "d", "type": "function", "function": {"name": "g", "arguments": {}}}
    step = Step(
        1, "c", "f", False, "не подходит", ({"op": "set", "path": "/a", "value": values},), "model",
        "0" * 32, "f" * 32, 3, "timeout", 0.1 + 0.2,
    )  # fmt: skip
    return Trajectory(
        id="task-1",
        domain="d",
        messages=(
            {"role": "user", "content": values["text"]},
            {"role": "assistant", "content": "", "tool_calls": [call, empty]},
        ),
        tools=({"type": "function", "function": {"name": "f", "parameters": values}},),
        steps=(step,),
        state_initial=values,
        state_final=[values],
        outcome="success",
        scores=values,
        n_tokens=2**31 - 1,
    )


def kept(folder: Path, *rows: dict[str, Any]) -> Path:
    commit(folder, ShardResult(0, 0, len(rows), list(rows), [], []))
    return shard_path(folder, 0)


def test_rows_come_back_exactly(folder: Path) -> None:
    path = kept(folder, hard().row(), row("b"))
    back = [Trajectory.parse(r) for r in read_rows(path)]
    assert back[0] == hard()
    assert str(back[0].scores["zero"]) == "-0.0"
    assert back[0].messages[1]["tool_calls"][1]["function"]["arguments"] == {}
    assert back[1].row() == row("b")


def test_datasets_gives_dicts_without_null_keys(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    path = kept(folder, hard(LOADABLE).row(), row("b"))
    rows = load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    first = rows[0]
    assert first["messages"] == list(hard(LOADABLE).messages)
    assert first["tools"] == list(hard(LOADABLE).tools)
    assert "tool_calls" not in first["messages"][0]
    assert rows[1]["messages"] == [json.loads(m) for m in row("b")["messages"]]
    assert rows.column_names == SCHEMA.names


def test_every_reader_opens_a_shard(folder: Path) -> None:
    path = kept(folder, row("a"), row("b"))
    assert pd.read_parquet(path)["id"].tolist() == ["a", "b"]
    assert pl.read_parquet(path, columns=["id", "n_tokens"])["n_tokens"].to_list() == [10, 10]
    counted = duckdb.sql(f"select count(*), sum(n_tokens) from '{path}'").fetchall()
    assert counted == [(2, 20)]
    assert pq.read_table(path).schema.names == SCHEMA.names


def test_shards_concatenate_whatever_is_in_them(folder: Path) -> None:
    kept(folder, hard().row())
    commit(folder, ShardResult(1, 1, 1, [], [], [{"id": "x", "error": "Timeout"}]))
    commit(folder, ShardResult(2, 2, 1, [row("c", tools=(), steps=())], [], []))
    tables = [pq.read_table(shard_path(folder, n)) for n in range(3)]
    assert [t.num_rows for t in tables] == [1, 0, 1]
    assert pa.concat_tables(t.replace_schema_metadata() for t in tables).num_rows == 2


def test_the_schema_is_the_contract(folder: Path) -> None:
    schema = pq.ParquetFile(kept(folder, row("a"))).schema_arrow
    json_list = pa.list_(pa.json_())
    assert [schema.field(n).type for n in ("messages", "tools", "steps")] == [json_list] * 3
    assert schema.field("n_tokens").type == pa.int32()
    assert schema.field("reasons").type == pa.list_(pa.string())
    assert schema.metadata[b"trajgen.schema_version"] == b"1"
    reserved = "prompt completion chosen rejected text conversations labels input_ids images"
    assert not set(schema.names) & {*reserved.split(), "chat_template_kwargs"}
    assert set(schema.names) == set(row("a"))


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "elsewhere" / "two")
    for folder in (one, two):
        commit(folder, result(1), ["f", "g"], "run")
    for path in (p for p in one.rglob("*") if p.is_file()):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_the_footer_tells_everything_that_resume_needs(folder: Path) -> None:
    info = commit(folder, result(1), ["f", "g"], "run")
    assert read_info(shard_path(folder, 1)) == info
    assert (info.number, info.first, info.tasks) == (1, 4, 4)
    assert (info.kept, info.rejected, info.dead) == (2, 1, 1)
    assert (info.reasons, info.outcomes) == ({"unknown_tool": 1}, {"success": 2})
    assert (info.n_tokens, info.n_target_tokens) == (20, 8)
    assert (info.fingerprints, info.licenses) == (["f", "g"], {"Apache-2.0": 2})
    assert info.sha256 == sealed.sealed_sha256(shard_path(folder, 1))


def test_empty_shards_have_all_three_files(folder: Path) -> None:
    shards.rejects_path(folder, 0).write_text("left by a killed try")
    shards.dead_path(folder, 0).write_text("left by a killed try")
    commit(folder, ShardResult(0, 0, 1, [row("a")], [], []))
    rejects = shards.rejects_path(folder, 0)
    assert list(read_rows(rejects)) == []
    assert pd.read_parquet(rejects).columns.tolist() == SCHEMA.names
    assert pl.read_parquet(rejects).shape == (0, len(SCHEMA))
    assert duckdb.sql(f"select count(*) from '{rejects}'").fetchall() == [(0,)]
    assert shards.dead_path(folder, 0).read_bytes() == b""


@pytest.mark.parametrize(
    ("tasks", "good", "bad", "dead"),
    [
        (3, ["a"], ["b"], []),
        (1, ["a"], ["b"], []),
        (2, ["a"], ["a"], []),
        (2, ["a"], [], [{"id": "a"}]),
    ],
)
def test_the_conservation_law(tasks: int, good: Any, bad: Any, dead: Any) -> None:
    rejected = [row(i, ("unknown_tool",)) for i in bad]
    with pytest.raises(CommitError):
        ShardResult(0, 0, tasks, [row(i) for i in good], rejected, dead)


def test_reasons_decide_where_a_row_belongs() -> None:
    with pytest.raises(CommitError, match="reasons"):
        ShardResult(0, 0, 1, [row("a", ("too_long",))], [], [])
    with pytest.raises(CommitError, match="reasons"):
        ShardResult(0, 0, 1, [], [row("a")], [])


@pytest.mark.parametrize(
    "change",
    [{"n_tokens": 2**31}, {"n_tokens": "x"}, {"seed_id": None}, {"messages": [None]}, {"id": 3}],
)
def test_a_row_that_does_not_fit_commits_nothing(folder: Path, change: dict[str, Any]) -> None:
    with pytest.raises(CommitError):
        commit(folder, ShardResult(0, 0, 1, [row("a") | change], [], []))
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_a_missing_column_commits_nothing(folder: Path) -> None:
    lacking = row("a")
    del lacking["world_model"]
    with pytest.raises(CommitError, match="world_model"):
        commit(folder, ShardResult(0, 0, 1, [lacking], [], []))


def test_half_surrogates_are_data_not_a_crash(folder: Path) -> None:
    broken = row("a", messages=({"role": "user", "content": "x\ud83dy 🙂"},), seed_id="\udc00")
    path = kept(folder, broken)
    back = Trajectory.parse(next(read_rows(path)))
    assert (back.messages[0]["content"], back.seed_id) == ("x?y 🙂", "?")


def test_a_shard_is_committed_once(folder: Path) -> None:
    kept(folder, row("a"))
    with pytest.raises(CommitError, match="already"):
        kept(folder, row("a"))


def test_a_column_choice_is_read_alone(folder: Path) -> None:
    path = kept(folder, row("a"))
    assert list(read_rows(path, ["id", "tools"])) == [{"id": "a", "tools": row("a")["tools"]}]


def test_rows_are_read_by_their_numbers(folder: Path) -> None:
    names = [f"r{n}" for n in range(150)]  # more than two batches
    path = kept(folder, *map(row, names))
    for at in ([], [0], [149], [63, 64, 65], [1, 130], range(64, 128), range(150)):
        assert [r["id"] for r in read_rows(path, ["id"], at)] == [names[n] for n in at]


@pytest.mark.parametrize("name", ["text.parquet", "gone.parquet"])
def test_what_is_no_shard_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("PAR1 not really PAR1")
    with pytest.raises(MachineError, match=name):
        list(read_rows(tmp_path / name))
    assert read_info(tmp_path / name) is None
    assert sealed.sealed_sha256(tmp_path / name) is None


class _Foreign(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.string(), "somebody.else")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"anything"

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage: pa.DataType, _data: bytes) -> _Foreign:
        return cls()


@pytest.mark.parametrize("registered", [True, False])
def test_foreign_extension_types_are_refused(tmp_path: Path, registered: bool) -> None:
    table = shards.to_table([row("a")], tmp_path)
    foreign = pa.ExtensionArray.from_storage(_Foreign(), table["domain"].combine_chunks())
    table = table.set_column(1, pa.field("domain", _Foreign()), foreign)
    pq.write_table(table, tmp_path / "x.parquet")
    if registered:
        pa.register_extension_type(_Foreign())
    try:
        with pytest.raises(MachineError, match="columns"):
            list(read_rows(tmp_path / "x.parquet"))
    finally:
        if registered:
            pa.unregister_extension_type("somebody.else")


def test_page_checksums_are_verified_when_reading(folder: Path) -> None:
    path = kept(folder, *(row(f"id-{i}", seed_id=f"seed {i}" * 20) for i in range(50)))
    column = next(
        chunk
        for i in range(pq.read_metadata(path).row_group(0).num_columns)
        if (chunk := pq.read_metadata(path).row_group(0).column(i)).path_in_schema == "seed_id"
    )
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(MachineError, match="verify"):
        list(read_rows(path))


def test_every_flipped_bit_and_every_cut_breaks_the_seal(folder: Path) -> None:
    path = kept(folder, row("a"), row("b"))
    whole = path.read_bytes()
    draw = random.Random(1)
    for at in [*range(0, 8 * len(whole), 1009), *(8 * len(whole) - 1 - i for i in range(500))]:
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        assert sealed.sealed_sha256(path) is None, at
    for length in (0, 1, 7, 8, 12, *draw.sample(range(len(whole)), 60)):
        path.write_bytes(whole[:length])
        assert sealed.sealed_sha256(path) is None, length
    path.write_bytes(whole)
    assert sealed.sealed_sha256(path) is not None


def test_a_full_disk_commits_nothing_and_says_where(folder: Path) -> None:
    commit(folder, result(0))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    big = [row(f"id-{i}", seed_id=random.Random(i).randbytes(900).hex()) for i in range(200)]
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, old[1]))
    try:
        with pytest.raises(CommitError) as raised:
            commit(folder, ShardResult(1, 4, 200, big, [], []))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert str(folder / "shards") in str(raised.value)
    assert "bytes are free" in str(raised.value)
    assert raised.value.exit_code == 3
    assert not shard_path(folder, 1).exists()
    assert not list(folder.rglob(f"{TEMPORARY}*"))
    assert before.items() <= {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}.items()
    commit(folder, ShardResult(1, 4, 200, big, [], []))
    assert len(list(read_rows(shard_path(folder, 1)))) == 200


def test_an_exception_while_writing_leaves_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pq.ParquetWriter, "write_table", broken)
    with pytest.raises(KeyboardInterrupt):
        commit(folder, result(0))
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    table = shards.to_table([row("a")], tmp_path)
    pq.write_table(table.replace_schema_metadata({"trajgen.schema_version": "2"}), tmp_path / "x")
    with pytest.raises(MachineError, match="version"):
        list(read_rows(tmp_path / "x"))
