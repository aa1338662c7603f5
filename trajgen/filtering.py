"""The filters over trajectories that exist already, somebody else's corpus too.

Rows are read one by one; a row that cannot be represented is told with its reason, like
one that breaks a filter. Nothing is skipped: rows read = kept + rejected.

Crash rule: kept.jsonl and rejects.jsonl are written under temporary names and renamed,
kept.jsonl last; a folder with it is complete.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO

from trajgen import filters
from trajgen.corpora import Row, rows
from trajgen.durable import TEMPORARY, disk_errors, sync_folder
from trajgen.filters.corpus import fingerprint
from trajgen.importers.corpus.problem import Problem
from trajgen.records import Domain, Json, Reason, Trajectory
from trajgen.sketches import Copies, sketch

Result = tuple[Trajectory | None, str, list[Reason]]
DEFAULT = ("default",)
NEAR = 0.98  # in common, as in a pipeline
BATCH = 64  # rows that are read before the copies among them are looked for


def filter_source(
    source: str, domain: Domain | None = None, names: Sequence[str] = DEFAULT
) -> Iterator[Result]:
    """(trajectory, id, reasons) for each row of `source`, in its order.

    `source`: an OpenAI-style JSONL file (`openai:` may stand before it), a domain folder, a
    Parquet file, a folder of Parquet files or a run, or an import source such as
    `tau2:retail`; paths are found as everywhere, shipped folders from anywhere. Without a
    `domain` that of the source is used, a run's by the seeds that it names, else a row is
    checked by its own tools. The trajectory is None when the row cannot be represented. A
    copy of an earlier row gets `exact_duplicate`, a near copy of one without reasons
    `near_duplicate`. Raises InputError when there is nothing to read, or when a run's seeds
    are gone.
    """
    filters.select(tuple(names))  # an unknown filter is an error before any row is read
    copies = _Copies()
    read = rows(source, domain)
    while batch := [_checked(row, names) for row in islice(read, BATCH)]:
        copies.judge(batch)
        yield from batch


def _checked(row: Row, names: Sequence[str]) -> Result:
    """What the filters say of a row that is seen alone."""
    id_, found = row
    if isinstance(found, Problem):
        return None, id_, [Reason(found.code, found.at, str(found))]
    trajectory, own = found
    return trajectory, id_, filters.check(trajectory, own, names)


class _Copies:
    """The rows that were read, and the near copies among them."""

    def __init__(self) -> None:
        self._first_with: dict[bytes, str] = {}
        self._near, self._ids = Copies(NEAR), list[str]()

    def judge(self, batch: Sequence[Result]) -> None:
        """Give each row that repeats an earlier one its reason."""
        for trajectory, id_, reasons in batch:
            if trajectory is not None:
                mark = bytes.fromhex(fingerprint(trajectory.messages))[:16]
                if mark in self._first_with:
                    what = f"says and calls the same as {self._first_with[mark]}"
                    reasons.append(Reason("exact_duplicate", None, what))
                self._first_with.setdefault(mark, id_)
        self._judge_near(
            [(sketch(t.messages), i, r) for t, i, r in batch if t is not None and not r]
        )

    def _judge_near(self, good: Sequence[tuple[str, str, list[Reason]]]) -> None:
        found = self._near.find_all([text for text, *_ in good])
        fresh = [text if of is None else "" for (text, *_), of in zip(good, found, strict=True)]
        again = self._near.repeats(fresh)
        for (text, id_, reasons), before, here in zip(good, found, again, strict=True):
            if before is None and here is None:
                self._near.add([text], len(self._ids))
                self._ids.append(id_)
            else:
                other = self._ids[before] if before is not None else good[here or 0][1]
                what = f"says and calls nearly the same as {other}"
                reasons.append(Reason("near_duplicate", None, what))


def filter_to(
    source: str,
    domain: Domain | None = None,
    out: Path | None = None,
    say: Callable[[str], None] | None = None,
    names: Sequence[str] = DEFAULT,
) -> dict[str, Json]:
    """Filter `source`, write the split below `out`, say one line of JSON a row; the totals.

    Totals: {"trajectories", "kept", "reasons": code -> rows}. Raises as `filter_source` and
    `write_split` do.
    """
    counts: Counter[str] = Counter()
    totals = {"trajectories": 0, "kept": 0}

    def told() -> Iterator[Result]:
        for result in filter_source(source, domain, names):
            reasons = result[2]
            totals["trajectories"] += 1
            totals["kept"] += not reasons
            counts.update({reason.code for reason in reasons})
            if say is not None:
                row = {"id": result[1], "reasons": [reason.json() for reason in reasons]}
                say(json.dumps(row))
            yield result

    if out is None:
        for _ in told():
            pass
    else:
        write_split(told(), out)
    return {**totals, "reasons": dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))}


def write_split(results: Iterable[Result], out: Path) -> tuple[int, int]:
    """Write kept.jsonl and rejects.jsonl (with reasons) into `out`; how many went where.

    Takes the results one by one. When it or they fail, nothing new is left in `out`.
    Raises CommitError when the disk fails.
    """
    names = ("rejects.jsonl", "kept.jsonl")
    with disk_errors(out / names[1]), ExitStack() as stack:
        out.mkdir(parents=True, exist_ok=True)
        temporary = [out / f"{TEMPORARY}{name}" for name in names]
        for path in temporary:
            stack.callback(path.unlink, missing_ok=True)
        files = [stack.enter_context(path.open("wb")) for path in temporary]
        counts = _split(results, *files)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        for path, name in zip(temporary, names, strict=True):
            os.replace(path, out / name)
        sync_folder(out)
    return counts


def _split(results: Iterable[Result], rejects: IO[bytes], kept: IO[bytes]) -> tuple[int, int]:
    n_kept = n_rejected = 0
    for trajectory, id_, reasons in results:
        row: dict[str, Json] = {"id": id_}
        if trajectory is not None:
            row["messages"] = list(trajectory.messages)
            row |= {"tools": list(trajectory.tools)} if trajectory.tools else {}
        if reasons:
            row["reasons"] = [reason.json() for reason in reasons]
            rejects.write(_line(row))
            n_rejected += 1
        else:
            kept.write(_line(row))
            n_kept += 1
    return n_kept, n_rejected


def _line(row: Json) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone half of a surrogate pair, kept as its escape
        return json.dumps(row).encode() + b"\n"
