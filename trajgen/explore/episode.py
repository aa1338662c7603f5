"""One play lived through in a real world -> a trajectory.

At each free step calls are drawn and asked beside the main line; of those on the wanted side
the one whose bucket is least filled is lived through. Where asking means to begin anew (a
game), only a few are asked.

Crash rule: an episode is played again from its start; its counts are taken back when it ends
by an error of its world.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajgen.explore.balance import Balance, Bucket, bucket_of
from trajgen.explore.draws import Draws, Made
from trajgen.explore.policies import EXPERT, POLICIES, REFUSED, Play
from trajgen.fidelity.life import Ground, Life
from trajgen.fidelity.probes import Values, probes
from trajgen.goals import holds
from trajgen.ids import stream
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import join
from trajgen.records import Call, Domain, Message, Seed, Step, Trajectory, calls_of
from trajgen.schemas import call_problems
from trajgen.stage import touch
from trajgen.worlds import Answer, World
from trajgen.worlds.shown import shown_paths

DRAWN = 36  # calls drawn at a step, where asking is cheap
ASKED = 3  # where it is not
WHOLE = 20_000  # characters of a state that a row holds as a whole
AGAIN = 0.4  # of the calls that should not apply: the change just made, once more
CLOSING = "That is as far as I went."


@dataclass(frozen=True, slots=True)
class Setting:
    """What all plays share: the ground, the world, what may be drawn, the counts."""

    ground: Ground
    world: World
    draws: Draws
    values: Values
    balance: Balance
    run_id: str


@dataclass(slots=True)
class Candidate:
    """A call, what the world answers to it now, and the bucket that it would fill."""

    call: Call
    answer: Answer
    bucket: Bucket


@dataclass(slots=True)
class Episode:
    """A play under way."""

    setting: Setting
    play: Play
    seed: Seed
    life: Life
    messages: list[Message] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    counted: list[Bucket] = field(default_factory=list)
    followed: int = 0
    changed: bool = False
    expert: list[Call] = field(init=False)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.expert = list(calls_of(self.seed.messages))
        self.chance = stream("episode", self.play.task.id)
        self.messages.append(_request(self.seed))
        self.ledger.touch(small_parts(self.ledger))

    @property
    def ledger(self) -> Ledger:
        return self.life.ledger

    @property
    def domain(self) -> Domain:
        return self.setting.draws.domain

    async def lived(self) -> None:
        """Every step, one after the other. A game that is won answers nothing more: it ends."""
        for kind in self.play.steps:
            if not self.setting.world.takes_state and self.life.episode.reached():
                return
            await self._live(self._next if kind == EXPERT else await self._chosen(kind))

    def take_back(self) -> None:
        """Count nothing of this episode."""
        for found in self.counted:
            self.setting.balance.add(found, self.play.task.persona, -1)

    @property
    def _next(self) -> Made:
        """The expert's next call; its last one again at its end."""
        call = self.expert[min(self.followed, len(self.expert) - 1)]
        return call.tool, call.arguments

    async def _chosen(self, kind: str) -> Made:
        usual = POLICIES[self.play.task.persona].refused
        balance = self.setting.balance
        refused = kind == REFUSED or balance.wants_refused(usual, self.chance)
        if refused and self.changed and self.chance.random() < AGAIN:
            last, _, _ = self.life.lived[-1]
            return last.tool, last.arguments
        found = await self._candidates(refused)
        wanted = [each for each in found if each.answer.applies is not refused]
        expert_knows = not refused and self.followed < len(self.expert)
        if not found or (not wanted and expert_knows):
            return self._next
        some = _by_bucket(wanted or found)
        if refused:
            bucket = min(some, key=lambda each: balance.counts[each])
        else:  # not the rarest alone: a state that is not left shows nothing new
            weights = [1 / (1 + balance.counts[each]) for each in some]
            (bucket,) = self.chance.choices(list(some), weights)
        call = self.chance.choice(some[bucket]).call
        return call.tool, call.arguments

    async def _candidates(self, refused: bool) -> list[Candidate]:
        """Calls that could be made now; of a world that is led anew for each question no more
        than a few, until one is on the wanted side."""
        cheap, found = self.setting.world.takes_state, list[Candidate]()
        known: set[str] = set()
        for tool, arguments in self._drawn(refused):
            key = canonical([tool, arguments])
            if key in known or not _fits(self.domain, tool, arguments):
                continue
            known.add(key)
            call = self._call((tool, arguments))
            answer = await self.life.ask(call)
            found.append(Candidate(call, answer, bucket_of(self.ledger, call, answer)))
            if not cheap and (answer.applies is not refused or len(found) == ASKED):
                break
        return found

    def _drawn(self, refused: bool) -> Iterator[Made]:
        if refused:
            yield from self._probes()
        elif self.setting.world.takes_state and self.followed < len(self.expert):
            yield self._next
        recent = [call.arguments for call, _, _ in self.life.lived]
        moment = self.setting.draws.at(self.ledger, recent, self.chance)
        yield from moment.calls(max(1, DRAWN // len(self.domain.tools)))

    def _probes(self) -> Iterator[Made]:
        """Calls beside the expert's next that should not work."""
        after = min(self.followed, len(self.expert))
        made = probes(self.seed, self.domain, after, self.ledger, self.changed, self.setting.values)
        for _, call in made:
            yield call.tool, call.arguments

    def _call(self, made: Made) -> Call:
        return Call(f"call_{len(self.steps) + 1}", *made, len(self.messages))

    async def _live(self, made: Made) -> None:
        call, before = self._call(made), self.ledger.fork()
        touch(self.ledger, self.domain, call)
        reads = self.domain.kinds.get(call.tool) == "read"
        self.ledger.touch(shown_paths(self.ledger, call, None, reads))
        answer = await self.life.live(call)
        self.changed = self.ledger.hash != before.hash
        self.followed += made == self._next
        self.steps.append(answer.step(call, before.hash, self.ledger.hash))
        self.messages += _exchange(call, answer)
        self.counted.append(bucket_of(before, call, answer))
        self.setting.balance.add(self.counted[-1], self.play.task.persona)

    def row(self) -> Trajectory:
        """What was lived, as a row."""
        task, ledger = self.play.task, self.ledger
        ledger.touch(condition["path"] for condition in self.seed.goal)
        messages = (*self.messages, {"role": "assistant", "content": CLOSING})
        return Trajectory(
            id=task.id,
            domain=task.domain,
            messages=messages,
            tools=self.domain.tools,
            steps=tuple(self.steps),
            seed_id=task.seed_id,
            strategy=task.strategy,
            persona=task.persona,
            state_initial=ledger.touched_initial(),
            state_final=ledger.touched_final(),
            outcome="success" if self._reached() else "failure",
            scores={"goal": list(self.seed.goal)} if self.seed.goal else {},
            n_turns=1,
            n_tool_calls=len(self.steps),
            agent_model="explore",
            world_model=self.setting.world.name,
            run_id=self.setting.run_id,
            seed_license=self.domain.license,
        )

    def _reached(self) -> bool:
        """As the world says, else by the goal; without one, as the seed ended, whose calls were
        all made in their order."""
        if (reached := self.life.episode.reached()) is not None:
            return reached
        if self.seed.goal:
            return all(holds(self.ledger.state, condition) for condition in self.seed.goal)
        followed = self.play.steps.count(EXPERT) == len(self.expert)
        return followed and self.seed.meta.get("outcome") == "success"


def _by_bucket(found: Sequence[Candidate]) -> dict[Bucket, list[Candidate]]:
    groups: dict[Bucket, list[Candidate]] = {}
    for each in found:
        groups.setdefault(each.bucket, []).append(each)
    return groups


def small_parts(ledger: Ledger) -> list[str]:
    """The parts at the top of a state that a row holds whole: all of a small one, and those
    that are no more than a record of a large one."""
    state = ledger.state if isinstance(ledger.state, dict) else {}
    sizes = {join("", key): _size(value) for key, value in state.items()}
    if sum(sizes.values()) <= WHOLE:
        return list(sizes)
    return [path for path, size in sizes.items() if size <= WHOLE // 20]


def _size(value: object) -> int:
    """Characters, or more than are wanted of what has very many entries."""
    if isinstance(value, dict | list) and len(value) > WHOLE // 20:
        return WHOLE + 1
    return len(canonical(value))


def _request(seed: Seed) -> Message:
    return next(message for message in seed.messages if message["role"] == "user")


def _fits(domain: Domain, tool: str, arguments: Mapping[str, object]) -> bool:
    return not call_problems([{"name": tool, "arguments": arguments}], domain.tools, 0)


def _exchange(call: Call, answer: Answer) -> Sequence[Message]:
    function = {"name": call.tool, "arguments": call.arguments}
    made = {"id": call.id, "type": "function", "function": function}
    return (
        {"role": "assistant", "content": "", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": call.id, "content": answer.observation},
    )
