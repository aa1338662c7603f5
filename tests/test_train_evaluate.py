"""What was taught, measured: what is asked, once, without a trace of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_training import write_recipe

from trajgen.cli import main
from trajgen.errors import InputError, MachineError
from trajgen.loading import find
from trajgen.records import Json
from trajgen.train import command, evaluate
from trajgen.train.evaluate import Evaluation, fidelity
from trajgen.train.folder import TrainFolder
from trajgen.train.recipe import EvaluateConfig, load_recipe

ASKED = """
evaluate:
  {world: "declared:household:held_out", n: 7, replay: true, at: [4, 12], n_others: 3,
   untaught: pipelines/household_untaught.yaml}
"""


class Desk:
    """A training folder with checkpoints; merging and measuring are noted, not done."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, changes: str) -> None:
        self.path = path
        recipe_file = write_recipe(path / "recipe.yaml", str(path / "base"))
        recipe_file.write_text(recipe_file.read_text() + changes)
        recipe, near = load_recipe(str(recipe_file))
        assert recipe.evaluate is not None
        self.measured: list[tuple[str, str, int, bool]] = []
        self.merged: list[tuple[Path, Path]] = []
        self.told: list[str] = []
        self.folder = path / "out"
        self.folder.mkdir()
        self.checkpoints = self.folder / "checkpoints"
        for step in (4, 8):
            self.weights(self.checkpoints / f"step-{step}")
        self.adapter = self.weights(self.folder / "adapter")
        monkeypatch.setattr(evaluate, "fidelity", self._fidelity)
        monkeypatch.setattr(evaluate, "merge", self._merge)
        self.evaluation = Evaluation(recipe, recipe.evaluate, near, self.folder, self.told.append)

    def weights(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").touch()
        return folder

    def figures(self) -> dict[str, Any]:
        files = (self.folder / "figures").glob("*")
        return {path.name: json.loads(path.read_text("utf-8")) for path in files}

    def finish(self) -> dict[str, Json]:
        return self.evaluation.finish(self.adapter, self.checkpoints)

    def _fidelity(
        self, pipeline: Path, model: str, asked: EvaluateConfig, answers: Path
    ) -> dict[str, Json]:
        assert answers.parent.is_dir()
        assert not model.startswith(str(self.folder)) or Path(model).is_dir()
        self.measured.append((pipeline.stem, model, asked.n, asked.replay))
        return {"world": asked.world, "model": model, "steps": len(self.measured)}

    def _merge(self, model: Path, adapter: Path, out: Path) -> None:
        assert not out.exists()
        out.mkdir()
        self.merged.append((model, adapter))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch, ASKED)


def test_all_that_is_asked_is_measured_and_each_on_its_own_terms(desk: Desk) -> None:
    figures = desk.finish()
    base = str(desk.path / "base")
    what = [(pipeline, n, replay) for pipeline, _, n, replay in desk.measured]
    assert what == [
        ("smoke", 3, False),  # a checkpoint
        ("household_untaught", 3, True),
        ("smoke", 7, True),  # the result
    ]
    assert desk.measured[1][1] == base
    assert desk.merged == [
        (Path(base), desk.checkpoints / "step-4"),
        (Path(base), desk.adapter),
    ]
    assert set(desk.figures()) == {"step-4.json", "untaught.json", "result.json"}
    assert figures == desk.figures()["result.json"]
    assert [line.partition(" to ")[0] for line in desk.told] == [
        *("fidelity of step-4", "fidelity of untaught", "fidelity of result")
    ]


def test_a_checkpoint_that_nobody_asks_for_is_not_measured(desk: Desk) -> None:
    desk.evaluation.checkpoint(desk.checkpoints / "step-8")
    assert (desk.measured, desk.figures()) == ([], {})
    desk.evaluation.checkpoint(desk.checkpoints / "step-4")
    assert set(desk.figures()) == {"step-4.json"}


def test_what_was_measured_is_not_measured_again_and_what_is_missing_is(desk: Desk) -> None:
    desk.evaluation.checkpoint(desk.checkpoints / "step-4")
    first = desk.figures()["step-4.json"]
    desk.finish()
    assert len(desk.measured) == 3
    assert desk.figures()["step-4.json"] == first
    (desk.folder / "figures" / "untaught.json").unlink()
    desk.weights(desk.checkpoints / "step-12")  # trained on since
    before = desk.figures()["result.json"]
    assert desk.finish() == before
    assert [pipeline for pipeline, *_ in desk.measured[3:]] == ["smoke", "household_untaught"]
    assert "step-12.json" in desk.figures()


