"""One task as a conversation: its golden calls, what had to be added, and the words.

Crash rule: a play that did not end leaves nothing; its task is played again.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from trajgen.diff import goal, patch
from trajgen.ids import content_id
from trajgen.importers.tau2.closing import closing, outcome
from trajgen.importers.tau2.conversation import Conversation
from trajgen.importers.tau2.kit import Action, Kit
from trajgen.importers.tau2.reads import Reader
from trajgen.importers.tau2.speech import spoken
from trajgen.importers.tau2.stage import Stage
from trajgen.records import Json, Outcome, Seed

WHAT_ELSE = "Before I change anything: what else should I take into account?"
YES = "Yes, please go ahead."


class Unfit(Exception):
    """The task cannot become a seed; the text says why."""


class Play:
    """One task on a stage that is where the task begins."""

    def __init__(self, kit: Kit, stage: Stage, task: Any) -> None:
        self.kit, self.stage, self.task = kit, stage, task
        self.criteria = task.evaluation_criteria
        self.actions = [Action(a.name, a.arguments, a.requestor) for a in self.criteria.actions]
        opening, self.wishes = spoken(task.user_scenario.instructions)
        if not any(stage.writes(action.tool) for action in self.actions):
            opening, self.wishes = [*opening, *self.wishes], []
        self.opening = " ".join(opening)
        self.talk = Conversation(stage)
        user = kit.user(stage.initial, self.actions, self.opening)
        self.reader = Reader(kit, self.talk, user)
        self.done: list[str] = []

    def seed(self, domain: str) -> Seed:
        """Play the task to its end, as a seed of `domain`. Raises Unfit."""
        instructions = self.task.user_scenario.instructions
        self.talk.say("user", self.opening)
        before, after = self.kit.checks(self.actions, instructions.reason_for_call)
        self.actions = [*before, *self.actions, *after]
        while self.actions:
            self._next()
        if not self.stage.fulfils(self.criteria):
            raise Unfit("its golden actions do not lead to what it asserts")
        ended = outcome(self.talk, self.criteria, self.opening)
        self._look_up_answers()
        last = closing(self.talk, self.criteria, ended, self.done, self.kit.findings)
        self.talk.say("assistant", last)
        self.talk.messages[0]["content"] = " ".join([self.opening, *self.reader.telling()])
        return self._seed(domain, ended)

    def _seed(self, domain: str, ended: Outcome) -> Seed:
        messages, wanted = self.talk.messages, goal(self.stage.initial, self.stage.state)
        meta: dict[str, Json] = {"task": self.task.id, "outcome": ended}
        meta |= {"effects": self.talk.effects, "applies": self.talk.applies, "source": "tau2"}
        if self.talk.added:
            meta["added"] = self.talk.added
        if told := self.reader.told:
            meta["told"] = sorted(value for values in told.values() for value in values)
        state = patch(self.stage.real.initial, self.stage.initial) or None
        seed_id = content_id("seed", [domain, messages, state, wanted])
        return Seed(seed_id, domain, tuple(messages), state, wanted, meta)

    def _next(self) -> None:
        """The golden action that comes next; writes without a read between them together."""
        row = list(takewhile(lambda action: self.stage.writes(action.tool), self.actions))
        if row:
            self._hear()
            self._change(row)
        elif self.actions[0].by == "user":
            self._instruct(self.actions[0])
        else:
            self.reader.look(self.actions[0])
        self.actions = self.actions[len(row) or 1 :]

    def _hear(self) -> None:
        if self.wishes:
            self.talk.say("assistant", WHAT_ELSE)
            self.talk.say("user", " ".join(self.wishes))
        self.wishes = []

    def _change(self, row: list[Action]) -> None:
        """A row of writes: all that they need, one question, then the writes."""
        for action in row:
            self.reader.reveal(action)
        at = len(self.talk.messages)
        phrases = [(self._phrase(action), self.talk.call(action)) for action in row]
        worked = [phrase for phrase, works in phrases if works]
        self.done += worked
        listed = "".join(f"\n- {phrase}" for phrase in worked or [phrase for phrase, _ in phrases])
        ask = (
            f"With your agreement I will make these changes:{listed}\nShall I go ahead (yes or no)?"
        )
        asked = [{"role": "assistant", "content": ask}, {"role": "user", "content": YES}]
        self.talk.messages[at:at] = asked

    def _instruct(self, action: Action) -> None:
        """What the user does with their own hands, for real, and tells in their own words."""
        self.reader.reveal(Action(action.tool))  # what is said to a user is no argument
        step = self.kit.steps.get(action.tool, "").format_map(action.arguments)
        result = self.stage.call(action)
        if result.effects or not step:
            raise Unfit(f"the user changes the state without a call of the agent ({action.tool})")
        self.talk.say("assistant", f"Please {step}, and tell me what your phone says.")
        told = "; ".join(line.strip(" .") for line in result.observation.splitlines())
        self.talk.say("user", f"My phone says: {told}.")

    def _phrase(self, action: Action) -> str:
        words = self.kit.words(self.stage.initial, action.arguments)
        return self.kit.phrases[action.tool].format_map(words)

    def _look_up_answers(self) -> None:
        """Read what the closing message has to tell, where a read shows it."""
        for value in self.criteria.communicate_info or ():
            if len(value) > 2 and value[0].isdigit() and not self.talk.shows(value):
                self.reader.find(value)
