"""What the widget's page is told: rows that pass the filters, conversations, judgements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.small_pipeline import write_pipeline
from trajgen.errors import InputError
from trajgen.records import Trajectory
from trajgen.review.browse import desk as desk_module
from trajgen.review.browse.desk import Desk
from trajgen.review.browse.index import Index, Query
from trajgen.review.browse.scan import looked_through
from trajgen.review.reading import content_of
from trajgen.review.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """20 tasks in 5 shards, some of them rejected."""
    folder = tmp_path_factory.mktemp("browsed")
    script = {"quality": {"agent": 0.9, "world": 0.9}}
    return trajgen.run(write_pipeline(folder, script, max_tasks=20), folder / "run")


@pytest.fixture
def desk(run: Run) -> Desk:
    (run.path / "reviews.parquet").unlink(missing_ok=True)
    return Desk(run.path, Index(run.rows(), run.rows(rejected=True)), "Ada")


def all_rows(run: Run) -> list[Trajectory]:
    """In the order of positions."""
    rejected = run.rows(rejected=True)
    return [*run, *(rejected[i] for i in range(len(rejected)))]


def ids(desk: Desk, **query: str) -> list[str]:
    found: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        answer = desk.answer({"ask": "page", "query": query, "cursor": cursor, "number": 1})
        found += [row["id"] for row in answer["rows"]]
        cursor = answer["next"]
    return found


def calls(row: Trajectory, tool: str) -> bool:
    return any(call.tool == tool for call in row.calls())


def says(row: Trajectory, text: str) -> bool:
    return any(text in content_of(message).casefold() for message in row.messages)


def test_every_row_comes_once_kept_ones_first(run: Run, desk: Desk) -> None:
    rows = all_rows(run)
    assert len(rows) == 20
    assert 0 < len(run) < 20
    assert ids(desk) == [row.id for row in rows]


def test_filters_let_through_what_fits_and_nothing_else(run: Run, desk: Desk) -> None:
    rows = all_rows(run)
    some = rows[-1]
    assert ids(desk, fate="kept") == [row.id for row in run]
    assert ids(desk, fate="rejected") == [row.id for row in rows if row.reasons]
    for name, value, fits in (
        ("strategy", some.strategy, lambda r: r.strategy == some.strategy),
        ("seed", some.seed_id, lambda r: r.seed_id == some.seed_id),
        ("outcome", "failure", lambda r: r.outcome == "failure"),
        ("reason", some.reasons[0], lambda r: some.reasons[0] in r.reasons),
        ("tool", "open", lambda r: calls(r, "open")),
        ("text", "Apple", lambda r: says(r, "apple") or "apple" in str([*r.calls()])),
    ):
        wanted = [row.id for row in rows if fits(row)]
        assert 0 < len(wanted) < 20, name
        assert ids(desk, **{name: value}) == wanted, name
    both = [row.id for row in run if row.strategy == some.strategy and calls(row, "open")]
    assert ids(desk, fate="kept", strategy=some.strategy, tool="open") == both
    assert ids(desk, strategy="no such strategy") == []


def test_keys_and_signs_of_the_stored_form_are_not_found(desk: Desk) -> None:
    assert ids(desk, text="tool_call_id") == []
    assert ids(desk, text='"}') == []


def test_a_filter_offers_what_there_is_with_counts(run: Run, desk: Desk) -> None:
    choices = desk.answer({"ask": "choices"})["choices"]
    assert sum(count for _, _, count in choices["strategy"]) == 20
    assert all_rows(run)[-1].reasons[0] in [value for value, _, _ in choices["reason"]]
    assert ("open", "open", 0) in choices["tool"]


def test_a_page_is_cut_and_says_where_to_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.answer({"ask": "page", "query": {}, "cursor": 0, "room": 7})
    assert (len(first["rows"]), first["next"], first["of"]) == (7, 7, 20)
    monkeypatch.setattr(desk_module, "PATIENCE_S", -1.0)
    slow = desk.answer({"ask": "page", "query": {"text": "nowhere"}, "cursor": 0})
    assert (slow["rows"], slow["next"], slow["searched"]) == ([], 1, True)


def test_a_search_reads_each_group_of_rows_once(
    run: Run, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    for rows in (run.rows(), run.rows(rejected=True)):
        inner = rows.part
        monkeypatch.setattr(
            rows, "part", lambda at, names, inner=inner: read.append(at) or inner(at, names)
        )
    found = looked_through(desk.index, range(len(desk.index)), "", "apple")
    assert len(list(found)) == 20
    assert 0 < len(read) <= 10


def test_a_conversation_comes_as_a_tree_of_text(run: Run, desk: Desk) -> None:
    answer = desk.answer({"ask": "open", "position": 0, "number": 4})
    assert answer["tree"][0] == "article"
    assert f"Trajectory {run[0].id}" == answer["tree"][1]["aria-label"]
    assert "Beside its seed" in str(answer["tree"])
    assert (answer["judgement"], answer["ask"], answer["number"]) == (None, "open", 4)


def test_a_judgement_is_put_down_shown_and_found(run: Run, desk: Desk) -> None:
    judge = {"ask": "judge", "position": 2, "review": "drop", "note": "guesses"}
    told = desk.answer(judge)["judgement"]
    assert (told["review"], told["note"], told["by"]) == ("drop", "guesses", "Ada")
    assert run.reviews()["id"].tolist() == [run[2].id]
    assert ids(desk, review="drop") == [run[2].id]
    assert run[2].id not in ids(desk, review="none")
    assert len(ids(desk, review="none")) == 19
    assert desk.answer({"ask": "open", "position": 2})["judgement"] == told
    assert desk.answer({**judge, "review": None})["judgement"] is None
    assert run.reviews().empty


def test_further_pages_go_by_what_the_first_one_saw(run: Run, desk: Desk) -> None:
    page = {"ask": "page", "query": {"review": "none"}, "cursor": 0, "room": 5}
    first = desk.answer(page)
    for row in first["rows"]:
        desk.answer({"ask": "judge", "position": row["position"], "review": "keep"})
    assert desk.answer({**page, "cursor": 5})["rows"][0]["position"] == 5


@pytest.mark.parametrize(
    "question",
    [
        {"ask": "fly"}, {}, {"ask": "open", "position": 99}, {"ask": "open", "position": "0"},
        {"ask": "open", "position": -1}, {"ask": "open"}, {"ask": "page", "cursor": True},
        {"ask": "judge", "position": 0, "review": "burn"},
        {"ask": "judge", "position": 0, "review": "keep", "note": 7},
    ],
)  # fmt: skip
def test_odd_questions_are_answered_by_what_is_wrong(
    run: Run, desk: Desk, question: dict[str, Any]
) -> None:
    assert desk.answer(question)["problem"]
    assert run.reviews().empty


def test_a_query_takes_text_alone() -> None:
    assert Query.parse({"strategy": 3, "tool": "x", "other": "y"}) == Query(tool="x")


def test_an_empty_run_has_an_empty_page(tmp_path: Path) -> None:
    from trajgen.review.rows import Rows

    empty = Desk(tmp_path, Index(Rows([]), Rows([])))
    answer = empty.answer({"ask": "page", "query": {}, "cursor": 0})
    assert (answer["rows"], answer["next"], answer["all"]) == ([], None, 0)
    assert empty.answer({"ask": "choices"})["choices"]["strategy"] == []


def test_without_anywidget_it_is_said_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "trajgen.review.browse.widget", raising=False)
    with pytest.raises(InputError, match="pip install anywidget"):
        run.browse()
