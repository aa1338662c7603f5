"""The shape of a conversation: who speaks when, and whether anything was cut off.

This file alone reports what is malformed; the other filters read past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from trajgen.filters.reading import Turn, parsed, turns
from trajgen.pointers import MISSING
from trajgen.records import Domain, Reason, Trajectory

ROLES = ("system", "user", "assistant", "tool")
_AFTER = {"system": ("user",), "user": ("assistant",), "tool": ("tool", "assistant")}
LIMITS = {"turns": "turns", "tool_calls": "tool calls", "tokens": "tokens"}

_OPENS = ("{", "[")
_JSON_START = re.compile(r"\s*(?:\{\s*(?:[\"'}]|$)|\[\s*(?:[\[{\"'\]]|-?\d|true|false|null|$))")
_STRINGS = {q: re.compile(rf"{q}(?:[^{q}\\]|\\.)*{q}", re.DOTALL) for q in "\"'"}
_INVISIBLE = " \t\r\n\v\f\u00a0\u200b\u200c\u200d\u2060\u3000\ufeff"
_NOTHING = {"null", "none", "nan", "undefined", "{}", "[]", '""', "''"}
_SENTENCE_END = re.compile(r"[.!?][\"”')\]]*\s+(?=[\"“'(]?[A-Z])")
_ASKS = re.compile(  # a question that lost its mark
    r"(?:^|[.!?] )(?:Is|Are|Shall|Would|Could|Can|May|Do|Does|Should|Will)"
    r" (?:there|I|you|we|it|that|this|the)\b[^.!?]*$"
)
_LIST_ITEM = re.compile(r"\s*(?:[-*•#|>]|\d+[.)]|\w+(?: \w+)?:)")
_DANGLING = frozenset({"the", "a", "an", "and", "or", "your", "our", "my", "into", "onto"})
_UNFINISHED = _DANGLING | frozenset(  # no statement of an assistant ends in these
    {"but", "of", "to", "for", "with", "from", "at", "by", "their", "its", "his", "which", "whose"}
    | {"is", "are", "was", "were", "be", "been", "will", "would", "should", "shall", "may", "might"}
    | {"must", "has", "because", "if", "as", "than", "between", "through", "during", "let", "i"}
    | {"we", "they", "he", "she", "not", "no", "every", "each", "any", "some", "these", "those"}
    | {"that", "this", "very", "per", "via", "about"}
)


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Roles in order, a final answer, no empty, cut or endless conversation."""
    read = turns(trajectory.messages)
    ended = list(_ended(trajectory))
    yield from ended
    yield from _order(trajectory.messages, read)
    yield from _empty(read)
    yield from _cut(read)
    last = read[-1] if read else None
    if not ended and (
        last is None or last.role != "assistant" or last.calls or is_blank(last.text)
    ):
        at = len(read) - 1 if read else None
        yield Reason("no_final_answer", at, f"expected assistant text, found {_named(last)}")


def is_blank(text: str) -> bool:
    """Whether nothing of `text` can be seen."""
    return not text.strip(_INVISIBLE)


def unterminated(text: str) -> bool:
    """Whether `text` begins as JSON (or a Python literal) and stops before it is closed."""
    if text.lstrip()[:1] not in _OPENS or not _JSON_START.match(text):
        return False
    if parsed(text) is not MISSING:
        return False
    quote = "'" if text.lstrip("[{ \t\r\n")[:1] == "'" else '"'
    rest = _STRINGS[quote].sub("", text)
    if quote == '"' and quote in rest:
        return True
    return rest.count("{") > rest.count("}") or rest.count("[") > rest.count("]")


def _ended(trajectory: Trajectory) -> Iterator[Reason]:
    """What the rollout or the token count says about the end."""
    scores = trajectory.scores or {}
    ended, limit = scores.get("ended", "done"), scores.get("limit_tokens")
    last = len(trajectory.messages) - 1 if trajectory.messages else None
    if cause := scores.get("cause"):
        yield Reason(cause["code"], cause.get("at"), cause.get("detail", ""))
    elif ended == "truncated":
        yield Reason("truncated", last, "the engine cut the last message at its token limit")
    elif ended in LIMITS:
        yield Reason("too_long", last, f"the limit of {LIMITS[ended]} was reached")
    elif ended != "done" and not any(step.verdicts for step in trajectory.steps):
        yield Reason("no_final_answer", last, f"the rollout ended as {ended!r}")
    if isinstance(limit, int | float) and trajectory.n_tokens > limit and ended != "tokens":
        yield Reason(
            "too_long", last, f"expected at most {limit} tokens, found {trajectory.n_tokens}"
        )


