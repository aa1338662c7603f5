"""A trajectory as a readable conversation in the terminal, or as plain text.

Whatever a row holds stays text: control characters, escape sequences and bidirectional
marks are written out, and markup in content is never interpreted.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from trajgen.records import Reason, Step, Trajectory
from trajgen.review.reading import (
    Said,
    broke,
    broken_at,
    calls_of,
    content_of,
    effect_line,
    facts,
    one_line,
    precondition_line,
    reason_lines,
    signature,
    source_line,
    tool_of,
    unplaced,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# How much of one text is shown: characters, lines.
SAID = (6000, 120)
OBSERVED = (1200, 16)
ARGUMENTS = (600, 1)

_STYLES = {"user": "bold cyan", "assistant": "bold green", "tool": "bold yellow"}
_INDENT = 2
Line = tuple[int, str, str]  # depth, style, text


def plain(trajectory: Trajectory, width: int = 100) -> str:
    """The conversation as plain text, wrapped at `width` columns (at least 20)."""
    from rich.console import Console

    page = io.StringIO()
    Console(
        file=page, width=max(width, 20), height=100, color_system=None, legacy_windows=False
    ).print(render(trajectory))
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().split("\n"))


def pages(trajectories: Iterable[Trajectory], console: Console) -> Iterator[str]:
    """Each conversation as text for this console, a rule between two."""
    from rich.rule import Rule

    for number, trajectory in enumerate(trajectories):
        with console.capture() as shown:  # rich itself would end the process at a closed pipe
            if number:
                console.print(Rule(style="dim"))
            console.print(render(trajectory))
        yield shown.get().rstrip("\n")


def render(trajectory: Trajectory) -> RenderableType:
    """The same conversation for a `rich` console."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    blocks: list[RenderableType] = []
    for depth, style, text in _lines(trajectory):
        block = Text(text, style=style, overflow="fold")
        indent = (0, 0, 0, depth * _INDENT)
        blocks.append(Padding(block, indent, expand=False) if depth else block)
    return Group(*blocks)


def _lines(trajectory: Trajectory) -> Iterator[Line]:
    yield from _head(trajectory)
    for index in range(len(trajectory.messages)):
        yield 0, "", ""
        yield from _message(trajectory, index)
    yield from _unplaced(trajectory)


def _head(trajectory: Trajectory) -> Iterator[Line]:
    verdict = "rejected" if trajectory.reasons else "kept"
    yield 0, "bold", f"{one_line(trajectory.id)} · {verdict}"
    yield 1, "dim", " · ".join(f"{word} {value}" for word, value in facts(trajectory))
    for code, words in reason_lines(trajectory):
        yield 1, "bold red", f"✗ {code}: {folded(words, *OBSERVED)}"


def _message(trajectory: Trajectory, index: int) -> Iterator[Line]:
    message = trajectory.messages[index]
    role = one_line(message.get("role", "?"))
    tool = one_line(tool_of(trajectory, index)) if role == "tool" else ""
    title = f"{index}  {role}" + (f" · {tool}" if tool else "")
    broke_here = broken_at(trajectory, index) or any(s.verdicts for s in _steps(trajectory, index))
    yield 0, *(("bold red", f"{title}  ✗") if broke_here else (_STYLES.get(role, "bold"), title))
    observed = role == "tool"
    text = folded(content_of(message), *(OBSERVED if observed else SAID))
    if text:
        yield 2 if observed else 1, "", text
    for said in calls_of(trajectory, index):
        yield from _call(said)
    for reason in broken_at(trajectory, index):
        yield _verdict(1, reason)


def _steps(trajectory: Trajectory, index: int) -> list[Step]:
    return [step for step in trajectory.steps if step.message == index]


def _call(said: Said) -> Iterator[Line]:
    broken = said.step is not None and said.step.verdicts
    yield 1, "bold red" if broken else "bold", f"→ {folded(signature(said), *ARGUMENTS)}"
    if said.step is not None:
        yield from _step(said.step)


def _step(step: Step) -> Iterator[Line]:
    yield 3, "" if step.applies else "yellow", precondition_line(step)
    for effect in step.effects:
        yield 3, "magenta", folded(effect_line(effect), *ARGUMENTS)
    yield 3, "dim", source_line(step)
    for verdict in step.verdicts:
        yield _verdict(3, verdict)


def _verdict(depth: int, reason: Reason) -> Line:
    words = f"✗ broke here: {one_line(reason.code)}: {folded(broke(reason), *OBSERVED)}"
    return depth, "bold red", words


def _unplaced(trajectory: Trajectory) -> Iterator[Line]:
    for step in unplaced(trajectory):
        yield 0, "", ""
        yield 1, "bold", f"step without a call, message {step.message}: {one_line(step.tool)}"
        yield from _step(step)


def folded(text: str, characters: int, lines: int) -> str:
    """`text` cut to so many characters and lines, with a note of how much was left out."""
    short = "\n".join(text[:characters].split("\n")[:lines])
    left = len(text) - len(short)
    return f"{short} … [{left:,} more characters]" if left else short
