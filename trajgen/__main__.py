"""`python -m trajgen` and the `trajgen` command."""

from __future__ import annotations

import sys

try:
    from trajgen.cli import INTERRUPTED
    from trajgen.cli import main as run_command
    from trajgen.engines.leash import leash
    from trajgen.process import end_now
except KeyboardInterrupt:  # so early that nothing has begun
    sys.exit(130)


def main() -> int:
    """The command's exit code. A stopped one ends here: threads that hang keep nothing open."""
    try:
        leash()
        code = run_command()
    except KeyboardInterrupt:  # before the command began, or when it was done
        sys.stderr.write("trajgen: stopped.\n")
        code = INTERRUPTED
    if code == INTERRUPTED:
        end_now(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
