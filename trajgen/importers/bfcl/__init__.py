"""BFCL's multi-turn tasks -> seeds, by making the ground-truth calls in BFCL's own APIs.

Calls, observations and effects are real; what the user says is BFCL's. BFCL has no words of
the agent: what it says at the end of a turn is made by rule from what its calls answered, and
`meta.made` says so.

Crash rule: nothing is kept; the APIs live in this process only.
"""

from __future__ import annotations

from trajgen.errors import InputError
from trajgen.filters.corpus import fingerprint
from trajgen.importers import Imported
from trajgen.importers.bfcl.data import Entry, categories, entries, tools_of
from trajgen.importers.bfcl.kinds import kinds
from trajgen.importers.bfcl.play import Unfit, play
from trajgen.records import Domain, Json, Seed


def import_bfcl(argument: str) -> Imported:
    """The domain and seeds of a multi-turn category, or of its tasks that involve no other
    APIs than those named: `multi_turn_base/VehicleControlAPI+MessageAPI`.

    Raises InputError for any other argument, and when the package is not installed.
    """
    category, _, chosen = argument.partition("/")
    source = f"bfcl:{argument}"
    if category not in (known := categories()):
        raise InputError(
            f"BFCL has no multi-turn category {category!r}", source, f"Known: {', '.join(known)}"
        )
    found = list(entries(category))
    apis = _apis(found, chosen, source)
    domain = _domain(argument, apis)
    seeds: dict[str, Seed] = {}
    refused: list[dict[str, Json]] = []
    for number, entry in enumerate(found, 1):
        if not set(entry.apis) <= set(apis):
            continue
        try:
            seed = play(entry, domain, long="long_context" in category)
            if copied := seeds.get(mark := fingerprint(seed.messages)):
                raise Unfit(f"says and calls the same as {copied.meta['name']}")
            seeds[mark] = seed
        except Unfit as unfit:
            reason = f"{entry.id}: {unfit}"
            refused.append({"file": source, "line": number, "reason": reason})
    return Imported(domain, tuple(seeds.values()), tuple(refused))


def _apis(found: list[Entry], chosen: str, source: str) -> list[str]:
    known = sorted({api for entry in found for api in entry.apis})
    apis = sorted(set(chosen.split("+"))) if chosen else known
    if unknown := sorted(set(apis) - set(known)):
        raise InputError(f"no API {unknown[0]!r}", source, f"Known: {', '.join(known)}")
    return apis


def _domain(argument: str, apis: list[str]) -> Domain:
    tools = tuple(tool for api in apis for tool in tools_of(api))
    return Domain(
        name="bfcl_" + argument.replace("/", "_").replace("+", "_"),
        policy="",
        tools=tools,
        description=f"{', '.join(apis)} of the Berkeley Function Calling Leaderboard.",
        license="Apache-2.0",
        kinds=kinds(tools),
        failure_prefixes=("Error",),
    )
