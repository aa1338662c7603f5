"""`python -m benchmarks.detection`: the table on stdout, JSON and a plot where asked."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.detection import report
from benchmarks.detection.sources import names


def main() -> int:
    """Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection")
    parser.add_argument("--source", action="append", help=f"of: {', '.join(names())}")
    parser.add_argument("--per", type=int, default=1, help="corruptions a kind and trajectory")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    given = parser.parse_args()
    found = report.measured(given.source or names(), given.per)
    sys.stdout.write(report.table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), "utf-8")
    if given.plot:
        report.plot(found, given.plot)
    return 0 if report.passed(found) else 1


if __name__ == "__main__":
    sys.exit(main())
