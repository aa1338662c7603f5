"""`trajgen fidelity`: a pipeline's world model against a real world, without a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trajgen.config import BarsConfig
from trajgen.errors import InputError
from trajgen.fidelity.answers import Marked
from trajgen.fidelity.bars import check_bars
from trajgen.fidelity.measure import Measure, Tell, measure
from trajgen.fidelity.source import load_real
from trajgen.loop import run_to_end
from trajgen.pipeline import in_flight, open_pipeline
from trajgen.records import Json

SEEDS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of one measurement, the answers that they count, and the bars that the
    pipeline sets for them."""

    figures: dict[str, Json]
    answers: tuple[Marked, ...]
    bars: BarsConfig
    where: str

    def check(self) -> None:
        """Raises CheckFailed when a bar is missed."""
        check_bars(self.figures, self.bars, self.where)


def fidelity(
    path: str,
    world: str | None,
    n: int | None,
    replay: bool,
    overrides: Iterable[str],
    tell: Tell,
) -> Found:
    """Measure the world of the pipeline at `path` on `n` seeds of the real world `world`.

    What is None is as the pipeline's `fidelity:` says; its bars hold for the world it names.
    Raises InputError or MachineError.
    """
    opened = open_pipeline(path, overrides)
    pipeline, section = opened.pipeline, opened.pipeline.fidelity
    name = world or (section.world if section else "")
    if not name:
        raise InputError("no real world to measure against", path, "Say --world tau2:retail.")
    same = section is not None and section.world == name
    job = Measure(
        pipeline=pipeline,
        prompts=opened.prompts,
        real=load_real(name, opened.near),
        n=n or (section.n if section else SEEDS),
        replay=replay and (section.replay if section else True),
        at_once=in_flight(pipeline),
    )
    measured = run_to_end(lambda: measure(job, tell))
    bars = section.require if section and same else BarsConfig()
    return Found(measured.figures, measured.answers, bars, path)
