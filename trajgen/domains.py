"""A domain folder without its seeds: policy, tools, state and what `domain.yaml` says.

Nothing here is guessed: a file that is missing, unreadable or wrong is an InputError that
names it, and no schema reaches an engine before its bounds are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trajgen.config.model import Model
from trajgen.control_tokens import token_in
from trajgen.declared import KEYS, kind_of
from trajgen.declared import problems as declared_problems
from trajgen.errors import InputError
from trajgen.loading import plain_file
from trajgen.pipeline_file import explain
from trajgen.plain_yaml import read_yaml
from trajgen.records import Domain, Json, ToolKind
from trajgen.schemas import parse_json, tool_problems


class ToolSemantics(Model):
    """What `domain.yaml` says of one tool. `kind` follows from the rest where there is any;
    what that holds is the language of declared/."""

    kind: ToolKind | None = None
    requires: Any = None
    writes: Any = None
    reads: Any = None
    says: Any = None
    returns: Any = None

    def declared(self) -> dict[str, Json]:
        """What the tool's semantics are made of; {} for a tool that code cannot answer."""
        return {key: getattr(self, key) for key in KEYS if key in self.model_fields_set}


class DomainFile(Model):
    """`domain.yaml`."""

    name: str
    description: str = ""
    license: str = ""
    language: str = "en"
    tools: dict[str, ToolSemantics] = {}
    failure_prefixes: tuple[str, ...] = ("Error",)


def load_domain(folder: Path) -> Domain:
    """The domain in `folder`, seeds left out. Raises InputError with file and mistake."""
    if not folder.is_dir():
        raise InputError("a domain is a folder", str(folder), "See README, 'Your own domain'.")
    file = plain_file(folder, "domain.yaml")
    try:
        head = TypeAdapter(DomainFile).validate_python(read_yaml(file))
    except ValidationError as error:
        raise InputError(explain(error, DomainFile), str(file)) from error
    tools, state = _json_file(plain_file(folder, "tools.json")), None
    if (folder / "state.json").exists():
        state = _json_file(plain_file(folder, "state.json"))
    problems = tool_problems(tools)
    unknown = [] if problems else sorted(set(head.tools) - {t["function"]["name"] for t in tools})
    problems += [f"domain.yaml describes unknown tool {name!r}" for name in unknown]
    problems += [] if problems else _kind_problems(head)
    if not isinstance(state, dict | None):
        problems.append("state.json must hold an object")
    policy = _text_file(plain_file(folder, "policy.md"))
    semantics = {name: t.declared() for name, t in head.tools.items() if t.declared()}
    if problems:
        raise InputError("\n  ".join(problems), str(folder))
    domain = Domain(
        name=head.name,
        policy=policy,
        tools=tuple(tools),
        description=head.description,
        license=head.license,
        language=head.language,
        kinds={name: t.kind or kind_of(t.declared()) for name, t in head.tools.items()},
        failure_prefixes=head.failure_prefixes,
        state=state,
        semantics=semantics,
    )
    refuse_unsafe(domain, str(folder))
    if wrong := declared_problems(domain):
        raise InputError("\n  ".join(wrong), str(file), "See docs/domains.md.")
    return domain


def refuse_unsafe(domain: Domain, where: str) -> None:
    """Raise InputError for a domain that no engine may see, wherever it comes from: tools out
    of bounds, or a chat control token in anything that a prompt may show."""
    problems = tool_problems(list(domain.tools))
    shown = {f.name: getattr(domain, f.name) for f in fields(domain)}
    for name, value in shown.items():
        plain = dict(value) if isinstance(value, Mapping) else value
        if token := token_in(plain):
            problems.append(f"control token {token!r} in {name}: it could forge a turn")
    if problems:
        raise InputError("\n  ".join(problems), where)


def _kind_problems(head: DomainFile) -> Iterator[str]:
    for name, tool in head.tools.items():
        declared = tool.declared()
        if not declared and tool.kind is None:
            yield f"domain.yaml: tools.{name}: needs a kind (read or write) or what it does"
        elif declared and tool.kind not in (None, kind_of(declared)):
            found = "has writes" if "writes" in declared else "has no writes"
            yield f"domain.yaml: tools.{name}: kind is {tool.kind}, yet it {found}"


def _json_file(path: Path) -> Json:
    try:
        return parse_json(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", str(path)) from error


def _text_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from error
