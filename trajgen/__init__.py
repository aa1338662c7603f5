"""trajgen expands small seed trajectory sets with an LLM world model.

seeds -> plan -> rollout (user . agent . world) -> filters -> shards

run = trajgen.run("pipelines/quickstart.yaml")   # or resume
run = trajgen.open("runs/quickstart")            # read, finished or not
run.frame(), run.dataset(), run[0], run.sample(5, rejected=True)
trajgen.check(trajectory, domain)                # the filters on one trajectory
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trajgen.records import Domain, Reason, Trajectory
    from trajgen.review.run import Run

__all__ = ["__version__", "check", "load_domain", "open", "run"]


def run(
    pipeline: str | Path,
    out: str | Path | None = None,
    limit: int | None = None,
    overrides: Iterable[str] = (),
) -> Run:
    """Run a pipeline file, or resume it when `out` already holds this run.

    `out` is the run folder (default `runs/<name>`) or an object store's URL such as
    `s3://bucket/runs/x`, `limit` bounds the number of tasks, and `overrides` are `a.b=value`
    texts. Raises a subclass of `trajgen.errors.TrajgenError`.
    """
    from trajgen.pipeline import run as run_pipeline

    return run_pipeline(pipeline, out, limit, overrides)


def open(path: str | Path) -> Run:
    """The run in the folder `path`, or below an object store's URL, finished or not. Raises
    InputError when there is none."""
    from trajgen.review.run import Run

    return Run.open(path)


def load_domain(path: str | Path) -> Domain:
    """The domain in folder `path`, seeds left out. Raises InputError."""
    from trajgen.domains import load_domain as load
    from trajgen.loading import find

    return load(find(str(path)))


def check(trajectory: Trajectory, domain: Domain) -> list[Reason]:
    """The default filters on one trajectory: [] or the reasons against it."""
    from trajgen.filters import check as check_all

    return check_all(trajectory, domain)
