"""What was taught, held against a real world: `trajgen fidelity` in a process of its own, on the
recipe's pipeline with the taught weights in its engines.

    figures/untaught.json   the model as it was     figures/step-N.json   a checkpoint
    figures/result.json     the result, also in its card
    figures/*.answers.jsonl each answer that they count, beside the true one

Crash rule: figures are there whole or not at all; the next start measures what is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trajgen.durable import place_bytes
from trajgen.engines import leash
from trajgen.errors import MachineError
from trajgen.fidelity.source import load_real
from trajgen.loading import find
from trajgen.merging import merge
from trajgen.models import local_path
from trajgen.pipeline import open_pipeline
from trajgen.records import Json
from trajgen.run_record import record_bytes
from trajgen.scratch import scratch
from trajgen.train.recipe import EvaluateConfig, Recipe

LIMIT_S = 6 * 3600
FIGURES = "figures"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `asked` wants to know of the training run in folder `path`; `near` is the folder of
    its recipe."""

    recipe: Recipe
    asked: EvaluateConfig
    near: Path
    path: Path
    tell: Callable[[str], None]

    def check(self) -> None:
        """Raises InputError for what would only be found to be wrong when all is taught: the
        real world, its seeds, the pipelines."""
        load_real(self.asked.world, self.near)
        for name in filter(None, (self.recipe.pipeline, self.asked.untaught)):
            open_pipeline(find(name, self.near))

    def checkpoint(self, weights: Path) -> None:
        """Measure a checkpoint whose step is asked for. Raises MachineError."""
        if weights.name in self._steps():
            self._measure(weights.name, self.recipe.pipeline, weights, self._others())

    def finish(self, result: Path, checkpoints: Path) -> dict[str, Json]:
        """Measure the result and whatever is missing; the result's figures."""
        for name in self._steps():
            if (checkpoints / name).is_dir():
                self.checkpoint(checkpoints / name)
        if self.asked.untaught:
            others = self._others().model_copy(update={"replay": self.asked.replay})
            self._measure("untaught", self.asked.untaught, None, others)
        return self._measure("result", self.recipe.pipeline, result, self.asked)

    def _steps(self) -> list[str]:
        return [f"step-{number}" for number in self.asked.at]

    def _others(self) -> EvaluateConfig:
        """What is asked of a checkpoint: no rollouts, and perhaps fewer seeds."""
        n = self.asked.n_others or self.asked.n
        return self.asked.model_copy(update={"n": n, "replay": False})

    def _measure(
        self, name: str, pipeline: str, weights: Path | None, asked: EvaluateConfig
    ) -> dict[str, Json]:
        """The figures stored under `name`; `weights` are an adapter, a model, or none."""
        stored = self.path / FIGURES / f"{name}.json"
        if not stored.is_file():
            self.tell(f"fidelity of {name} to {asked.world}, {asked.n} seeds")
            stored.parent.mkdir(exist_ok=True)
            answers = stored.with_suffix(".answers.jsonl")
            with self._model(weights) as model:
                found = fidelity(find(pipeline, self.near), model, asked, answers)
            place_bytes(stored, record_bytes({**found, "model": self._called(weights)}))
        figures: dict[str, Json] = json.loads(stored.read_text("utf-8"))
        return figures

    @contextmanager
    def _model(self, weights: Path | None) -> Iterator[str]:
        """A folder or name that an engine can load; gone afterwards where it was merged."""
        if weights is None or not (weights / "adapter_config.json").is_file():
            yield self.recipe.model if weights is None else str(weights)
            return
        with scratch() as folder:
            merged = folder / "model"
            merge(Path(local_path(self.recipe.model)), weights, merged)
            yield str(merged)

    def _called(self, weights: Path | None) -> str:
        """What the figures are figures of, without a folder of this machine."""
        if weights is None:
            return self.recipe.model
        at = f" at {weights.name}" if weights.name in self._steps() else ""
        return f"{self.recipe.model}, {self.recipe.name}{at}"


def fidelity(pipeline: Path, model: str, asked: EvaluateConfig, answers: Path) -> dict[str, Json]:
    """The figures of `model` in every engine of `pipeline`, whose answers come to the file
    `answers`. Raises MachineError."""
    engines = open_pipeline(pipeline).pipeline.engines
    command = [
        *(sys.executable, "-m", "trajgen", "fidelity", str(pipeline), "--json"),
        *("--world", asked.world, "-n", str(asked.n), "--answers", str(answers)),
        *([] if asked.replay else ["--no-replay"]),
        *(f"--set=engines.{name}.model={model}" for name in engines),
    ]
    found: dict[str, Json] = json.loads(_run(command))
    return found


def _run(command: Sequence[str]) -> str:
    """The standard output of a command of ours."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={**os.environ, leash.VARIABLE: str(os.getpid())},  # its engines end with us
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"evaluation is not done within {LIMIT_S} s") from error
    if done.returncode not in (0, 1):  # 1: a bar that the pipeline sets is missed
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MachineError(f"evaluation failed: {last[:500]}", "trajgen fidelity")
    return done.stdout
