"""Recipes, rows, their order, and the folder of a training run: all but the training."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_training import examples, message, write_recipe

from trajgen import cli
from trajgen.durable import TEMPORARY, placed_folder
from trajgen.errors import CommitError, InputError, MachineError, RunLocked
from trajgen.explore.command import parse_world
from trajgen.fidelity.source import parse_world as load_world
from trajgen.importers import is_source
from trajgen.importers.textworld import games
from trajgen.loading import find, shipped
from trajgen.pipeline import open_pipeline
from trajgen.train import command
from trajgen.train.card import model_card
from trajgen.train.examples import Example
from trajgen.train.folder import TrainFolder
from trajgen.train.order import row_order
from trajgen.train.progress import Progress
from trajgen.train.recipe import Recipe, load_recipe
from trajgen.train.rows import IGNORED, Row, Rows
from trajgen.worlds.textworld.families import MAPS_APART

RECIPES = sorted(shipped("recipes").glob("*.yaml"))


def recipe_file(tmp_path: Path, *changes: tuple[str, str]) -> str:
    path = write_recipe(tmp_path / "recipe.yaml", "smollm2-135m")
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return str(path)


# the recipe


def test_a_recipe_is_read_with_its_defaults(tmp_path: Path) -> None:
    recipe, near = load_recipe(recipe_file(tmp_path), ["optimizer.batch=6"])
    assert near == tmp_path
    assert recipe.folder == Path("runs/train/small")
    assert recipe.per_step == 12
    assert recipe.data.taught()["world"].sources == ("there",)
    assert recipe.saved()["data"]["agent"] == {"from": ["here"]}
    assert recipe.saved()["tune"] == {"method": "lora", "r": 4, "alpha": 32, "dropout": 0.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("precision:", "precison:", "unknown key 'precison'; did you mean 'precision'?"),
        ("from: [there]", "form: [there]", "unknown key 'data.world.form'; did you mean 'from'?"),
        ("r: 4", "rank: 4", "unknown key 'tune.lora.rank'"),
        ("method: lora", "method: qlora", "tune"),
        ("world:", "judge:", "unknown key 'data.judge'"),
        ("name: small", "name: ../up", "cannot name a folder"),
        ("batch: 4", "batch: 0", "optimizer.batch: Input should be greater than or equal to 1"),
        ("float32", "float16", "precision: Input should be 'auto', 'bfloat16' or 'float32'"),
        ("smollm2-135m", "${NO_SUCH}", "${NO_SUCH} is not set"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(recipe_file(tmp_path, (old, new)))
    assert said in str(caught.value)
    assert "recipe.yaml" in str(caught.value)


def test_a_method_need_not_be_said(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, ("method: lora, r: 4", "r: 8"))
    assert load_recipe(path)[0].saved()["tune"]["method"] == "lora"


# the recipes that are shipped

EXPLORE = re.compile(r"(?m)^#   trajgen explore (\S+) --world (\S+) --out (\S+) -n \d+$")


def explored(recipe: Path) -> dict[str, tuple[str, str]]:
    """By folder the source and world of the commands that its head comment names."""
    found = EXPLORE.findall(recipe.read_text("utf-8"))
    return {out: (source, world) for source, world, out in found}


def test_there_are_recipes_to_ship() -> None:
    small = {"household_135m_cpu", "textworld_135m_cpu"}
    assert {*small, "qwen2.5_7b_gpu", "llama3.1_8b_gpu"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_sound(path: Path) -> None:
    recipe, near = load_recipe(str(path))
    assert recipe.name == path.stem
    assert Recipe.model_validate(recipe.saved()) == recipe
    assert recipe.evaluate is not None
    for name in (recipe.pipeline, recipe.evaluate.untaught or recipe.pipeline):
        pipeline = open_pipeline(find(name, near)).pipeline
        assert pipeline.world.kind == "llm"
        longest = [engine.max_model_len or 0 for engine in pipeline.engines.values()]
        assert min(longest) >= recipe.optimizer.max_length


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_says_how_its_data_is_made(path: Path) -> None:
    recipe, _ = load_recipe(str(path))
    folders = explored(path)
    named = {source for data in recipe.data.taught().values() for source in data.sources}
    assert {source for source in named if not is_source(source)} == set(folders)
    learnt = {*named - set(folders), *(source for source, _ in folders.values())}
    for source, world in folders.values():
        assert is_source(source)
        assert parse_world(world).kind == ("declared" if world == "declared" else "textworld")
    assert recipe.evaluate is not None
    _, measured = load_world(recipe.evaluate.world)
    assert all(ground(measured).isdisjoint(ground(source)) for source in learnt)


def ground(source: str) -> set[str]:
    """What the seeds of an import source stand on: houses or games."""
    name, _, argument = source.partition(":")
    if name == "textworld":
        family, numbers = games(argument)
        return {f"{family} {number % MAPS_APART}" for number in numbers}
    assert name == "household"
    return {argument.partition("/")[0]}


# rows


class Letters:
    """A tokenizer of letters and a chat template; `says` writes one message."""

    name_or_path = "letters"
    added_tokens_decoder = {0: SimpleNamespace(special=True)}

    def __init__(self, says: Callable[[str, str, bool], str], opening: str = "\n>") -> None:
        self._says, self._opening = says, opening

    def apply_chat_template(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool, **_: Any
    ) -> str:
        last = len(messages) - 1
        text = "".join(
            self._says(m["role"], m["content"], i == last) for i, m in enumerate(messages)
        )
        return text + (self._opening if add_generation_prompt else "")

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [0 if letter == "#" else ord(letter) for letter in text]


def plainly(role: str, content: str, last: bool) -> str:
    return f"\n{'>' if role == 'assistant' else '<'}{content}#."


TALK = (
    message("user", "a"),
    message("assistant", "b"),
    message("user", "c"),
    message("assistant", "d"),
)


def read(row: Row) -> tuple[str, str]:
    return tuple(  # type: ignore[return-value]
        "".join("#" if i == 0 else "_" if i == IGNORED else chr(i) for i in ids)
        for ids in (row.input_ids, row.labels)
    )


def test_every_answer_is_learnt_with_its_end_and_nothing_else() -> None:
    (row,) = Rows(Letters(plainly)).of([Example("agent", TALK)])
    assert read(row) == ("\n<a#.\n>b#.\n<c#.\n>d#", "_______b#________d#")
    assert row.n_learnt == 4


def test_a_template_that_leaves_thoughts_out_makes_a_row_of_each_answer() -> None:
    def forgetful(role: str, content: str, last: bool) -> str:
        thought = "~" if role == "assistant" and last else ""
        return f"\n{'>' if role == 'assistant' else '<'}{thought}{content}#."

    rows = Rows(Letters(forgetful, "\n>~")).of([Example("agent", TALK)])
    assert [read(row) for row in rows] == [
        ("\n<a#.\n>~b#", "________b#"),
        ("\n<a#.\n>b#.\n<c#.\n>~d#", "__________________d#"),
    ]


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        (Letters(plainly, "\n>>>"), "does not continue its own prompt"),
        (Letters(lambda role, text, last: f"\n>{text}."), "never learn to stop"),
    ],
)
def test_a_template_that_cannot_be_learnt_in_is_refused(tokenizer: Letters, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Rows(tokenizer).of([Example("agent", TALK[:2])])


# order


def test_rows_that_go_together_are_of_one_length_and_none_is_lost() -> None:
    lengths = [100 + (i * 7919) % 151 for i in range(1003)]
    order = row_order(lengths, 2, 8, 3, 0)
    assert sorted(order) == sorted([*range(1003)] * 2)
    batches = [[lengths[i] for i in order[at : at + 8]] for at in range(0, len(order), 8)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    assert padded < 1.03 * sum(lengths) * 2
    steps = [sum(map(sum, batches[at : at + 3])) for at in range(0, len(batches) - 24, 3)]
    assert max(steps) < 1.5 * min(steps)  # not all long rows in one step
    assert order == row_order(lengths, 2, 8, 3, 0)
    assert order != row_order(lengths, 2, 8, 3, 1)
    assert order[:1003] != order[1003:]


# the folder


def record(**changes: Any) -> dict[str, Any]:
    return {"digest": "a", "recipe": {"model": "m", "optimizer": {"batch": 8}}, **changes}


def test_another_recipe_and_other_data_are_refused_with_what_differs(tmp_path: Path) -> None:
    with TrainFolder(tmp_path, record()).owned({"digest": "d", "roles": {}}):
        pass
    other = record(digest="b", recipe={"model": "m", "optimizer": {"batch": 9}})
    with pytest.raises(InputError, match=r"recipe\.optimizer\.batch: 8 -> 9"):
        TrainFolder(tmp_path, other)
    same = TrainFolder(tmp_path, record(versions={"trl": "2"}))
    with (
        pytest.raises(InputError, match="another training run") as caught,
        same.owned({"digest": "e", "roles": {"world": {"examples": 3}}}),
    ):
        pass
    assert "roles.world.examples: not set -> 3" in str(caught.value)


def test_a_folder_of_other_things_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        TrainFolder(tmp_path, record())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_a_dead_process_left_is_removed_and_what_is_whole_stays(tmp_path: Path) -> None:
    folder = TrainFolder(tmp_path, record())
    with folder.owned({"digest": "d"}):
        for step in (4, 8):
            (folder.checkpoint(step)).mkdir()
        half = folder.checkpoints / f"{TEMPORARY}step-12"
        half.mkdir()
        (half / "adapter_model.safetensors").write_bytes(b"half")
        (tmp_path / f"{TEMPORARY}adapter").mkdir()
    with folder.owned({"digest": "d"}):
        assert folder.steps() == [4, 8]
        assert not list(tmp_path.rglob(f"{TEMPORARY}*"))
        with pytest.raises(RunLocked), TrainFolder(tmp_path, record()).owned({"digest": "d"}):
            pass


@pytest.mark.parametrize(("keep", "left"), [(None, [4, 8, 12]), (2, [8, 12]), (5, [4, 8, 12])])
def test_old_checkpoints_keep_their_weights_alone(
    tmp_path: Path, keep: int | None, left: list[int]
) -> None:
    folder = TrainFolder(tmp_path, record())
    for step in (4, 8, 12):
        folder.checkpoint(step).mkdir(parents=True)
        for name in ("weights", "state"):
            (folder.checkpoint(step) / name).touch()
    folder.retire(lambda checkpoint: [checkpoint / "state"], keep)
    assert folder.steps() == left
    assert [path.parent.name for path in tmp_path.rglob("state")] == ["step-12"]
    assert len(list(tmp_path.rglob("weights"))) == len(left)


def test_the_log_is_taken_back_to_the_checkpoint(tmp_path: Path) -> None:
    folder = TrainFolder(tmp_path, record())
    for step in range(1, 6):
        folder.note({"step": step, "loss": 1 / step})
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{"step": 6, "lo')  # killed there
    assert [entry["step"] for entry in folder.log()] == [1, 2, 3, 4, 5]
    folder.rewind(3)
    folder.note({"step": 4, "loss": 0.0})
    assert [entry["step"] for entry in folder.log()] == [1, 2, 3, 4]


def test_a_folder_is_placed_whole_or_not_at_all(tmp_path: Path) -> None:
    def stopped() -> None:
        with placed_folder(tmp_path / "adapter") as temporary:
            (temporary / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
    with placed_folder(tmp_path / "adapter") as temporary:
        (temporary / "whole").touch()
    assert [path.name for path in (tmp_path / "adapter").iterdir()] == ["whole"]
    with pytest.raises(CommitError), placed_folder(tmp_path / "adapter" / "whole" / "no"):
        pass


# the command


def test_progress_counts_examples_by_role_and_says_how_long(tmp_path: Path) -> None:
    rows = [Row("world" if i % 2 else "agent", [1] * 10, [1] * 10) for i in range(8)]
    told: list[str] = []
    progress = Progress(TrainFolder(tmp_path, record()), rows, 3, told.append)
    progress.step(2, 0.5, 1e-3, 2.0)  # gone on after step 1
    progress.step(3, 0.25, 1e-3, 2.0)
    assert told == [
        "step 2/3, loss 0.5000, 15 tokens/s, 2 s left",
        "step 3/3, loss 0.3750, 12 tokens/s",
    ]
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["examples"] for entry in entries] == [
        {"agent": 3, "world": 3},
        {"agent": 4, "world": 4},
    ]


def test_without_trl_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "trl" else find(name))
    with pytest.raises(MachineError, match="needs trl") as caught:
        command.train(recipe_file(tmp_path), str(tmp_path / "out"), (), lambda _: None)
    assert "trajgen[train]" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_a_finished_training_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = recipe_file(tmp_path), tmp_path / "out"
    recipe, _ = load_recipe(path)
    with TrainFolder(out, command._record(recipe)).owned({"digest": "d"}):
        (out / "adapter").mkdir()
    assert cli.main(["train", path, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out / 'adapter'}\n"
    assert "trained already" in shown.err
    assert cli.main(["train", path, "--out", str(out), "--set", "seed=7"]) == 2
    assert "recipe.seed: 0 -> 7" in capsys.readouterr().err


def test_examples_that_are_too_long_are_left_out_and_none_left_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, near = load_recipe(recipe_file(tmp_path), ["optimizer.max_length=60"])
    monkeypatch.setattr(command, "make_examples", examples)
    told: list[str] = []
    rows = command._rows(recipe, near, Letters(plainly), told.append)
    assert all(len(row.input_ids) <= 60 for row in rows)
    monkeypatch.setattr(command, "make_examples", lambda *_: [])
    with pytest.raises(InputError, match="nothing to learn from"):
        command._rows(recipe, near, Letters(plainly), told.append)


def test_data_has_a_digest_for_each_role_and_changes_with_any_token(tmp_path: Path) -> None:
    recipe, _ = load_recipe(recipe_file(tmp_path))
    rows = Rows(Letters(plainly)).of(examples())
    data = command._data(recipe, rows)
    assert data["roles"]["world"]["examples"] == data["roles"]["agent"]["examples"] == 100
    assert data["roles"]["agent"]["from"] == ["here"]
    changed = [Row(rows[0].role, [*rows[0].input_ids[:-1], 5], rows[0].labels), *rows[1:]]
    other = command._data(recipe, changed)
    assert other["digest"] != data["digest"]
    assert other["roles"]["agent"] == data["roles"]["agent"]


def test_the_card_names_model_data_loss_and_figures(tmp_path: Path) -> None:
    recipe, _ = load_recipe(recipe_file(tmp_path))
    data = command._data(recipe, Rows(Letters(plainly)).of(examples()))
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    card = model_card(command._record(recipe), data, log, {"effects": {"exact": 99}})
    for wanted in (
        "base_model: HuggingFaceTB/SmolLM2-135M-Instruct",
        "license: apache-2.0",
        "LoRA of rank 4",
        "2 steps; loss 2.000 at the first, 1.500 over the last 2",
        data["roles"]["world"]["digest"],
        '"exact": 99',
    ):
        assert wanted in card
    assert str(tmp_path) not in card


def test_help_loads_nothing_large() -> None:
    program = (
        "import sys; from trajgen import cli\n"
        "try: cli.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'trl', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