def test_a_measurement_that_fails_leaves_nothing_and_no_merged_model(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def fails(pipeline: Path, model: str, *_: object) -> dict[str, Json]:
        seen.append(model)
        assert Path(model).is_dir()
        raise MachineError("evaluation failed: no such port")

    monkeypatch.setattr(evaluate, "fidelity", fails)
    with pytest.raises(MachineError, match="no such port"):
        desk.finish()
    assert desk.figures() == {}
    assert not Path(seen[0]).exists()
    monkeypatch.setattr(evaluate, "fidelity", desk._fidelity)
    desk.finish()
    assert len(desk.figures()) == 3


def test_figures_name_no_folder_of_this_machine(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "local_path", lambda name: str(desk.path / "base"))
    recipe = desk.evaluation.recipe.model_copy(update={"model": "smollm2-135m"})
    named = Evaluation(recipe, desk.evaluation.asked, desk.path, desk.folder, desk.told.append)
    named.finish(desk.adapter, desk.checkpoints)
    models = {name: found["model"] for name, found in desk.figures().items()}
    assert models == {
        "step-4.json": "smollm2-135m, small at step-4",
        "untaught.json": "smollm2-135m",
        "result.json": "smollm2-135m, small",
    }
    for path in (desk.folder / "figures").iterdir():
        assert str(desk.path) not in path.read_text("utf-8")
        assert "trajgen-merged" not in path.read_text("utf-8")


def test_a_model_whose_every_weight_was_trained_is_loaded_as_it_is(desk: Desk) -> None:
    whole = desk.folder / "model"
    whole.mkdir()
    desk.evaluation.finish(whole, desk.folder / "none")
    assert desk.measured[-1][1] == str(whole)
    assert desk.merged == []


# the process


class Process:
    """Stands in for `trajgen fidelity`."""

    def __init__(self, code: int = 0, out: str = '{"steps": 1}', err: str = "") -> None:
        self.code, self.out, self.err = code, out, err
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        assert options["timeout"] == evaluate.LIMIT_S
        return subprocess.CompletedProcess(command, self.code, self.out, self.err)


def ran(monkeypatch: pytest.MonkeyPatch, process: Any, **asked: Any) -> dict[str, Json]:
    monkeypatch.setattr(subprocess, "run", process)
    wanted = EvaluateConfig(world="declared:seeds/household", n=5, **asked)
    answers = Path("figures/result.answers.jsonl")
    return fidelity(find("pipelines/quickstart.yaml"), "a/model", wanted, answers)


@pytest.mark.parametrize("code", [0, 1])  # 1: a bar of the pipeline is missed
def test_fidelity_is_the_command_with_the_model_in_every_engine(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    process = Process(code)
    assert ran(monkeypatch, process) == {"steps": 1}
    (command,) = process.commands
    assert command[:4] == [sys.executable, "-m", "trajgen", "fidelity"]
    assert command[command.index("--world") + 1] == "declared:seeds/household"
    assert command[command.index("-n") + 1] == "5"
    assert "--set=engines.main.model=a/model" in command
    assert "--no-replay" in command
    assert command[command.index("--answers") + 1] == "figures/result.answers.jsonl"
    ran(monkeypatch, process, replay=True)
    assert "--no-replay" not in process.commands[-1]


@pytest.mark.parametrize("code", [2, 3, -9])
def test_a_command_that_fails_is_an_error_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with pytest.raises(MachineError, match=r"evaluation failed: no such world$"):
        ran(monkeypatch, Process(code, "", "starting\nno such world\n"))
    with pytest.raises(MachineError, match="no output"):
        ran(monkeypatch, Process(code, "", ""))


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    with pytest.raises(MachineError, match="not done within"):
        ran(monkeypatch, hangs)


def test_a_pipeline_that_is_not_there_is_the_users_mistake(desk: Desk) -> None:
    asked = desk.evaluation.asked.model_copy(update={"untaught": "pipelines/none.yaml"})
    other = Evaluation(desk.evaluation.recipe, asked, desk.path, desk.folder, desk.told.append)
    with pytest.raises(InputError, match="no such file"):
        other.finish(desk.adapter, desk.checkpoints)


# the command


def test_a_finished_training_is_measured_and_its_card_has_the_figures(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(tmp_path / "recipe.yaml"), tmp_path / "trained"
    recipe, _ = load_recipe(path)
    with TrainFolder(out, command._record(recipe)).owned(command._data(recipe, [])):
        desk.weights(out / "adapter")
    assert main(["train", path, "--out", str(out)]) == 0
    card = (out / "adapter" / "README.md").read_text("utf-8")
    assert '"steps": 2' in card  # the untaught model came first
    assert {file.name for file in (out / "figures").iterdir()} == {"untaught.json", "result.json"}
    assert main(["train", path, "--out", str(out)]) == 0
    assert len(desk.measured) == 2
    assert "trained already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("world", "moon:base", "moon"),
        ("world", "declared:household:nowhere", "nowhere"),
        ("untaught", "pipelines/none.yaml", "none.yaml"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, says: str
) -> None:
    desk = Desk(tmp_path, monkeypatch, ASKED)
    desk.evaluation.check()
    asked = desk.evaluation.asked.model_copy(update={key: value})
    with pytest.raises(InputError, match=says):
        replace(desk.evaluation, asked=asked).check()
