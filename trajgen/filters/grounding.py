"""Where ids and numbers come from: the agent acts on what it saw, the user on what it was told.

Seen by the agent: policy, tool schemas, system and user messages, observations. Its own
words do not count, or it could invent an id by saying it first. What is not found word
for word is looked for again in other spellings before it is called invented.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from trajgen.filters.reading import exchanges, parsed, turns
from trajgen.filters.spellings import is_when, known_id, known_number, spelled, stands
from trajgen.filters.tools import declared
from trajgen.json_text import canonical
from trajgen.pointers import MISSING
from trajgen.records import Domain, Json, Reason, Trajectory

_FREE = re.compile(  # arguments in the agent's own words
    r"(?:.*_)?(?:query|search|keywords?|text|message|notes?|comments?|description|reason|subject"
    r"|title|body|content|summary|expression|formula|command|script|sql|thought|answer"
    r"|explanation|prompt|regex|pattern)|code|cmd"
)
_NAMES_ID = re.compile(r"(?:.*[_-])?(?:ids?|number|no|key|zip|phone|code|account)|.+(?:Id|ID)s?")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_TOKEN = re.compile(r"[^\W_]+(?:[_-]+[^\W_]+)*")
_CODED = re.compile(r"\d|[A-Z][A-Z_-]")  # in ASCII, of a word with a digit or all in capitals
_BLANK_TO_FILL = re.compile(r"<[^<>]+>|\{\{?[^{}:]*\}\}?|\[[a-z_ ]+\]|x{4,}")
_SMALL_FILE = re.compile(r"\d{1,3}\.[A-Za-z]{1,5}")  # a file named by a small number: 79.pdf
_STAND_IN = re.compile(r"(?:your|insert|my)_\w+")
_EDGES = " \t\r\n#\"'`.,:;!?()[]{}<>*$€£"
_ASKS_FOR_ID = re.compile(
    r"\b(which|ids?|identifiers?|numbers?|codes?|reference|confirmation|serial|tracking)\b", re.I
)
_OWN = re.compile(r"\b(my|our|mine)\b(?:\s+\S+){0,4}\W*$", re.I)
_PLAIN = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-"),
    **dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " "),
    **dict.fromkeys(map(ord, "\u2018\u2019"), "'"),
}
_REMEMBERED = 16  # domains whose policy and ids are kept ready


class Background(NamedTuple):
    """What every trajectory of a domain starts from; `names` are the ids its state holds."""

    text: str
    names: frozenset[str]


class Sight:
    """What the agent had seen before each message: one text, and where it ended then."""

    def __init__(self, trajectory: Trajectory, background: Background) -> None:
        self.trajectory, self.background = trajectory, background
        self.turns = turns(trajectory.messages)
        parts, self.ends, size = [], [], 0
        for role, text, _ in self.turns:
            self.ends.append(size)
            if role in ("system", "user", "tool"):
                parts.append(folded(_unescaped(text)))
                size += len(parts[-1]) + 1
        self.text = "\n".join(parts)

    def has(self, name: str, index: int) -> bool:
        """Whether folded `name` was there before message `index`, as a word of its own."""
        return stands(name, self.text, self.ends[index]) or stands(name, self.background.text)

    def before(self, index: int) -> str:
        """All that was seen before message `index`, the background first."""
        return f"{self.background.text}\n{self.text[: self.ends[index]]}"

    def said(self, index: int) -> str:
        """What the user said before message `index`."""
        return "\n".join(folded(t.text) for t in self.turns[:index] if t.role == "user")

    @cached_property
    def names(self) -> frozenset[str]:
        """The ids of the domain's state and of what this trajectory began with."""
        return self.background.names | ids_of(self.trajectory.state_initial)

    @cached_property
    def made(self) -> str:
        """All arguments of all calls: names that the agent itself may have given."""
        found = exchanges(self.trajectory.messages)
        return folded("\n".join(canonical(e.call.arguments) for e in found))


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Arguments nobody gave the agent; ids told by who cannot know them."""
    sight = Sight(trajectory, _background(domain))
    for call, _, _ in exchanges(trajectory.messages):
        for path, name, value in _leaves(call.arguments, "", ""):
            if not _doubtful(name, value, sight) or _known(name, value, sight, call.message):
                continue
            if not _declared(value, trajectory, call.tool):
                detail = f"{call.tool} {path}: {canonical(value)[:80]} was never seen"
                yield Reason("invented_argument", call.message, detail)
    yield from _leaks(sight)


def folded(text: str) -> str:
    """`text` in one case with plain dashes, spaces and quotes."""
    return (text if text.isascii() else text.translate(_PLAIN)).casefold()


def ids_of(state: Json) -> frozenset[str]:
    """Keys of objects and values in `state` that look like ids, folded."""
    found: set[str] = set()
    _collect(state, found)
    return frozenset(found)


_backgrounds: OrderedDict[tuple[int, int, int], tuple[Domain, Background]] = OrderedDict()


def _background(domain: Domain) -> Background:
    """Kept by identity: a domain is frozen, and hashing a database of megabytes is not free."""
    key = id(domain.tools), id(domain.policy), id(domain.state)
    if key not in _backgrounds:
        text = folded(f"{domain.policy}\n{canonical(list(domain.tools))}")
        _backgrounds[key] = domain, Background(text, ids_of(domain.state))
        while len(_backgrounds) > _REMEMBERED:
            _backgrounds.popitem(last=False)
    return _backgrounds[key][1]


def _collect(value: Json, found: set[str]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and _id_like(key):
                found.add(key.casefold())
            _collect(item, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, str) and _id_like(value) and not is_when(value.casefold()):
        found.add(value.casefold())


def _id_like(text: str) -> bool:
    """A code or compound name: letters with digits or `_`, long digits, or all capitals."""
    if not 4 <= len(text) <= 64 or not text.isascii() or " " in text:
        return False
    digits = sum(map(str.isdecimal, text))
    if "@" in text[1:-1]:
        return True
    if digits:
        return digits >= 7 or any(map(str.isalpha, text))
    return "_" in text or (text.isupper() and len(text) >= 5)


def _unescaped(text: str) -> str:
    """The text; of an observation with escapes also what the escapes mean."""
    data = parsed(text) if "\\" in text else MISSING
    return text if data is MISSING else f"{text}\n{canonical(data)}"


def _leaves(value: Json, path: str, name: str) -> Iterator[tuple[str, str, Json]]:
    """(pointer, name of the argument, scalar) of every scalar inside."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}/{key}", key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}/{index}", name)
    else:
        yield path, name, value


