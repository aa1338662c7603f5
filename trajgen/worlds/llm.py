"""The world model: an LLM that says for each call whether it applies, what it changes and
what the agent sees. Code holds every proposal against the ledger; what breaks goes back as
feedback for that step alone.

Crash rule: an episode is its prompt; nothing of it outlives the rollout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trajgen.cast import Cast, Question, speech
from trajgen.filters.answers import is_failure
from trajgen.filters.world import judge
from trajgen.ids import canonical
from trajgen.pointers import excerpt
from trajgen.records import Call, Domain, Json, Message, Reason, Seed, calls_of
from trajgen.schemas import world_answer
from trajgen.worlds import Answer, Scene

REFUSED_CHARS = 2000  # of an answer that could not be read, kept for the reviewer
STATE_CHARS = 6000  # of state shown with one call; a database never fits a prompt


@dataclass(frozen=True, slots=True)
class Example:
    """A real result of a tool, from a seed."""

    arguments: dict[str, Json]
    observation: str
    failed: bool


class Examples:
    """The real results of each tool in the seeds of one domain."""

    def __init__(self, domain: Domain, seeds: Sequence[Seed]) -> None:
        self._by_tool: dict[str, dict[str, Example]] = {}
        for seed in seeds:
            results = {
                m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"
            }
            for call in calls_of(seed.messages):
                if (text := results.get(call.id)) is not None:
                    example = Example(call.arguments, text, is_failure(text, domain))
                    self._by_tool.setdefault(call.tool, {}).setdefault(text, example)

    def nearest(self, call: Call, count: int) -> list[Example]:
        """Up to `count` results of the same tool: the most similar calls, one failure among
        them when there is one, so that both forms are known."""
        known = list(self._by_tool.get(call.tool, {}).values())
        ranked = sorted(known, key=lambda e: -_overlap(e.arguments, call.arguments))
        chosen = ranked[:count]
        failures = [example for example in ranked if example.failed]
        if count > 1 and failures and not any(example.failed for example in chosen):
            chosen[-1] = failures[0]
        return chosen

    def in_json(self, tool: str) -> bool:
        """Whether every known result of `tool` is a JSON object or array."""
        known = self._by_tool.get(tool, {})
        return bool(known) and all(_is_structure(e.observation) for e in known.values())


@dataclass(slots=True)
class LlmWorld:
    """Begins episodes of the world model; `examples` holds each domain's real results."""

    cast: Cast
    examples: Mapping[str, Examples]
    name: str
    takes_state: bool = True

    def begin(self, scene: Scene) -> LlmEpisode:
        """A fresh episode; its prompt opens with what all episodes of the domain share."""
        domain = scene.domain
        system = self.cast.prompts.render(
            "world.system",
            {
                "domain": _about(domain),
                "policy": domain.policy,
                "tools": domain.tools,
                "kinds": dict(domain.kinds),
            },
        )
        return LlmEpisode(self, scene, [speech("system", system)])


