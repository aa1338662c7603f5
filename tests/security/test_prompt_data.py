"""Only plain data comes into a template, and only a bounded text out of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from trajgen.errors import InputError, PromptTooLong
from trajgen.prompts import MAX_CHARS, Prompts


def prompts(folder: Path, text: str) -> Prompts:
    folder.mkdir(exist_ok=True)
    (folder / "one.jinja").write_text(text)
    return Prompts(folder)


class Text(str):
    """What looks like text and carries more."""

    def reach(self) -> str:
        return "reached"


class Table(dict[str, Any]):
    def reach(self) -> str:
        return "reached"


def test_what_looks_like_data_is_made_data(tmp_path: Path) -> None:
    made = prompts(tmp_path, "{{ x.reach() }}")
    for value in (Text("a"), Table(a=1)):
        with pytest.raises(InputError, match="prompt fails"):
            made.render("one", {"x": value})


def test_an_object_is_no_data(tmp_path: Path) -> None:
    """Not even where the template does not look at it."""
    made = prompts(tmp_path, "a")
    for value in (object(), Path("a"), {1, 2}, b"a", lambda: 1, Prompts, {"a": print}):
        with pytest.raises(InputError, match="not JSON serializable"):
            made.render("one", {"x": value})


def test_a_template_without_end_is_stopped_at_the_bound(tmp_path: Path) -> None:
    endless = (
        "{% for a in range(90000) %}{% for b in range(90000) %}0123456789{% endfor %}{% endfor %}"
    )
    began = time.process_time()
    with pytest.raises(PromptTooLong, match=str(MAX_CHARS)):
        prompts(tmp_path, endless).render("one", {})
    assert time.process_time() - began < 5


def test_a_pipe_is_no_template(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "two.jinja")
    with pytest.raises(InputError, match="no plain file"):
        prompts(tmp_path, "a")
