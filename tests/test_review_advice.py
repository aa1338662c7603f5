"""What is said when something is wrong with a run, and that nothing is said otherwise."""

from __future__ import annotations

import pytest

from trajgen.review.advice import Standing, advice


def standing(kept: int, rejected: int = 0, dead: int = 0, **more: object) -> Standing:
    values: dict[str, object] = {"planned": 1000, "target": 500, "where": "runs/x"}
    return Standing(**{**values, "kept": kept, "rejected": rejected, "dead": dead, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "well",
    [
        standing(0),
        standing(0, 19),  # too few to say
        standing(60, 40),
        standing(90, 6, 4),
        standing(500, 300, planned=800),  # there already
    ],
)
def test_of_a_run_that_is_well_nothing_is_said(well: Standing) -> None:
    assert advice(well) == ""


def test_the_gravest_comes_first_and_each_says_what_to_do() -> None:
    reasons = {"bad_answer": 90, "b": 3}
    worst = standing(
        0, 90, 10, reasons=reasons, trouble="an engine died", death="timeout: no answer"
    )
    assert advice(worst) == (
        "10 of 100 tasks could not be run (last: timeout: no answer): see runs/x/dead/"
    )
    assert advice(standing(2, 98, reasons=reasons)) == (
        "2 of 100 tasks kept, rejected most often for bad_answer: `trajgen show runs/x --reason "
        "bad_answer` shows where they break"
    )
    assert "`trajgen show runs/x --rejected`" in advice(standing(0, 20))
    assert advice(standing(30, 70)) == (
        "at this yield the plan ends near 300 of 500 kept rows: a larger max_tasks, in another "
        "folder, goes further"
    )
    lost = advice(standing(60, 40, trouble="the worker was lost"))
    assert lost.startswith("the worker was lost: its tasks are played again; `trajgen doctor`")


def test_what_an_engine_said_stays_one_short_line() -> None:
    said = advice(standing(60, 40, trouble="a\nb\x1b[2J" + "c" * 1000))
    assert r"a\nb\x1b[2J" in said
    assert len(said) < 300
