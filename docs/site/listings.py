"""Pages that show files of the repository, and every option of every command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from trajgen import cli

LANGUAGES = {".py": "python", ".yaml": "yaml", ".jinja": "jinja", ".md": "markdown"}


def listing(root: Path, path: str) -> str:
    """The file, or each file of the folder, as text. Raises KeyError when there is none."""
    place = root / path
    if not place.exists():
        raise KeyError(f"a link leads to {path}, which is not there")
    files = sorted(f for f in place.rglob("*") if f.suffix in LANGUAGES) if place.is_dir() else []
    parts = [f"---\norphan: true\n---\n\n# {path.rstrip('/')}"]
    parts += [f"## {file.relative_to(place)}\n\n{_block(file)}" for file in files]
    return "\n\n".join(parts if place.is_dir() else [*parts, _block(place)]) + "\n"


def options() -> str:
    """What every command takes, in the parser's own words."""
    os.environ["COLUMNS"] = "88"
    parts = ["# Options of every command", "What `trajgen COMMAND --help` prints."]
    for name, parser in _verbs(cli._parser(), "trajgen"):
        parts.append(f"## {name}\n\n```text\n{parser.format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _verbs(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    choices = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in choices:
        for word, below in action.choices.items():
            yield from _verbs(below, f"{name} {word}")
    if not choices:
        yield name, parser


def _block(file: Path) -> str:
    language = LANGUAGES.get(file.suffix, "text")
    return f"`````{language}\n{file.read_text('utf-8').rstrip()}\n`````"
