"""A notebook with its stored outputs -> a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def notebook(path: Path) -> str:
    """The page of a notebook. A widget is shown by the text that stands in for it."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _cell(cell)) + "\n"


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif cell["cell_type"] == "code":
        magic = re.search(r"(?m)^[%!]", source)  # lines that are no Python
        yield f"```{'text' if magic else 'python'}\n{source}\n```"
        yield from map(_output, cell["outputs"])


def _output(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _text(output["text"])
    data = output["data"]
    if "text/html" in data:
        return _html("".join(data["text/html"]))
    if "image/png" in data:
        png = "".join(data["image/png"]).strip().replace("\n", "")
        return _html(f'<img alt="the plot that the cell draws" src="data:image/png;base64,{png}">')
    return _text(data["text/plain"])


def _html(inside: str) -> str:
    return f'`````{{raw}} html\n<div class="output">\n{inside}\n</div>\n`````'


def _text(lines: list[str] | str) -> str:
    text = COLOURS.sub("", "".join(lines)).rstrip()
    return f"`````{{code-block}} text\n:class: output\n\n{text}\n`````"
