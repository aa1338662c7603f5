"""Worlds as a seed finds them that nobody has seen yet.

In a run the world model is shown real results from the seeds. Where one of these is what it
shall predict, it is shown none of that seed, nor the result of the very same call of another.
And it is asked of every tool, also of those that a domain file declares for code to answer.
"""

from __future__ import annotations

from dataclasses import replace

from trajgen.records import Call, Domain, Seed
from trajgen.stage import Stage
from trajgen.worlds.examples import Example, Examples
from trajgen.worlds.llm import LlmWorld


class UnseenExamples(Examples):
    """The results of all seeds of a domain but one. That a tool answers in JSON is known."""

    def __init__(self, domain: Domain, seeds: list[Seed], but: Seed, known: Examples) -> None:
        super().__init__(domain, [seed for seed in seeds if seed.id != but.id])
        self._known = known

    def results(self, call: Call) -> list[Example]:
        """Those of other calls of the same tool."""
        known = super().results(call)
        return [e for e in known if not e.arguments or e.arguments != call.arguments]

    def in_json(self, tool: str) -> bool:
        """As the world model knows it in a run."""
        return self._known.in_json(tool)


def unseen_stage(stage: Stage, seed: Seed) -> Stage:
    """`stage` with its world model as if `seed` were not among the seeds and no tool declared;
    a world that is no model stays as it is."""
    if not isinstance(stage.world, LlmWorld):
        return stage
    domain, known = stage.domains[seed.domain], stage.examples[seed.domain]
    seeds = [other for other in stage.seeds.values() if other.domain == seed.domain]
    examples = {domain.name: UnseenExamples(domain, seeds, seed, known)}
    name = stage.cast.engine("world").model  # known for certain once the engine has started
    world = replace(stage.world, examples=examples, name=name)
    return replace(stage, domains={domain.name: replace(domain, semantics={})}, world=world)
