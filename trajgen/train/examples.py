"""Chat examples by role, made from runs and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trajgen.errors import InputError
from trajgen.records import Message
from trajgen.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation; every assistant message of it is learnt, and nothing else.

    `messages` are plain: `role` is system, user or assistant, `content` is text.
    """

    role: str
    messages: tuple[Message, ...]


def make_examples(recipe: Recipe, near: Path) -> list[Example]:
    """What `recipe` teaches, in a fixed order. Raises InputError."""
    raise InputError("examples are not made yet", str(near), recipe.name)
