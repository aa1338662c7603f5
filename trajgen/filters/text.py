"""What no training text may hold: forged turns, loops, boilerplate refusals, secrets.

A cheap look at the whole conversation decides whether the exact patterns run at all, so
clean text costs microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from operator import eq
from typing import Any, NamedTuple

from trajgen.control_tokens import find_control_token, holds, is_marked, is_marked_json, token_in
from trajgen.filters.reading import Turn, parsed, reading, turns
from trajgen.pointers import MISSING, scalars
from trajgen.records import Domain, Json, Reason, Trajectory

_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>(.*?)</think(?:ing)?>", re.DOTALL)

_SECRET = re.compile(
    r"-----BEGIN (?:[A-Z]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[\w-]{20,})"
    r"|\bsk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bxapp-\d-[\w-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w+"
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}"
    r"|\bpypi-AgE[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\b\d{8,10}:AA[\w-]{32,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|(?i:aws_?secret_?access_?key)\W{1,4}[A-Za-z0-9/+=]{40}"
    r"|\b[a-z][a-z0-9+]{2,10}://[^\s/:@]{1,64}:[^\s/:@]{4,}@[\w.-]+"
)
_SECRET_MARKS = (
    "-----BEGIN", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
    "sk-", "k_live_", "k_test_", "xox", "xapp-", "hooks.slack", "AIza", "ya29.", "hf_", "npm_",
    "pypi-", "SG.", ":AA", "eyJ", "ecret", "ECRET", "://",
)  # fmt: skip

_GROUPED = r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}"
_CARD = re.compile(rf"(?<![\w.+-])(?:[2-6]\d{{12,18}}|{_GROUPED})(?![\w-]|\.\d)")
_SSN = re.compile(r"(?<![\w.+-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-]|\.\d)")
_LONG_NUMBER = re.compile(r"[0-9][0-9 -]{10}")
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[0-9]|6[0245]")

_BOILERPLATE = re.compile(
    r"\bas an? (?:\w+ )?(?:ai|artificial intelligence|language)(?: language)? model\b"
    r"|\bas a large language model\b|\bi(?:'m| am) (?:just |only )?an? (?:ai )?language model\b"
    r"|\bas an ai(?: assistant)?,? i (?:can(?:not|'t| ?not)|do(?:n't| not)|am (?:not|un)able)"
    r"|\bmy (?:training data|knowledge cut-?off)\b|\bopenai'?s? (?:content|usage) polic"
    r"|\bi was (?:trained|created|developed|made) by (?:openai|anthropic|google|meta|alibaba)"
    r"|\bi was (?:trained|created|developed|made) by (?:deepseek|mistral)"
    r"|\bdo(?:n't| not) have (?:personal (?:opinions|feelings|experiences|beliefs)|feelings or)"
    r"|\bals (?:ein )?ki-?(?:sprach)?modell\b|\bmodèle de langage\b"
    r"|\bcomo (?:un )?modelo de lenguaje\b|语言模型|人工智能助手"
)
_IDENTITY = re.compile(
    r"\bi(?:'m| am) (?:chatgpt|claude|qwen|gemini|llama|deepseek|mistral|gpt-?\d)\b"
)
_DECLINES = re.compile(
    r"\b(?:sorry|apologi[sz]e|unfortunately)\b[^.!?]{0,30}\bi(?:'m| am)? "
    r"(?:can(?:not|'t| not)|(?:am )?(?:un|not )able to|won't) (?:be able to )?"
    r"(?:assist|help|comply|fulfil?l|continue|engage|do|answer|provide)(?: you)?"
    r"(?: with| in)? ?(?:that|this|your|such)?"
    r"(?: (?:requests?|content|topic|(?:type|kind) of request|information|matter))?\s*(?:[.!]|$)"
    r"|\bi can(?:not|'t) (?:assist|help|comply)(?: you)? with (?:that|this|your) request\s*[.!]?$"
)
_SHORT = 35  # words; a refusal that gives its reason is longer, or names one
_LOOKED = 100_000  # characters in which a loop is looked for
_LOOPING = 19  # of ten words, and of any loop at least
_ONE_WORD = 24  # of a loop without spaces
_MODEL_MARKS = (
    "language model", "ai model", "ki-", "intelligence model", "as an ai", "training data",
    "knowledge cut", "openai", "by anthropic", "by google", "by meta", "by alibaba", "deepseek",
    "mistral", "chatgpt", "claude", "qwen", "gemini", "llama", "m gpt", "opinions", "feelings",
    "personal experiences", "personal beliefs", "modèle de langage", "modelo de lenguaje",
    "语言模型", "人工智能助手",
)  # fmt: skip
_DECLINE_MARKS = ("sorry", "apolog", "unfortunately", "cannot", "can't")
_GIVES_REASON = re.compile(
    r"\b(because|since|polic(y|ies)|due to|only|must|eligible|within|already|until|unless"
    r"|outside|beyond|not allowed|not possible)\b"
)

_FENCED = re.compile(r"```.*?(?:```|$)", re.DOTALL)
_ROW = re.compile(r"^.*(?:\|.*\||\t.*\t).*$", re.MULTILINE)
_ONE_CHARACTER = re.compile(r"([^\W\d_])\1{24,}")
_ONE_SYLLABLE = re.compile(r"([^\W_]\S{1,11}?)\1{11,}")
_ITEM = re.compile(r"^\s*(?:[-*•+]|\d+[.)])\s", re.MULTILINE)


class Passage(NamedTuple):
    """One string of a conversation: message index, role, where in it, the text."""

    at: int
    role: str
    place: str
    text: str


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Every message and every argument, for all of this file's codes."""
    read, written = turns(trajectory.messages), reading(trajectory.messages).text
    passages = _passages(read)
    whole = "\n".join([passage.text for passage in passages])
    if written is None or is_marked_json(written):
        forged = list(_control(passages)) if is_marked(whole) else []
        yield from forged
        yield from _control_beside(trajectory.messages, {reason.at for reason in forged})
    if holds(whole, _SECRET_MARKS):
        yield from _found("secret", _SECRET, passages)
    if _LONG_NUMBER.search(whole):
        yield from _pii(passages)
    yield from _refusals(passages, whole.casefold())
    yield from _loops(passages, {at for at, turn in enumerate(read) if turn.calls})


