"""`trajgen export`: which rows, in which split, and what lies in the folder of a view."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.conversations import says, user
from tests.small_pipeline import tree
from tests.written_runs import TALK, rejected, trajectory, write_run
from trajgen import cli
from trajgen.durable import TEMPORARY, sha256_of
from trajgen.errors import CommitError, InputError
from trajgen.export.command import Exported, export
from trajgen.export.where import Where
from trajgen.export.write import to_table
from trajgen.exporters import EXPORTERS, Exporter, Source
from trajgen.records import Reason, Trajectory
from trajgen.review.run import Run
from trajgen.run_record import read_record
from trajgen.shards import COLUMNS

N = 20  # trajectories of the run, of 5 seeds
PAIR = (
    rejected(100, Reason("contradicts_observation", 3, "x"), messages=(*TALK[:3], says("No."))),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 kept trajectories, one that was rejected, and a task of two seeds: number 3, of the
    seeds 3 and 4."""
    made = [*map(trajectory, range(N)), *PAIR]
    partners = {made[3].id: "seed-4"}
    return write_run(tmp_path_factory.mktemp("runs") / "shop", made, partners=partners)


def read(view: Path, split: str = "train") -> pandas.DataFrame:
    return pandas.read_parquet(view / split)


def ids(view: Path, split: str = "train") -> list[str]:
    return list(read(view, split)["id"])


def seeds(view: Path, split: str) -> set[int]:
    return {int(id_[-5:]) % 5 for id_ in ids(view, split)}


# which rows


def test_every_kept_trajectory_goes_out_in_plan_order(run: Path, tmp_path: Path) -> None:
    done = export(run, "trl", tmp_path / "view")
    assert ids(done.path) == [f"task-{i:05d}" for i in range(N)]
    assert done == Exported(tmp_path / "view", {"train": N}, {"train": N}, 0, 0)


def test_n_gives_exactly_so_many_rows_and_the_same_each_time(run: Path, tmp_path: Path) -> None:
    drawn = [ids(export(run, "trl", tmp_path / f"{i}", n=7).path) for i in range(2)]
    assert drawn[0] == drawn[1] == sorted(set(drawn[0]))
    assert len(drawn[0]) == 7
    assert drawn[0] != [f"task-{i:05d}" for i in range(7)]
    for n in (1, 2, 5, 4 * N):  # of four rows a trajectory
        assert len(ids(export(run, "trl-unroll", tmp_path / f"u{n}", n=n).path)) == n


def test_fewer_rows_than_asked_for_is_an_error_that_counts_them(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there are {N} rows, not {N + 1}"):
        export(run, "trl", tmp_path / "view", n=N + 1)
    assert list(tmp_path.iterdir()) == []


def test_where_is_a_condition_on_columns(run: Path, tmp_path: Path) -> None:
    where = "strategy = 'extend' AND n_tokens < 105"
    assert ids(export(run, "trl", tmp_path / "a", where=where).path) == ["task-00001", "task-00003"]
    where = "scores->>'ended' = 'done' and len(messages) > 3 and id >= 'task-00018'"
    assert len(ids(export(run, "sharegpt", tmp_path / "b", where=where).path)) == 2
    with pytest.raises(InputError, match="nothing to export"):
        export(run, "trl", tmp_path / "c", where="n_tokens > 1000")


def test_where_reads_what_people_said_of_a_row(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [*map(trajectory, range(4))])
    run = Run.open(folder)
    run.judge("task-00001", "drop", by="me")
    run.judge("task-00002", "keep", by="me")
    kept = ids(export(folder, "trl", tmp_path / "a", where="review != 'drop'").path)
    assert kept == ["task-00000", "task-00002", "task-00003"]
    assert ids(export(folder, "trl", tmp_path / "b", where="review = 'keep'").path) == kept[1:2]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("n_tokns < 3", "no column 'n_tokns'.*\n.*Did you mean 'n_tokens'"),
        ('strategy = "extend"', "no column 'extend'"),
        ("id in (select id from rows)", "looks at other rows"),
        ("row_number() over () < 3", "looks at other rows"),
        ("random() < 0.5", r"random\(\) does not always answer the same"),
        ("true) limit (1", "more than a condition"),
        ("1=1; drop table rows", "syntax error"),
        ("", "there is nothing"),
        ("n_tokens + 'a' > 3", "Conversion Error"),
        ("exists(from read_text('/etc/hostname'))", "looks at other rows"),
    ],
)
def test_what_is_no_condition_is_an_error_that_says_why(text: str, what: str) -> None:
    table = pa.table({"id": ["a"], "n_tokens": [1]})
    with pytest.raises(InputError, match=what):
        Where(text, COLUMNS).matching(table)


