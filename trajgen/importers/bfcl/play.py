"""One task as a conversation: its ground-truth calls made one after the other.

A ground-truth call may name what the agent was never shown: a file, a user's id, a password.
Then a read that shows it is made first (`meta.added`), or the user tells it (`meta.told`).
"""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.diff import difference, goal
from trajgen.filters import grounding
from trajgen.filters.answers import is_failure
from trajgen.filters.spellings import stands
from trajgen.ids import content_id
from trajgen.importers.bfcl.apis import Apis
from trajgen.importers.bfcl.data import Asked, Entry
from trajgen.importers.bfcl.kinds import SHOWS
from trajgen.importers.bfcl.telling import closing
from trajgen.records import Domain, Json, Message, Seed, Trajectory


class Unfit(Exception):
    """The task cannot become a seed; the text says why."""


def play(entry: Entry, domain: Domain, long: bool) -> Seed:
    """Play the task to its end: as it stands, or with what its agent needs to be shown.

    Raises Unfit.
    """
    if entry.changes_tools:
        raise Unfit("its tools change in the middle; a seed has one tool list")
    if not all(said.strip() for said, _ in entry.turns):
        raise Unfit("the user says nothing in one turn")
    plain = _Play(entry, domain, long)
    if not plain.unseen():
        return plain.seed()
    return _Play(entry, domain, long, careful=True).seed()


class _Play:
    """The conversation so far; `careful`: with reads and words that show what calls need."""

    def __init__(self, entry: Entry, domain: Domain, long: bool, careful: bool = False) -> None:
        self.entry, self.domain, self.careful = entry, domain, careful
        self.apis = Apis(entry, long)
        self.initial = self.state = self.apis.state()
        self.messages: list[Message] = []
        self.effects: dict[str, list[dict[str, Json]]] = {}
        self.applies: dict[str, bool] = {}
        self.added: list[str] = []
        self.told: list[str] = []
        for turn, (said, calls) in enumerate(entry.turns):
            self._turn(turn, said, calls)

    def unseen(self, *more: Message) -> int:
        """How many arguments come from nowhere, with `more` messages at the end."""
        messages = (*self.messages, *more)
        played = Trajectory(
            "", self.domain.name, messages, self.domain.tools, state_initial=self.initial
        )
        found = grounding.check(played, self.domain)
        return sum(reason.code == "invented_argument" for reason in found)

    def seed(self) -> Seed:
        """What was played, as a seed."""
        wanted = goal(self.initial, self.state)
        made = "the words of the agent" + (", what the user tells besides" if self.told else "")
        meta: dict[str, Json] = {"name": self.entry.id, "outcome": "success", "made": made}
        meta |= {"effects": self.effects, "applies": self.applies, "source": "bfcl"}
        meta |= {"added": self.added} if self.added else {}
        meta |= {"told": self.told} if self.told else {}
        seed_id = content_id("seed", [self.domain.name, self.messages, self.initial, wanted])
        return Seed(seed_id, self.domain.name, tuple(self.messages), self.initial, wanted, meta)

    def _turn(self, turn: int, said: str, calls: tuple[Asked, ...]) -> None:
        self.messages.append({"role": "user", "content": said})
        at = len(self.messages)
        for asked in calls:
            try:
                arguments = self.apis.arguments(asked)
            except (LookupError, TypeError) as error:
                raise Unfit(f"{asked.tool}: {error}") from error
            if self.careful:
                self._reveal(asked.tool, arguments, at - 1)
            self._call(asked.tool, arguments)
        text = closing(self.messages[at:], self.domain, turn)
        self.messages.append({"role": "assistant", "content": text})

    def _call(self, tool: str, arguments: dict[str, Json]) -> None:
        self.messages += self._exchange(tool, arguments)
        id_, before = f"call_{len(self.applies) + 1}", self.state
        self.state = self.apis.state()
        if effects := list(difference(before, self.state)):
            self.effects[id_] = effects
        self.applies[id_] = not is_failure(self.messages[-1]["content"], self.domain)

    def _exchange(self, tool: str, arguments: dict[str, Json]) -> list[Message]:
        """The next call, made for real, and its answer."""
        call = self._asking(tool, arguments)
        observation = self.apis.call(tool, arguments)
        id_ = call["tool_calls"][0]["id"]
        return [call, {"role": "tool", "tool_call_id": id_, "content": observation}]

    def _asking(self, tool: str, arguments: dict[str, Json]) -> Message:
        function = {"name": tool, "arguments": arguments}
        call = {"id": f"call_{len(self.applies) + 1}", "type": "function", "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}

    def _reveal(self, tool: str, arguments: dict[str, Json], turn: int) -> None:
        """Show the agent what the call needs: by reads, else by the message at `turn`."""
        call = self._asking(tool, arguments)
        before = self.unseen()
        missing = self.unseen(call) - before
        for read, given in self._reads() if missing else ():
            left = self.unseen(*self._exchange(read, given), call) - before
            if left < missing:
                self.added.append(f"call_{len(self.applies) + 1}")
                self._call(read, given)
                missing = left
            if not missing:
                return
        if missing:
            self._tell(arguments, turn)

    def _reads(self) -> Iterator[tuple[str, dict[str, Json]]]:
        """The reads that may show an id, those about whom the user names first."""
        said = "\n".join(m["content"] for m in self.messages if m["role"] == "user")
        for name in self.apis.users():
            if stands(name, said):
                yield "get_user_id", {"user": name}
        yield from ((read, dict(given)) for read, given in SHOWS if self.apis.has(read))

    def _tell(self, arguments: dict[str, Json], turn: int) -> None:
        """The user says what stands nowhere else."""
        seen = "\n".join(str(m["content"]) for m in self.messages if m["role"] != "assistant")
        texts = {n: str(v) for n, v in arguments.items() if len(str(v)) > 3}  # no mode or unit
        told = {n: text for n, text in texts.items() if not stands(text, seen)}
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
        self.messages[turn]["content"] += f" Take: {facts}."
        self.told += told.values()
