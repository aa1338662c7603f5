"""How far several answers of the world model to one call agree.

Two answers agree when both say that the call applies, or both that it does not, when their
effects lead to the same state, and when their observations are the same where those are
JSON. The words of a text, and of `why`, are free. An answer that could not stand agrees
with none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trajgen.cast import Given
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.records import Json


def agreed(samples: Sequence[Given], ledger: Ledger) -> tuple[Given, float]:
    """The first answer of the largest group, of equal groups the one that began first, and
    the share of all `samples` that it holds. With no answer that stands: the first, and 0."""
    votes = [_vote(given.answer, ledger) if _stands(given) else "" for given in samples]
    counts = Counter(vote for vote in votes if vote)
    if not counts:
        return samples[0], 0.0
    most, count = counts.most_common(1)[0]  # of equal counts the one met first
    return samples[votes.index(most)], count / len(samples)


def _stands(given: Given) -> bool:
    return given.answer is not None and not given.problems


def _vote(answer: dict[str, Json] | None, ledger: Ledger) -> str:
    answer, after = answer or {}, ledger.fork()
    after.apply(answer["effects"])
    seen = answer["observation"]
    return canonical([answer["applies"], after.hash, None if isinstance(seen, str) else seen])
