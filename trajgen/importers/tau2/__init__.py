"""tau2-bench tasks -> seeds, by replaying each task's golden actions in the real environment.

Every observation and every typed effect is what the environment answered and did. The
words around them are made by rule: the scenario in the first person, a question before the
first change of a row, and a closing message of facts. An argument the agent could not have
seen is read first (an added call) or told by the user; `meta` says which (`added`, `told`).

Crash rule: nothing is kept; the environment lives in this process only.
"""

from __future__ import annotations

from typing import Any

from trajgen.errors import InputError
from trajgen.filters.corpus import fingerprint
from trajgen.importers import Imported
from trajgen.importers.tau2 import airline, retail, telecom
from trajgen.importers.tau2.kit import Kit
from trajgen.importers.tau2.play import Play, Unfit
from trajgen.importers.tau2.stage import Stage
from trajgen.records import Domain, Json, Seed
from trajgen.worlds.tau2.real import Real

KITS: dict[str, Kit] = {"airline": airline.KIT, "retail": retail.KIT, "telecom": telecom.KIT}


def import_tau2(argument: str) -> Imported:
    """The domain and seeds of `airline`, `retail` or `telecom`, or of a file of simulations.

    Raises InputError for any other name, and when the package is not installed.
    """
    source, kit = f"tau2:{argument}", KITS.get(argument)
    if argument.endswith(".json"):
        from trajgen.importers.corpus.domain import imported

        return imported(source)
    if kit is None:
        known = ", ".join(KITS)
        fix = f"Known: {known}, and files that `tau2 run` wrote: tau2:FILE.json"
        raise InputError(f"tau2 has no domain {argument!r} here", source, fix)
    stage = Stage(Real(argument))
    domain = _domain(argument, kit, stage.real)
    seeds: dict[str, Seed] = {}
    refused: list[dict[str, Json]] = []
    for number, task in enumerate(stage.real.tasks.values(), 1):
        try:
            seed = _seed(kit, stage, task, domain)
            if copied := seeds.get(mark := fingerprint(seed.messages)):
                raise Unfit(f"says and calls the same as task {copied.meta['task']}")
            seeds[mark] = seed
        except Unfit as unfit:
            reason = f"task {task.id}: {unfit}"
            refused.append({"file": source, "line": number, "reason": reason})
    return Imported(domain, tuple(seeds.values()), tuple(refused))


def _domain(name: str, kit: Kit, real: Real) -> Domain:
    return Domain(
        name=f"tau2_{name}",
        policy=real.policy,
        tools=real.tools(),
        description=f"{kit.description} From tau2-bench.",
        license="MIT",
        kinds={t: k for t, k in real.kinds.items() if k in ("read", "write")},
        state=real.initial,
    )


def _seed(kit: Kit, stage: Stage, task: Any, domain: Domain) -> Seed:
    criteria, begins = task.evaluation_criteria, task.initial_state
    if not criteria or not criteria.actions:
        raise Unfit("no golden actions")
    if begins and (begins.initialization_data or begins.message_history):
        raise Unfit("begins in the middle of a conversation or with data of its own")
    if isinstance(task.user_scenario.instructions, str):
        raise Unfit("the scenario is not divided into reason, known facts and instructions")
    stage.enter(task)
    return Play(kit, stage, task).seed(domain.name)
