"""What every part of a pipeline file has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Model(BaseModel):
    """Frozen, strict about keys. Remembers how the file has it before `${VAR}` is laid in."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )
    _written: Any = PrivateAttr(None)

    def note_written(self, written: Any) -> None:
        """Remember the part of the file that this was made from, and so for all inside it; where
        no variable is in it there is nothing to remember."""
        if "${" not in repr(written):
            return
        self._written = written
        for name, field in type(self).model_fields.items():
            below = written.get(field.alias or name) if isinstance(written, dict) else None
            value = getattr(self, name)
            parts = value.items() if isinstance(value, dict) else [(None, value)]
            for key, part in parts:
                if isinstance(part, Model):
                    part.note_written(below.get(key) if key and isinstance(below, dict) else below)

    def as_written(self, data: Any) -> Any:
        """`data`, dumped from this, with every text that a variable is in as the file has it."""
        return _as_written(data, self._written)


def names_a_variable(text: Any) -> bool:
    """Whether a text of the file takes a value from the environment."""
    return isinstance(text, str) and "${" in text


def _as_written(data: Any, written: Any) -> Any:
    if isinstance(data, dict) and isinstance(written, dict):
        return {key: _as_written(value, written.get(key)) for key, value in data.items()}
    if isinstance(data, list) and isinstance(written, list):
        return [_as_written(item, one) for item, one in zip(data, written, strict=True)]
    if isinstance(data, list) and names_a_variable(written):  # one name in place of a list
        return [_as_written(item, written) for item in data]
    return written if isinstance(data, str) and names_a_variable(written) else data
