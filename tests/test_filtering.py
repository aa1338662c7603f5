"""The filters over corpora that exist: sources, duplicates, the written split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trajgen
from tests.conversations import GOOD, SHOP, TOOLS, says, trajectory, user
from tests.small_pipeline import write_pipeline
from trajgen import filters, load_domain
from trajgen.errors import CommitError, InputError
from trajgen.filtering import filter_source, filter_to, write_split
from trajgen.loading import shipped
from trajgen.records import Reason, Trajectory

BAD = [user("a"), user("b"), says("c")]


def as_openai(messages: list[Any]) -> list[Any]:
    """The same messages as most corpora have them: JSON text, nulls."""
    found = json.loads(json.dumps(messages))
    for message in found:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
            message["content"] = message["content"] or None
    return found


def write_lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def outcome(source: str, **more: Any) -> dict[str, list[str]]:
    return {
        id_: [reason.code for reason in reasons]
        for _, id_, reasons in filter_source(source, more.pop("domain", SHOP), **more)
    }


def test_a_near_copy_of_an_earlier_row_without_reasons(tmp_path: Path) -> None:
    first = max(GOOD.values(), key=lambda m: len(json.dumps(m)))
    second = json.loads(json.dumps(first))
    spoken = [m for m in second if m["role"] == "assistant" and m["content"]]
    spoken[-1]["content"] = f"{spoken[-1]['content']} Indeed."
    rows = [
        {"id": "bad", "messages": [*first, *BAD]},
        {"id": "one", "messages": first},
        {"id": "two", "messages": second},
    ]
    source = write_lines(tmp_path / "rows.jsonl", rows)
    found = {id_: reasons for _, id_, reasons in filter_source(source, SHOP)}
    assert found["bad"]
    assert found["one"] == []
    assert [r.code for r in found["two"]] == ["near_duplicate"]
    assert found["two"][0].detail == "says and calls nearly the same as one"


def test_a_jsonl_file(tmp_path: Path) -> None:
    rows: list[Any] = [{"id": name, "messages": as_openai(m)} for name, m in GOOD.items()]
    rows += [
        {"id": "bad", "messages": BAD},
        {"id": "again", "messages": rows[0]["messages"]},
        {"id": 7, "messages": [*BAD[:1], {"role": "assistant", "content": 5}]},
        {"messages": "?"},
    ]
    found = outcome(write_lines(tmp_path / "rows.jsonl", rows))
    assert {name: found[name] for name in GOOD} == {name: [] for name in GOOD}
    rest = {name: codes for name, codes in found.items() if name not in GOOD}
    last = f"rows.jsonl:{len(rows)}"
    assert rest == {
        "bad": ["bad_role_order"],
        "again": ["exact_duplicate"],
        f"rows.jsonl:{len(rows) - 1}": ["bad_role_order"],
        last: ["bad_role_order"],
    }
    prefixed = f"openai:{tmp_path / 'rows.jsonl'}"
    assert outcome(prefixed) == found


def test_two_rows_of_one_id_are_still_compared(tmp_path: Path) -> None:
    rows = [{"id": "x", "messages": GOOD["a question"]}] * 2
    results = list(filter_source(write_lines(tmp_path / "r.jsonl", rows), SHOP))
    assert [[r.code for r in reasons] for _, _, reasons in results] == [[], ["exact_duplicate"]]


def test_without_a_domain_a_row_has_its_own_tools(tmp_path: Path) -> None:
    good = GOOD["a read and a write"]
    rows = [{"id": "a", "messages": good, "tools": list(TOOLS)}, {"id": "b", "messages": good}]
    source = write_lines(tmp_path / "rows.jsonl", rows)
    found = outcome(source, domain=None)
    assert found["a"] == []
    assert "unknown_tool" in found["b"]
    assert outcome(source, domain=None, names=("structure",)) == {"a": [], "b": ["exact_duplicate"]}


def test_a_domain_folder_brings_its_domain() -> None:
    found = outcome("seeds/retail_support", domain=None)
    assert len(found) >= 10
    assert not any(found.values())


def test_a_shipped_folder_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = outcome("seeds/household", domain=None)
    monkeypatch.chdir(tmp_path)
    assert outcome("seeds/household", domain=None) == here
    assert outcome("seeds/household", domain=load_domain("seeds/household")) == here


def test_columns_of_text_and_of_structs(tmp_path: Path) -> None:
    names = ["a question", "a read and a write", "a retry after an error"]
    rows = [{"id": n, "messages": GOOD[n], "tools": list(TOOLS)} for n in names]
    text = [
        {**r, "messages": json.dumps(r["messages"]), "tools": json.dumps(r["tools"])} for r in rows
    ]
    pq.write_table(pa.Table.from_pylist(text), tmp_path / "text.parquet")
    items = [{**r, "messages": [json.dumps(m) for m in r["messages"]], "tools": None} for r in rows]
    pq.write_table(pa.Table.from_pylist(items), tmp_path / "items.parquet")
    structs = [{"id": r["id"], "messages": r["messages"]} for r in rows]
    pq.write_table(pa.Table.from_pylist(structs), tmp_path / "structs.parquet")
    for name in ("text", "items", "structs"):
        assert outcome(str(tmp_path / f"{name}.parquet")) == {n: [] for n in names}, name
    both = outcome(str(tmp_path))
    assert set(both) == set(names)
    assert all(codes == ["exact_duplicate"] for codes in both.values())


def test_a_run_folder_is_read_with_its_steps(tmp_path: Path) -> None:
    from trajgen.shards import to_table

    good = trajectory(*GOOD["a question"], tools=TOOLS, scores={"ended": "done"})
    cut = replace(good, id="cut", scores={"ended": "tokens"}, messages=(user("b"), says("c")))
    (tmp_path / "shards").mkdir()
    path = tmp_path / "shards" / "train-00000.parquet"
    pq.write_table(to_table([good.row(), cut.row()], path), path)
    results = list(filter_source(str(tmp_path), SHOP))
    assert results[0] == (good, "t", [])
    assert [reason.code for reason in results[1][2]] == ["too_long"]


def a_run(folder: Path, seeds: list[str]) -> Path:
    """Two domains' seeds played well, in this process."""
    pipeline = write_pipeline(folder, seeds=seeds, max_tasks=24)
    trajgen.run(pipeline, out=folder / "run")
    return folder / "run"


