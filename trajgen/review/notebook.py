"""A trajectory, or a run, as a piece of HTML that a notebook or a report shows.

Self-contained: inline CSS, no script, no link, colours made from the page's own text
colour so that light and dark themes both work. Everything a row holds is escaped twice
over: unseen characters are written out, then HTML is escaped.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from trajgen.records import Json, Message, Reason, Step, Trajectory
from trajgen.review.codes import explain
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

STYLE = """<style>
.trajgen{font:14px/1.5 system-ui,sans-serif;color:inherit;max-width:60em;text-align:left}
.trajgen *{box-sizing:border-box}
.trajgen ol{list-style:none;margin:0;padding:0}
.trajgen li{margin:.5em 0;padding:.4em .8em;border-left:3px solid rgba(128,128,128,.5)}
.trajgen li.user{border-left-color:#2b7de9}
.trajgen li.assistant{border-left-color:#2e9e5b}
.trajgen li.tool{border-left-color:#b8860b;margin-left:1.5em}
.trajgen .role{font-weight:600;margin:0}
.trajgen .text{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0}
.trajgen .mono,.trajgen code{font-family:ui-monospace,monospace;font-size:.92em;
overflow-wrap:anywhere;white-space:pre-wrap;background:none;color:inherit}
.trajgen .quiet{opacity:.8;font-size:.92em;margin:.2em 0}
.trajgen table{border-collapse:collapse;margin:.3em 0;font-size:.92em;color:inherit}
.trajgen th,.trajgen td{border:1px solid rgba(128,128,128,.4);padding:.15em .5em;
text-align:left;vertical-align:top;overflow-wrap:anywhere;background:none;color:inherit}
.trajgen .call{margin:.4em 0;padding:.3em .6em;border:1px solid rgba(128,128,128,.4);
border-radius:4px}
.trajgen .bad{margin:.3em 0;padding:.2em .6em;border-left:4px solid #d33;
background:rgba(221,51,51,.12);overflow-wrap:anywhere}
.trajgen summary{cursor:pointer;overflow-wrap:anywhere}
.trajgen progress{width:12em;vertical-align:middle}
</style>"""


def html(trajectory: Trajectory) -> str:
    """The conversation as self-contained HTML."""
    return STYLE + fragment(trajectory)


def fragment(trajectory: Trajectory) -> str:
    """`html` without the style, for a page that shows many and carries `STYLE` once."""
    messages = "".join(_message(trajectory, i) for i in range(len(trajectory.messages)))
    rest = "".join(
        f'<li class="step"><p class="role">step without a call: <code>{_text(step.tool)}</code>'
        f"</p>{_step(step)}</li>"
        for step in unplaced(trajectory)
    )
    label = _text(f"Trajectory {trajectory.id}")
    return (
        f'<article class="trajgen" aria-label="{label}">{_head(trajectory)}'
        f"<ol>{messages}{rest}</ol></article>"
    )


def run_html(run: Run) -> str:
    """A run in short: name, progress, yield and why rows were rejected."""
    status = run.status()
    done, planned = status["done"], status["planned"]
    state = "complete" if status["complete"] else "not finished"
    counts = ("kept", "rejected", "dead")
    rows = [(word, f"{status[word]:,}") for word in counts]
    whole = sum(status[word] for word in counts)
    rows.append(("yield", f"{status['kept'] / whole:.0%}" if whole else "nothing done yet"))
    reasons = sorted(status["reasons"].items(), key=lambda pair: (-pair[1], pair[0]))
    return (
        f'{STYLE}<section class="trajgen" aria-label="Run {_text(status["name"])}">'
        f'<p class="role">Run {_text(status["name"])}: {state}</p>'
        f'<p><progress max="{max(planned, 1)}" value="{done}" aria-label="tasks done"></progress>'
        f" {done:,} of {planned:,} tasks</p>{_table(rows)}"
        + (f'<p class="role">Reasons</p>{_table(_explained(reasons))}' if reasons else "")
        + "</section>"
    )


def _explained(reasons: list[tuple[str, int]]) -> list[tuple[str, str]]:
    return [(code, f"{count:,} · {explain(code)}") for code, count in reasons]


def _head(trajectory: Trajectory) -> str:
    verdict = "rejected" if trajectory.reasons else "kept"
    words = " · ".join(escape(f"{word} {value}") for word, value in facts(trajectory))
    reasons = "".join(
        f'<p class="bad">✗ <strong>{escape(code)}</strong>: {_cut(words)}</p>'
        for code, words in reason_lines(trajectory)
    )
    return (
        f'<p class="role"><code>{_text(trajectory.id)}</code> · {verdict}</p>'
        f'<p class="quiet">{words}</p>{reasons}'
    )


def _message(trajectory: Trajectory, index: int) -> str:
    message: Message = trajectory.messages[index]
    role = str(message.get("role", "?"))
    kind = role if role in ("user", "assistant", "tool") else "other"
    tool = tool_of(trajectory, index) if role == "tool" else ""
    title = f"{_text(role)} · <code>{_text(tool)}</code>" if tool else _text(role)
    calls = "".join(_call(said) for said in calls_of(trajectory, index))
    broken = "".join(_verdict(reason) for reason in broken_at(trajectory, index))
    return (
        f'<li class="{kind}"><p class="role">{title} <span class="quiet">{index}</span></p>'
        f"{_long(content_of(message), role == 'tool')}{calls}{broken}</li>"
    )


def _call(said: Said) -> str:
    step = _step(said.step) if said.step is not None else ""
    return (
        f'<div class="call"><p class="role">calls <code>{_text(said.name)}</code></p>'
        f"{_arguments(said.arguments)}{step}</div>"
    )


def _arguments(arguments: Json) -> str:
    if not isinstance(arguments, dict):
        return _long(visible(arguments), True)
    rows = [(name, visible(written(value))) for name, value in arguments.items()]
    return _table(rows) if rows else '<p class="quiet">no arguments</p>'


def _step(step: Step) -> str:
    effects = "".join(
        f'<p class="text mono">{_cut(effect_line(effect))}</p>' for effect in step.effects
    )
    verdicts = "".join(_verdict(verdict) for verdict in step.verdicts)
    return (
        f'<p class="text">{_cut(precondition_line(step))}</p>{effects}'
        f'<p class="quiet">{escape(source_line(step))}</p>{verdicts}'
    )


def _verdict(reason: Reason) -> str:
    code, detail = _text(reason.code), _cut(broke(reason))
    return f'<p class="bad">✗ broke here: <strong>{code}</strong>: {detail}</p>'


def _table(rows: list[tuple[str, str]]) -> str:
    """A two-column table; values are visible text, not yet escaped."""
    cells = (
        f'<tr><th scope="row">{_text(name)}</th><td class="text" dir="auto">{_cut(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table><tbody>{''.join(cells)}</tbody></table>"


def _long(text: str, mono: bool = False) -> str:
    """A block of visible text, folded away when long."""
    if not text:
        return ""
    style = "text mono" if mono else "text"
    block = f'<div class="{style}" dir="auto">{_cut(text)}</div>'
    if len(text) <= FOLD:
        return block
    opening = escape(one_line(text[:120]))
    return f"<details><summary>{opening} … ({len(text):,} characters)</summary>{block}</details>"


def _cut(text: str) -> str:
    left = len(text) - LIMIT
    note = f" … [{left:,} more characters]" if left > 0 else ""
    return escape(text[:LIMIT] + note)


def _text(value: object) -> str:
    return escape(one_line(value))
