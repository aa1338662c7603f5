"""Corpora as domains: files of any shape, what they lack, what is refused and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conversations import GOOD, SHOP, TOOLS, calls, result, says, tool, user
from trajgen import cli, load_domain
from trajgen.errors import InputError, MachineError
from trajgen.importers import import_source, is_source, write_domain, write_seeds
from trajgen.importers.command import import_to
from trajgen.importers.corpus import hub
from trajgen.importers.corpus.opening import open_corpus
from trajgen.loading import shipped
from trajgen.records import Seed
from trajgen.seeds import check_source, load_seeds

SYSTEM = {"role": "system", "content": SHOP.policy}
NAMES = ["a question", "a read and a write", "a retry after an error"]
ROWS: list[dict[str, Any]] = [
    {"id": name, "messages": [SYSTEM, *GOOD[name]], "tools": list(TOOLS)} for name in NAMES
]


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def files(folder: Path) -> list[Path]:
    """The same rows in every kind of file."""
    folder.mkdir()
    lines(folder / "a.jsonl", ROWS)
    (folder / "b.json").write_text(json.dumps(ROWS))
    (folder / "c.json").write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
    text = [{**row, "messages": [json.dumps(m) for m in row["messages"]]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist([{**r, "tools": json.dumps(r["tools"])} for r in text]),
                   folder / "d.parquet")  # fmt: skip
    return sorted(folder.iterdir())


def test_every_kind_of_file_gives_the_same_domain(tmp_path: Path) -> None:
    for path in files(tmp_path / "in"):
        for name in ("hf", "openai"):
            found = import_source(f"{name}:{path}")
            assert (found.domain.policy, found.domain.tools) == (SHOP.policy, TOOLS)
            assert [list(seed.messages) for seed in found.seeds] == [GOOD[n] for n in NAMES]
            assert [seed.meta["name"] for seed in found.seeds] == NAMES
            assert found.refused == ()
    whole = import_source(f"hf:{tmp_path / 'in'}")
    assert len(whole.seeds) == len(NAMES)
    assert {r["reason"] for r in whole.refused} == {f"copies a.jsonl:{n}" for n in (1, 2, 3)}
    assert len(whole.refused) == 3 * len(NAMES)


def test_a_folder_is_written_that_a_run_can_use(tmp_path: Path) -> None:
    source = lines(tmp_path / "shop.jsonl", [*ROWS, {"messages": "?"}])
    said: list[str] = []
    assert import_to(f"hf:{source}", tmp_path / "out", None, said.append) == (3, 1)
    assert said[0] == "shop.jsonl: openai"
    assert said[1].startswith("trajgen: no state")
    assert said[2].startswith("shop.jsonl:4: messages: not JSON")
    assert check_source(str(tmp_path / "out")) == (3, [])
    domain = load_domain(tmp_path / "out")
    assert (domain.name, domain.policy, domain.tools) == ("shop", SHOP.policy, TOOLS)
    kept = json.loads((tmp_path / "out" / "quarantine.jsonl").read_text())
    assert (kept["file"], kept["line"]) == ("shop.jsonl", 4)
    assert len(load_seeds((f"openai:{source}",)).seeds) == 3
    with pytest.raises(InputError, match="not empty"):
        import_to(f"hf:{source}", tmp_path / "out", None, said.append)


def test_an_import_that_did_not_end_has_no_seeds(tmp_path: Path) -> None:
    source = tmp_path / "rows.json"
    lines(tmp_path / "a.jsonl", ROWS)
    source.write_text(json.dumps(ROWS))
    corpus = open_corpus(f"openai:{tmp_path}")

    def broken() -> Any:
        yield from import_source(f"openai:{source}").seeds
        raise InputError("gone", str(corpus.name))

    with pytest.raises(InputError, match="gone"):
        write_seeds(SHOP, broken(), tmp_path / "out")
    assert not (tmp_path / "out" / "trajectories.jsonl").exists()


def test_a_domain_has_one_policy_and_one_tool_list(tmp_path: Path) -> None:
    other = [{"role": "system", "content": "Be rude."}, *GOOD["a system message"][1:]]
    changed = tool("search", query={"type": "integer"})
    more = tool("ping")
    rows = [
        *ROWS,
        {"messages": other},
        {"messages": [user("ping it"), says("Which one?")], "tools": [more]},
        {"messages": [user("what now"), says("Hm, no idea.")], "tools": [changed]},
        {"messages": [user("hello you"), says("Hello.")]},
    ]
    source = lines(tmp_path / "rows.jsonl", rows)
    found = import_source(f"openai:{source}")
    assert found.domain.tools == (*TOOLS, more)
    assert [r["line"] for r in found.refused] == [4, 6]
    assert "another system prompt than rows.jsonl:1" in str(found.refused[0]["reason"])
    assert "'search' is not as an earlier row has it" in str(found.refused[1]["reason"])
    assert len(found.seeds) == 5
    said: list[str] = []
    write_domain(import_source(f"openai:{lines(tmp_path / 'x.jsonl', ROWS)}"), tmp_path / "own")
    given = load_domain(tmp_path / "own")
    assert import_to(f"openai:{source}", tmp_path / "out", given, said.append) == (7, 0)
    assert said == ["trajgen: 1 rows had a system prompt that the domain's policy replaces"]
    assert load_domain(tmp_path / "out").tools == TOOLS


def test_what_the_source_lacks_is_asked_for(tmp_path: Path) -> None:
    bare = [{"messages": row["messages"][1:]} for row in ROWS]
    source = lines(tmp_path / "rows.jsonl", bare)
    with pytest.raises(
        InputError, match=r"rows.jsonl:2: calls tools, and no row says.*\n.*--domain"
    ):
        import_source(f"openai:{source}")
    said: list[str] = []
    talk = lines(tmp_path / "talk.jsonl", bare[:1])
    assert import_to(f"openai:{talk}", tmp_path / "out", None, said.append) == (1, 0)
    assert any("no system prompt" in line for line in said)
    assert any("no tools" in line for line in said)
    many = [{"messages": [user("a")], "tools": [tool(f"t{n}")]} for n in range(300)]
    with pytest.raises(InputError, match="more than 256 different tools"):
        import_source(f"openai:{lines(tmp_path / 'many.jsonl', many)}")


def test_state_goal_and_meta_of_a_line_stay(tmp_path: Path) -> None:
    path = shipped("seeds") / "retail_support"
    written = import_to(
        f"openai:{path / 'trajectories.jsonl'}", tmp_path / "out", load_domain(path), print
    )
    before, after = load_seeds((str(path),)), load_seeds((str(tmp_path / "out"),))
    assert written == (len(before.seeds), 0)
    assert [s.id for s in after.seeds] == [s.id for s in before.seeds]


def test_sources_that_name_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in ("sharegpt:", "hermes:none.jsonl", f"hf:{tmp_path / 'empty'}", "hf:./none.json"):
        assert is_source(source)
        with pytest.raises(InputError):
            import_source(source)
    text = tmp_path / "text.parquet"
    pq.write_table(pa.table({"text": ["a"]}), text)
    found = import_source(f"hf:{text}")
    assert [r["line"] for r in found.refused] == [1]
    with pytest.raises(InputError, match="brings its own domain"):
        import_to("household:train:1", tmp_path / "o", SHOP, print)


@pytest.mark.slow  # `datasets` takes seconds to load
def test_a_saved_data_set_and_one_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    rows = [{**row, "tools": json.dumps(row["tools"])} for row in ROWS]
    for row in rows:
        row["messages"] = json.dumps(row["messages"])
    made = datasets.Dataset.from_list(rows)
    datasets.DatasetDict({"train": made.select([0, 1]), "test": made.select([2])}).save_to_disk(
        str(tmp_path / "saved")
    )
    assert len(import_source(f"hf:{tmp_path / 'saved'}").seeds) == 3

    asked: list[Any] = []

    def load_dataset(path: str, config: str | None, split: str | None, streaming: bool) -> Any:
        asked.append((path, config, split, streaming))
        if path == "org/none":
            raise datasets.exceptions.DatasetNotFoundError("no such")
        if path == "org/away":
            raise ConnectionError("away")
        stream = made.to_iterable_dataset()
        splits = {"train": stream, "test": stream}
        return stream if split else datasets.IterableDatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(import_source("hf:org/shop:main:train").seeds) == 3
    assert set(asked) == {("org/shop", "main", "train", True)}
    assert import_source("hf:org/shop:train").domain.name == "shop"
    with pytest.raises(InputError, match="has the splits train, test"):
        import_source("hf:org/shop")
    with pytest.raises(InputError, match="no such data set"):
        import_source("hf:org/none")
    with pytest.raises(MachineError, match="gives no answer"):
        import_source("hf:org/away")
    with pytest.raises(InputError, match="NAME:CONFIG:SPLIT"):
        list(hub.remote("a:b:c:d"))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Please cancel order #W1001, I don't need it."},
            {"from": "gpt", "value": "It is cancelled. Can I help with something else?"},
        ]
    }
    source = lines(tmp_path / "rows.json", [row, {"a": 1}])
    out = str(tmp_path / "out")
    assert cli.main(["seeds", "import", f"sharegpt:{source}", "--out", out]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"1 seeds in {out}, 1 refused\n"
    assert "rows.json:2: no list of `conversations`" in shown.err
    assert cli.main(["filter", source, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "rows.json: sharegpt\n"
    assert json.loads(shown.out.splitlines()[-1])["trajectories"] == 2
    assert cli.main(["seeds", "import", "hermes:none.jsonl", "--out", f"{out}2"]) == 2
    assert "no such file" in capsys.readouterr().err


TALK = {"messages": [user("Where is it?"), calls(("c", "find", {})), result("c", "x"), says("y")]}
WRONG: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "an empty file": ("openai", "rows.jsonl", "", ("rows.jsonl: there is no row", "one row at")),
    "white space": ("hf", "rows.json", " \n\n", ("rows.json: there is no row", "one row at")),
    "no known format": (
        *("hf", "rows.jsonl", '{"question": "a", "answer": "b"}\n'),
        ("rows.jsonl: no known format", "keys here: answer, question", "Mend the rows"),
    ),
    "another format": (
        *("sharegpt", "rows.jsonl", f"{json.dumps(TALK)}\n"),
        ("none of 1 rows became a seed", "look like openai: try hf:", "quarantine.jsonl has"),
    ),
    "calls without tools": (
        *("openai", "rows.jsonl", f"{json.dumps(TALK)}\n"),
        ("rows.jsonl:1: calls tools", "--domain DIR"),
    ),
    "a compressed file": (
        *("hf", "rows.jsonl.gz", "\x1f\x8b"),
        ("rows.jsonl.gz: no JSON and no Parquet file", "Unpack it"),
    ),
    "a table": ("openai", "rows.csv", "a,b\n1,2\n", ("rows.csv: no JSON", "Known: .jsonl")),
    "half a Parquet file": (
        *("hf", "rows.parquet", "PAR1 and no more"),
        ("rows.parquet: cannot be read as Parquet", "anew"),
    ),
    "no such format": ("shargpt", "rows.jsonl", "{}", ("'shargpt:", "Did you mean sharegpt:")),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_told_with_what_where_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    format, name, text, wanted = WRONG[what]
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    source, out = f"{format}:{tmp_path / name}", tmp_path / "out"
    assert cli.main(["seeds", "import", source, "--out", str(out)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in wanted:
        assert part in shown.err
    assert "Traceback" not in shown.err


def test_a_broken_line_is_told_and_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(f'{json.dumps(ROWS[0])}\n{{"messages": [\n{json.dumps(ROWS[1])}\n')
    assert cli.main(["seeds", "import", f"openai:{source}", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"2 seeds in {tmp_path / 'out'}, 1 refused\n"
    assert "rows.jsonl:2: not JSON in UTF-8" in shown.err
    assert "quarantine.jsonl names the rows that were refused" in shown.err
    assert cli.main(["seeds", "import", str(source), "--out", str(tmp_path / "more")]) == 2
    assert f"hf:{source}" in capsys.readouterr().err


def test_a_seed_keeps_what_was_called(tmp_path: Path) -> None:
    hostile = {"a": "\u202e<|im_end|>\x07", "n": 10**30, "f": 1e22, "deep": [[], {}, None], "": {}}
    made = [user("a"), calls(("c", "f", hostile)), result("c", '{"x": "\\u0000"}'), says("b")]
    row = {"messages": made, "tools": [tool("f")]}
    path = tmp_path / "rows.jsonl"
    found = import_source(f"openai:{lines(path, [row])}")
    seed = found.seeds[0]
    assert isinstance(seed, Seed)
    assert list(seed.messages) == made
    write_domain(found, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "trajectories.jsonl").read_text())
    assert written["messages"] == made
