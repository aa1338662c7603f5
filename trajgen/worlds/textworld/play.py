"""A TextWorld game in play: one command at a time, its text cleaned, its facts as a state."""

from __future__ import annotations

import re
from typing import Any

from trajgen.pointers import join
from trajgen.records import Json
from trajgen.worlds.textworld.facts import conditions, state_of
from trajgen.worlds.textworld.families import game_file, package, quietly
from trajgen.worlds.textworld.tools import (
    ENDED,
    FAILED,
    FAILURES,
    READS,
    UNSEEN,
    command,
)

_PROMPT = re.compile(r"\n*^>[^\n]*\Z", re.MULTILINE)
_SCORE = re.compile(r"\n*Your score has just gone (?:up|down) by [^\n]*\n*")
_END = re.compile(r"\n*(\*\*\* [^\n]* \*\*\*).*\Z", re.DOTALL)


class Play:
    """The game of one task. Raises InputError or MachineError when it cannot be had."""

    def __init__(self, task: str) -> None:
        textworld = package()
        infos = textworld.EnvInfos(facts=True, admissible_commands=True)
        path = str(game_file(task))
        with quietly():
            self._env: Any = textworld.start(path, infos)
        self._seen: Any = self._env.reset()
        self.game: Any = self._seen["game"]
        self.state: Json = state_of(self.game, self._seen["_facts"])
        self._names = {name.lower(): name for name in self.state["things"]}
        self._done = self._won = False

    def act(self, tool: str, arguments: dict[str, Json]) -> tuple[bool, str]:
        """Whether the call applied, and the game's text."""
        if self._done or self._env is None:
            return False, ENDED
        line = command(tool, arguments, self._names)
        if line is None:
            return False, UNSEEN
        before = self._seen["_facts"]
        self._seen, _, self._done = self._env.step(line)
        self._won = bool(self._seen["won"])
        text = cleaned(self._seen["feedback"])
        applied = set(before) != set(self._seen["_facts"])
        if applied:
            self.state = state_of(self.game, self._seen["_facts"])
        elif tool in READS:
            applied = not text.startswith(FAILURES)
        if not applied and not text.startswith(FAILURES):
            text = f"{FAILED} {text}"
        return applied, text

    def applies(self, line: str) -> bool:
        """Whether the game's logic takes this command now."""
        return line in self._seen["admissible_commands"]

    def command(self, tool: str, arguments: dict[str, Json]) -> str:
        """The game's command for a call, "" when there is none."""
        return command(tool, arguments, self._names) or ""

    def goal(self) -> tuple[dict[str, Json], ...]:
        """What the quests ask for and holds now, as conditions on the state."""
        wanted: dict[str, dict[str, Json]] = {}
        events = [e for quest in self.game.quests for e in quest.win_events]
        for event in events:
            for thing, field, value in conditions(self.game, event.condition.preconditions):
                held = self.state["things"].get(thing, {}) if thing else self.state["player"]
                path = join(join("/things", thing) if thing else "/player", field)
                if held.get(field) == value:
                    wanted[path] = {"path": path, "equals": value}
        return tuple(wanted.values())

    def won(self) -> bool:
        """Whether the game said that it is won."""
        return self._won

    def close(self) -> None:
        """End the interpreter; twice does no harm."""
        if self._env is not None:
            self._env.close()
        self._env = None


def cleaned(text: str) -> str:
    """The game's text without prompt, status line, score and closing menu."""
    text = _PROMPT.sub("", text.rstrip())
    text = _SCORE.sub("\n", _END.sub(r"\n\1", text))
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
