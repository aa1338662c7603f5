"""Hermes rows: calls, answers and tools between XML tags, in a conversation or in one text.

`messages` or `conversations` of any spelling, or `text` with ChatML turns. The part of the
system prompt that lists the tools becomes `tools` and is taken out.
"""

from __future__ import annotations

import re
from typing import Any

from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.importers.corpus.sharegpt import tagged
from trajgen.records import Json

_CHATML = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n?", re.DOTALL)


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none."""
    try:
        if isinstance(row, dict) and not row.keys() & {"messages", "conversations"}:
            row = {**row, "messages": _chatml(row.get("text"))}
        return tagged(row, from_columns)
    except Refused as refused:
        return refused.problem


def _chatml(text: Any) -> list[Json]:
    if not isinstance(text, str):
        raise Refused("no `messages`, `conversations` or `text`")
    if outside := _CHATML.sub("", text).strip():
        raise Refused(f"text outside of ChatML turns: {outside[:40]!r}")
    return [{"role": turn[1], "content": turn[2]} for turn in _CHATML.finditer(text)]
