"""A trajectory, a sample or a run as a piece of HTML that a notebook or a report shows.

Self-contained: no script and no link, colours made from the page's own text colour. Where a
page drops the style sheet, as GitHub does, tags alone keep it readable. Everything that a row
holds is text of a tree (markup.py), and becomes HTML in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trajgen.origin import seed_at_hand
from trajgen.records import Json, Reason, Seed, Step, Trajectory
from trajgen.review.beside import beside
from trajgen.review.changes import Change, changes_of
from trajgen.review.codes import explain
from trajgen.review.markup import Node, Tag, lines, table, tag
from trajgen.review.markup import html as as_html
from trajgen.review.reading import (
    Said,
    broke,
    broken_at,
    calls_of,
    content_of,
    facts,
    one_line,
    reason_lines,
    source_line,
    tool_of,
    unplaced,
    visible,
    written,
)

if TYPE_CHECKING:
    from trajgen.review.run import Run

FOLD = 700  # characters of a text shown before it is folded away
LIMIT = 100_000  # characters of one text that a page carries at all
STYLE = f"<style>{(Path(__file__).parent / 'static' / 'view.css').read_text('utf-8')}</style>"
_ROLES = ("user", "assistant", "tool")


def html(trajectory: Trajectory) -> str:
    """The conversation as self-contained HTML."""
    return STYLE + fragment(trajectory)


def fragment(trajectory: Trajectory) -> str:
    """`html` without the style, for a page that shows many and carries `STYLE` once."""
    return as_html(conversation(trajectory, seed_at_hand(trajectory)))


def sample_html(trajectories: Iterable[Trajectory]) -> str:
    """Several conversations, each folded under a line that says what it is."""
    shown = "".join(
        as_html(tag("details", tag("summary", *_title(t)), conversation(t, seed_at_hand(t))))
        for t in trajectories
    )
    return f'{STYLE}<section class="trajgen">{shown or "no trajectory"}</section>'


def run_html(run: Run) -> str:
    """A run in short: name, progress, yield and why rows were rejected."""
    status = run.status()
    done, planned = status["done"], status["planned"]
    state = "complete" if status["complete"] else "not finished"
    whole = sum(status[word] for word in ("kept", "rejected", "dead"))
    rows: list[tuple[Node, ...]] = [
        *((word, f"{status[word]:,}") for word in ("kept", "rejected", "dead")),
        ("yield", f"{status['kept'] / whole:.0%}" if whole else "nothing done yet"),
    ]
    progress = tag("progress", max=str(max(planned, 1)), value=str(done), aria_label="tasks done")
    reasons = sorted(status["reasons"].items(), key=lambda pair: (-pair[1], pair[0]))
    told = [(one_line(code), f"{count:,}", explain(code)) for code, count in reasons]
    page = tag(
        "section",
        tag("p", tag("strong", f"Run {one_line(status['name'])}: {state}")),
        tag("p", progress, f" {done:,} of {planned:,} tasks"),
        table(rows),
        table(told, ("reason", "rows", "meaning")) if told else None,
        class_="trajgen",
    )
    return STYLE + as_html(page)


def conversation(trajectory: Trajectory, seed: Seed | str = "") -> Tag:
    """The conversation as a tree; `seed` is shown beside it, or why it cannot be."""
    changes = {id(s): c for s, c in zip(trajectory.steps, changes_of(trajectory), strict=True)}
    messages = (_message(trajectory, i, changes) for i in range(len(trajectory.messages)))
    rest = (
        tag("li", tag("p", f"step without a call: {one_line(step.tool)}"), *_step(step, changes))
        for step in unplaced(trajectory)
    )
    return tag(
        "article",
        *_head(trajectory),
        beside(seed, trajectory) if isinstance(seed, Seed) else _quiet(seed),
        tag("ul", *messages, *rest),
        class_="trajgen",
        aria_label=f"Trajectory {one_line(trajectory.id)}",
    )


def _title(trajectory: Trajectory) -> Sequence[Node]:
    verdict = "rejected" if trajectory.reasons else "kept"
    opening = next((content_of(m) for m in trajectory.messages if m.get("role") == "user"), "")
    return (
        tag("strong", f"{trajectory.outcome} · {verdict}"),
        f" · {one_line(trajectory.strategy)} · {one_line(opening[:120])}",
    )


def _head(trajectory: Trajectory) -> list[Node]:
    verdict = "rejected" if trajectory.reasons else "kept"
    words = " · ".join(f"{word} {value}" for word, value in facts(trajectory))
    return [
        tag("p", tag("strong", tag("code", one_line(trajectory.id)), f" · {verdict}")),
        tag("p", tag("small", words), class_="quiet"),
        *(_bad(f"✗ {code}", words) for code, words in reason_lines(trajectory)),
    ]


Changes = dict[int, list[Change]]  # by the identity of the step


def _message(trajectory: Trajectory, index: int, changes: Changes) -> Tag:
    role = one_line(trajectory.messages[index].get("role", "?"))
    tool = tool_of(trajectory, index) if role == "tool" else ""
    named = (" · ", tag("code", one_line(tool))) if tool else ()
    return tag(
        "li",
        tag("p", tag("strong", role), *named, tag("small", f" {index}"), class_="role"),
        _long(content_of(trajectory.messages[index]), role == "tool"),
        *(_call(said, changes) for said in calls_of(trajectory, index)),
        *(_verdict(reason) for reason in broken_at(trajectory, index)),
        class_=role if role in _ROLES else "other",
    )


def _call(said: Said, changes: Changes) -> Tag:
    return tag(
        "blockquote",
        tag("p", "calls ", tag("strong", tag("code", one_line(said.name))), class_="role"),
        _arguments(said.arguments),
        *(_step(said.step, changes) if said.step else ()),
        class_="call",
    )


def _arguments(arguments: Json) -> Node | None:
    if not isinstance(arguments, dict):
        return _long(visible(arguments), True)
    rows = [(one_line(name), _code(written(value))) for name, value in arguments.items()]
    return table(rows, class_="arguments") if rows else _quiet("no arguments")


def _step(step: Step, changes: Changes) -> list[Node]:
    applies = tag("strong", "applies" if step.applies else "does not apply")
    nodes = [
        tag("p", applies, _cut(f": {one_line(step.why)}") if step.why else None),
        _changed(changes[id(step)]),
        _quiet(source_line(step)),
        *(_verdict(verdict) for verdict in step.verdicts),
    ]
    return [node for node in nodes if node]


def _changed(changes: list[Change]) -> Node | None:
    if not changes:
        return None
    rows = [
        (tag("code", f"{one_line(c.op)} {one_line(c.path)}"), _code(c.before), _code(c.after))
        for c in changes
    ]
    return table(rows, ("changes", "before", "after"), class_="changes")


def _verdict(reason: Reason) -> Tag:
    return _bad(f"✗ broke here: {one_line(reason.code)}", broke(reason))


def _bad(what: str, words: str) -> Tag:
    return tag("p", tag("strong", what), f": {_cut(words)}", class_="bad")


def _quiet(words: str) -> Tag | None:
    return tag("p", tag("small", words), class_="quiet") if words else None


def _code(text: str) -> Node:
    return _folded(tag("code", _cut(visible(text))), visible(text))


def _long(text: str, mono: bool = False) -> Node | None:
    """A block of text, folded away when long."""
    if not text:
        return None
    inside = lines(_cut(text))
    inside = [tag("code", *inside)] if mono else inside
    return _folded(tag("p", *inside, dir="auto", class_="text"), text)


def _folded(node: Node, text: str) -> Node:
    if len(text) <= FOLD:
        return node
    opening = f"{one_line(text[:120])} … ({len(text):,} characters)"
    return tag("details", tag("summary", opening), node)


def _cut(text: str) -> str:
    left = len(text) - LIMIT
    return text[:LIMIT] + (f" … [{left:,} more characters]" if left > 0 else "")