def test_a_split_takes_whole_seeds_and_no_trajectory_of_two_that_are_apart(
    run: Path, tmp_path: Path
) -> None:
    done = export(run, "trl", tmp_path / "view", split=["eval=0.2", "test=0.2"])
    parts = [seeds(done.path, split) for split in ("train", "eval", "test")]
    assert sorted(seed for part in parts for seed in part) == [0, 1, 2, 3, 4]
    assert sum(done.rows.values()) == N - done.left_out
    apart = not any({3, 4} <= part for part in parts)
    assert done.left_out == int(apart)
    assert ("task-00003" in ids(done.path)) == (not apart and 3 in parts[0])


def test_splits_hold_with_a_sample_and_are_the_same_each_time(run: Path, tmp_path: Path) -> None:
    views = [export(run, "trl", tmp_path / f"{i}", n=12, split=["eval=0.4"]).path for i in (0, 1)]
    assert tree(views[0]) == tree(views[1])
    assert len(ids(views[0])) + len(ids(views[0], "eval")) == 12
    assert not seeds(views[0], "train") & seeds(views[0], "eval")


@pytest.mark.parametrize("text", ["eval", "eval=1", "eval=0", "train=0.1", "a/b=0.1", "eval=x"])
def test_what_is_no_split_is_an_error(run: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"split|cannot name"):
        export(run, "trl", tmp_path / "view", split=[text])


def test_a_split_that_would_be_empty_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'train' would be empty"):
        export(run, "trl", tmp_path / "view", split=["eval=0.99"])
    with pytest.raises(InputError, match="'eval' would be empty"):
        export(run, "trl", tmp_path / "view", n=1, split=["eval=0.2"])
    assert list(tmp_path.iterdir()) == []


# what a view holds


@pytest.mark.parametrize("name", sorted(set(EXPORTERS) - {"text", "world-model"}))
def test_a_view_has_its_manifest_and_a_card_that_names_every_split(
    run: Path, tmp_path: Path, name: str
) -> None:
    splits = ["eval=0.3"] if name != "preference" else []
    view = export(run, name, tmp_path / "view", split=splits).path
    manifest = read_record(view / "manifest.json")
    assert manifest is not None
    files = {n for n, mark in tree(view).items() if mark != "folder"}
    assert set(manifest["files"]) == files - {"manifest.json"}
    for file, entry in manifest["files"].items():
        assert entry["sha256"] == sha256_of(view / file)
    front = yaml.safe_load((view / "README.md").read_text("utf-8").split("---")[1])
    patterns = [part["path"] for part in front["configs"][0]["data_files"]]
    assert [len(list(view.glob(pattern))) > 0 for pattern in patterns] == [True] * len(patterns)
    assert [p.split("/")[0] for p in patterns] == ["train", *(["eval"] if splits else [])]
    assert front["license"] == "apache-2.0"


def test_the_card_carries_lineage_yield_filters_and_token_counts(run: Path, tmp_path: Path) -> None:
    view = export(run, "trl", tmp_path / "view", where="n_tokens > 100").path
    card = (view / "README.md").read_text("utf-8")
    for words in (
        *("`run-1`", "20 of 21 trajectories were kept", "`contradicts_observation` | 1"),
        *("| where | `n_tokens > 100` |", "64 to 127", "licence `Apache-2.0` | 19"),
        *("seeds digest", "SFTTrainer", "assistant_only_loss"),
    ):
        assert words in card


def test_data_never_becomes_markup_of_the_card(run: Path, tmp_path: Path) -> None:
    where = "seed_id != '`| <script> |\n# x'"
    card = (export(run, "trl", tmp_path / "v", where=where).path / "README.md").read_text("utf-8")
    assert "\n# x" not in card
    assert "`seed_id != ''\\| <script> \\| # x'`" in card


