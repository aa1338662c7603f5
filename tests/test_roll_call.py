"""A forgetful worker is found by its report, replaced, and costs no task and no row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash.small_run import plan, row
from tests.test_dispatch import Fake, Play, complete, ids, run
from trajgen.cast import Usage
from trajgen.records import Task
from trajgen.roll_call import believed
from trajgen.worker import Outcome, Report

GIVEN = {task.id: task for task in plan(4)}


def outcome(number: int, of: int | None = None) -> Outcome:
    """The end of a task, with the row of another one where `of` says so."""
    made = row(f"task-{number if of is None else of:04d}")
    return Outcome(f"task-{number:04d}", made, f"f-{number}")


def report(*outcomes: Outcome, held: int, waiting: int = 0, dead: bool = False) -> Report:
    return Report(outcomes, held, Usage(), dead, waiting)


def numbers(found: list[Outcome]) -> list[int]:
    return [int(o.task_id[5:]) for o in found]


@pytest.mark.parametrize(
    "sound",
    [
        report(held=4),
        report(held=1, waiting=3),
        report(outcome(2), outcome(0), held=2),
        report(*map(outcome, range(4)), held=0),
        report(outcome(1), Outcome("task-0003", error="timeout", message="late"), held=2),
        report(outcome(1), Outcome("task-0003", error="engine"), held=0, dead=True),
    ],
)
def test_a_report_that_accounts_for_every_task_is_believed(sound: Report) -> None:
    assert believed(sound, GIVEN) == (list(sound.outcomes), "")


@pytest.mark.parametrize(
    ("wrong", "stands", "told"),
    [
        (report(held=3), [], "it lost 1 tasks"),
        (report(outcome(1), held=1, waiting=1), [1], "it lost 1 tasks"),
        (report(outcome(1), outcome(1), held=3), [1], "answered for task-0001 twice"),
        (report(outcome(9), outcome(1), held=3), [1], "task-0009, which it was not given"),
        (report(outcome(1, of=2), outcome(2), held=2), [2], "the row of task-0002 to task-0001"),
        (report(Outcome("task-0001"), held=3), [], "no clear end to task-0001"),
        (
            report(replace(outcome(1), error="timeout"), held=3),
            [],
            "no clear end to task-0001",
        ),
    ],
)
def test_what_a_report_gets_wrong_is_told_and_the_rest_stands(
    wrong: Report, stands: list[int], told: str
) -> None:
    found, problem = believed(wrong, GIVEN)
    assert numbers(found) == stands
    assert told in problem


# Through the dispatch.


def forgetful(how: str) -> Any:
    """The first three workers err in their third exchange."""

    def exchanged(real: Any) -> Any:
        async def exchange(self: Fake, tasks: list[Task]) -> Report:
            report: Report = await real(self, tasks)
            errs = self.exchanges == 3 and self.serial < 3
            return erring(how, self, report) if errs else report

        return exchange

    return exchanged


def erring(how: str, fake: Fake, report: Report) -> Report:
    if how == "forgets":
        fake.hand = fake.hand[1:]
        return replace(report, in_flight=len(fake.hand))
    if how == "fewer answers":
        return replace(report, outcomes=report.outcomes[1:])
    if how == "twice":
        return replace(report, outcomes=(*report.outcomes, *report.outcomes[:1]))
    if how == "unknown":
        return replace(report, outcomes=(*report.outcomes, outcome(9999)))
    if len(report.outcomes) < 2:
        return report
    first, second, *rest = report.outcomes
    crossed = replace(first, row=second.row), replace(second, row=first.row)
    return replace(report, outcomes=(*crossed, *rest))


@pytest.mark.parametrize("how", ["forgets", "fewer answers", "twice", "unknown", "crossed"])
def test_a_forgetful_worker_is_replaced_and_no_task_is_lost(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "exchange", forgetful(how)(Fake.exchange))
    play = Play()
    result = run(tmp_path, play, planned=60, rows=20, restarts=50)
    complete(result, 60)
    assert result.dead == []
    assert len(play.hired) > 2


def test_a_task_that_every_worker_forgets_is_dead_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Fake.exchange

    async def exchange(self: Fake, tasks: list[Task]) -> Report:
        self.hand = [t for t in self.hand if t.id != "task-0007"]
        return await real(self, [t for t in tasks if t.id != "task-0007"])

    monkeypatch.setattr(Fake, "exchange", exchange)
    result = run(tmp_path, Play(), planned=60, rows=20)
    assert result.causes == {"task-0007": "engine"}
    assert result.dead[0]["message"] == "a worker erred: it lost 1 tasks"
    assert ids(7) == frozenset(result.causes)
    complete(result, 60)
