"""A run that requires its world model to be good enough: measured once, before it plays.

Crash rule: `fidelity.json` is there whole or not at all; without it, or with another model,
prompt, world or seed, it is measured again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trajgen.config import BarsConfig, FidelityConfig, Pipeline
from trajgen.durable import place_bytes
from trajgen.fidelity.bars import check_bars
from trajgen.fidelity.measure import Measure, measure
from trajgen.fidelity.source import load_real
from trajgen.loop import run_to_end
from trajgen.objects import Place
from trajgen.prompts import Prompts
from trajgen.run_record import FIDELITY, read_record, record_bytes


def required(
    pipeline: Pipeline, section: FidelityConfig, prompts: Prompts, near: Path, at_once: int
) -> Measure:
    """The measurement that a pipeline's `fidelity` asks for. Raises InputError."""
    real = load_real(section.world, near)
    return Measure(pipeline, prompts, real, section.n, section.replay, at_once)


def pass_gate(job: Measure, bars: BarsConfig, folder: Place) -> None:
    """Raise CheckFailed when the world of a run in `folder` misses one of `bars`."""
    path = folder / FIDELITY
    stored = read_record(path)
    if stored is None or stored["digest"] != job.digest:
        stored = {"digest": job.digest, "figures": run_to_end(lambda: measure(job, _tell)).figures}
        place_bytes(path, record_bytes(stored))
    check_bars(stored["figures"], bars, str(path))


def _tell(text: str) -> None:
    sys.stderr.write(f"fidelity: {text}\n")
    sys.stderr.flush()
