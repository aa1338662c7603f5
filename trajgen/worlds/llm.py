"""The world model: an LLM that says for each call whether it applies, what it changes and
what the agent sees. Code holds every proposal against the ledger; what breaks goes back as
feedback for that step alone.

Crash rule: an episode is its prompt; nothing of it outlives the rollout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from trajgen.cast import Cast, Given, Question, speech
from trajgen.filters.world import is_failure, judge
from trajgen.records import Call, Domain, Json, Message, Reason, Seed, calls_of
from trajgen.schemas import world_answer
from trajgen.shapes import Shape, Shapes, bad_effects, extended
from trajgen.worlds import Answer, Scene
from trajgen.worlds.agreement import agreed
from trajgen.worlds.shown import Fields, shown_state

REFUSED_CHARS = 2000  # of an answer that could not be read, kept for the reviewer


@dataclass(frozen=True, slots=True)
class Example:
    """A real result of a tool, from a seed."""

    arguments: dict[str, Json]
    observation: str
    failed: bool
    seed: str


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
                    example = Example(call.arguments, text, is_failure(text, domain), seed.id)
                    self._by_tool.setdefault(call.tool, {}).setdefault(text, example)

    def nearest(self, call: Call, count: int, seed: str = "") -> list[Example]:
        """Up to `count` results of the same tool: the most similar calls, among equals those
        of `seed` first, and one failure when there is one, so that both forms are known."""
        known = list(self._by_tool.get(call.tool, {}).values())
        ranked = sorted(
            known, key=lambda e: (-_overlap(e.arguments, call.arguments), e.seed != seed)
        )
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
    shapes: Shapes
    name: str
    takes_state: bool = True
    _fields: dict[str, Fields] = field(default_factory=dict)

    def fields(self, domain: Domain) -> Fields:
        """Which entities of the domain's state have which values."""
        if domain.name not in self._fields:
            self._fields[domain.name] = Fields(domain.state)
        return self._fields[domain.name]

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
    shape: Shape | None = None

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
        given, agreement = await self._given(call, question)
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
            agreement=agreement,
            verdicts=verdicts,
        )

    async def _given(self, call: Call, question: Question) -> tuple[Given, float | None]:
        """The answer to take: of several samples the one that most agree with, and how far."""
        setting = self.world.cast.pipeline.world.agreement
        if setting is None:
            return await self._ask(call, question), None
        for again in range(self.world.cast.pipeline.rollout.attempts):
            samples = await self._samples(call, question, setting.samples, again)
            given, share = agreed(samples, self.scene.ledger)
            given = replace(given, attempts=given.attempts + again)
            if given.problems or round(share, 2) >= setting.at_least:  # 0.67 is two of three
                return given, share
            if setting.below == "drop":
                break
        detail = f"{share:.2f} of {setting.samples} answers agree; wanted {setting.at_least:g}"
        return replace(given, problems=(Reason("low_agreement", None, detail),)), share

    async def _samples(self, call: Call, question: Question, n: int, again: int) -> list[Given]:
        """`n` answers at once to one prompt, each with a sampling seed of its own."""
        keys = [f"{call.id}.{again * n + i}" if again or i else call.id for i in range(n)]
        asking = [
            asyncio.ensure_future(self._ask(call, replace(question, key=key))) for key in keys
        ]
        try:
            return await asyncio.gather(*asking)
        finally:
            for one in asking:
                one.cancel()  # when another failed

    async def _ask(self, call: Call, question: Question) -> Given:
        return await self.world.cast.ask(
            self.scene.task, question, lambda answer: self._check(call, answer)
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
        if answer.source != "model" and answer.effects:  # what is real shows more of the shape
            self.shape = extended(self._shape(), self.scene.ledger.state, answer.effects)

    def reached(self) -> bool | None:
        """A model cannot tell; the ledger and the user can."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _prompt(self, call: Call, examples: Examples | None) -> str:
        count = self.world.cast.pipeline.world.examples
        nearest = examples.nearest(call, count, self.scene.seed.id) if examples else []
        domain, ledger = self.scene.domain, self.scene.ledger
        fields, reads = self.world.fields(domain), domain.kinds.get(call.tool) == "read"
        return self.world.cast.prompts.render(
            "world.call",
            {
                "call": {"name": call.tool, "arguments": call.arguments},
                "state": shown_state(ledger, call, fields, reads),
                "examples": [
                    {"arguments": e.arguments, "observation": e.observation} for e in nearest
                ],
            },
        )

    def _check(self, call: Call, answer: dict[str, Json]) -> list[Reason]:
        text = observed(answer["observation"])
        if not text.strip():
            return [Reason("bad_answer", call.message, "world: the observation is empty")]
        domain, ledger, effects = self.scene.domain, self.scene.ledger, answer["effects"]
        found = judge(domain, call, answer["applies"], effects, text, ledger)
        if found or not effects:
            return found
        return bad_effects(self._shape(), ledger.state, effects, call.message)

    def _shape(self) -> Shape:
        return self.shape or self.world.shapes.of(self.scene.domain.name)

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


def _about(domain: Domain) -> dict[str, str]:
    return {"name": domain.name, "description": domain.description}


def _overlap(left: dict[str, Json], right: dict[str, Json]) -> float:
    same_keys = len(left.keys() & right.keys()) - len(left.keys() ^ right.keys())
    alike = sum(_alike(value, right[key]) for key, value in left.items() if key in right)
    return same_keys + 2 * alike


def _alike(left: Json, right: Json) -> float:
    """1 for equal values; of texts the share of words that both have."""
    if left == right or not (isinstance(left, str) and isinstance(right, str)):
        return float(left == right)
    one, other = set(left.casefold().split()), set(right.casefold().split())
    return len(one & other) / max(len(one | other), 1)


def _is_structure(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
