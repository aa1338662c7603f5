"""The reads that show the agent an argument before it uses it; else the user tells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trajgen.importers.tau2.conversation import Conversation, needles, shown
from trajgen.importers.tau2.kit import Action, Kit

MAX_DEPTH = 4  # of reads that need reads
NO_ACTION = Action("", {})
_TELLING = {
    "product_id": "I think the product number is {}.",
    "date": "The date I mean is {}.",
    "dob": "The date of birth is {}.",
}


@dataclass
class Reader:
    """Adds reads to a conversation; `told` are the values no read showed, by argument."""

    kit: Kit
    talk: Conversation
    user: str
    told: dict[str, list[str]] = field(default_factory=dict)

    def look(self, action: Action) -> None:
        """A golden read: what it needs first, then itself, unless its answer is known."""
        if action.key not in self.talk.made:
            self.reveal(action)
        if action.key not in self.talk.made:
            self.talk.call(action)

    def reveal(self, action: Action) -> None:
        """Make every argument of `action` one that the agent has seen."""
        for need in self.kit.needs(self.talk.stage.state, self.user, action, self.talk.seen):
            if need.key not in self.talk.made and need != action and not self._read_before(need):
                self._reveal(need, action, 1)
                self.talk.call(need, added=True)
        self._reveal(action, action, 0)

    def find(self, value: str, goal: Action = NO_ACTION, depth: int = 0) -> bool:
        """Make the first real read that shows `value`; whether there was one."""
        for read in self._candidates(value, goal) if depth < MAX_DEPTH else ():
            result = self.talk.stage.call(read)
            if not result.failed and shown(value, result.observation):
                self._reveal(read, goal, depth + 1)
                self.talk.call(read, added=True)
                return True
        return False

    def telling(self) -> list[str]:
        """What only the user can know, as sentences."""
        return [
            _TELLING.get(name, "For that, use {}.").format(" and ".join(dict.fromkeys(values)))
            for name, values in self.told.items()
        ]

    def _reveal(self, action: Action, goal: Action, depth: int) -> None:
        """As `reveal`, for a step towards `goal`, which needs nothing else."""
        for name, value in needles(action.arguments):
            if not self.talk.shows(value) and not self.find(value, goal, depth):
                self.told.setdefault(name, []).append(value)
                self.talk.seen += f"\n{value}"

    def _candidates(self, value: str, goal: Action) -> Iterator[Action]:
        for read in self.kit.reads(self.talk.stage.state, self.user, goal):
            own = [own for _, own in needles(read.arguments)]
            if value not in own and read.key not in self.talk.made and self._askable(read):
                yield read

    def _read_before(self, action: Action) -> bool:
        """A search for the user, once done, stays true whatever changes."""
        return action.tool.startswith("find_user_id") and self.user in self.talk.seen

    def _askable(self, read: Action) -> bool:
        """Nobody knows an email that was never named."""
        return "email" not in read.arguments or self.talk.shows(read.arguments["email"])
