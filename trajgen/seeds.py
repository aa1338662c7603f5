"""Domain folders -> domains and their seeds, or quarantined lines.

Every line of `trajectories.jsonl` becomes a seed or a quarantined line with file, line
number and reason; nothing is skipped: `seed lines = seeds + quarantined`. A seed must pass
every default filter, and its recorded effects must fit its state: what a world model is
shown as an example has to hold together itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from trajgen import declared, filters
from trajgen.config.model import Model
from trajgen.control_tokens import token_in
from trajgen.domains import load_domain, refuse_unsafe
from trajgen.errors import InputError
from trajgen.filters.answers import is_failure
from trajgen.filters.corpus import fingerprint
from trajgen.filters.declared import differs
from trajgen.goals import CONDITIONS, holds, is_condition
from trajgen.ids import content_id, digest
from trajgen.importers import import_source, is_source
from trajgen.ledger import Ledger
from trajgen.loading import find, plain_file
from trajgen.pipeline_file import explain
from trajgen.pointers import EffectError, overlay
from trajgen.records import Call, Domain, Json, Message, Seed, Trajectory, calls_of, cut
from trajgen.schemas import parse_json

MAX_LINE_BYTES = 16 * 2**20


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
            [
                *(d.name, d.policy, d.tools, d.license, dict(d.kinds), d.failure_prefixes, d.state),
                {tool: dict(declared) for tool, declared in d.semantics.items()},
            ]
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
    lines = plain_file(folder, "trajectories.jsonl")
    seeds, refused = load_lines(lines, domain, name=f"{source}/trajectories.jsonl")
    return domain, seeds, refused


def check_imported(
    domain: Domain, seeds: tuple[Seed, ...], refused: tuple[dict[str, Json], ...], source: str
) -> tuple[Domain, list[Seed], list[dict[str, Json]]]:
    """Imported seeds under the same checks as a folder's."""
    refuse_unsafe(domain, source)
    good: dict[str, Seed] = {}
    bad = list(refused)
    for number, seed in enumerate(seeds, 1):
        problem = "copies one before it" if seed.id in good else seed_problem(seed, domain)
        if problem:
            bad.append(_refused(source, number, problem))
        else:
            good[seed.id] = seed
    return domain, list(good.values()), bad


def load_lines(
    path: Path, domain: Domain, name: str = ""
) -> tuple[list[Seed], list[dict[str, Json]]]:
    """The seeds of a JSONL file and its refused lines as `{"file", "line", "reason"}`."""
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    first_line: dict[str, int] = {}
    for number, line in _lines(path):
        seed, problem = _parse_line(line, domain)
        if seed is not None and not problem:
            copy_of = first_line.setdefault(fingerprint(seed.messages), number)
            if copy_of != number:
                problem = f"copies line {copy_of}"
        if problem or seed is None:
            refused.append(_refused(name or str(path), number, problem))
        else:
            seeds.append(seed)
    return seeds, refused


def _refused(file: str, line: int, problem: str) -> dict[str, Json]:
    return {"file": file, "line": line, "reason": cut(problem)}


def seed_problem(seed: Seed, domain: Domain) -> str:
    """The first thing that is wrong with a seed, or ""."""
    trajectory = Trajectory(
        id=seed.id,
        domain=domain.name,
        messages=seed.messages,
        tools=domain.tools,
        state_initial=seed.state,
    )
    for name, value in (
        ("state", seed.state),
        ("goal", list(seed.goal)),
        ("meta", dict(seed.meta)),
    ):
        if token := token_in(value):
            return f"control_tokens in {name}: {token!r}"
    for reason in filters.check(trajectory, domain):
        return f"{reason.code} at message {reason.at}: {reason.detail}"
    return _state_problem(seed, domain)


def _state_problem(seed: Seed, domain: Domain) -> str:
    effects, applies = seed.meta.get("effects"), seed.meta.get("applies", {})
    if not isinstance(applies, dict) or not all(isinstance(v, bool) for v in applies.values()):
        return "meta.applies: call ids with true or false"
    if effects is None:
        return ""
    if not isinstance(effects, dict) or not all(map(_are_effects, effects.values())):
        return "meta.effects: call ids with lists of {'op', 'path', 'value'}"
    ledger = Ledger(initial_state(domain, seed), 0)  # no hash is wanted of a whole database
    if unknown := {*effects, *applies} - {call.id for call in calls_of(seed.messages)}:
        return f"meta names calls that are not there: {', '.join(sorted(unknown))}"
    told = {m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"}
    for call in calls_of(seed.messages):
        if problem := _declared_problem(domain, call, seed.meta, told, ledger):
            return problem
        try:
            ledger.apply(effects.get(call.id, ()))
        except EffectError as error:
            return f"bad_effect at message {call.message} ({call.id}): {error}"
    wanted = seed.meta.get("outcome") == "success"
    missed = [c["path"] for c in seed.goal if not holds(ledger.state, c)]
    if wanted and missed:
        return f"the goal does not hold at the end: {', '.join(missed)}"
    return ""


def _declared_problem(
    domain: Domain, call: Call, meta: Mapping[str, Json], told: Mapping[str, str], ledger: Ledger
) -> str:
    """How a recorded answer differs from what the domain declares, or ""."""
    result = declared.answer(domain, call, ledger.state)
    if result is None or call.id not in told:
        return ""
    observation, effects = told[call.id], meta["effects"].get(call.id, ())
    applies = meta.get("applies", {}).get(call.id, not is_failure(observation, domain))
    reason = differs(result, call, applies, effects, observation, ledger.state)
    return f"{reason.code} at message {call.message} ({call.id}): {reason.detail}" if reason else ""


def _are_effects(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(effect, dict) for effect in value)


def _parse_line(line: bytes, domain: Domain) -> tuple[Seed | None, str]:
    try:
        data = parse_json(line.decode("utf-8"))
        entry = SeedLine.model_validate(data)
        seed = _seed(entry, domain)
    except ValidationError as error:
        return None, explain(error, SeedLine).replace("\n  ", "; ")
    except ValueError as error:
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
        if not is_condition(condition):
            known = ", ".join(CONDITIONS)
            return f"goal: a condition is a JSON pointer and one of {known}; found {condition}"
    return ""


def message_problem(messages: list[Message]) -> str:
    """What keeps `messages` from being OpenAI messages as our rows hold them, or ""."""
    for index, message in enumerate(messages):
        where = f"message {index}"
        if not isinstance(message.get("content"), str):
            return f"{where}: content must be a string ('' beside tool calls)"
        if any(value is None for value in message.values()):
            return f"{where}: leave a key out instead of null"
        calls = message.get("tool_calls", [])
        if not isinstance(calls, list) or not all(map(_is_call, calls)):
            return f"{where}: tool_calls is a list of id, type, function (name, arguments: object)"
    return ""


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), dict)
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number from 1; overlong ones are cut."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line[:MAX_LINE_BYTES]
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", str(path)) from error
