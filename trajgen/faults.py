"""Planned faults: which call of a task fails, and what the agent then reads."""

from __future__ import annotations

import json

from trajgen.ids import stream
from trajgen.records import Domain, Task
from trajgen.worlds import Answer

_TEXTS = {
    "timeout": "the service did not answer in time; nothing was changed",
    "not_found": "the record could not be found just now; nothing was changed",
    "permission_denied": "permission denied for this attempt; nothing was changed",
}


def planned_call(task: Task) -> int | None:
    """The number (from 0) of the call that the task's fault hits; None without a fault."""
    return stream("fault", task.id).randrange(2) if task.fault else None


def is_planned(observation: str) -> bool:
    """Whether a failure is worded as planned faults are: it says nothing of the state."""
    return any(text in observation for text in _TEXTS.values())


def planned_fault(task: Task, domain: Domain, json_observation: bool) -> Answer:
    """The answer that the planned fault gives, in the form of the domain's own failures."""
    text = _TEXTS[task.fault]
    prefix = next(iter(domain.failure_prefixes), "Error").rstrip(": ")
    observation = json.dumps({"error": text}) if json_observation else f"{prefix}: {text}"
    return Answer(
        applies=False,
        why=f"planned fault: {task.fault}",
        effects=(),
        observation=observation,
        source="code",
    )
