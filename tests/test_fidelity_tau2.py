"""The harness on real environments: tau2 against itself, and worlds broken on purpose."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.playing import PROMPTS, pipeline
from trajgen.config import WorldConfig
from trajgen.fidelity.measure import Measure, measure
from trajgen.fidelity.source import Real, load_real
from trajgen.fidelity.tally import rates
from trajgen.records import Call, Json
from trajgen.worlds import Answer, Episode, Scene
from trajgen.worlds.tau2 import Tau2World

pytestmark = pytest.mark.slow
N = 8
DOMAINS = ("airline", "retail")


class Bent(Tau2World):
    """tau2, but each answer is bent."""

    def begin(self, scene: Scene) -> Any:
        return BentEpisode(super().begin(scene), self.bend, scene)

    def bend(self, real: Answer, call: Call, scene: Scene) -> Answer:
        return real


class BentEpisode:
    def __init__(self, real: Episode, bend: Any, scene: Scene) -> None:
        self.real, self.bend, self.scene = real, bend, scene

    async def step(self, call: Call) -> Answer:
        found: Answer = self.bend(await self.real.step(call), call, self.scene)
        return found

    def observe(self, call: Call, answer: Answer) -> None:
        self.real.observe(call, answer)

    def reached(self) -> bool | None:
        return self.real.reached()

    def close(self) -> None:
        self.real.close()


class Obliging(Bent):
    def bend(self, real: Answer, call: Call, scene: Scene) -> Answer:
        return replace(real, applies=True)


class Forgetful(Bent):
    def bend(self, real: Answer, call: Call, scene: Scene) -> Answer:
        return replace(real, effects=())


class Meddling(Bent):
    """Writes into one more row of the first collection."""

    def bend(self, real: Answer, call: Call, scene: Scene) -> Answer:
        if not real.effects:
            return real
        part, rows = next(iter(scene.ledger.state.items()))
        path = f"/{part}/{next(reversed(rows))}/meddled"
        return replace(real, effects=(*real.effects, {"op": "add", "path": path, "value": 1}))


@cache
def real(domain: str) -> Real:
    return load_real(f"tau2:{domain}")


def measured(domain: str, kind: str, replay: bool = False) -> dict[str, Json]:
    world = WorldConfig(kind=kind, domain=domain)
    job = pipeline(world=world.model_dump())
    wanted = Measure(job, PROMPTS, real(domain), N, replay, 4)
    return asyncio.run(measure(wanted, lambda text: None)).figures


def bent(domain: str, kind: str) -> dict[str, Json]:
    return measured(domain, f"tests.test_fidelity_tau2:{kind}")


@pytest.mark.parametrize("domain", DOMAINS)
def test_tau2_against_itself_is_right_everywhere(domain: str) -> None:
    found = measured(domain, "tau2", replay=True)
    applicable, inapplicable = found["precondition"].values()
    assert applicable["n"] == applicable["correct"] > 50
    assert inapplicable["n"] == inapplicable["correct"] > 20
    assert found["effects"]["exact"] == found["effects"]["n"]
    assert found["effects"]["by_changed"]["5+"]["n"] > 0
    assert found["observation"]["exact"] == found["observation"]["n"]
    reached = [found["replay"][key] for key in ("real", "world", "world_to_real")]
    assert min(reached) == max(reached) > 0
    assert {v for v in rates(found).values() if v is not None} == {1.0}


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_world_that_always_obliges_scores_nothing_on_what_does_not_apply(domain: str) -> None:
    found = bent(domain, "Obliging")
    assert rates(found)["precondition_inapplicable"] == 0
    assert rates(found)["precondition_applicable"] == 1


@pytest.mark.parametrize("kind", ["Forgetful", "Meddling"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_wrong_writes_are_found_in_the_effects_alone(domain: str, kind: str) -> None:
    found = bent(domain, kind)
    for changed, counts in found["effects"]["by_changed"].items():
        assert counts["exact"] == (counts["n"] if changed == "0" else 0)
    assert sum(c["n"] for k, c in found["effects"]["by_changed"].items() if k != "0") > 0
    assert rates(found)["observation_exact"] == 1
    assert rates(found)["precondition_applicable"] == 1
