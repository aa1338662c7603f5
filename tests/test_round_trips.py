"""What goes out comes back: import(export(x)) == x for every format that loses nothing, and
for the others all but what docs/exports.md says is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.hostile import trajectories
from tests.small_pipeline import REPO
from tests.written_runs import write_run
from trajgen.export.command import export
from trajgen.exporters import EXPORTERS, Source, make_exporter
from trajgen.importers.corpus.formats import FORMATS, Reader, normalised
from trajgen.importers.corpus.rows import corpus_at
from trajgen.records import Message, Trajectory

WHOLE = ("trl", "openai", "atif", "axolotl", "verl")
NUMBERED = ("sharegpt", "swift")  # these lose the ids of calls
FEW, MANY = 150, 10_000


def same(one: Any, other: Any) -> bool:
    """Equal as JSON text, so that 1 is not 1.0, -0.0 not 0.0, and the order of keys counts."""
    return json.dumps(one) == json.dumps(other)


def ordered(messages: Iterable[Message]) -> list[Any]:
    """Messages with their own keys in one order, which no format promises; what is inside a call
    keeps its order."""
    return [
        {key: message[key] for key in sorted(message) if key != "train"} for message in messages
    ]


def came_back(folder: Path, reader: Reader = normalised) -> Iterator[dict[str, Any]]:
    for row in corpus_at(folder, reader).rows():
        assert isinstance(row.value, dict), (row.place, row.value)
        yield row.value


def numbered(messages: Sequence[Message]) -> list[Message]:
    """Messages with calls numbered in their order, as formats without ids come back."""
    ids: dict[str, str] = {}
    made = []
    for message in messages:
        calls = [
            {**call, "id": ids.setdefault(call["id"], f"call_{len(ids) + 1}")}
            for call in message.get("tool_calls", ())
        ]
        answers = (
            {"tool_call_id": ids[message["tool_call_id"]]} if message["role"] == "tool" else {}
        )
        made.append({**message, **({"tool_calls": calls} if calls else {}), **answers})
    return made


def numbers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int):
        yield value


def short(refused: int, view: Path, made: Sequence[Trajectory]) -> list[Trajectory]:
    """Those whose integers fit 64 bits: what `datasets` can read. All others are refused."""
    kept = [
        trajectory
        for trajectory in made
        if all(-(2**63) <= n < 2**64 for n in numbers((trajectory.messages, trajectory.tools)))
    ]
    assert len(kept) == len(made) - refused
    assert 0.2 * len(made) < len(kept)
    told = [json.loads(line) for line in (view / "refused.jsonl").read_text("utf-8").splitlines()]
    assert all("more than 64 bits" in row["reason"] for row in told)
    return kept


def check_whole(name: str, run: Path, view: Path, made: Sequence[Trajectory]) -> None:
    done = export(run, name, view)
    if name == "trl":
        made = short(done.refused, view, made)
    else:
        assert done.refused == 0
    found = list(came_back(view / "train"))
    assert len(found) == len(made)
    for one, trajectory in zip(found, made, strict=True):
        assert same(ordered(one["messages"]), ordered(trajectory.messages)), trajectory.id
        assert same(one["tools"], trajectory.tools), trajectory.id
        assert one.get("id") == (None if name == "openai" else trajectory.id)


def check_numbered(name: str, run: Path, view: Path, made: Sequence[Trajectory]) -> None:
    done = export(run, name, view)
    refused = {}
    if done.refused:
        lines = (view / "refused.jsonl").read_text("utf-8").splitlines()
        refused = {row["id"]: row["reason"] for row in map(json.loads, lines)}
    assert all("marks that LLaMA-Factory" in reason for reason in refused.values())
    kept = [trajectory for trajectory in made if trajectory.id not in refused]
    assert len(kept) > 0.5 * len(made)
    found = list(came_back(view / "train", FORMATS["sharegpt"]))
    for one, trajectory in zip(found, kept, strict=True):
        wanted = ordered(numbered(trajectory.messages))
        assert same(ordered(one["messages"]), wanted), trajectory.id
        assert same(one["tools"], trajectory.tools), trajectory.id
        assert one["id"] == trajectory.id


def check_unrolled(run: Path, view: Path, made: Sequence[Trajectory]) -> None:
    """Each row is a turn of the agent and all that came before; the last one is everything."""
    made = short(export(run, "trl-unroll", view).refused, view, made)
    found = came_back(view / "train")
    for trajectory in made:
        said = [at for at, m in enumerate(trajectory.messages) if m["role"] == "assistant"]
        assert said[-1] == len(trajectory.messages) - 1
        for at, one in zip(said, found, strict=False):
            assert one["id"] == trajectory.id
            assert same(ordered(one["messages"]), ordered(trajectory.messages[: at + 1]))
            assert same(one["tools"], trajectory.tools)
    assert next(found, None) is None


class AnyTemplate:
    """Writes nothing: what a text view holds beside its text is looked at."""

    def text(self, messages: object, tools: object) -> str:
        return ""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trajectory]]:
    made = list(trajectories(FEW))
    return write_run(tmp_path_factory.mktemp("few") / "run", made, rows=64), made


@pytest.mark.parametrize("name", WHOLE)
def test_hostile_trajectories_come_back_whole(
    few: tuple[Path, list[Trajectory]], tmp_path: Path, name: str
) -> None:
    check_whole(name, few[0], tmp_path / "view", few[1])


@pytest.mark.parametrize("name", NUMBERED)
def test_formats_without_ids_lose_those_alone(
    few: tuple[Path, list[Trajectory]], tmp_path: Path, name: str
) -> None:
    check_numbered(name, few[0], tmp_path / "view", few[1])


def test_unrolled_rows_lose_nothing_of_a_turn(
    few: tuple[Path, list[Trajectory]], tmp_path: Path
) -> None:
    check_unrolled(few[0], tmp_path / "view", few[1])


def test_the_text_view_keeps_the_messages_beside_the_text(
    few: tuple[Path, list[Trajectory]],
) -> None:
    exporter = make_exporter("text", Source(cast(Any, None), cast(Any, AnyTemplate())))
    for trajectory in few[1]:
        (row,) = exporter.rows(trajectory)
        assert same(json.loads(row["messages"]), trajectory.messages)
        assert row["id"] == trajectory.id


def test_what_each_format_loses_is_written_down() -> None:
    """The table of docs/exports.md names every format; `nothing` is what is proven above."""
    text = (REPO / "docs" / "exports.md").read_text("utf-8")
    table = text.partition("| format | loses | refuses |")[2].partition("\n\n")[0]
    loses = {}
    for line in table.splitlines()[2:]:
        formats, lost, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        loses |= dict.fromkeys(re.findall("`([a-z-]+)`", formats), lost)
    assert loses.keys() == EXPORTERS.keys()
    whole = {name for name, lost in loses.items() if lost == "nothing"}
    assert whole == set(WHOLE) - {"openai"}
    assert loses["openai"] == "the id"
    assert all("ids of calls" in loses[name] for name in NUMBERED)


def test_the_atif_package_takes_every_row_and_extra_holds_the_rest_of_it(
    few: tuple[Path, list[Trajectory]], tmp_path: Path
) -> None:
    atif = pytest.importorskip("atif")
    view = export(few[0], "atif", tmp_path / "view").path
    files = sorted((view / "train").iterdir())
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    for line, trajectory in zip(lines, few[1], strict=True):
        document = json.loads(line)
        whole = atif.Trajectory.model_validate(document).to_json_dict(exclude_none=True)
        assert same(whole["agent"]["tool_definitions"], trajectory.tools)
        row = {**document["extra"], "id": document["trajectory_id"], "messages": (), "steps": ()}
        for column in ("seed_id", "outcome", "n_tokens", "scores", "state_initial", "world_model"):
            assert same(row[column], getattr(trajectory, column))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_hostile_trajectories_come_back(tmp_path: Path) -> None:
    made = list(trajectories(MANY))
    run = write_run(tmp_path / "run", made, rows=512)
    for name in WHOLE:
        check_whole(name, run, tmp_path / name, made)
    for name in NUMBERED:
        check_numbered(name, run, tmp_path / name, made)
    check_unrolled(run, tmp_path / "trl-unroll", made)