def test_the_kept_rows_of_a_run_pass_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path, ["seeds/household", "seeds/retail_support"])
    monkeypatch.chdir(tmp_path)
    results = list(filter_source(str(run)))
    assert {row.domain for row, _, _ in results if row} == {"household", "retail_support"}
    assert len(results) == len(trajgen.open(run))
    assert [(id_, reasons) for _, id_, reasons in results if reasons] == []
    # the policies matter: by their own tools alone some would not pass
    bare = [replace(SHOP, name="", policy="", tools=row.tools) for row, _, _ in results if row]
    rows = [row for row, _, _ in results if row]
    assert any(filters.check(row, own) for row, own in zip(rows, bare, strict=True))


def test_a_run_whose_seeds_are_gone_asks_for_the_domain(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(shipped("seeds") / "household", home)
    run = a_run(tmp_path, [str(home)])
    domain = load_domain(home)
    head = (home / "domain.yaml").read_text("utf-8")
    (home / "domain.yaml").write_text(head.replace("name: household", "name: flat"), "utf-8")
    with pytest.raises(InputError, match=r"no domain 'household' any more.*\n.*--domain"):
        list(filter_source(str(run)))
    shutil.rmtree(home)
    with pytest.raises(InputError, match=r"cannot be loaded any more.*home.*\n.*--domain"):
        list(filter_source(str(run)))
    assert not any(outcome(str(run), domain=domain).values())


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 no")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"text": ["a"]}), other)
    (tmp_path / "empty").mkdir()
    for source in ("none.jsonl", str(broken), str(other), str(tmp_path / "empty"), "what:ever"):
        with pytest.raises(InputError):
            list(filter_source(source, SHOP))
    with pytest.raises(InputError, match="unknown filter"):
        list(filter_source("none.jsonl", SHOP, ("no_such",)))


def test_unknown_extension_types_are_refused(tmp_path: Path) -> None:
    class Strange(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.string(), "tests.strange")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, data: bytes) -> Strange:
            return cls()

    pa.register_extension_type(Strange())
    try:
        column = pa.array(["[]"]).cast(Strange())
        pq.write_table(pa.table({"messages": column}), tmp_path / "x.parquet")
        with pytest.raises(InputError, match="unknown type"):
            list(filter_source(str(tmp_path / "x.parquet"), SHOP))
    finally:
        pa.unregister_extension_type("tests.strange")


def test_the_split_and_its_totals(tmp_path: Path) -> None:
    rows = [{"id": "a", "messages": GOOD["unicode"]}, {"id": "b", "messages": BAD}, {"id": "c"}]
    source, said = write_lines(tmp_path / "rows.jsonl", rows), list[str]()
    totals = filter_to(source, SHOP, tmp_path / "out" / "here", said.append)
    assert totals == {"trajectories": 3, "kept": 1, "reasons": {"bad_role_order": 2}}
    assert [json.loads(line)["id"] for line in said] == ["a", "b", "rows.jsonl:3"]
    assert json.loads(said[1])["reasons"][0]["at"] == 1
    out = tmp_path / "out" / "here"
    assert sorted(path.name for path in out.iterdir()) == ["kept.jsonl", "rejects.jsonl"]
    kept = [json.loads(line) for line in (out / "kept.jsonl").read_text("utf-8").splitlines()]
    assert kept == [{"id": "a", "messages": GOOD["unicode"], "tools": list(TOOLS)}]
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text("utf-8").splitlines()]
    assert [r["reasons"][0]["code"] for r in rejects] == ["bad_role_order"] * 2
    assert outcome(str(out / "kept.jsonl")) == {"a": []}
    assert filter_to(source, SHOP) == totals


def test_a_split_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_split([(None, "old", [])], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def results() -> Iterator[tuple[Trajectory | None, str, list[Reason]]]:
        yield None, "new", []
        raise InputError("broken")

    with pytest.raises(InputError):
        write_split(results(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CommitError):
        write_split([], file)


def test_half_a_surrogate_pair_is_rejected_and_written(tmp_path: Path) -> None:
    made = trajectory(user("a \ud83d"), says("b"))
    assert write_split([(made, "t", [Reason("control_tokens", 0, "x")])], tmp_path) == (0, 1)
    assert "\\ud83d" in (tmp_path / "rejects.jsonl").read_text()
