"""Domain folders -> domains and their seeds, or quarantined lines.

Every line of `trajectories.jsonl` becomes a seed or a quarantined line with file, line
number and reason; nothing is skipped: `seed lines = seeds + quarantined`. A seed must pass
every default filter, and its recorded effects must fit its state: what a world model is
shown as an example has to hold together itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trajgen import filters
from trajgen.config import Model, explain, read_yaml
from trajgen.errors import InputError
from trajgen.filters.corpus import fingerprint
from trajgen.filters.text import find_control_token
from trajgen.ids import content_id, digest
from trajgen.importers import import_source, is_source
from trajgen.ledger import EffectError, Ledger, holds, overlay, scalars
from trajgen.loading import find
from trajgen.records import Domain, Json, Message, Seed, ToolKind, Trajectory, calls_of
from trajgen.schemas import tool_problems

MAX_LINE_BYTES = 16 * 2**20


class ToolSemantics(Model):
    """What `domain.yaml` says of one tool."""

    kind: ToolKind


class DomainFile(Model):
    """`domain.yaml`."""

    name: str
    description: str = ""
    license: str = ""
    language: str = "en"
    tools: dict[str, ToolSemantics] = {}
    failure_prefixes: tuple[str, ...] = ("Error",)


class SeedLine(Model):
    """One line of `trajectories.jsonl`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = ""
    messages: list[dict[str, Any]]
    state: dict[str, Any] | None = None
    goal: list[dict[str, Any]] = []
    meta: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class SeedSet:
    """The seeds of a job: domains by name, seeds in content order, refused lines."""

    domains: Mapping[str, Domain]
    seeds: tuple[Seed, ...]
    quarantined: tuple[dict[str, Json], ...]

    @property
    def digest(self) -> str:
        """Changes when any domain or seed does; the order of lines does not matter."""
        domains = [
            [d.name, d.policy, d.tools, d.license, dict(d.kinds), d.failure_prefixes, d.state]
            for _, d in sorted(self.domains.items())
        ]
        return digest([domains, [seed.id for seed in self.seeds]])


def initial_state(domain: Domain, seed: Seed) -> Json:
    """The state a rollout of `seed` begins in; shared with the domain where the seed has none."""
    return overlay(domain.state, seed.state)


def load_seeds(sources: tuple[str, ...], near: Path | None = None) -> SeedSet:
    """The seeds of all `sources`: domain folders or import sources such as `tau2:airline`.

    Raises InputError when a source cannot be read or leaves no seed at all.
    """
    domains: dict[str, Domain] = {}
    seeds: dict[str, Seed] = {}
    quarantined: list[dict[str, Json]] = []
    for source in sources:
        domain, found, refused = _load(source, near)
        if domain.name in domains:
            raise InputError(
                f"two sources are named {domain.name!r}", source, "Rename one in domain.yaml."
            )
        domains[domain.name] = domain
        seeds.update({seed.id: seed for seed in found})
        quarantined += refused
    if not seeds:
        first = quarantined[0] if quarantined else None
        detail = f"{first['file']}:{first['line']}: {first['reason']}" if first else "no lines"
        raise InputError(
            f"no usable seed ({len(quarantined)} quarantined; first: {detail})",
            ", ".join(sources),
            "`trajgen seeds check` lists every line that is wrong.",
        )
    return SeedSet(domains, tuple(seeds[key] for key in sorted(seeds)), tuple(quarantined))


def check_source(source: str) -> tuple[int, list[dict[str, Json]]]:
    """How many seeds a source holds, and its refused lines. Raises InputError."""
    _, seeds, refused = _load(source, None)
    return len(seeds), refused


def _load(source: str, near: Path | None) -> tuple[Domain, list[Seed], list[dict[str, Json]]]:
    if is_source(source):
        imported = import_source(source)
        return check_imported(imported.domain, imported.seeds, imported.refused, source)
    folder = find(source, near)
    domain = load_domain(folder)
    seeds, refused = load_lines(
        folder / "trajectories.jsonl", domain, name=f"{source}/trajectories.jsonl"
    )
    return domain, seeds, refused


def check_imported(
    domain: Domain, seeds: tuple[Seed, ...], refused: tuple[dict[str, Json], ...], source: str
) -> tuple[Domain, list[Seed], list[dict[str, Json]]]:
    """Imported seeds under the same checks as a folder's."""
    good, bad = [], list(refused)
    for number, seed in enumerate(seeds, 1):
        if problem := seed_problem(seed, domain):
            bad.append({"file": source, "line": number, "reason": problem})
        else:
            good.append(seed)
    return domain, good, bad


