"""A rollout beside the seed it came from: which messages belong together, which words differ.

Crash rule: pure. Messages pair up when role and called tools agree, in order; what has no
partner stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from trajgen.records import Message, Seed, Trajectory
from trajgen.review.markup import Node, Tag, lines, tag
from trajgen.review.reading import content_of, signature_of

MOST_WORDS = 800  # of one text that are compared; a longer pair is shown unmarked
LONGEST = 4000  # characters of one text
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
Pair = tuple[Message | None, Message | None]


def beside(seed: Seed, trajectory: Trajectory) -> Tag:
    """A table, the seed on the left and the rollout on the right, with what differs marked."""
    pairs = paired(seed.messages, trajectory.messages)
    new = sum(1 for left, right in pairs if right and (not left or said(left) != said(right)))
    head = tag("tr", tag("th", "seed", scope="col"), tag("th", "this rollout", scope="col"))
    rows = (tag("tr", *(tag("td", *cell, dir="auto") for cell in _cells(pair))) for pair in pairs)
    summary = f"Beside its seed: {new} of {len(trajectory.messages)} messages differ"
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="beside")
    return tag("details", tag("summary", summary), table)


def paired(left: Sequence[Message], right: Sequence[Message]) -> list[Pair]:
    """The messages of both sides in order, those that belong together in one pair."""
    matcher = SequenceMatcher(None, [_kind(m) for m in left], [_kind(m) for m in right], False)
    pairs: list[Pair] = []
    for operation, i, i_end, j, j_end in matcher.get_opcodes():
        if operation == "equal":
            pairs += zip(left[i:i_end], right[j:j_end], strict=True)
        else:
            pairs += [(message, None) for message in left[i:i_end]]
            pairs += [(None, message) for message in right[j:j_end]]
    return pairs


def said(message: Message) -> str:
    """What a message says and calls, as text."""
    calls = (f"→ {signature_of(call)}" for call in message.get("tool_calls") or ())
    return "\n".join(part for part in (content_of(message), *calls) if part)


def _kind(message: Message) -> tuple[str, ...]:
    functions = (call.get("function") or {} for call in message.get("tool_calls") or ())
    return str(message.get("role", "?")), *(str(f.get("name", "?")) for f in functions)


def _cells(pair: Pair) -> Iterator[list[Node]]:
    left, right = pair
    texts = [_cut(said(message)) if message else "" for message in pair]
    marked = _marked(*texts) if left and right else [lines(text) for text in texts]
    for message, nodes in zip(pair, marked, strict=True):
        role = tag("strong", str(message.get("role", "?"))) if message else None
        yield [role, tag("br"), *nodes] if role else []


def _marked(left: str, right: str) -> tuple[list[Node], list[Node]]:
    """Both texts, with `del` around the words that only the left has, `ins` on the right."""
    words = _WORD.findall(left), _WORD.findall(right)
    if left == right or max(map(len, words)) > MOST_WORDS:
        return lines(left), lines(right)
    before: list[Node] = []
    after: list[Node] = []
    for operation, i, i_end, j, j_end in SequenceMatcher(None, *words, False).get_opcodes():
        old, new = lines("".join(words[0][i:i_end])), lines("".join(words[1][j:j_end]))
        same = operation == "equal"
        before += old if same else [tag("del", *old)] if any(old) else []
        after += new if same else [tag("ins", *new)] if any(new) else []
    return before, after


def _cut(text: str) -> str:
    left = len(text) - LONGEST
    return f"{text[:LONGEST]} … [{left:,} more characters]" if left > 0 else text
