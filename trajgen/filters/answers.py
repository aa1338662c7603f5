"""What an answer says of its call, and what a tool's name says of the tool.

Phrases are read in the words that tools use: an error object, a prefix the domain declares,
"not found". A tool whose kind the domain does not declare reads when its name says so, and
may write otherwise.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from trajgen.filters.reading import parsed
from trajgen.pointers import MISSING
from trajgen.records import Domain

Outcome = Literal["ok", "failed", "unclear"]

_SAYS_NO = re.compile(
    r"\b(error|fail(ed|s|ure)?|cannot|can ?not|\w+n't|unable|not?|nothing|never|invalid|unknown"
    r"|already|denied|forbidden|unauthori[sz]ed|refused|rejected|time[d-]? ?out|exception|sorry)\b",
    re.IGNORECASE,
)
_TRANSIENT = re.compile(
    r"time[d-]? ?out|temporar|unavailable|try again|retry|rate.?limit|too many requests|network"
    r"|connection|overload|\bbusy\b|internal (?:server )?error"
    r"|(?:http|status|code|error)\W{1,3}5\d\d",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(
    r"not (?:be )?found|no such|does(?: not|n['’]t) exist|not exist|could(?: not|n['’]t) find"
    r"|cannot find|can['’]t find|unknown (?:\w+ )?(?:id|number)|invalid (?:\w+ )?(?:id|number)"
    r"|no (?:\w+ ){1,3}(?:with|found|named|matches|exists)|not recogni[sz]ed",
    re.IGNORECASE,
)
_FAILED_STATUS = re.compile(r"(?:error|fail|failed|failure|denied|rejected|not_found)", re.I)
_READING = frozenset(
    {"list", "find", "search", "look", "lookup", "view", "read", "fetch", "query", "describe"}
    | {"retrieve", "show", "display", "browse", "examine", "inspect", "calculate", "compute"}
    | {"count", "estimate", "compare", "ls", "pwd", "cat", "grep"}
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[^A-Za-z0-9]+")


def is_failure(observation: str, domain: Domain) -> bool:
    """Whether the observation says that the call failed: an object with an error or
    `success: false`, or text that begins with one of the domain's failure prefixes."""
    data = parsed(observation)
    if isinstance(data, dict):
        status = data.get("status")
        told = isinstance(status, str) and bool(_FAILED_STATUS.fullmatch(status))
        refused = data.get("success") is False or data.get("ok") is False
        return bool(data.get("error")) or refused or (told and len(data) <= 3)
    text = observation.lstrip(' \t\r\n"').casefold()
    return text.startswith(_folded(tuple(domain.failure_prefixes)))


@lru_cache(maxsize=64)
def _folded(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(prefix.casefold() for prefix in prefixes)


def says_no(observation: str) -> bool:
    """Text without a declared prefix that still tells the agent it did not work."""
    return parsed(observation) is MISSING and _is_negative(observation[:120])


@lru_cache(maxsize=512)
def _is_negative(text: str) -> bool:
    return _SAYS_NO.search(text) is not None


def outcome(observation: str, domain: Domain) -> Outcome:
    """Whether the call worked, as far as its answer tells."""
    if is_failure(observation, domain):
        return "failed"
    return "unclear" if not observation.strip() or says_no(observation) else "ok"


def is_transient(observation: str) -> bool:
    """A failure that says nothing about the world, such as a time-out."""
    return bool(_TRANSIENT.search(observation[:300]))


def denies(observation: str) -> bool:
    """Whether a failure says that what was asked for does not exist."""
    return bool(_NOT_FOUND.search(observation[:300]))


@lru_cache(maxsize=4096)
def words_of(tool: str) -> tuple[str, ...]:
    """The words of a tool's name, lower case: `Shop.cancelOrder` is cancel, order."""
    name = re.split(r"\.|__|/", tool)[-1]
    return tuple(w.lower() for w in _SPLIT.split(_CAMEL.sub("_", name)) if w)


def kind_of(tool: str, domain: Domain) -> str:
    """`read` or `write` as declared, `read` when the name says so, else ""."""
    declared = domain.kinds.get(tool)
    return declared if declared is not None else _inferred(tool)


@lru_cache(maxsize=4096)
def _inferred(tool: str) -> str:
    words = words_of(tool)
    reads = bool(words) and (words[0] in _READING or (words[0] == "get" and len(words) > 1))
    return "read" if reads else ""
