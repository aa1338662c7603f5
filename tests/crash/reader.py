"""Reads a run again and again while others write it, until its input ends.

Prints how many shards it read, and every one that was not what was committed in the end.
"""

from __future__ import annotations

import json
import select
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_once(run: Path, whole: Path) -> tuple[int, list[str]]:
    """The shards that are there now: each is as in the run that nobody stopped."""
    count, wrong = 0, []
    for path in (run / "shards").glob("train-*.parquet"):
        with suppress(FileNotFoundError):  # the folder is removed between two runs
            data = path.read_bytes()
            count += 1
            try:
                table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
            except (pa.ArrowException, OSError) as error:
                wrong.append(f"{path.name}: {error}")
                continue
            if data != (whole / "shards" / path.name).read_bytes():
                wrong.append(f"{path.name}: {table.num_rows} rows that are not those committed")
    return count, wrong


def main(root: Path) -> None:
    count, wrong = 0, []
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        seen, bad = read_once(root / "run", root / "whole")
        count, wrong = count + seen, wrong + bad
    print(json.dumps({"read": count, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