def _doubtful(name: str, value: Json, sight: Sight) -> bool:
    """Whether the agent must have got `value` from somewhere: an id or a longer number."""
    if isinstance(value, str):
        text = value.strip()
        if _BLANK_TO_FILL.fullmatch(text.casefold()) or _STAND_IN.fullmatch(text.casefold()):
            return True
        if _FREE.fullmatch(name) or any(map(str.isspace, text)):
            return is_when(text.casefold())
        if any(map(str.isdecimal, text)):
            return len(text) >= 4 and not _SMALL_FILE.fullmatch(text)
        compound = "_" in text or text.isupper()
        return "@" in text[1:-1] or (compound and text.casefold() in sight.names)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    digits = re.sub(r"e.*|\D", "", repr(abs(value)).removesuffix(".0"))
    return len(digits) >= 4 and len(digits.strip("0")) > 1  # 1000 and 20000 are round


def _known(name: str, value: Json, sight: Sight, index: int) -> bool:
    text = folded(str(value)).strip()
    if isinstance(value, str) and _BLANK_TO_FILL.fullmatch(text):
        return False
    if isinstance(value, str) and _STAND_IN.fullmatch(text):
        return sight.has(text, index)
    text = text.strip(_EDGES).lstrip("@")  # a name may be mentioned
    if not text or sight.has(text, index):
        return True
    seen = sight.before(index)
    if re.fullmatch(r"-?[\d,]+(?:\.\d+)?(?:e[+-]?\d+)?", text):
        is_id = bool(_NAMES_ID.fullmatch(name)) or (isinstance(value, str) and "." not in text)
        if known_number(text, seen, derived=not is_id):
            return True
        if not isinstance(value, str):
            return False
    return known_id(text, seen, sight.said(index))


def _declared(value: Json, trajectory: Trajectory, tool: str) -> bool:
    """Whether the trajectory's own schema of the tool names the value (an enum, a default)."""
    if not trajectory.tools or not isinstance(value, str):
        return False
    return stands(folded(value), folded(canonical(declared(trajectory.tools).get(tool))))


def _leaks(sight: Sight) -> Iterator[Reason]:
    """Ids in the assistant's text that it never saw; ids the user can only have overheard."""
    talk, asked, observed = "", "", False
    for index, (role, text, _) in enumerate(sight.turns):
        observed = observed or role == "tool"
        if role == "assistant":
            for _, token in _ids_in(text):
                if _unseen(token, sight, index) and _hidden(token, sight, index):
                    yield Reason("leaked_hidden_state", index, f"{token!r} was never seen")
            asked = text or asked
        elif role == "user" and observed and not _ASKS_FOR_ID.search(asked):
            yield from _overheard(text, index, talk, sight)
        if role in ("assistant", "user"):
            talk = f"{talk}\n{folded(text)}"


def _unseen(token: str, sight: Sight, index: int) -> bool:
    if sight.has(token, index) or spelled(token, sight.before(index)):
        return False
    return "@" not in token or not known_id(token, sight.before(index), "")


def _hidden(token: str, sight: Sight, index: int) -> bool:
    """Whether the token is of the state, or of an observation that comes only later."""
    if token in sight.names or token.isalpha():
        return token in sight.names
    later = (turn.text for turn in sight.turns[index:] if turn.role == "tool")
    return not stands(token, sight.made) and any(stands(token, folded(text)) for text in later)


def _overheard(text: str, index: int, talk: str, sight: Sight) -> Iterator[Reason]:
    """Ids that only tool results hold, which the user never sees.

    An id that the user calls their own ("my order W1") is what a customer has at hand.
    """
    for at, token in _ids_in(text):
        if token.isalpha():
            continue  # a word in capitals is no code to a user
        told = stands(token, talk) or stands(token, sight.background.text) or spelled(token, talk)
        if not told and sight.has(token, index) and not _OWN.search(text[:at]):
            yield Reason("leaked_hidden_state", index, f"only tool results hold {token!r}")


def _ids_in(text: str) -> Iterator[tuple[int, str]]:
    """Place and id-like words of a text, folded: letters with digits, capitals, 8 digits,
    mail addresses."""
    for match in _MAIL.finditer(text) if "@" in text else ():
        yield match.start(), match[0].casefold()
    if text.isascii() and not _CODED.search(text):
        return
    for match in _TOKEN.finditer(text):
        token = match[0]
        if len(token) < 5 or (token.isalpha() and not token.isupper()):
            continue
        digits = sum(map(str.isdecimal, token))
        mixed = digits > 0 and any(map(str.isalpha, token))
        if (mixed or digits >= 8 or token.isupper()) and not is_when(token.casefold()):
            yield match.start(), token.casefold()
