"""Examples as tokens: a prompt exactly as an engine sends it, then the answer that is learnt.

An answer is learnt with the token that ends its turn. Where a chat template writes earlier
answers otherwise than it asked for them (some leave thoughts out), each answer of an example
is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trajgen.errors import InputError
from trajgen.records import Message
from trajgen.train.examples import Example

IGNORED = -100  # the label of a token that is not learnt


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence. `labels` are `input_ids` where they are learnt, `IGNORED` elsewhere."""

    role: str
    input_ids: list[int]
    labels: list[int]

    @property
    def n_learnt(self) -> int:
        """Tokens that are learnt."""
        return sum(label != IGNORED for label in self.labels)


class Rows:
    """Makes rows in the chat template of `tokenizer`, a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self._special = {number for number, token in added.items() if token.special}

    def of(self, examples: Iterable[Example]) -> list[Row]:
        """The rows of `examples`, in their order.

        Raises InputError for a template that does not go on where its prompt ended, or that
        ends a turn without a token for it.
        """
        return [row for example in examples for row in self._rows(example)]

    def _rows(self, example: Example) -> list[Row]:
        pieces = [
            self._piece(example.messages[:end], example.messages[end])
            for end, message in enumerate(example.messages)
            if message["role"] == "assistant"
        ]
        row = _joined(example.role, pieces)
        return [row] if row else [_joined_one(example.role, piece) for piece in pieces]

    def _piece(self, before: Sequence[Message], answer: Message) -> tuple[list[int], list[int]]:
        """Tokens of the prompt, and of the answer with the end of its turn."""
        prompt = self._text(before, add_generation_prompt=True)
        whole = self._text([*before, answer], add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise InputError(
                "the chat template does not continue its own prompt, so what is learnt would "
                "not be what is asked for",
                str(self._tokenizer.name_or_path),
                "Use a model whose template writes an answer right after the generation prompt.",
            )
        return self._ids(prompt), self._until_end(self._ids(whole[len(prompt) :]))

    def _until_end(self, ids: list[int]) -> list[int]:
        for last in range(len(ids) - 1, -1, -1):
            if ids[last] in self._special:
                return ids[: last + 1]
        raise InputError(
            "the chat template ends an answer without a special token; the model would never "
            "learn to stop",
            str(self._tokenizer.name_or_path),
        )

    def _text(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        text = self._tokenizer.apply_chat_template(
            list(messages),
            add_generation_prompt=add_generation_prompt,
            tokenize=False,
            enable_thinking=False,
        )
        return str(text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def _joined(role: str, pieces: list[tuple[list[int], list[int]]]) -> Row | None:
    """All answers of a conversation in one row; None where a later prompt is written otherwise."""
    ids: list[int] = []
    labels: list[int] = []
    for prompt, answer in pieces:
        if prompt[: len(ids)] != ids:
            return None
        labels += [IGNORED] * (len(prompt) - len(ids)) + answer
        ids = prompt + answer
    return Row(role, ids, labels) if ids else None


def _joined_one(role: str, piece: tuple[list[int], list[int]]) -> Row:
    prompt, answer = piece
    return Row(role, prompt + answer, [IGNORED] * len(prompt) + answer)
