"""What came first is told as a dictionary tells it, in a fraction of its memory."""

from __future__ import annotations

import random

from trajgen.firsts import Firsts


def test_as_a_dictionary_through_many_growths() -> None:
    draw, known, firsts = random.Random(1), dict[str, int](), Firsts()
    for number in range(5000):
        text = f"text {draw.randrange(3000)}"
        assert firsts.first(text, number) == known.setdefault(text, number)
    assert len(firsts) == len(known)


def test_any_text_is_one() -> None:
    firsts = Firsts()
    assert [firsts.first(text, n) for n, text in enumerate(["", "\ud800", "é", ""])] == [0, 1, 2, 0]
