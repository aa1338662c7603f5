"""`--where`: a condition on the columns of a run, as SQL has it.

DuckDB reads and evaluates it, in memory, with no way to files or the network. It sees one row
at a time: what looks at other rows (subqueries, windows) or answers otherwise the next time
(`random()`, `now()`) is refused, so the same run always gives the same view.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from trajgen.errors import InputError
from trajgen.records import Json

_ROW = "__row"
_LIMITS = ("enable_external_access=false", "threads=1", "lock_configuration=true")


class Where:
    """The condition `text` over `columns`; `names` are those that it speaks of.

    Raises InputError for what is no condition, and for an unknown column with the nearest.
    """

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self._base = duckdb.connect(":memory:")
        for limit in _LIMITS:
            self._base.execute(f"SET {limit}")
        tree = self._parsed()
        self._refuse_impure(tree)
        self.names = self._columns(tree, columns)

    def matching(self, table: pa.Table) -> list[int]:
        """The rows of `table`, from 0, for which the condition holds, in order."""
        numbered = table.append_column(_ROW, pa.array(range(table.num_rows), pa.int64()))
        query = f'SELECT "{_ROW}" FROM rows WHERE ({self.text}\n) ORDER BY 1'  # noqa: S608
        with self._base.cursor() as cursor:
            cursor.register("rows", numbered)
            try:
                return [row[0] for row in cursor.execute(query).fetchall()]
            except duckdb.Error as error:
                raise self._wrong(str(error)) from error

    def _parsed(self) -> Json:
        """The syntax tree of the condition."""
        answer = self._tree(f"{self.text}\n")
        if answer["error"] or not self.text.strip():
            raise self._wrong(answer.get("error_message", "there is nothing"))
        node, bare = answer["statements"][0]["node"], self._tree("true\n")["statements"][0]["node"]
        del bare["where_clause"]
        tree = node.pop("where_clause", None)
        if len(answer["statements"]) > 1 or node != bare:
            raise self._wrong("it is more than a condition")
        return tree

    def _tree(self, condition: str) -> Json:
        statement = f"SELECT * FROM rows WHERE ({condition})"  # noqa: S608
        found = self._base.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()
        return json.loads(found[0][0])

    def _refuse_impure(self, tree: Json) -> None:
        kinds = {node.get("class") for node in _nodes(tree)}
        if kinds & {"SUBQUERY", "WINDOW"}:
            raise self._wrong("it looks at other rows")
        names = {node["function_name"] for node in _nodes(tree) if "function_name" in node}
        impure = self._base.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability IS NOT NULL "
            "GROUP BY ALL HAVING NOT bool_or(stability = 'CONSISTENT')"
        ).fetchall()
        if found := names & {name for (name,) in impure}:
            raise self._wrong(f"{min(found)}() does not always answer the same")

    def _columns(self, tree: Json, columns: Sequence[str]) -> list[str]:
        named = {column.lower(): column for column in columns}
        found = []
        for node in _nodes(tree):
            if node.get("class") != "COLUMN_REF":
                continue
            name = node["column_names"][0]
            if name.lower() not in named:
                raise self._unknown(name, columns)
            found.append(named[name.lower()])
        return sorted(set(found))

    def _unknown(self, name: str, columns: Sequence[str]) -> InputError:
        near = difflib.get_close_matches(name, columns, 1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return InputError(
            f"there is no column {name!r}",
            f"--where {self.text!r}",
            f"{guess}Columns: {', '.join(columns)}. Text stands in single quotes.",
        )

    def _wrong(self, what: str) -> InputError:
        return InputError(
            f"not a condition on a row ({what.splitlines()[0]})",
            f"--where {self.text!r}",
            "Write it as in SQL: strategy = 'extend' and n_tokens < 4096",
        )


def _nodes(tree: Json) -> Iterator[dict[str, Json]]:
    """Every object in a syntax tree."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(child, dict | list):
            yield from _nodes(child)
