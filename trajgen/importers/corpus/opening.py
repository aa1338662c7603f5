"""Which corpus a source names: `sharegpt:FILE`, `hf:DATASET`, `tau2:FILE.json`."""

from __future__ import annotations

from trajgen.errors import InputError
from trajgen.importers.corpus import formats, hub
from trajgen.importers.corpus.rows import SUFFIXES, Corpus, Part, corpus_at
from trajgen.importers.tau2.simulations import simulations
from trajgen.loading import find
from trajgen.worlds.tau2.real import DOMAINS

ANY = "hf"  # the source whose format is recognised row by row
SOURCES = (*formats.FORMATS, ANY)


def is_corpus(source: str) -> bool:
    """Whether `source` names rows of a format, as `sharegpt:FILE` and `tau2:FILE.json` do."""
    name, colon, argument = source.partition(":")
    simulated = name == "tau2" and argument not in DOMAINS and argument.endswith(".json")
    return bool(colon) and (name in SOURCES or simulated)


def open_corpus(source: str) -> Corpus:
    """The corpus `FORMAT:PATH`, `tau2:FILE.json`, or `hf:PATH` or `hf:DATASET` of any format.

    Raises InputError when it names nothing.
    """
    name, _, argument = source.partition(":")
    if name == "tau2":
        return simulations(find(argument))
    reader = formats.normalised if name == ANY else formats.FORMATS[name]
    if not argument:
        raise InputError(f"{source!r} names nothing", fix=f"Name a file, as {name}:FILE.")
    if name == ANY and not _is_local(argument):
        path = argument.partition(":")[0]
        part = Part(argument, lambda: hub.remote(argument))
        return Corpus(path.rpartition("/")[2], (part,), reader)
    return corpus_at(find(argument), reader)


def _is_local(argument: str) -> bool:
    try:
        find(argument)
    except InputError:
        return argument.startswith((".", "/", "~")) or argument.endswith(SUFFIXES)
    return True
