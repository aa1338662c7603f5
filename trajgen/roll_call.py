"""A worker's report held against the tasks that it has in hand.

Workers may be forgetful: they can lose a task, answer for it twice, or answer for one that
they never had. Waiting for such a worker has no end, and believing it gives rows of nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trajgen.records import Task
from trajgen.worker import Outcome, Report


def believed(report: Report, given: Mapping[str, Task]) -> tuple[list[Outcome], str]:
    """The outcomes that can stand, at most one a task of `given`; and what is wrong with the
    report, or ""."""
    sound: dict[str, Outcome] = {}
    wrong: list[str] = []
    for outcome in report.outcomes:
        if problem := _problem(outcome, given, sound):
            wrong.append(problem)
        else:
            sound[outcome.task_id] = outcome
    wrong += _lost(report, len(given) - len(sound))
    return list(sound.values()), wrong[0] if wrong else ""


def _problem(outcome: Outcome, given: Mapping[str, Task], seen: Mapping[str, Outcome]) -> str:
    if outcome.task_id not in given:
        return f"it answered for {outcome.task_id}, which it was not given"
    if outcome.task_id in seen:
        return f"it answered for {outcome.task_id} twice"
    if (outcome.row is None) == (outcome.error == ""):
        return f"it gave no clear end to {outcome.task_id}"
    if outcome.row is not None and outcome.row["id"] != outcome.task_id:
        return f"it gave the row of {outcome.row['id']} to {outcome.task_id}"
    return ""


def _lost(report: Report, left: int) -> Iterator[str]:
    """A worker holds every task that has no end, unless its engine died."""
    held = report.in_flight + report.waiting
    if not report.engine_dead and held < left:
        yield f"it lost {left - held} tasks"
