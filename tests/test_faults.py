"""Planned faults hit the call that the task says, in the form of the domain's failures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest

from trajgen.config import Fault, FaultsConfig
from trajgen.faults import planned_call, planned_fault
from trajgen.filters.answers import is_failure
from trajgen.records import Domain, Task

TASK = Task("task-0", 0, "shop", "seed-0", "extend", "terse", "timeout", "", 1)
DOMAIN = Domain("shop", "", ())


def test_no_fault_no_call() -> None:
    assert planned_call(replace(TASK, fault="")) is None


def test_the_first_or_second_call_is_hit_by_turns() -> None:
    hit = Counter(planned_call(replace(TASK, id=f"task-{n}")) for n in range(400))
    assert set(hit) == {0, 1}
    assert min(hit.values()) > 150
    assert planned_call(TASK) == planned_call(TASK)


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize("json_observation", [True, False])
def test_every_kind_of_fault_is_a_failure_that_changes_nothing(
    fault: str, json_observation: bool
) -> None:
    answer = planned_fault(replace(TASK, fault=fault), DOMAIN, json_observation)
    assert is_failure(answer.observation, DOMAIN)
    assert not answer.applies
    assert answer.effects == ()
    assert answer.verdicts == ()
    assert answer.source == "code"
    assert fault in answer.why
    assert "nothing was changed" in answer.observation
    if json_observation:
        assert set(json.loads(answer.observation)) == {"error"}


def test_faults_differ_in_their_text() -> None:
    answers = [planned_fault(replace(TASK, fault=f), DOMAIN, False) for f in get_args(Fault)]
    assert len({answer.observation for answer in answers}) == len(FaultsConfig().kinds) == 3


@pytest.mark.parametrize(
    ("prefixes", "begins"),
    [
        (("Error",), "Error: the service"),
        (("Error:",), "Error: the service"),
        (("Error: ",), "Error: the service"),
        (("Failed", "Error"), "Failed: the service"),
        ((), "Error: the service"),
    ],
)
def test_the_domain_says_how_its_failures_begin(prefixes: tuple[str, ...], begins: str) -> None:
    domain = replace(DOMAIN, failure_prefixes=prefixes)
    observation = planned_fault(TASK, domain, False).observation
    assert observation.startswith(begins)
    assert is_failure(observation, domain) == bool(prefixes)