def _order(messages: Sequence[Any], read: Sequence[Turn]) -> Iterator[Reason]:
    before, calling = "", False
    for index, (role, _, calls) in enumerate(read):
        problem = _malformed(messages[index]) or _out_of_turn(role, before, calling, index)
        if problem:
            yield Reason("bad_role_order", index, problem)
        if role in ROLES:
            before = role
        if before != "tool":
            calling = bool(calls)


def _out_of_turn(role: str, before: str, calling: bool, index: int) -> str:
    """Why `role` may not follow the role `before`; `calling`: calls are being answered."""
    expected: tuple[str, ...]
    if before == "assistant":
        expected = ("tool",) if calling else ("user",)
    else:
        expected = _AFTER[before] if before else ("user",) if index else ("user", "system")
    if role in expected:
        return ""
    return f"expected {' or '.join(expected)}, found {role} after {before or 'nothing'}"


def _malformed(message: Any) -> str:
    """What is wrong with one message by itself; "" when nothing is."""
    if not isinstance(message, dict):
        return "a message must be an object"
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        return f"unknown role {role!r}"
    if not isinstance(message.get("content"), str):
        return "content must be a string"
    if None in message.values():
        empty = next(str(key) for key, value in message.items() if value is None)
        return f"key {empty!r} is null; leave it out"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return "a tool message needs a tool_call_id"
    if role == "assistant" or "tool_calls" not in message:
        return _malformed_calls(message)
    return f"a {role} message cannot call tools"


def _malformed_calls(message: dict[str, Any]) -> str:
    calls = message.get("tool_calls", ())
    if "tool_calls" in message and (not isinstance(calls, list) or not calls):
        return "tool_calls must be a list that is not empty"
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return f"tool_calls/{number} must hold a function with a name"
    return ""


def _empty(read: Sequence[Turn]) -> Iterator[Reason]:
    for index, (role, text, calls) in enumerate(read):
        if calls or role not in ("user", "assistant"):
            continue
        if is_blank(text) or (role == "assistant" and text.strip().lower() in _NOTHING):
            yield Reason("empty_turn", index, f"the {role} says nothing and calls nothing")


def _cut(read: Sequence[Turn]) -> Iterator[Reason]:
    """Messages that visibly stop in the middle."""
    style = _style(read)
    for index, (role, text, calls) in enumerate(read):
        if unterminated(text) or (role == "tool" and _cut_inside(text)):
            yield Reason("truncated", index, f"JSON that is never closed, ends in {text[-30:]!r}")
        elif _half_said(role, text, bool(calls), style):
            yield Reason("truncated", index, f"stops in mid-sentence: {text[-30:]!r}")


def _cut_inside(text: str) -> bool:
    """JSON behind a few words, never closed."""
    start = text.find('{"')
    return start > 0 and text[0] not in "{[" and unterminated(text[start:])


def _dangles(text: str, words_: frozenset[str]) -> bool:
    """Ends in a mark or one of the words that must be followed by something."""
    text = text.rstrip()
    words = text[-200:].rsplit("\n", 1)[-1].split()
    if len(words) < 4:
        return False
    told = words[-2].endswith(":")  # "can drive: no" is complete
    return (words[-1] in words_ and not told) or text[-1] in ",([{“"


def _half_said(role: str, text: str, calling: bool, style: int) -> bool:
    """Speech that stops where something must follow, or an open code block.

    An assistant who ends every other text with a mark (`style`: how many) ends this one too.
    """
    if role not in ("user", "assistant"):
        return False
    speaks = role == "assistant" and not calling
    if _dangles(text, _UNFINISHED if speaks else _DANGLING) or text.count("```") % 2:
        return True
    text = text.rstrip()
    if not speaks or not ("a" <= text[-1:] <= "z"):
        return False
    line = text.rsplit("\n", 1)[-1]
    if _ASKS.search(line) and (style or "\n" in text):
        return True
    if not style:
        return False
    ends = [m.end() for m in _SENTENCE_END.finditer(line)]
    rest = line[ends[-1] if ends else 0 :].split()
    enough = 3 if ends or style > 2 else 6  # words: shorter ones may be a heading or a farewell
    return bool(
        len(rest) >= enough and not _LIST_ITEM.match(line) and not re.search(r"[./@_\\]", rest[-1])
    )


def _style(read: Sequence[Turn]) -> int:
    """How many texts the assistant has when all but one end in a mark, or the only one has
    marks inside; else 0."""
    texts = [turn.text.rstrip() for turn in read if turn.role == "assistant"]
    ends = [text[-1].isalnum() for text in texts if text]
    marked = len(ends) > 1 or any(map(_SENTENCE_END.search, texts))
    return len(ends) if sum(ends) <= 1 and marked else 0


def _named(turn: Turn | None) -> str:
    if turn is None:
        return "no message"
    if turn.calls:
        return "a message that calls tools"
    return f"{turn.role or 'no role'}" + (", empty" if is_blank(turn.text) else "")
