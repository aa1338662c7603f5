"""Sandboxed Jinja over `prompts/`: plain data in, text out, rendered exactly once.

Templates come from one folder only and are read once, data is never a template, an
undefined name is an error, and the digest of what was read goes into every row.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trajgen.control_tokens import find_control_token
from trajgen.errors import InputError, PromptTooLong
from trajgen.ids import digest
from trajgen.json_text import plain
from trajgen.loading import plain_file, shipped
from trajgen.records import Json

MAX_CHARS = 2_000_000
_REMEMBERED = 256  # prompts that many rollouts share
_Shared = OrderedDict[tuple[str | int, ...], tuple[Mapping[str, Json], str]]
_FAILURES = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError)


class Prompts:
    """The templates of one folder, read once; `digest` is made from their text. What a folder
    of one's own does not hold is as shipped.

    Crosses process borders as that text, so a worker needs no folder. Raises InputError when
    a template cannot be read or compiled.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or shipped("prompts")).resolve()
        self._texts = _read(shipped("prompts").resolve()) | _read(self.folder)
        self.digest = digest(self._texts)
        self._prepare()
        for name, text in self._texts.items():
            if token := find_control_token(text):
                what = f"a prompt may not hold a chat control token; found {token!r}"
                raise InputError(what, str(self.folder / name))

    def __getstate__(self) -> tuple[Path, dict[str, str], str]:
        return self.folder, self._texts, self.digest

    def __setstate__(self, state: tuple[Path, dict[str, str], str]) -> None:
        self.folder, self._texts, self.digest = state
        self._prepare()

    def _prepare(self) -> None:
        environment = _environment(self._texts)
        self._templates = {name: self._compiled(environment, name) for name in self._texts}
        self._shared: _Shared = OrderedDict()

    def render(self, name: str, context: Mapping[str, Json]) -> str:
        """Template `name` (without `.jinja`) given `context`, of which objects stay outside.
        Raises InputError, PromptTooLong."""
        parts: list[str] = []
        left = MAX_CHARS
        try:
            for part in self._templates[f"{name}.jinja"].generate(plain(context)):
                parts.append(part)
                left -= len(part)
                if left < 0:
                    raise PromptTooLong(f"prompt {name} takes more than {MAX_CHARS} characters")
        except _FAILURES as error:
            raise InputError(f"prompt fails: {error}", f"{self.folder / name}.jinja") from error
        return "".join(parts).strip()

    def shared(self, name: str, context: Mapping[str, Json]) -> str:
        """`render` for what many rollouts begin with: rendered once for the same objects, which
        are not to be changed."""
        key: tuple[str | int, ...] = (name, *map(id, context.values()))
        if (kept := self._shared.get(key)) is None:
            kept = self._shared[key] = context, self.render(name, context)
            while len(self._shared) > _REMEMBERED:
                self._shared.popitem(last=False)
        return kept[1]

    def _compiled(self, environment: ImmutableSandboxedEnvironment, name: str) -> Template:
        try:
            made = environment.get_template(name)
            made.globals = dict(made.globals)  # jinja copies it for each text; it was a ChainMap
            return made
        except TemplateError as error:
            line = f":{error.lineno}" if hasattr(error, "lineno") else ""
            place = f"{self.folder / name}{line}"
            raise InputError(f"this is no valid template: {error}", place) from error


def _read(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.jinja"))
    if not files:
        raise InputError("no prompt templates (*.jinja) here", str(folder))
    return {file.name: _text(plain_file(folder, file.name)) for file in files}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(file)) from error


def _environment(texts: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader(texts),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["json"] = json.JSONEncoder(ensure_ascii=False).encode
    return environment
