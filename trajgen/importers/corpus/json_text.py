"""One JSON text of any size, as a stream: the items of a list, or objects side by side.

Of the text only the item at hand is in memory, at most MAX_CHARS of it. An item that is
broken is a problem with its number; brackets tell where the next one begins.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO, TypeAlias

from trajgen.importers.corpus.exact import SHOWN, decode_from, exact
from trajgen.importers.corpus.problem import Problem
from trajgen.records import Json

MAX_CHARS = 64 * 2**20  # of one item
PIECE = 2**20
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|"', re.DOTALL)  # a last " is not closed
_CLOSING = {"{": "}", "[": "]"}
_NOT_UTF8 = re.compile("[\udc80-\udcff]")

Numbered: TypeAlias = tuple[int, Json | Problem]


def items(file: IO[bytes]) -> Iterator[Numbered]:
    """The items of a file that is one list, or its objects; numbered from 1."""
    text = _Text(file)
    yield from _items(text, text.enters_list(), whole=True)


def members(file: IO[bytes], key: str) -> Iterator[Numbered]:
    """What stands under `key` of the file's one object: the items of a list, or the object."""
    text, wanted, name, depth = _Text(file), f'"{key}"', "", 0
    while token := text.token():
        if token in _CLOSING and depth == 1 and name == wanted:
            if token == "[":  # noqa: S105
                yield from _items(text, in_list=True, whole=False)
            else:
                yield 1, _item(text, token)
        elif token in _CLOSING:
            depth += 1
        elif token in _CLOSING.values():
            depth -= 1
        elif depth == 1:
            name = token  # before an opening bracket the last string is its key
        text.keep(text.at)


def value(text: bytes) -> Json | Problem:
    """`text` as JSON, or why it is none."""
    try:
        return exact(text.decode("utf-8"))
    except ValueError as error:
        return Problem(f"not JSON in UTF-8 ({str(error)[:SHOWN]})")


def too_long() -> Problem:
    """What is said of a row beyond the limit."""
    return Problem(f"longer than {MAX_CHARS >> 20} Mi characters")


class _Text:
    """A text read a piece at a time: its brackets and its whole strings as tokens, the last
    one from `start` to `at`. Characters from `kept` on are held."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.ended, self.dropped = file, False, False
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self.data = ""
        self.kept = self.start = self.at = 0
        self._read_on()

    def token(self) -> str:
        """The next bracket or string; "" at the end of the file."""
        while True:
            found = _TOKEN.search(self.data, self.at)
            if found and found[0] != '"':
                self.start, self.at = found.span()
                return found[0]
            self.start = self.at = found.start() if found else len(self.data)
            if self.ended:
                return ""
            self._read_on()

    def keep(self, at: int) -> None:
        """Hold what stands from `at` on, and nothing before."""
        self.kept, self.dropped = at, False

    def enters_list(self) -> bool:
        """Whether the text is a list; goes inside if so."""
        while not self.data.strip() and not self.ended:
            self._read_on()
        return self.data.lstrip().startswith("[") and bool(self.token())

    def is_done(self) -> bool:
        """Whether only white space is left."""
        self.keep(self.at)
        return not self.token() and not self.data[self.kept :].strip()

    def closes(self, bracket: str) -> bool:
        """Go to the bracket that closes `bracket`; False when the file ends before."""
        depth = 1
        while depth and (token := self.token()):
            depth += (token == bracket) - (token == _CLOSING[bracket])
        return depth == 0

    def _read_on(self) -> None:
        if self.at - self.kept > MAX_CHARS:
            self.kept, self.dropped = self.at, True
        piece = self.file.read(PIECE)
        self.ended = not piece
        self.data = self.data[self.kept :] + self.decoder.decode(piece, final=self.ended)
        self.at, self.start, self.kept = self.at - self.kept, self.start - self.kept, 0


def _items(text: _Text, in_list: bool, whole: bool) -> Iterator[Numbered]:
    """Up to the end of the list or of the file; `whole`: nothing else may follow."""
    number = 0
    while True:
        text.keep(text.at)
        token = text.token()
        stray = text.data[text.kept : text.start].strip(", \t\r\n")
        if stray:
            number += 1
            yield number, _no_object(stray)
        if not token or (token == "]" and in_list):  # noqa: S105
            if in_list and not token:
                yield number + 1, Problem("the file ends before its list does")
            elif in_list and whole and not text.is_done():
                yield number + 1, Problem("there is more after the end of the list")
            return
        number += 1
        yield number, _item(text, token)


def _item(text: _Text, token: str) -> Json | Problem:
    """The item that begins with `token`: decoded at once where all of it is there."""
    if token not in _CLOSING:
        return _no_object(token)
    text.keep(text.start)
    try:
        found, text.at = decode_from(text.data, text.start)
    except ValueError:
        if not text.closes(token):
            return Problem("the file ends in the middle of this row")
        if text.dropped:
            return too_long()
    else:
        if not _NOT_UTF8.search(text.data, text.kept, text.at):
            return found
    return value(text.data[text.kept : text.at].encode("utf-8", "surrogateescape"))


def _no_object(text: str) -> Problem:
    return Problem(f"not an object: {text[:40]}")
