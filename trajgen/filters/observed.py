"""The ledger of a conversation without a state: what was said of each entity, and by whom.

A word is the latest that one tool showed of one entity. A write makes words stale: of what
its arguments name, of what mentions that, and, one hop on, of what the known records of the
named entities link to. A stale word still vouches for what no write changes by the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from trajgen.filters.answers import Outcome, kind_of, outcome
from trajgen.filters.given import Record, World, strings_in
from trajgen.filters.reading import Exchange, parsed
from trajgen.filters.spellings import is_when
from trajgen.filters.views import Identity, own_ids
from trajgen.pointers import scalars
from trajgen.records import Call, Domain, Json


class Word(NamedTuple):
    """What the answer at message `at` showed of an entity; `text` is the whole answer."""

    call: Call
    at: int
    record: Record
    text: str
    names: frozenset[str]
    written: bool


class Answer(NamedTuple):
    """The answer to one call, as the next identical one is held against it."""

    call: Call
    at: int
    text: str
    worked: bool
    names: frozenset[str]
    data: Json


class Heard(NamedTuple):
    """An answered call, read once: the answer's data, whether it worked, what it names."""

    call: Call
    at: int
    text: str
    data: Json
    result: Outcome
    reads: bool
    names: frozenset[str]


def heard(exchange: Exchange, domain: Domain) -> Heard:
    """An exchange that was answered, as the rules here take it."""
    call, at, text = exchange
    reads = kind_of(call.tool, domain) == "read"
    result, names = outcome(text, domain), names_of(call.arguments)
    return Heard(call, at or 0, text, parsed(text), result, reads, names)


class Claim(NamedTuple):
    """What a write said by an argument: `field` of the entity it names is now `value`."""

    call: Call
    value: Json
    before: Json


class Observed:
    """What was observed so far; `writes` are the calls that worked and may have written.

    `replayed`: stored steps tell what each write did, so that need not be concluded.
    """

    def __init__(self, world: World, replayed: bool) -> None:
        self.world, self.replayed = world, replayed
        self.words: dict[Identity, dict[str, Word]] = {}
        self.stale: dict[Identity, dict[str, Word]] = {}
        self.answers: dict[tuple[str, str], Answer] = {}
        self.named: set[str] = set()
        self.linked: set[str] = set()
        self.claims: dict[str, dict[str, Claim]] = {}
        self.all_touched = False
        self.texts: list[str] = []
        self.writes: list[Heard] = []
        self.failed: list[Heard] = []

    def fresh(self, identity: Identity) -> Iterator[Word]:
        """The words on an entity that nothing may have changed since."""
        yield from self.words.get(identity, {}).values()

    def old(self, identity: Identity) -> Iterator[Word]:
        """The words on an entity that a write may have made untrue in part."""
        yield from self.stale.get(identity, {}).values()

    def keep(self, identity: Identity, word: Word) -> None:
        """Make `word` the latest of its tool on an entity."""
        self.words.setdefault(identity, {})[word.call.tool] = word
        self.stale.get(identity, {}).pop(word.call.tool, None)

    def wrote(self, call: Heard) -> None:
        """Make stale what this call may have changed."""
        direct = call.names
        for name in direct:
            self.claims.pop(name, None)
        self.writes.append(call)
        records = list(self._known(direct))
        if not any(map(is_telling, direct)) or not records:
            self._forget()
            return
        linked = set[str]().union(*map(strings_in, records))
        telling = [name for name in direct if len(name) > 3 or is_telling(name)]
        self.named |= direct
        self.linked |= linked
        for identity, words in self.words.items():
            for tool, word in list(words.items()):
                if _reaches(word.names, word.text, direct, linked, telling):
                    self.stale.setdefault(identity, {})[tool] = words.pop(tool)
        for key, answer in list(self.answers.items()):
            names = answer.names | own_ids(answer.data) if answer.names else None
            if names is None or _reaches(names, answer.text, direct, linked, telling):
                del self.answers[key]

    def untouched(self, keys: Iterable[str], record: Record) -> bool:
        """Whether no write so far may have changed the entity under `keys` of the state."""
        if self.all_touched or not self.writes:
            return not self.all_touched
        reached = self.named | self.linked
        return reached.isdisjoint(keys) and self.named.isdisjoint(strings_in(record))

    def knows(self, field: str, value: Json) -> Word | None:
        """The word on the entity that an argument names, by a field of the same name."""
        for kept in (self.words, self.stale):
            for word in kept.get((field, str(value)), {}).values():
                return word
        return None

    def met(self, name: str) -> bool:
        """Whether an answer so far told of something with this name."""
        return any(name in text for text in self.texts)

    def _forget(self) -> None:
        self.all_touched = True
        for identity, words in self.words.items():
            self.stale.setdefault(identity, {}).update(words)
        self.words, self.answers = {}, {}

    def _known(self, names: Set[str]) -> Iterator[Record]:
        """The records of the entities with these ids, as the state or a word has them."""
        for kept in (self.words, self.stale):
            for (_, value), words in kept.items():
                if value in names:
                    yield from (word.record for word in words.values())
        for name in names:
            yield from (entity.record for entity in self.world.of(name))


def names_of(arguments: Json) -> frozenset[str]:
    """The scalars of a call's arguments that can name something: no dates, no small numbers."""
    found = [str(v) for v in scalars(arguments) if not isinstance(v, (bool, float))]
    return frozenset(
        [
            name
            for name in found
            if 1 < len(name) <= 64 and not (name[0].isdecimal() and _counts(name))
        ]
    )


def _counts(name: str) -> bool:
    """A date, a time or a small number."""
    return (name.isdecimal() and len(name) < 4) or is_when(name.casefold())


def is_telling(name: str) -> bool:
    """Whether a name looks like an id: digits, `_` or `@` in it."""
    return any(map(str.isdecimal, name)) or "_" in name or "@" in name


def _reaches(
    names: Set[str], text: str, direct: Set[str], linked: Set[str], telling: Sequence[str]
) -> bool:
    """Whether a write to what is named `direct` may change what was said in `text` of `names`;
    `linked` is what the records of `direct` hold, `telling` what of it may be looked for."""
    if not (names.isdisjoint(direct) and names.isdisjoint(linked)):
        return True
    return any(name in text for name in telling)
