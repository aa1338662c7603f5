"""The figures of docs/performance.md, one benchmark after the other.

`python -m benchmarks.performance [endpoint tail prefix overhead start scale]`: each is a process
of its own and takes its figures into the page. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

BENCHMARKS = ("endpoint", "tail", "prefix", "overhead", "start", "scale")


def main() -> int:
    """Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance")
    parser.add_argument("names", nargs="*", default=BENCHMARKS)
    worst = 0
    for name in parser.parse_args().names:
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--page"]).returncode
        sys.stderr.write(f"{name}: exit code {code} after {time.monotonic() - began:.0f} s\n")
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