def load_domain(folder: Path) -> Domain:
    """The domain in `folder`, seeds left out. Raises InputError with file and mistake."""
    if not folder.is_dir():
        raise InputError("a domain is a folder", str(folder), "See README, 'Your own domain'.")
    file = folder / "domain.yaml"
    try:
        head = TypeAdapter(DomainFile).validate_python(read_yaml(file))
    except ValidationError as error:
        raise InputError(explain(error, DomainFile), str(file)) from error
    tools, state = _json_file(folder / "tools.json"), None
    if (folder / "state.json").exists():
        state = _json_file(folder / "state.json")
    problems = tool_problems(tools)
    unknown = [] if problems else sorted(set(head.tools) - {t["function"]["name"] for t in tools})
    problems += [f"domain.yaml describes unknown tool {name!r}" for name in unknown]
    if not isinstance(state, dict | None):
        problems.append("state.json must hold an object")
    policy = _text_file(folder / "policy.md")
    problems += [f"control token {t!r}" for t in [_control_token([policy, tools, state])] if t]
    if problems:
        raise InputError("\n  ".join(problems), str(folder))
    kinds = {name: semantics.kind for name, semantics in head.tools.items()}
    return Domain(
        name=head.name,
        policy=policy,
        tools=tuple(tools),
        description=head.description,
        license=head.license,
        language=head.language,
        kinds=kinds,
        failure_prefixes=head.failure_prefixes,
        state=state,
    )


def load_lines(
    path: Path, domain: Domain, name: str = ""
) -> tuple[list[Seed], list[dict[str, Json]]]:
    """The seeds of a JSONL file and its refused lines as `{"file", "line", "reason"}`."""
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    first_line: dict[str, int] = {}
    for number, line in _lines(path):
        seed, problem = _parse_line(line, domain)
        if seed is not None:
            copy_of = first_line.setdefault(fingerprint(seed.messages), number)
            if copy_of != number:
                problem = f"copies line {copy_of}"
        if problem or seed is None:
            refused.append({"file": name or str(path), "line": number, "reason": problem})
        else:
            seeds.append(seed)
    return seeds, refused


def seed_problem(seed: Seed, domain: Domain) -> str:
    """The first thing that is wrong with a seed, or ""."""
    trajectory = Trajectory(
        id=seed.id, domain=domain.name, messages=seed.messages, tools=domain.tools
    )
    for reason in filters.check(trajectory, domain):
        return f"{reason.code} at message {reason.at}: {reason.detail}"
    return _state_problem(seed, domain)


def _state_problem(seed: Seed, domain: Domain) -> str:
    effects = seed.meta.get("effects")
    if effects is None:
        return ""
    ledger = Ledger(initial_state(domain, seed), 0)  # no hash is wanted of a whole database
    if unknown := set(effects) - {call.id for call in calls_of(seed.messages)}:
        return f"meta.effects names calls that are not there: {', '.join(sorted(unknown))}"
    for call in calls_of(seed.messages):
        try:
            ledger.apply(effects.get(call.id, ()))
        except (EffectError, AttributeError, TypeError) as error:
            return f"bad_effect at message {call.message} ({call.id}): {error}"
    wanted = seed.meta.get("outcome") == "success"
    missed = [c["path"] for c in seed.goal if not holds(ledger.state, c)]
    if wanted and missed:
        return f"the goal does not hold at the end: {', '.join(missed)}"
    return ""


def _parse_line(line: bytes, domain: Domain) -> tuple[Seed | None, str]:
    try:
        data = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        entry = SeedLine.model_validate(data)
        seed = _seed(entry, domain)
    except ValidationError as error:
        return None, explain(error, SeedLine).replace("\n  ", "; ")
    except (ValueError, RecursionError) as error:
        return None, f"not a JSON object in UTF-8 ({str(error)[:200]})"
    problem = _shape_problem(entry) or seed_problem(seed, domain)
    return seed, problem


def _seed(entry: SeedLine, domain: Domain) -> Seed:
    identity = [domain.name, entry.messages, entry.state, entry.goal]
    return Seed(
        id=content_id("seed", identity),
        domain=domain.name,
        messages=tuple(entry.messages),
        state=entry.state,
        goal=tuple(entry.goal),
        meta={"name": entry.id, **entry.meta},
    )


def _shape_problem(entry: SeedLine) -> str:
    if problem := message_problem(entry.messages):
        return problem
    for condition in entry.goal:
        tests = set(condition) - {"path"}
        known = {"equals", "not_equals", "exists", "contains", "at_least", "at_most"}
        if not isinstance(condition.get("path"), str) or len(tests) != 1 or not tests <= known:
            return (
                f"goal: not a condition {{'path', one of {', '.join(sorted(known))}}}: {condition}"
            )
    if token := _control_token(entry.state):
        return f"control_tokens in state: {token!r}"
    return ""


def message_problem(messages: list[Message]) -> str:
    """What keeps `messages` from being OpenAI messages as our rows hold them, or ""."""
    for index, message in enumerate(messages):
        where = f"message {index}"
        if not isinstance(message.get("content"), str):
            return f"{where}: content must be a string ('' beside tool calls)"
        if any(value is None for value in message.values()):
            return f"{where}: leave a key out instead of null"
        for call in message.get("tool_calls", ()):
            if not _is_call(call):
                return f"{where}: a tool call holds id, type and function (name, arguments: object)"
    return ""


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), dict)
    )


def _control_token(value: Json) -> str | None:
    for text in scalars(value if isinstance(value, dict | list) else [value]):
        if isinstance(text, str) and (token := find_control_token(text)):
            return str(token)
    return None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number from 1; overlong ones are cut."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line[:MAX_LINE_BYTES]
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from error


def _json_file(path: Path) -> Json:
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", str(path)) from error


def _text_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from error


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")