@dataclass(slots=True)
class LlmEpisode:
    """One rollout's conversation with the world model."""

    world: LlmWorld
    scene: Scene
    messages: list[Message]
    asked: str = ""
    said: str = ""
    seen: list[Message] = field(default_factory=list)

    async def step(self, call: Call) -> Answer:
        """Ask for the call's precondition, effects and observation, and judge them."""
        examples, tool = self.world.examples[self.scene.domain.name], call.tool
        self.asked = self._prompt(call, examples)
        schema = world_answer(self.scene.domain.kinds.get(tool), examples.in_json(tool))
        question = Question(
            role="world",
            key=call.id,
            messages=(*self.messages, speech("user", self.asked)),
            guide=schema,
            schema=schema,
            context=self._context(call),
        )
        given = await self.world.cast.ask(self.scene.task, question, lambda a: self._check(call, a))
        self.said = given.text
        answer = given.answer or {
            "applies": False,
            "why": "",
            "effects": [],
            "observation": given.text[:REFUSED_CHARS],
        }
        verdicts = tuple(Reason(p.code, call.message, p.detail) for p in given.problems)
        return Answer(
            applies=answer["applies"],
            why=answer["why"],
            effects=tuple(answer["effects"]),
            observation=observed(answer["observation"]),
            source="model",
            attempts=given.attempts,
            verdicts=verdicts,
        )

    def observe(self, call: Call, answer: Answer) -> None:
        """Append the call and the answer that stands, a planned fault included."""
        in_json = self.world.examples[self.scene.domain.name].in_json(call.tool)
        kept = {
            "applies": answer.applies,
            "why": answer.why,
            "effects": list(answer.effects),
            "observation": json.loads(answer.observation) if in_json else answer.observation,
        }
        function = {"name": call.tool, "arguments": call.arguments}
        made = {"id": call.id, "type": "function", "function": function}
        self.seen += [
            {"role": "assistant", "content": "", "tool_calls": [made]},
            {"role": "tool", "tool_call_id": call.id, "content": answer.observation},
        ]
        asked = self.asked or self._prompt(call, None)
        self.messages += [
            speech("user", asked),
            speech("assistant", self.said or json.dumps(kept, ensure_ascii=False)),
        ]
        self.asked = self.said = ""

    def reached(self) -> bool | None:
        """A model cannot tell; the ledger and the user can."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _prompt(self, call: Call, examples: Examples | None) -> str:
        count = self.world.cast.pipeline.world.examples
        nearest = examples.nearest(call, count) if examples else []
        return self.world.cast.prompts.render(
            "world.call",
            {
                "call": {"name": call.tool, "arguments": call.arguments},
                "state": self._state(call),
                "examples": [
                    {"arguments": e.arguments, "observation": e.observation} for e in nearest
                ],
            },
        )

    def _state(self, call: Call) -> Json:
        """The part of the state that the call names; all of it when it is small."""
        ledger = self.scene.ledger
        if not ledger.state:
            return None
        paths = ledger.relevant(call.arguments)
        if not paths and len(text := canonical_head(ledger.state)) < STATE_CHARS:
            return json.loads(text)
        while len(canonical(shown := excerpt(ledger.state, paths))) > STATE_CHARS and paths:
            paths = paths[:-1]
        return shown

    def _check(self, call: Call, answer: dict[str, Json]) -> list[Reason]:
        text = observed(answer["observation"])
        if not text.strip():
            return [Reason("bad_answer", call.message, "world: the observation is empty")]
        return judge(
            self.scene.domain, call, answer["applies"], answer["effects"], text, self.scene.ledger
        )

    def _context(self, call: Call) -> dict[str, Json]:
        seed = self.scene.seed
        return {
            "task": self.scene.task,
            "call": {"name": call.tool, "arguments": call.arguments},
            "seed_messages": list(seed.messages),
            "seed_effects": seed.meta.get("effects", {}),
            "messages": list(self.seen),
            "failure_prefixes": list(self.scene.domain.failure_prefixes),
        }


def observed(observation: Json) -> str:
    """An observation as the text of a tool message."""
    if isinstance(observation, str):
        return observation
    return json.dumps(observation, ensure_ascii=False)


def canonical_head(state: Json) -> str:
    """The canonical text of `state`, or a text too long to show when it has many entries."""
    entries = sum(len(v) for v in state.values() if isinstance(v, dict | list))
    return canonical(state) if entries <= 500 else " " * STATE_CHARS


def _about(domain: Domain) -> dict[str, str]:
    return {"name": domain.name, "description": domain.description}


def _overlap(left: dict[str, Json], right: dict[str, Json]) -> int:
    same_keys = len(left.keys() & right.keys()) - len(left.keys() ^ right.keys())
    return same_keys + 2 * len([k for k, v in left.items() if right.get(k) == v])


def _is_structure(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
