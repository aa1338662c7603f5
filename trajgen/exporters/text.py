"""Plain text, as a chat template writes it, for whatever reads text."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from trajgen.errors import InputError
from trajgen.exporters import Exporter, Source
from trajgen.exporters.columns import as_json
from trajgen.records import Json, Trajectory

_COLUMNS: dict[str, pa.DataType] = {
    "text": pa.string(),
    "messages": pa.string(),
    "id": pa.string(),
    "n_tokens": pa.int32(),
}


class Text(Exporter):
    """`text` in the named chat template, and `messages` as JSON text."""

    schema = pa.schema(_COLUMNS)

    def __init__(self, source: Source) -> None:
        if source.template is None:
            raise InputError(
                "the format text needs a chat template",
                "--template",
                "Name a model (hub id or folder) or a .jinja file.",
            )
        self._template = source.template

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        yield {
            "text": self._template.text(trajectory.messages, trajectory.tools),
            "messages": as_json(list(trajectory.messages)),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }
