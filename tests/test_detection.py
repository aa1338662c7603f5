"""The detection benchmark: its kinds break what they say, and the filters meet the bars."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from benchmarks.detection.kinds import HELD_OUT, KINDS, STEPS
from benchmarks.detection.measure import Count, posed, recall, rejected
from benchmarks.detection.report import BARS, FORMS, measured, passed, table
from benchmarks.detection.sources import FOLDERS, Clean, clean, names
from benchmarks.detection.typical import typical
from trajgen import filters
from trajgen.filters.reading import exchanges
from trajgen.ids import stream

pytestmark = pytest.mark.slow  # whole corpora, broken in every way


@cache
def few() -> tuple[Clean, ...]:
    """A few real trajectories of each shipped domain."""
    return tuple(one for folder in FOLDERS for one in list(clean(folder))[:4])


def summed(counts: dict[str, Count]) -> tuple[int, int, int]:
    found = counts.values()
    return sum(c.n for c in found), sum(c.caught for c in found), sum(c.right_step for c in found)


def test_there_are_enough_kinds_and_each_says_what_it_breaks() -> None:
    assert len(KINDS) >= 25
    assert len(HELD_OUT) >= 10
    assert not set(KINDS) & set(HELD_OUT)
    assert all(kind.__doc__ for kind in (KINDS | HELD_OUT | STEPS).values())


@pytest.mark.parametrize("form", FORMS)
def test_what_is_real_is_kept(form: str) -> None:
    assert [(c.bare.id, reasons) for c, reasons in rejected(few(), form)] == []


@pytest.mark.parametrize(
    ("form", "kinds"),
    [("bare", KINDS | HELD_OUT), ("alone", KINDS | HELD_OUT), ("steps", KINDS | HELD_OUT | STEPS)],
)
def test_what_is_broken_is_found_where_it_broke(form: str, kinds: object) -> None:
    assert isinstance(kinds, dict)
    n, caught, right_step = summed(recall(few(), kinds, form, 1))
    assert n > 200
    assert caught >= BARS["recall"] * n
    assert right_step >= BARS["right_step"] * caught


def test_a_kind_changes_a_copy_and_the_same_draw_breaks_the_same() -> None:
    for one in few():
        for form in FORMS:
            found = posed(one, form)
            assert found is not None
            before = repr(found.trajectory)
            for name, kind in (KINDS | HELD_OUT).items():
                broken = kind(found.trajectory, stream(name, "a"), found.real)
                again = kind(found.trajectory, stream(name, "a"), found.real)
                assert broken == again
                assert broken is None or repr(broken.trajectory) != before
            assert repr(found.trajectory) == before


def test_a_filter_that_sees_nothing_misses_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "check", lambda trajectory, domain: [])
    found = measured([FOLDERS[0]], 1)
    assert not passed(found)
    assert "bars: recall" in table(found)


def test_speed_is_measured_on_twelve_messages_and_five_calls() -> None:
    domain, trajectories = typical()
    assert {len(t.messages) for t in trajectories} == {12}
    assert {len(exchanges(t.messages)) for t in trajectories} == {5}
    assert filters.check(trajectories[7], domain) == []
    assert filters.check(replace(trajectories[7], messages=trajectories[7].messages[:-1]), domain)


@pytest.mark.timeout(1800)
def test_the_bars_on_everything_that_can_be_imported() -> None:
    found = measured([name for name in names() if not name.startswith("pipelines/")], 1)
    wrong = sum(len(row["rejected"]) for row in found["clean"])
    assert wrong <= BARS["false_rejects"] * sum(row["n"] for row in found["clean"])
    rows = found["kinds"]
    n, caught = sum(row["n"] for row in rows), sum(row["caught"] for row in rows)
    assert caught >= BARS["recall"] * n
    assert sum(row["right_step"] for row in rows) >= BARS["right_step"] * caught
