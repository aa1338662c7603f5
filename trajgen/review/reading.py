"""What the terminal and the notebook views share: safe text, calls with their steps.

Crash rule: reading changes nothing. Whatever a row holds is shown as text; odd values are
shown as they are instead of raising.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from trajgen.records import Json, Message, Reason, Step, Trajectory
from trajgen.review.codes import explain

# Control characters but newline and tab, line separators, invisible and bidirectional
# marks, language tags, lone surrogates. The joiners U+200C and U+200D stay: scripts and
# emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One tool call of a message and the step that answered it, if it got that far."""

    name: str
    arguments: Json
    step: Step | None


def visible(text: object) -> str:
    r"""`text` with every character that could act unseen written out, such as `\x1b`."""
    return _HIDDEN.sub(_written, text if isinstance(text, str) else written(text))


def one_line(text: object) -> str:
    r"""`visible` text on one line: newlines and tabs are written out too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def written(value: Json) -> str:
    """`value` as JSON on one line, as people read it; what is not JSON as Python shows it."""
    return json.dumps(value, ensure_ascii=False, default=repr)


def calls_of(trajectory: Trajectory, index: int) -> Iterator[Said]:
    """The tool calls of message `index`, each with its step."""
    steps = [step for step in trajectory.steps if step.message == index]
    for call in trajectory.messages[index].get("tool_calls") or ():
        step = next((s for s in steps if s.call_id == call.get("id", "")), None)
        if step is not None:
            steps.remove(step)  # ids may repeat; each step answers one call
        function = call.get("function") or {}
        yield Said(str(function.get("name", "?")), function.get("arguments", {}), step)


def unplaced(trajectory: Trajectory) -> list[Step]:
    """Steps that no call of the messages asked for; shown at the end rather than lost."""
    indexes = range(len(trajectory.messages))
    placed = {id(said.step) for index in indexes for said in calls_of(trajectory, index)}
    return [step for step in trajectory.steps if id(step) not in placed]


def reasons_of(trajectory: Trajectory) -> list[Reason]:
    """Why it was rejected, with place and detail where `scores` keeps them."""
    stored = (trajectory.scores or {}).get("reasons")
    found = [
        Reason(str(r.get("code", "?")), r.get("at"), str(r.get("detail", "")))
        for r in (stored if isinstance(stored, list) else [])
        if isinstance(r, dict)
    ]
    known = {reason.code for reason in found}
    return found + [Reason(code) for code in trajectory.reasons if code not in known]


def broken_at(trajectory: Trajectory, index: int) -> list[Reason]:
    """The reasons whose place is message `index`; verdicts that its steps show are left out."""
    shown = {
        (verdict.code, verdict.detail)
        for step in trajectory.steps
        if step.message == index
        for verdict in step.verdicts
    }
    reasons = [reason for reason in reasons_of(trajectory) if reason.at == index]
    return [reason for reason in reasons if (reason.code, reason.detail) not in shown]


def reason_lines(trajectory: Trajectory) -> list[tuple[str, str]]:
    """Each reason as (code, what it means, where and what was found)."""
    lines = []
    for reason in reasons_of(trajectory):
        place = "" if reason.at is None else f" Message {reason.at}."
        detail = f" {visible(reason.detail)}" if reason.detail else ""
        lines.append((one_line(reason.code), f"{explain(reason.code)}{visible(place)}{detail}"))
    return lines


def broke(reason: Reason) -> str:
    """What is said at the place that broke."""
    return visible(reason.detail or explain(reason.code))


def tool_of(trajectory: Trajectory, index: int) -> str:
    """The name of the tool whose answer message `index` is; empty when no call asked."""
    wanted = trajectory.messages[index].get("tool_call_id")
    for message in reversed(trajectory.messages[:index]):
        for call in message.get("tool_calls") or ():
            if call.get("id") == wanted:
                return str((call.get("function") or {}).get("name", ""))
    return ""


def signature(said: Said) -> str:
    """The call as one line of code: `get_order(order_id="W1")`."""
    return _as_code(said.name, said.arguments)


def signature_of(call: dict[str, Json]) -> str:
    """`signature` of a tool call as it stands in a message."""
    function = call.get("function") or {}
    return _as_code(str(function.get("name", "?")), function.get("arguments", {}))


def _as_code(name: str, arguments: Json) -> str:
    if not isinstance(arguments, dict):
        return f"{one_line(name)}({one_line(arguments)})"
    pairs = (f"{name}={written(value)}" for name, value in arguments.items())
    return one_line(f"{name}({', '.join(pairs)})")


def effect_line(effect: dict[str, Json]) -> str:
    """An effect as one line: `set /orders/W1/status = "cancelled"`."""
    value = f" = {written(effect['value'])}" if "value" in effect else ""
    return one_line(f"{effect.get('op', '?')} {effect.get('path', '?')}{value}")


def precondition_line(step: Step) -> str:
    """Whether the call applied, and why."""
    why = f": {step.why}" if step.why else ""
    return one_line(("applies" if step.applies else "does not apply") + why)


def source_line(step: Step) -> str:
    """Who answered the step, after how many tries, and how the state's hash moved."""
    words = [f"answered by {step.source}"]
    if step.attempts != 1:
        words.append(f"{step.attempts} attempts")
    if step.agreement is not None:
        words.append(f"agreement {step.agreement:.2f}")
    if step.fault:
        words.append(f"planned fault {step.fault}")
    before, after = step.state_before[:8], step.state_after[:8]
    moved = step.state_before != step.state_after
    words.append(f"state {before} to {after}" if moved else "state unchanged")
    return one_line(" · ".join(words))


def facts(trajectory: Trajectory) -> list[tuple[str, str]]:
    """Where a trajectory came from and how it ended: (word, value) pairs, empty ones left out."""
    t = trajectory
    tokens = f"{t.n_tokens:,} ({t.n_target_tokens:,} trained on)" if t.n_tokens else ""
    scores = dict(t.scores or {})
    ended = str(scores.pop("ended", ""))
    detail = (scores.pop("cause", None) or {}).get("detail", "")
    scores.pop("reasons", None)
    pairs = [
        ("outcome", t.outcome),
        ("ended", f"{ended} ({detail})" if detail else ended),
        ("domain", t.domain),
        ("seed", t.seed_id),
        ("strategy", t.strategy),
        ("persona", t.persona),
        ("fault", t.fault),
        ("turns", str(t.n_turns or "")),
        ("tool calls", str(t.n_tool_calls or "")),
        ("tokens", tokens),
        *((name, written(value)) for name, value in scores.items()),
    ]
    return [(one_line(word), one_line(value)) for word, value in pairs if value]


def content_of(message: Message) -> str:
    """The text of a message; content that is no text is shown as JSON."""
    content = message.get("content", "")
    return visible("" if content is None else content)


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
