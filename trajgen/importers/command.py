"""`trajgen seeds import`: a source becomes a domain folder, and what it lacks is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from trajgen.errors import InputError
from trajgen.importers import import_source, refuse_filled, write_seeds
from trajgen.importers.corpus.domain import Found
from trajgen.importers.corpus.formats import FORMATS
from trajgen.importers.corpus.opening import is_corpus, open_corpus
from trajgen.importers.corpus.rows import Corpus
from trajgen.records import Domain, Json, Seed

_TOLD = 20  # refusals told one by one; all of them are in quarantine.jsonl


def import_to(
    source: str, folder: Path, domain: Domain | None, say: Callable[[str], None]
) -> tuple[int, int]:
    """Write `folder` from `source`; how many seeds and refusals. A corpus of any size is read
    row by row, into the given `domain` or its own.

    Raises InputError as importers do, when a source that is a domain itself is given one, and
    when no row became a seed; MachineError when the disk fails.
    """
    refuse_filled(folder)  # before minutes of reading
    if not is_corpus(source):
        if domain is not None:
            what = "this source brings its own domain"
            raise InputError(what, source, "Leave --domain out.")
        made = import_source(source)
        written = write_seeds(made.domain, _told([*made.refused, *made.seeds], say), folder)
        return _checked(written, folder, say)
    corpus = open_corpus(source)
    for name, form in corpus.recognised().items() if source.startswith("hf:") else ():
        say(f"{name}: {form or 'no known format'}")
    found = Found(corpus, domain)
    for lack in found.lacks():
        say(f"trajgen: {lack}")
    written = write_seeds(found.domain, _told(found.seeds(), say), folder)
    if found.replaced:
        say(f"trajgen: {found.replaced} rows had a system prompt that the domain's policy replaces")
    return _checked(written, folder, say, lambda: _other_format(source, corpus))


def _checked(
    written: tuple[int, int],
    folder: Path,
    say: Callable[[str], None],
    advice: Callable[[], str] = str,
) -> tuple[int, int]:
    """`written`, with a word on what was refused. Raises InputError when that was everything."""
    seeds, refused = written
    quarantine = folder / "quarantine.jsonl"
    if not seeds:
        what = f"none of {refused} rows became a seed; {quarantine.name} has the reasons"
        fix = f"{advice()}Mend the rows, and import them into a new folder."
        raise InputError(what, str(folder), fix)
    if refused:
        say(f"trajgen: {quarantine} names the rows that were refused: mend them, or go on without")
    return written


def _other_format(source: str, corpus: Corpus) -> str:
    """What to call the source, where its rows are of another format than was said."""
    name, _, argument = source.partition(":")
    found = set(corpus.recognised().values()) - {""}
    if name in FORMATS and len(found) == 1 and name not in found:
        return f"They look like {found.pop()}: try hf:{argument}. "
    return ""


def _told(
    found: Iterable[Seed | dict[str, Json]], say: Callable[[str], None]
) -> Iterator[Seed | dict[str, Json]]:
    refused = 0
    for item in found:
        if not isinstance(item, Seed):
            refused += 1
            if refused <= _TOLD:
                say(f"{item['file']}:{item['line']}: {item['reason']}")
        yield item
    if refused > _TOLD:
        say(f"and {refused - _TOLD} more, in quarantine.jsonl")
