"""A robot in one house: its calls, made in the declared world, and what came of them.

Crash rule: a robot holds one conversation in memory; a lost one is played again.
"""

from __future__ import annotations

from random import Random

from trajgen import declared
from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import DOORS, START, STOVE
from trajgen.ledger import Ledger
from trajgen.records import Call, Domain, Json, Message
from trajgen.script import agent_message

_SHUT_BEHIND = ("fridge", "microwave")
_TALKS = 0.15  # of the calls come with a few words


class Robot:
    """Keeps the house's rules of doors and of the stove while it does as it is told.

    It goes by what calls tell it and by what the policy says of every house; it never peeks
    into the state.
    """

    def __init__(self, domain: Domain, state: Json, asked: str, draw: Random) -> None:
        self.domain, self.draw = domain, draw
        self.ledger = Ledger(state, 0)
        self.messages: list[Message] = [{"role": "user", "content": asked}]
        self.effects: dict[str, list[dict[str, Json]]] = {}
        self.applies: dict[str, bool] = {}
        self.opened: set[str] = set()
        self.locked: list[str] = []
        self.at = START

    def call(self, tool: str, say: str = "", **arguments: str) -> tuple[bool, str]:
        """Make a call; whether it worked, and what was said. `say` is said now and then."""
        spoken = say if say and self.draw.random() < _TALKS else ""
        answer = {"say": spoken, "calls": [{"name": tool, "arguments": dict(arguments)}]}
        message = agent_message(answer, len(self.applies))
        name = message["tool_calls"][0]["id"]
        call = Call(name, tool, dict(arguments), len(self.messages))
        result = declared.answer(self.domain, call, self.ledger.state)
        if result is None:
            raise KeyError(tool)
        self.ledger.apply(result.effects)
        told = {"role": "tool", "tool_call_id": name, "content": result.observation}
        self.messages += [message, told]
        self.applies[name] = result.applies
        if result.effects:
            self.effects[name] = list(result.effects)
        return result.applies, result.observation

    def go(self, place: str, say: str = "") -> bool:
        """Be at a place; False when there is none of that name."""
        if self.at == place:
            return True
        self.leave()
        went, _ = self.call("go_to", say or f"To {place}.", place=place)
        self.at = place if went else self.at
        return went

    def leave(self) -> None:
        """Close a fridge or a microwave behind it."""
        if kind_of(self.at) in _SHUT_BEHIND and self.at in self.opened:
            self.call("close", f"I close {self.at}.", place=self.at)
            self.opened.discard(self.at)

    def open(self) -> bool:
        """Have the place where it stands open; False when that is locked."""
        if kind_of(self.at) not in DOORS or self.at in self.opened:
            return True
        opened, told = self.call("open", f"I open {self.at}.", place=self.at)
        if not opened and "locked" in told:
            self.locked.append(self.at)
            return False
        self.opened.add(self.at)
        return True

    def look(self) -> str:
        """What is at the place where it stands; a stove that is found on goes off."""
        seen, told = self.call("look", "Let me look.", place=self.at)
        if not seen and self.open():
            _, told = self.call("look", place=self.at)
        if self.at == STOVE and "It is on." in told:
            self.call("switch", "It is on, so I switch it off.", place=STOVE, to="off")
        return told

    def fetch(self, thing: str, places: tuple[str, ...]) -> str:
        """Take the thing from the first of these places that has it; "" when none does."""
        for place in places:
            if self.go(place) and self._take(thing, len(places) > 1):
                return place
        return ""

    def _take(self, thing: str, unsure: bool) -> bool:
        hasty = self.draw.random() < 0.15  # tries without opening, and mends it
        if not hasty and not self.open():
            return False
        if self.draw.random() < (0.5 if unsure else 0.12) and thing not in self.seen(self.look()):
            return False
        took, told = self.call("take", f"I take {thing}.", object=thing, place=self.at)
        if not took and "is closed" in told:
            if not self.open():
                return False
            took, _ = self.call("take", object=thing, place=self.at)
        elif took and kind_of(self.at) in DOORS:
            self.opened.add(self.at)  # it was open all the time
        return took

    def seen(self, told: str) -> list[str]:
        """The things that a look shows."""
        _, held, things = told.partition("It holds ")
        return things.rstrip(".").split(", ") if held else []

    def put(self, thing: str, place: str) -> bool:
        """Put down what it holds; False when there is no such place or it is locked."""
        if not self.go(place):
            return False
        hasty = self.draw.random() < 0.12
        if not hasty and not self.open():
            return False
        done, told = self.call("put", f"Here {thing} belongs.", object=thing, place=place)
        if not done and "is closed" in told and self.open():
            done, _ = self.call("put", object=thing, place=place)
        elif done and kind_of(place) in DOORS:
            self.opened.add(place)
        return done

    def examine(self, thing: str) -> str:
        """The material of what it holds."""
        _, told = self.call("examine", "I check what it is made of.", object=thing)
        return told.partition("Material: ")[2].partition(".")[0]
