"""Questions of the page and their answers, all plain JSON; knows rows, and no widget.

    {"ask": "page", "query": {...}, "cursor": 0}     rows that pass, from a place on
    {"ask": "choices"}                               what the filters can be set to
    {"ask": "open", "position": 7}                   one conversation as a tree
    {"ask": "judge", "position": 7, "review": "drop", "note": "..."}

Crash rule: a question changes nothing but `reviews.parquet`, by `judge` alone. What goes wrong
is the answer `{"problem": "..."}`, and nothing was put down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from trajgen.errors import InputError, TrajgenError
from trajgen.objects import Place
from trajgen.origin import seed_at_hand
from trajgen.records import Json, Trajectory
from trajgen.review import reviews
from trajgen.review.browse.index import Index, Query
from trajgen.review.browse.scan import looked_through
from trajgen.review.markup import json as tree
from trajgen.review.notebook import conversation
from trajgen.review.reading import content_of, one_line
from trajgen.review.reviews import Judgement

PAGE = 20  # rows
PATIENCE_S = 0.5  # a search answers after that with what it has found so far
_OPENING = 160  # characters

Answer = dict[str, Json]


class Desk:
    """Answers about the rows of a run; `by` is who judges, the login name when None."""

    def __init__(self, folder: Place, index: Index, by: str | None = None) -> None:
        self.folder, self.index, self.by = folder, index, by
        self._passing: tuple[Query, Sequence[int]] | None = None
        self._asks: dict[str, Callable[[Mapping[str, Json]], Answer]] = {
            "page": self._page, "choices": self._choices, "open": self._open, "judge": self._judge,
        }  # fmt: skip

    def answer(self, question: Mapping[str, Json]) -> Answer:
        """The answer, with the question's `ask` and `number` in it."""
        ask = str(question.get("ask"))
        back = {"ask": ask, "number": question.get("number")}
        try:
            if ask not in self._asks:
                raise InputError(
                    f"nothing is known of {ask!r}", fix=f"Ask: {', '.join(self._asks)}"
                )
            return {**self._asks[ask](question), **back}
        except TrajgenError as error:
            return {"problem": str(error), **back}

    def _page(self, question: Mapping[str, Json]) -> Answer:
        """Up to PAGE rows from `cursor` on; `next` is where to go on, None at the end."""
        query, cursor = Query.parse(question.get("query") or {}), _whole(question.get("cursor"))
        judged = reviews.read_reviews(self.folder)
        positions = self._positions(query, judged, cursor)
        found: list[int] = []
        until = time.monotonic() + PATIENCE_S
        for position, fits in looked_through(
            self.index, positions[cursor:], query.tool, query.text
        ):
            cursor += 1
            found += [position] if fits else []
            if len(found) == _wanted(question) or time.monotonic() > until:
                break
        return {
            "rows": [self._summary(position, judged) for position in found],
            "next": cursor if cursor < len(positions) else None,
            "seen": cursor,
            "of": len(positions),
            "searched": bool(query.tool or query.text),
            "all": len(self.index),
        }

    def _positions(
        self, query: Query, judged: Mapping[str, Judgement], cursor: int
    ) -> Sequence[int]:
        """Who passes; further pages go by what the first one saw, judged since or not."""
        if cursor == 0 or self._passing is None or self._passing[0] != query:
            self._passing = query, self.index.passing(query, judged)
        return self._passing[1]

    def _choices(self, question: Mapping[str, Json]) -> Answer:
        return {"choices": self.index.choices()}

    def _open(self, question: Mapping[str, Json]) -> Answer:
        position = _whole(question.get("position"))
        row = self._row(position)
        said = reviews.read_reviews(self.folder).get(row.id)
        return {
            "position": position,
            "tree": tree(conversation(row, seed_at_hand(row))),
            "judgement": _told(said),
        }

    def _judge(self, question: Mapping[str, Json]) -> Answer:
        position, review = _whole(question.get("position")), question.get("review")
        note = question.get("note") or ""
        if not isinstance(note, str):
            raise InputError("a note is text")
        said = reviews.judge(self.folder, self._row(position).id, review, note, self.by)
        return {"position": position, "judgement": _told(said)}

    def _row(self, position: int) -> Trajectory:
        if not 0 <= position < len(self.index):
            raise InputError(f"there is no row {position}", str(self.folder))
        rows, index = self.index.at(position)
        return rows[index]

    def _summary(self, position: int, judged: Mapping[str, Judgement]) -> Answer:
        row = self._row(position)
        opening = next((content_of(m) for m in row.messages if m.get("role") == "user"), "")
        return {
            "position": position,
            "id": row.id,
            "kept": not row.reasons,
            "outcome": one_line(row.outcome),
            "strategy": one_line(row.strategy),
            "reasons": [one_line(code) for code in row.reasons],
            "opening": one_line(opening[:_OPENING]),
            "calls": row.n_tool_calls,
            "judgement": _told(judged.get(row.id)),
        }


def _wanted(question: Mapping[str, Json]) -> int:
    """How many rows the page still has room for."""
    return min(max(_whole(question.get("room", PAGE)), 1), PAGE)


def _whole(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{value!r} is no place in a run")
    return value


def _told(said: Judgement | None) -> Answer | None:
    if said is None:
        return None
    at = said.at.isoformat(" ", "seconds")
    return {"review": said.review, "note": said.note, "by": one_line(said.by), "at": at}
