"""One task as a conversation: its golden calls, what had to be added, and the words.

Crash rule: a play that did not end leaves nothing; its task is played again.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from trajgen.diff import goal
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


class Play:
    """One task on a stage that is in its initial state."""

    def __init__(self, kit: Kit, stage: Stage, task: Any) -> None:
        self.kit, self.stage, self.task = kit, stage, task
        self.criteria = task.evaluation_criteria
        golden = [a for a in self.criteria.actions if a.requestor == "assistant"]
        self.actions = [Action(a.name, a.arguments) for a in golden]
        opening, self.wishes = spoken(task.user_scenario.instructions)
        if not any(stage.writes(action.tool) for action in self.actions):
            opening, self.wishes = [*opening, *self.wishes], []
        self.opening = " ".join(opening)
        self.talk = Conversation(stage)
        self.reader = Reader(kit, self.talk, _user(stage.initial, self.actions, self.opening))
        self.done: list[str] = []

    def seed(self, domain: str) -> Seed:
        """Play the task to its end, as a seed of `domain`."""
        self.talk.say("user", self.opening)
        while self.actions:
            self._next()
        ended = outcome(self.talk, self.criteria, self.opening)
        self._look_up_answers()
        last = closing(self.talk, self.criteria, ended, self.done, self.kit.findings)
        self.talk.say("assistant", last)
        self.talk.messages[0]["content"] = " ".join([self.opening, *self.reader.telling()])
        return self._seed(domain, ended)

    def _seed(self, domain: str, ended: Outcome) -> Seed:
        messages, wanted = self.talk.messages, goal(self.stage.initial, self.stage.state)
        meta: dict[str, Json] = {"task": self.task.id, "outcome": ended}
        meta |= {"effects": self.talk.effects, "source": "tau2"}
        if self.talk.added:
            meta["added"] = self.talk.added
        if told := self.reader.told:
            meta["told"] = sorted(value for values in told.values() for value in values)
        seed_id = content_id("seed", [domain, messages, None, wanted])
        return Seed(seed_id, domain, tuple(messages), None, wanted, meta)

    def _next(self) -> None:
        """The golden action that comes next; writes without a read between them together."""
        row = list(takewhile(lambda action: self.stage.writes(action.tool), self.actions))
        if row:
            self._hear()
            self._change(row)
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

    def _phrase(self, action: Action) -> str:
        words = self.kit.words(self.stage.initial, action.arguments)
        return self.kit.phrases[action.tool].format_map(words)

    def _look_up_answers(self) -> None:
        """Read what the closing message has to tell, where a read shows it."""
        for value in self.criteria.communicate_info or ():
            if len(value) > 2 and value[0].isdigit() and not self.talk.shows(value):
                self.reader.find(value)


def _user(state: Json, actions: list[Action], text: str) -> str:
    """The id of the user whom a task is about, or ""."""
    named = [a.arguments["user_id"] for a in actions if "user_id" in a.arguments]
    orders = [
        state["orders"].get(a.arguments["order_id"]) for a in actions if "order_id" in a.arguments
    ]
    named += [order["user_id"] for order in orders if order]
    for user_id, user in state["users"].items():
        name = f"{user['name']['first_name']} {user['name']['last_name']}"
        if user_id in text or (name in text and user["address"]["zip"] in text):
            named.append(user_id)
    return next((str(user_id) for user_id in named if user_id in state["users"]), "")
