"""Pages as trees of tags and text: what a row holds is text by construction.

A tree becomes HTML here, or JSON from which a browser builds the same elements. Both write
out unseen characters, and only here is anything escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from trajgen.records import Json
from trajgen.review.reading import visible

_EMPTY = ("br",)  # elements without an end


@dataclass(frozen=True, slots=True)
class Tag:
    """An element. Names and attributes are ours, never a row's."""

    name: str
    inside: tuple[Node, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


Node = str | Tag


def tag(name: str, *inside: Node | None, **attributes: str) -> Tag:
    """An element; None and "" inside are left out, and `class_` is the attribute `class`."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Tag(name, tuple(node for node in inside if node), tuple(named))


def html(node: Node) -> str:
    """The tree as HTML."""
    if isinstance(node, str):
        return escape(visible(node))
    attributes = "".join(f' {name}="{escape(visible(v))}"' for name, v in node.attributes)
    opening = f"<{node.name}{attributes}>"
    if node.name in _EMPTY:
        return opening
    return f"{opening}{''.join(map(html, node.inside))}</{node.name}>"


def json(node: Node) -> Json:
    """The tree as JSON: text is a string, an element `[name, {attributes}, ...inside]`."""
    if isinstance(node, str):
        return visible(node)
    attributes = {name: visible(value) for name, value in node.attributes}
    return [node.name, attributes, *map(json, node.inside)]


def lines(text: str) -> list[Node]:
    """`text` with `br` for line breaks, which are seen without a style sheet too."""
    nodes: list[Node] = []
    for number, line in enumerate(text.split("\n")):
        nodes += [tag("br"), line] if number else [line]
    return nodes


def table(rows: Iterable[tuple[Node, ...]], head: tuple[str, ...] = (), **attributes: str) -> Tag:
    """A table whose first column names the rows; `head` names the columns."""
    columns = tag("thead", tag("tr", *(tag("th", word, scope="col") for word in head)))
    body = (
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell, dir="auto") for cell in rest))
        for first, *rest in rows
    )
    return tag("table", columns if head else None, tag("tbody", *body), **attributes)
