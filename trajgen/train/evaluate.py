"""A checkpoint held against a real world: `trajgen fidelity` in a process of its own, on the
recipe's pipeline with the taught weights in its engines.

Crash rule: the figures of a checkpoint are in its folder whole or not at all; what is missing is
measured by the next start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trajgen.durable import place_bytes
from trajgen.errors import MachineError
from trajgen.loading import find
from trajgen.pipeline import open_pipeline
from trajgen.records import Json
from trajgen.run_record import record_bytes
from trajgen.train.recipe import EvaluateConfig

FIGURES = "figures.json"
LIMIT_S = 4 * 3600


def measure(
    pipeline: Path, model: str, asked: EvaluateConfig, out: Path, tell: Callable[[str], None]
) -> Json:
    """The figures of `model` as every engine of `pipeline`, stored in folder `out`; those that
    are there already are not measured again. Raises MachineError when the command fails."""
    stored = out / FIGURES
    if stored.is_file():
        return json.loads(stored.read_text("utf-8"))
    engines = open_pipeline(pipeline).pipeline.engines
    sets = [f"--set=engines.{name}.model={model}" for name in engines]
    replay = [] if asked.replay else ["--no-replay"]
    command = [str(pipeline), "--world", asked.world, "-n", str(asked.n), *replay, "--json", *sets]
    tell(f"fidelity to {asked.world}, {asked.n} seeds, of {out.name}")
    found = json.loads(_run(["fidelity", *command]))
    out.mkdir(parents=True, exist_ok=True)
    place_bytes(stored, record_bytes(found))
    return found


def pipeline_of(name: str, near: Path) -> Path:
    """The pipeline file `name`, as a recipe in folder `near` means it. Raises InputError."""
    return find(name, near)


def _run(arguments: Sequence[str]) -> str:
    """The standard output of a command of ours."""
    command = [sys.executable, "-m", "trajgen", *arguments]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"evaluation is not done within {LIMIT_S} s") from error
    if done.returncode not in (0, 1):  # 1: a bar of the pipeline's own is missed
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MachineError(f"evaluation failed: {last[:500]}", " ".join(command))
    return done.stdout