def test_what_a_format_cannot_hold_is_listed_with_its_reason(tmp_path: Path) -> None:
    odd = trajectory(1, messages=(user("a"), says("b"), user("c")))
    run = write_run(tmp_path / "run", [trajectory(0), odd, trajectory(2)])
    done = export(run, "sharegpt", tmp_path / "view")
    assert (done.rows, done.refused) == ({"train": 2}, 1)
    (line,) = (done.path / "refused.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["id"] == odd.id
    assert "does not end" in json.loads(line)["reason"]
    assert "cannot hold 1 more" in (done.path / "README.md").read_text("utf-8")
    assert len(ids(export(run, "sharegpt", tmp_path / "two", n=2).path)) == 2
    with pytest.raises(InputError, match="there are 2 rows, not 3"):
        export(run, "sharegpt", tmp_path / "three", n=3)


def test_a_run_without_pairs_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trajectory(0)])
    with pytest.raises(InputError, match="no branched or resampled steps"):
        export(run, "preference", tmp_path / "view")
    assert not (tmp_path / "view").exists()


def test_an_unfinished_run_can_be_exported_and_it_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trajectory(0)], finish=False)
    said: list[str] = []
    view = export(run, "trl", tmp_path / "view", tell=said.append).path
    assert "has not ended" in said[0]
    assert "had not ended" in (view / "README.md").read_text("utf-8")


def test_nothing_is_overwritten_and_a_failed_export_leaves_nothing(
    run: Path, tmp_path: Path
) -> None:
    view = export(run, "trl", tmp_path / "view").path
    before = tree(view)
    with pytest.raises(InputError, match="already and not empty"):
        export(run, "trl", view)
    assert tree(view) == before
    with pytest.raises(RuntimeError):
        export(run, "tests.test_export:Breaks", tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["view"]


def test_what_an_export_left_that_was_killed_is_gone_after_the_next(
    run: Path, tmp_path: Path
) -> None:
    (tmp_path / f"{TEMPORARY}view" / "train").mkdir(parents=True)
    (tmp_path / f"{TEMPORARY}view" / "train" / "half.parquet").write_bytes(b"x")
    view = export(run, "trl", tmp_path / "view").path
    assert [p.name for p in tmp_path.iterdir()] == ["view"]
    assert len(ids(view)) == N


class Ids(Exporter):
    """An exporter of one's own."""

    schema = pa.schema({"id": pa.string()})

    def __init__(self, source: Source) -> None: ...

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Any]]:
        yield {"id": trajectory.id}


class Breaks(Ids):
    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Any]]:
        raise RuntimeError("a bug")


def test_an_exporter_of_ones_own_is_named_by_its_module(run: Path, tmp_path: Path) -> None:
    view = export(run, "tests.test_export:Ids", tmp_path / "view").path
    assert list(read(view).columns) == ["id"]
    assert len(ids(view)) == N


def test_rows_that_do_not_fit_their_schema_are_an_error() -> None:
    schema = pa.schema({"id": pa.string(), "json": pa.list_(pa.json_())})
    whole: Mapping[str, Any] = {"id": "a", "json": ['{"a": 1}']}
    assert to_table([whole], schema).schema.equals(schema)
    for wrong in ({"id": "a"}, {**whole, "more": 1}, {**whole, "id": 3}, {**whole, "json": 3}):
        with pytest.raises(CommitError, match="schema of the view"):
            to_table([wrong], schema)


def test_views_are_sealed_parquet_with_checksums(run: Path, tmp_path: Path) -> None:
    view = export(run, "trl", tmp_path / "view").path
    for path in sorted((view / "train").iterdir()):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        assert file.metadata.num_rows == len(file.read())
        assert b"trajgen.seal" in file.metadata.metadata


def test_the_command_prints_counts_and_the_folder(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run), "--format", "trl-unroll", "--out", str(tmp_path / "view")]
    assert cli.main([*words, "-n", "9", "--where", "n_tokens < 110"]) == 0
    assert capsys.readouterr().out == (f"train: 9 rows of 3 trajectories\n{tmp_path / 'view'}\n")
    assert cli.main([*words[:-1], str(tmp_path / "none"), "--where", "x = 1"]) == 2
    assert "there is no column 'x'" in capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path / "none"), "-n", "0"]) == 2
