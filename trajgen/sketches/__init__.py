"""Near copies: a small sketch of each conversation, and an index of many."""

from trajgen.sketches.copies import RECENT, Copies
from trajgen.sketches.sketch import sketch, words_of

__all__ = ["RECENT", "Copies", "sketch", "words_of"]
