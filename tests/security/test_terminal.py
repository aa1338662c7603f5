"""What data says is text to the terminal, never a command to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_domains import MESSAGES, folder
from trajgen.cli import main
from trajgen.output import say

TITLE, CLEAR, BACK = "\x1b]0;owned\x07", "\x1b[2J", "\u202e"


def test_a_reason_cannot_speak_to_the_terminal(tmp_path: Path, capsys: Any) -> None:
    line = json.loads(json.dumps({"messages": MESSAGES}))
    function = line["messages"][1]["tool_calls"][0]["function"]
    function["arguments"] = {f"{TITLE}{CLEAR}{BACK}": 1}
    folder(tmp_path, "  light_lamp: {kind: write}\n", line)
    assert main(["seeds", "check", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "bad_arguments" in told.out
    for text in (told.out, told.err):
        assert not [c for c in ("\x1b", "\x07", BACK) if c in text]


@pytest.mark.parametrize("text", [TITLE, f"a{CLEAR}", BACK, "\x9b31m", "a\rb"])
def test_an_error_cannot_speak_to_the_terminal(text: str, capsys: Any) -> None:
    say(f"trajgen: {text}\n  b\tc é 🙂")
    told = capsys.readouterr().err
    assert told.endswith("\n  b\tc é 🙂\n")
    assert text not in told
