"""The desk behind a widget: anywidget carries the page's questions and the answers.

Where no kernel runs, as on GitHub, the first rows are there as plain HTML instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anywidget import AnyWidget

from trajgen.records import Json
from trajgen.review.browse.desk import Desk
from trajgen.review.notebook import sample_html

STATIC = Path(__file__).parents[1] / "static"
SHOWN = 5  # conversations of the plain HTML


class Browser(AnyWidget):
    """What `run.browse()` gives; a notebook shows it when it is the last line of a cell."""

    _esm = (STATIC / "browse.js").read_text("utf-8")
    _css = "\n".join((STATIC / name).read_text("utf-8") for name in ("view.css", "browse.css"))

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.on_msg(self._asked)

    def _asked(self, _: object, question: Json, __: object) -> None:
        if isinstance(question, dict):
            self.send({"to": question.get("from"), **self._desk.answer(question)})

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it the first conversations as HTML."""
        bundle: Any = super()._repr_mimebundle_(**options)
        data, metadata = bundle
        index = self._desk.index
        rows = (index.at(position) for position in range(min(SHOWN, len(index))))
        return {**data, "text/html": sample_html(held[at] for held, at in rows)}, metadata
