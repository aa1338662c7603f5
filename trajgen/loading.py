"""Names that become code or paths go through here, and nowhere else."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from trajgen.errors import InputError

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load_object(name: str) -> Any:
    """The object `package.module:attribute`. Raises InputError when there is none."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"cannot load {name!r} ({error})",
            fix="Name it as package.module:attribute and install the extra that brings it.",
        ) from error


def safe_name(name: str) -> str:
    """`name` if it can be one folder or file name. Raises InputError otherwise."""
    if not _SAFE.fullmatch(name):
        raise InputError(
            f"{name[:200]!r} cannot name a folder",
            fix="Use letters, digits, dot, dash and underscore, at most 100, not first a dot.",
        )
    return name


def shipped(folder: str) -> Path:
    """`prompts`, `seeds`, `pipelines`, `recipes` or `adapters` as they travel with the package."""
    installed = Path(__file__).parent / "shipped" / folder
    return installed if installed.is_dir() else Path(__file__).parent.parent / folder


def at_home(path: str | Path) -> Path:
    """`path` as a user means it, `~` as their home. Raises InputError when there is none, or
    for a character that no path has."""
    try:
        found = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError("there is no such home folder", str(path), "Write it out.") from error
    if "\0" in str(path):
        raise InputError("no path holds a NUL character", repr(str(path)))
    return found


def find(path: str, near: Path | None = None) -> Path:
    """`path` as a user means it: from here, beside `near`, or among what is shipped.

    Raises InputError naming the places looked at.
    """
    given = at_home(path)
    places = [given]
    if not given.is_absolute():
        if near is not None:
            places += [near / given, near.parent / given]
        places.append(shipped("seeds").parent / given)
    for place in places:
        if _there(place):
            return place
    looked = ", ".join(str(place) for place in places)
    raise InputError("no such file or folder", str(path), f"Looked at: {looked}")


def _there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False
