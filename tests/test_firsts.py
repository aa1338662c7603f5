"""What came first is told as a dictionary tells it, in a fraction of its memory."""

from __future__ import annotations

import random
from array import array

from trajgen.firsts import Firsts, distinct, mark


def test_as_a_dictionary_tells_it() -> None:
    draw, known, firsts = random.Random(1), dict[str, int](), Firsts()
    for number in range(300):
        texts = [f"text {draw.randrange(3000)}" for _ in range(draw.randrange(20))]
        assert firsts.find(texts) == [known.get(text) for text in texts]
        firsts.add(texts, number)
        for text in texts:
            known.setdefault(text, number)


def test_any_text_is_one() -> None:
    firsts, texts = Firsts(), ["", "\ud800", "é"]
    assert firsts.find(texts) == [None] * 3
    for number, text in enumerate(texts):
        firsts.add([text], number)
    firsts.add([], 5)
    assert firsts.find([*texts, ""]) == [0, 1, 2, 0]


def test_different_ones_are_counted() -> None:
    assert [distinct(array("Q", map(mark, text))) for text in ("", "a", "abca", "zz")] == [
        0,
        1,
        3,
        1,
    ]
