"""Arrow extension types of other libraries are refused: some run code when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crash.small_run import run_all

import trajgen
from trajgen.errors import InputError, MachineError
from trajgen.filtering import filter_source
from trajgen.shards import SCHEMA, shard_path

PAYLOAD = b"cos\nsystem\n(S'touch owned'\ntR."
NAMES = ["ray.data.arrow_pickled_object", "ray.data.arrow_tensor_v2", "arrow.py_extension_type"]


class Foreign(pa.ExtensionType):
    """Somebody's type, with a pickle where its parameters stand."""

    def __init__(self, name: str) -> None:
        super().__init__(pa.string(), name)

    def __arrow_ext_serialize__(self) -> bytes:
        return PAYLOAD

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, data: bytes) -> Foreign:
        return cls("somebody's")


def column(name: str, where: str) -> pa.Array:
    plain = pa.ExtensionArray.from_storage(Foreign(name), pa.array(["a"]))
    if where == "column":
        return plain
    inside = pa.StructArray.from_arrays([plain], ["x"])
    return inside if where == "struct" else pa.ListArray.from_arrays([0, 1], inside)


@pytest.mark.parametrize("where", ["column", "struct", "list"])
@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_with_one_is_refused(tmp_path: Path, name: str, where: str) -> None:
    """Also in a column that nobody asks for, and where this process knows no such type."""
    table = pa.table({"messages": ["[]"], "more": column(name, where)})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    with pytest.raises(InputError, match="column 'more' has the unknown type") as caught:
        list(filter_source(str(path), None))
    assert name in str(caught.value)
    with pytest.raises(InputError, match="unknown type"):
        list(filter_source(f"hf:{path}", None))


def test_arrows_own_json_is_read(tmp_path: Path) -> None:
    column = pa.array(['[{"role": "user", "content": "a"}]']).cast(pa.json_())
    pq.write_table(pa.table({"messages": column}), tmp_path / "rows.parquet")
    assert len(list(filter_source(str(tmp_path / "rows.parquet"), None))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_one_is_refused_before_datasets_sees_it(tmp_path: Path, name: str) -> None:
    run_all(tmp_path / "run")
    path = shard_path(tmp_path / "run", 0)
    table: Any = pq.read_table(path)
    seed = pa.ExtensionArray.from_storage(Foreign(name), table["seed_id"].combine_chunks())
    at = SCHEMA.get_field_index("seed_id")
    table = table.set_column(at, pa.field("seed_id", seed.type), seed)
    pq.write_table(table.replace_schema_metadata(SCHEMA.metadata), path)
    run = trajgen.open(tmp_path / "run")
    for read in (run.dataset, run.frame, lambda: run[0]):
        with pytest.raises(MachineError, match="its columns are not those"):
            read()