def _passages(read: Sequence[Turn]) -> list[Passage]:
    found = []
    for at, (role, text, calls) in enumerate(read):
        if text:
            found.append(Passage(at, role, "content", text))
        for raw in calls:
            function = raw.get("function") if isinstance(raw, dict) else None
            if isinstance(function, dict):
                _add_strings(function.get("arguments"), "arguments", at, found)
    return found


def _add_strings(value: Json, place: str, at: int, found: list[Passage]) -> None:
    """Every string inside the arguments of a call, keys left out."""
    if isinstance(value, str):
        found.append(Passage(at, "arguments", place, value))
    elif isinstance(value, dict):
        for key, item in value.items():
            _add_strings(item, f"{place}/{key}", at, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _add_strings(item, f"{place}/{index}", at, found)


def _control(passages: Sequence[Passage]) -> Iterator[Reason]:
    """Tokens of chat templates; a closed thought that opens an assistant's text is none."""
    for at, role, place, text in passages:
        token = find_control_token(_THOUGHT.sub(r"\1", text) if role == "assistant" else text)
        if token:
            yield Reason("control_tokens", at, f"{place}: found {token.strip()!a}")


def _control_beside(messages: Sequence[Any], known: Set[int | None]) -> Iterator[Reason]:
    """Tokens in keys, ids and names, and in whatever else stands in a message."""
    beside = {
        at: {key: value for key, value in message.items() if key != "content"}
        for at, message in enumerate(messages)
        if isinstance(message, dict) and len(message) > 2  # there is more than role and content
    }
    if token_in(list(beside.values())) is None:
        return
    for at, rest in beside.items():
        token = None if at in known else token_in(rest)
        if token:
            yield Reason("control_tokens", at, f"beside the text: found {token.strip()!a}")


def _found(code: str, pattern: re.Pattern[str], passages: Sequence[Passage]) -> Iterator[Reason]:
    """The kind is told, not the secret itself: reasons are stored and shown."""
    for at, _, place, text in passages:
        match = pattern.search(text)
        if match and not match[0].endswith("EXAMPLE"):
            yield Reason(code, at, f"{place}: found {match[0][:4]}… ({len(match[0])} characters)")


def _pii(passages: Sequence[Passage]) -> Iterator[Reason]:
    for at, _, place, text in passages:
        if _SSN.search(text):
            yield Reason("pii", at, f"{place}: found a US social security number")
        elif any(_is_card(match[0]) for match in _CARD.finditer(text)):
            yield Reason("pii", at, f"{place}: found a payment card number")


def _is_card(text: str) -> bool:
    """Whether the digits could be a card: an issuer's first digits and the Luhn sum."""
    digits = [int(c) for c in text if c.isdecimal()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    right_length = 13 <= len(digits) <= 19
    varied = len(set(digits)) > 2 or text[0] == "4"
    issued = bool(_ISSUER.match(text))
    return right_length and varied and issued and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _refusals(passages: Sequence[Passage], whole: str) -> Iterator[Reason]:
    """A model speaking of itself, or declining without a reason, as no one at work does."""
    of_itself, declines = holds(whole, _MODEL_MARKS), holds(whole, _DECLINE_MARKS)
    for at, role, place, text in passages if of_itself or declines or "’" in whole else ():
        match = None
        folded = text.casefold().replace("’", "'") if role in ("user", "assistant") else ""
        if of_itself:
            match = _BOILERPLATE.search(folded)
            match = match or (_IDENTITY.search(folded) if role == "assistant" else None)
        if match is None and role == "assistant" and holds(folded, _DECLINE_MARKS):
            short = len(folded.split()) <= _SHORT and not _GIVES_REASON.search(folded)
            match = _DECLINES.search(folded) if short else None
        if match:
            yield Reason("refusal_text", at, f"{place}: found {match[0].strip()!r}")


def _loops(passages: Sequence[Passage], calling: Set[int]) -> Iterator[Reason]:
    """Loops in one message; long words said three times, not those beside a call."""
    said: dict[tuple[str, str], int] = {}
    for at, role, place, text in passages:
        for part in _prose(text, role):
            loop = _loop(part[:_LOOKED])
            if loop:
                yield Reason("repetition", at, f"{place}: {loop}")
                break
        else:
            if role in ("user", "assistant") and at not in calling and len(text.split()) >= 6:
                key = role, " ".join(text.casefold().split())
                said[key] = said.get(key, 0) + 1
                if said[key] == 3:
                    yield Reason("repetition", at, f"the {role} says the same a third time")


def _prose(text: str, role: str) -> list[str]:
    """The parts of `text` that should read as prose: of JSON only its longer strings."""
    if role != "tool" or text.lstrip()[:1] not in ("{", "["):
        return [text]
    if max(map(len, text.split('"'))) < 60:
        return []  # of JSON, and of what only begins like it, nothing that could loop
    data = parsed(text)
    if data is MISSING:
        return [text]
    return [part for part in scalars(data) if isinstance(part, str) and len(part) >= 60]


def _loop(text: str) -> str:
    """What repeats in `text`, told in words; "" when nothing does."""
    if len(text) < _LOOPING:
        return ""
    words = text.split()
    for word in words if max(map(len, words), default=0) >= _ONE_WORD else ():
        match = _ONE_CHARACTER.search(word) or _ONE_SYLLABLE.search(word)
        if match:
            return f"{match[1]!r} over and over"
    by_character = len(words) < len(text) / 30 and not text.isascii()
    if by_character:  # a script without spaces
        words = list(text)
    if (
        len(words) < 10
        or len(words) - len(set(words)) < 9
        or len(words) - len(set(pairwise(words))) < 8
    ):
        return ""
    return _periodic(text, by_character)


def _periodic(text: str, by_character: bool) -> str:
    """The word sequence that follows itself again and again, outside code and tables."""
    items = bool(_ITEM.search(text))
    text = _ROW.sub("", _FENCED.sub("", text))
    pattern = r"[^\W_]" if by_character else r"[^\W_]+(?:['’.-][^\W_]+)*"
    tokens = re.findall(pattern, text.casefold())
    last: dict[str, list[int]] = {}
    for index, token in enumerate(tokens):
        last.setdefault(token, []).append(index)
    periods = {b - a for places in last.values() for a, b in pairwise(places)}
    for period in sorted(p for p in periods if p <= 80):
        needed = 12 if items and period < 10 else _needed(period)
        if sum(map(eq, tokens[period:], tokens)) < (needed - 1) * period:
            continue  # not so often, not even scattered
        if (rounds := _rounds(tokens, period)) >= needed:
            return f"the same {period} words {rounds} times in a row"
    return ""


def _needed(period: int) -> int:
    """How many times in a row a sequence must come to be a loop; emphasis is none."""
    if period == 1:
        return 10
    return 6 if period <= 3 else 4 if period <= 8 else 3


def _rounds(tokens: Sequence[str], period: int) -> int:
    """The most times in a row that a sequence of `period` tokens comes."""
    run = best = letters = 0
    for index in range(period, len(tokens)):
        same = tokens[index] == tokens[index - period]
        run = run + 1 if same else 0
        letters = letters + tokens[index].isalpha() if same else 0
        best = max(best, run) if letters else best  # a grid of numbers is no loop
    return best // period + 1
