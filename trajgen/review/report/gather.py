"""Everything a report is made from, read shard after shard.

Crash rule: reads only; trusts commits as `Run` does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trajgen.origin import Origin, seeds_left
from trajgen.records import Json
from trajgen.review.report.diversity import COMPARED, SAMPLE, Diversity
from trajgen.review.report.tally import BY, KEPT, REJECTED, Tally, parsed
from trajgen.review.reviews import Judgement, read_reviews
from trajgen.review.run import Run
from trajgen.run_record import FIDELITY, existing_run, read_record


@dataclass(frozen=True, slots=True)
class Gathered:
    """A run as a report sees it. `record` is run.json, `status` the JSON of `trajgen status`,
    `tools` the names of each domain's tools, `dead` counts dead tasks by error and
    `dead_by` by (dimension, value)."""

    run: Run
    record: Mapping[str, Json]
    status: Mapping[str, Json]
    origin: Origin
    tally: Tally
    diversity: Diversity
    tools: Mapping[str, tuple[str, ...]]
    dead: Counter[str]
    dead_by: Counter[tuple[str, str]]
    planned_seeds: int
    fidelity: Mapping[str, Json] | None
    judgements: Sequence[Judgement]


def gather(run: Run) -> Gathered:
    """Read `run` once. Raises MachineError when a file of it is damaged."""
    found = seeds_left(run.path)
    deaths = {record["id"]: str(record.get("error", "?")) for record in run.dead()}
    step = max(-(-len(run) // SAMPLE), 1)
    compared = {row["id"] for row in run.rows().every(step, ("id",))}
    planned = _Planned(run, deaths, compared)
    diversity = Diversity(found.seeds, planned.partners)
    tally = Tally()
    for row in run.rows().stream(KEPT):
        tally.keep(row)
    for row in run.rows().every(step, COMPARED):
        diversity.add(row, parsed(row["messages"]))
    for row in run.rows(rejected=True).stream(REJECTED):
        tally.reject(row)
    return Gathered(
        run=run,
        record=existing_run(run.path),
        status=run.status(),
        origin=found,
        tally=tally,
        diversity=diversity,
        tools=dict(_tools(run, set(tally.values("domain")))),
        dead=Counter(deaths.values()),
        dead_by=planned.dead_by,
        planned_seeds=len(planned.seeds),
        fidelity=(read_record(run.path / FIDELITY) or {}).get("figures"),
        judgements=tuple(read_reviews(run.path).values()),
    )


class _Planned:
    """What only the plan knows: the second seed of a `compose`, of the rows in `compared`, and
    what dead tasks were to be."""

    def __init__(self, run: Run, deaths: Mapping[str, str], compared: set[str]) -> None:
        from trajgen.plan_file import plan_tasks

        self.partners: dict[str, str] = {}
        self.dead_by: Counter[tuple[str, str]] = Counter()
        self.seeds: set[str] = set()
        for task in plan_tasks(run.path):
            self.seeds.add(task.seed_id)
            if task.partner and task.id in compared:
                self.partners[task.id] = task.partner
            if task.id in deaths:
                self.dead_by.update((dimension, getattr(task, dimension)) for dimension in BY)


def _tools(run: Run, domains: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The tools of each domain, from the first row of it."""
    wanted = set(domains)
    for rejected in (False, True):
        for row in run.rows(rejected).stream(("domain", "tools")) if wanted else ():
            if row["domain"] in wanted:
                wanted.discard(row["domain"])
                tools = (json.loads(tool) for tool in row["tools"])
                yield row["domain"], tuple(str(tool["function"]["name"]) for tool in tools)
            if not wanted:
                break
