"""The world model: an LLM that says for each call whether it applies, what it changes and
what the agent sees. Code holds every proposal against the ledger; what breaks goes back as
feedback for that step alone. Tools that the domain declares are answered by code instead, and
the model is told what was answered.

Crash rule: an episode is its prompt; nothing of it outlives the rollout.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from trajgen.cast import Cast, Given, Question, speech
from trajgen.declared import undeclared
from trajgen.filters.declared import against_code
from trajgen.filters.reading import parsed
from trajgen.filters.world import check, judge
from trajgen.pointers import MISSING
from trajgen.records import Call, Domain, Json, Message, Reason, Trajectory
from trajgen.schemas import world_answer
from trajgen.shapes import Shape, Shapes, bad_effects, extended
from trajgen.views import about, as_text
from trajgen.worlds import Answer, Scene
from trajgen.worlds.agreement import agreed
from trajgen.worlds.declared import answered
from trajgen.worlds.examples import Examples
from trajgen.worlds.shown import Fields, outlined_state, shown_state

REFUSED_CHARS = 2000  # of an answer that could not be read, kept for the reviewer


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
        system = self.cast.prompts.shared(
            "world.system",
            {
                "domain": about(domain),
                "policy": domain.policy,
                "tools": domain.tools,
                "kinds": domain.kinds,
            },
        )
        asks = bool(undeclared(domain)) or not self.by_code
        return LlmEpisode(self, scene, [speech("system", system)], asks)

    @property
    def by_code(self) -> bool:
        """Whether code answers the tools that the domain declares."""
        return self.cast.pipeline.world.declared


@dataclass(slots=True)
class LlmEpisode:
    """One rollout's conversation with the world model; `asks` is false where code answers
    every tool, so that nothing is ever asked."""

    world: LlmWorld
    scene: Scene
    messages: list[Message]
    asks: bool
    asked: str = ""
    said: str = ""
    given: Answer | None = None
    seen: list[Message] = field(default_factory=list)
    shape: Shape | None = None
    looked_over: int = 0  # of the messages, when they went out with an earlier question

    async def step(self, call: Call) -> Answer:
        """Ask for the call's precondition, effects and observation, and judge them. A tool that
        the domain declares is answered by code."""
        if self.world.by_code and (coded := answered(self.scene, call)):
            self.asked = self._prompt(call, None) if self.asks else ""
            return coded
        kind, in_json = self.scene.domain.kinds.get(call.tool), self.in_json(call)
        question = Question(
            role="world",
            key=call.id,
            messages=self.asking(call),
            guide=_schema(kind, in_json, guide=True),
            schema=_schema(kind, in_json, guide=False),
            context=self._context(call),
            looked_over=self.looked_over,
        )
        self.looked_over = len(self.messages)
        given, agreement = await self._given(call, question)
        self.said = given.text
        answer = given.answer or {
            "applies": False,
            "why": "",
            "effects": [],
            "observation": given.text[:REFUSED_CHARS],
        }
        verdicts = tuple(Reason(p.code, call.message, p.detail) for p in given.problems)
        self.given = Answer(
            applies=answer["applies"],
            why=answer["why"],
            effects=tuple(answer["effects"]),
            observation=observed(answer["observation"]),
            source="model",
            attempts=given.attempts,
            agreement=agreement,
            verdicts=verdicts,
        )
        return self.given

    def asking(self, call: Call) -> tuple[Message, ...]:
        """The prompt that asks for the answer to `call`."""
        self.asked = self._prompt(call, self.world.examples[self.scene.domain.name])
        return (*self.messages, speech("user", self.asked))

    def in_json(self, call: Call) -> bool:
        """Whether the call's tool answers in JSON."""
        return self.world.examples[self.scene.domain.name].in_json(call.tool)

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
        """Append the call and the answer that stands: its own word for word, another (code's, a
        planned fault, the truth) as if it had answered so."""
        if not self.asks:
            return
        own = self.said if answer is self.given else ""
        self.seen += _exchange(call, answer.observation)
        if self.world.cast.pipeline.world.history:
            self.messages += [
                speech("user", self.asked or self._prompt(call, None)),
                speech("assistant", own or answer_text(answer, self.in_json(call))),
            ]
        self.asked, self.said, self.given = "", "", None
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
        return self.world.cast.prompts.render(
            "world.call",
            {
                "call": {"name": call.tool, "arguments": call.arguments},
                "state": self._shown(call),
                "examples": [
                    {"arguments": e.arguments, "observation": e.observation} for e in nearest
                ],
            },
        )

    def _shown(self, call: Call) -> Json:
        """What of the state the model is shown with `call`."""
        domain, ledger = self.scene.domain, self.scene.ledger
        if self.world.cast.pipeline.world.state == "outline":
            return outlined_state(ledger, call)
        reads = domain.kinds.get(call.tool) == "read"
        return shown_state(ledger, call, self.world.fields(domain), reads)

    def _check(self, call: Call, answer: dict[str, Json]) -> list[Reason]:
        text = observed(answer["observation"])
        if not text.strip():
            return [Reason("bad_answer", call.message, "world: the observation is empty")]
        domain, ledger, effects = self.scene.domain, self.scene.ledger, answer["effects"]
        found = judge(domain, call, answer["applies"], effects, text, ledger)
        found = found or against_code(domain, call, answer, text, ledger.state)
        found = found or self._against_observed(call, text)
        if found or not effects:
            return found
        return bad_effects(self._shape(), ledger.state, effects, call.message)

    def _against_observed(self, call: Call, text: str) -> list[Reason]:
        """Where there is no state, what was observed so far is the ledger."""
        if self.scene.ledger.state:
            return []
        domain, before = self.scene.domain, len(self.seen)
        talk = (*self.seen, *_exchange(call, text))
        found = check(Trajectory("", domain.name, talk, domain.tools), domain)
        return [replace(r, at=call.message) for r in found if r.at is not None and r.at >= before]

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


@lru_cache
def _schema(kind: str | None, in_json: bool, guide: bool) -> dict[str, Json]:
    """One schema for all calls of a kind, so that its validator is found at once."""
    return world_answer(kind, in_json, guide)


def _exchange(call: Call, observation: str) -> list[Message]:
    """A call and its answer as messages."""
    function = {"name": call.tool, "arguments": call.arguments}
    made = {"id": call.id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": call.id, "content": observation},
    ]


def answer_text(answer: Answer, in_json: bool) -> str:
    """`answer` as a world model writes it."""
    return as_text(
        {
            "applies": answer.applies,
            "why": answer.why,
            "effects": list(answer.effects),
            "observation": _in_form(answer.observation, in_json),
        }
    )


def observed(observation: Json) -> str:
    """An observation as the text of a tool message."""
    if isinstance(observation, str):
        return observation
    return json.dumps(observation, ensure_ascii=False)


def _in_form(observation: str, in_json: bool) -> Json:
    """An observation in the form that is asked for; text in place of JSON is an error."""
    if not in_json:
        return observation
    data = parsed(observation)
    return {"error": observation} if data is MISSING else data
