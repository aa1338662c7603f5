"""Names that become code or paths go through here, and nowhere else."""

from __future__ import annotations

import importlib
import re
import stat
from pathlib import Path, PurePosixPath
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


def at_home(home: Path, name: str) -> Path:
    """The path of `name`, which data gave, in the folder `home`.

    Raises InputError for one that leads out of it: absolute, with `..`, or by a link.
    """
    parts = PurePosixPath(name)
    if not parts.parts or "\0" in name or parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{name!r} is no name inside this folder", str(home))
    path = home / parts
    try:
        inside = path.resolve().is_relative_to(home.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle, a name that is too long
        raise InputError(f"cannot be looked at ({error})", str(path)) from error
    if not inside:
        raise InputError(
            "is a link out of its folder", str(path), "Put the file itself there: cp -L copies it."
        )
    return path


def plain_file(home: Path, name: str) -> Path:
    """`at_home` for a file that is read: where one is there, it has to be a plain file.

    Raises InputError for a device, a pipe or a folder, which could be read without end.
    """
    path = at_home(home, name)
    try:
        plain = stat.S_ISREG(path.stat().st_mode)
    except OSError:  # it is not there: whoever reads it says so
        return path
    if not plain:
        raise InputError("cannot be read: it is no plain file", str(path))
    return path


def shipped(folder: str) -> Path:
    """`prompts`, `seeds`, `pipelines`, `recipes` or `adapters` as they travel with the package."""
    installed = Path(__file__).parent / "shipped" / folder
    return installed if installed.is_dir() else Path(__file__).parent.parent / folder


def user_path(path: str | Path) -> Path:
    """`path` as a user means it, `~` as their home. Raises InputError when there is none, or
    for a character that no path has, or for a URL, which would become a folder's name."""
    if "://" in str(path):
        scheme = str(path).partition("://")[0]  # the rest may hold a password
        raise InputError("only a run can lie in an object store", f"{scheme}://", "Name a folder.")
    try:
        found = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError("there is no such home folder", str(path), "Write it out.") from error
    if "\0" in str(path):
        raise InputError("no path holds a NUL character", repr(str(path)))
    return found


def file_to_be(name: str | None) -> Path | None:
    """The file that is asked for, if one is. Raises InputError before the work that it is for,
    not after, where it cannot be."""
    if name is None:
        return None
    path = user_path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError("no file can be written there", str(path), "Name a file in a folder.")
    return path


def find(path: str, near: Path | None = None) -> Path:
    """`path` as a user means it: from here, beside `near`, or among what is shipped.

    Raises InputError naming the places looked at.
    """
    given = user_path(path)
    places = [given]
    if not given.is_absolute():
        if near is not None:
            places += [near / given, near.parent / given]
        places.append(shipped("seeds").parent / given)
    for place in places:
        if _there(place):
            return place
    looked = ", ".join(dict.fromkeys(map(str, places)))
    raise InputError("no such file or folder", str(path), f"Looked at: {looked}")


def _there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False
